"""MobileNets against numbers worked out by hand."""

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from model_zoo import get_model

# mobilenet1.0: a block from c to d channels has 9*c + c*d weights and 2*(c + d) gammas and betas.
PARAMETERS = {
    "stem": 928,  # 3*32*9 + 2*32
    "stage1": 2_528,  # 352 + 2,048 + 128
    "stage2": 27_200,  # (704 + 8,192 + 256) + (1,408 + 16,384 + 256)
    "stage3": 103_552,  # (1,408 + 32,768 + 512) + (2,816 + 65,536 + 512)
    "stage4": 1_478_912,  # (2,816 + 131,072 + 1,024) + 5 * (5,632 + 262,144 + 1,024)
    "stage5": 1_593_856,  # (5,632 + 524,288 + 2,048) + (11,264 + 1,048,576 + 2,048)
    "neck": 0,
    "head": 1_025_000,  # 1,024*1,000 + 1,000
}
# Of these, 3,139,584 weights are across channels and go with the square of the width; the 928 of the stem, 11 numbers
# for each of 4,960 channels into a block, 2 for each of 5,952 out of one and 1,024,000 of the head go with the width;
# 1,000 biases stay.
TOTALS = {"1.0": 4_231_976, "0.75": 2_585_560, "0.5": 1_331_592, "0.25": 470_072}


def count(block):
    return sum(np.prod(p.shape) for p in block.collect_params().values() if p.grad_req != "null")


def initialised(name, **kwargs):
    mx.random.seed(1)
    net = get_model(name, classes=10, **kwargs)
    net.initialize(mx.init.Xavier())
    return net


def test_parameters_of_each_part():
    assert {name: count(part) for name, part in get_model("mobilenet1.0")._children.items()} == PARAMETERS


@pytest.mark.parametrize("width", TOTALS)
def test_parameters_of_each_width(width):
    assert count(get_model(f"mobilenet{width}")) == TOTALS[width]


def test_stages_round_odd_maps_up(images):
    maps = initialised("mobilenet0.25").features_at(1, 2, 3, 4, 5)(images(1, 65))
    assert [out.shape for out in maps] == [
        (1, 16, 33, 33),
        (1, 32, 17, 17),
        (1, 64, 9, 9),
        (1, 128, 5, 5),
        (1, 256, 3, 3),
    ]


def test_one_pixel_is_enough(images):
    assert initialised("mobilenet0.25")(images(1, 1)).shape == (1, 10)


def test_every_4th_number_of_the_dilated_map_is_the_map(images):
    """What dilation is for: the same weights see the same places, at four times the resolution."""
    plain, dilated = initialised("mobilenet0.25"), initialised("mobilenet0.25", dilated=True)
    fine = dilated.features_at(5)(images(2, 72)).asnumpy()
    coarse = plain.features_at(5)(images(2, 72)).asnumpy()
    assert fine.shape == (2, 256, 9, 9) and coarse.shape == (2, 256, 3, 3) and coarse.std() > 0
    np.testing.assert_allclose(fine[:, :, ::4, ::4], coarse, rtol=0, atol=1e-5 * coarse.max())
    assert dilated.features_at(3, 4)(images(1, 72))[1].shape == (1, 128, 9, 9)


def test_a_depthwise_convolution_sees_one_channel():
    block = initialised("mobilenet0.25").stage2[1]
    x = mx.nd.ones((1, 32, 5, 5))
    x.attach_grad()
    with mx.autograd.record():
        out = block.depthwise(x)[0, 7].sum()
    out.backward()
    assert np.flatnonzero(x.grad.asnumpy().any(axis=(0, 2, 3))).tolist() == [7]


def test_final_drop_acts_in_training_only():
    net, x = initialised("mobilenet0.25", final_drop=0.2), mx.nd.ones((40, 256, 3, 3))
    assert (net.neck(x).asnumpy() == 1).all()
    with mx.autograd.train_mode():
        seen = net.neck(x).asnumpy()
    assert np.isclose(seen, 1.25).sum() + (seen == 0).sum() == seen.size
    assert 0.17 < (seen == 0).mean() < 0.23  # 10,240 draws: 0.2 +- 0.004
    with pytest.raises(Refused, match=r"mobilenet0.25: a dropout of 1.0.*\[0, 1\)"):
        initialised("mobilenet0.25", final_drop=1.0)
