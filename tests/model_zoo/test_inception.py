"""Inception-V3 against numbers worked out by hand."""

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from model_zoo import get_model

# A convolution from c to d channels with k places has c*d*k weights and 2*d gammas and betas. The modules from c on:
#   A, p channels pooled    (176 + p)*c + 2*p + 215,904, of which 76,928 are the 5x5's, 55,488 and 83,136 the 3x3's
#   B                       3,456*c + 768 (3x3) + 64*c + 128 + 55,488 + 83,136
#   C, width w, c = 768     28*w*w + 4,236*w + 296,448
#   D, c = 768              2 * 147,840 (1x1) + 553,600 (3x3) + 2 * 258,432 (1x7, 7x1) + 332,160 (3x3)
#   E                       1,344*c + 3,324,288, of which 4 * 443,136 are the forks and 1,549,056 the 3x3
PARAMETERS = {
    "stem": 28_768,  # 928 + 9,280 + 18,560
    "stage1": 143_904,  # 5,280 + 138,624
    "stage2": 818_528,  # A from 192, 32: 255,904; A from 256, 64: 277,472; A from 288, 64: 285,152
    "stage3": 7_974_656,  # B from 288: 1,153,280; C of 128: 1,297,408, of 160: 2 * 1,691,008, of 192: 2,141,952
    "stage4": 12_819_712,  # D: 1,698,304; E from 1,280: 5,044,608; E from 2,048: 6,076,800
    "neck": 0,
    "head": 2_049_000,  # 2,048*1,000 + 1,000
}


def shapes(block, *shape):
    out = block(mx.sym.Variable("data"))
    return mx.sym.Group(out if isinstance(out, list) else [out]).infer_shape(data=shape)[1]


def test_parameters_of_each_part():
    counts = {
        name: sum(np.prod(p.shape) for p in part.collect_params().values() if p.grad_req != "null")
        for name, part in get_model("inceptionv3")._children.items()
    }
    assert counts == PARAMETERS and sum(counts.values()) == 23_834_568


def test_maps():  # table 1 of the paper: 147, 71, 35, 17, 8
    net = get_model("inceptionv3")
    assert net.input_size == 299
    assert shapes(net.stem, 1, 3, 299, 299) == [(1, 64, 147, 147)]
    expected = [(1, 192, 71, 71), (1, 288, 35, 35), (1, 768, 17, 17), (1, 2048, 8, 8)]
    assert shapes(net.features_at(1, 2, 3, 4), 1, 3, 299, 299) == expected


def test_branches_lie_side_by_side():
    module = get_model("inceptionv3").stage4[2]  # E from 2,048
    module.initialize(mx.init.Xavier())
    x = mx.nd.random.normal(shape=(1, 2048, 4, 4))
    first, wide, _, pooled = (branch(x).asnumpy() for branch in module)
    out = module(x).asnumpy()
    assert out.shape == (1, 2048, 4, 4)  # 320 + (384 + 384) + (384 + 384) + 192
    np.testing.assert_array_equal(out[:, :320], first)
    np.testing.assert_array_equal(out[:, 320:1088], wide)
    np.testing.assert_array_equal(out[:, 1856:], pooled)


def test_borders_count_in_the_averages_of_a_branch():
    pool = get_model("inceptionv3").stage2[1][3][0]
    seen = pool(mx.nd.ones((1, 1, 3, 3))).asnumpy()[0, 0]
    np.testing.assert_allclose(seen, np.array([[4, 6, 4], [6, 9, 6], [4, 6, 4]]) / 9, rtol=1e-6)


def test_every_norm_has_an_epsilon_of_a_thousandth():
    unit = get_model("inceptionv3").stem[0]
    unit.initialize()
    out = unit.bn(mx.nd.ones((1, 32, 2, 2)) * 3).asnumpy()  # running mean 0, variance 1
    np.testing.assert_allclose(out, 3 / np.sqrt(1.001), rtol=1e-6)
    assert get_model("inceptionv3", norm_kwargs={"epsilon": 1e-5}).stem[0].bn._kwargs["eps"] == 1e-5


def test_the_neck_averages_8x8_numbers_and_drops_half():
    neck = get_model("inceptionv3").neck
    x = mx.nd.arange(100).reshape((1, 1, 10, 10))
    assert neck(x).asscalar() == pytest.approx(38.5)  # rows 0 to 7: 3.5*10 on average; columns: 3.5
    with mx.autograd.train_mode():
        seen = neck(mx.nd.ones((10, 2048, 8, 8))).asnumpy()
    assert ((seen == 0) | (seen == 2)).all()
    assert 0.48 < (seen == 0).mean() < 0.52  # 20,480 draws: 0.5 +- 0.0035


# 8 <= last map <= 15. Backwards, a halving pool or convolution with m out takes 2*m + 1 or 2*m + 2, a 3x3 without
# padding 2 more: 17 to 32, 35 to 66, 71 to 134 (73 to 136), 147 to 274 (149 to 276), 299 to 554.
@pytest.mark.parametrize("side, words", [(298, "at least 299x299"), (555, "at most 554x554")])
def test_sizes(side, words):
    net = get_model("inceptionv3")
    for fine in (299, 554):
        net.check_images((1, 3, fine, fine))
        assert shapes(net, 1, 3, fine, fine) == [(1, 1000)]
    with pytest.raises(Refused, match=f"inceptionv3 takes images of {words} pixels, but got 400x{side}"):
        net(mx.nd.zeros((1, 3, 400, side)))


def test_there_is_no_dilated_form():
    with pytest.raises(Refused, match="no argument 'dilated' in inceptionv3"):
        get_model("inceptionv3", dilated=True)
