"""The family's structure, against numbers worked out by hand."""

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from model_zoo import get_model, list_models

# resnet50_v1b: a bottleneck of width w with c channels coming in has c*w + 9*w*w + 4*w*w weights and 2*(w + w + 4*w)
# gammas and betas; a projection has c*4*w weights and 2*4*w gammas and betas.
#   stem    3*64*49 + 2*64                                                                    =      9,536
#   stage1  (4,096 + 36,864 + 16,384 + 768) + (16,384 + 512) + 2 * 70,400                     =    215,808
#   stage2  (32,768 + 147,456 + 65,536 + 1,536) + (131,072 + 1,024) + 3 * 280,064             =  1,219,584
#   stage3  (131,072 + 589,824 + 262,144 + 3,072) + (524,288 + 2,048) + 5 * 1,117,184         =  7,098,368
#   stage4  (524,288 + 2,359,296 + 1,048,576 + 6,144) + (2,097,152 + 4,096) + 2 * 4,462,592   = 14,964,736
#   head    2,048 * 1,000 + 1,000                                                             =  2,049,000
# resnet26_v1b has the first two blocks of each stage: 9,536 + 145,408 + 659,456 + 2,629,632 + 10,502,144 + 2,049,000.
#   (stage1 215,808 - 70,400; stage2 1,219,584 - 2 * 280,064; stage3 7,098,368 - 4 * 1,117,184; stage4 - 4,462,592)
# v1 adds the biases of its 1x1 convolutions, 5*w a bottleneck: 3*320 + 4*640 + 6*1,280 + 3*2,560 = 18,880;
# of 26 layers 2 * (320 + 640 + 1,280 + 2,560) = 9,600.
# v1c and v1d: the stem is 864 + 9,216 + 18,432 weights and 2*(32 + 32 + 64) gammas and betas = 28,768: 19,232 more.
PARAMETERS = {
    18: dict(v1=11_689_512, v1b=11_689_512, v1c=11_708_744, v1d=11_708_744),
    26: dict(v1=16_004_776, v1b=15_995_176, v1c=16_014_408, v1d=16_014_408),
    34: dict(v1=21_797_672, v1b=21_797_672, v1c=21_816_904, v1d=21_816_904),
    50: dict(v1=25_575_912, v1b=25_557_032, v1c=25_576_264, v1d=25_576_264),
    101: dict(v1=44_589_800, v1b=44_549_160, v1c=44_568_392, v1d=44_568_392),
    152: dict(v1=60_252_648, v1b=60_192_808, v1c=60_212_040, v1d=60_212_040),
}


def images(*shape):
    return mx.nd.random.uniform(shape=shape)


def initialised(name, **kwargs):
    mx.random.seed(1)
    net = get_model(name, **{"classes": 10, **kwargs})
    net.initialize(mx.init.Xavier())
    return net


def blocks(net):
    return [block for stage in (net.stage1, net.stage2, net.stage3, net.stage4) for block in stage]


@pytest.mark.parametrize("name", [name for name in list_models() if name.startswith("resnet")])
def test_parameter_counts(name):
    depth, variant = name[len("resnet") :].split("_")
    parameters = get_model(name).collect_params().values()
    assert sum(np.prod(p.shape) for p in parameters if p.grad_req != "null") == PARAMETERS[int(depth)][variant]


@pytest.mark.parametrize("name, count, last", [("resnet18_v1b", 8, "bn2"), ("resnet50_v1d", 16, "bn3")])
def test_zero_gamma_makes_each_block_its_shortcut(name, count, last):
    net = initialised(name, last_gamma=True)
    zero = {
        key for key, p in net._collect_params_with_prefix().items() if "gamma" in key and not p.data().asnumpy().any()
    }
    assert len(zero) == count and all(key.endswith(f".{last}.gamma") for key in zero)
    x = net.stem(images(2, 3, 40, 40))
    for block in blocks(net):
        with mx.autograd.train_mode():
            expected = mx.nd.relu(x if block.shortcut is None else block.shortcut(x))
            out = block(x)
        np.testing.assert_array_equal(out.asnumpy(), expected.asnumpy())
        x = out
    assert x.asnumpy().any()


def test_gamma_is_one_everywhere_without_last_gamma():
    parameters = initialised("resnet18_v1d").collect_params(".*gamma").values()
    assert len(parameters) == 3 + 16 + 3  # stem, blocks, projections
    assert all((p.data().asnumpy() == 1).all() for p in parameters)


@pytest.mark.parametrize("name", ["resnet18_v1", "resnet18_v1d", "resnet50_v1", "resnet50_v1d"])
def test_stages_round_odd_maps_up(name):
    net = initialised(name)
    x, shapes = net.stem(images(1, 3, 65, 71)), []
    for stage in (net.stage1, net.stage2, net.stage3, net.stage4):
        x = stage(x)
        shapes.append(x.shape[2:])
    assert shapes == [(17, 18), (9, 9), (5, 5), (3, 3)]


def test_the_shortcut_pool_averages_the_pixels_there_are():
    pool = get_model("resnet18_v1d").stage2[0].shortcut[0]
    image = mx.nd.array([[[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]])
    # (1 + 2 + 4 + 5) / 4, (3 + 6) / 2, (7 + 8) / 2, 9
    np.testing.assert_array_equal(pool(image).asnumpy(), [[[[3, 4.5], [7.5, 9]]]])


def test_stride_is_in_the_first_1x1_of_v1_and_in_the_3x3_of_v1b():
    maps = {}
    for name in ("resnet50_v1", "resnet50_v1b"):
        block = initialised(name).stage2[0]
        first = block.conv1(images(1, 256, 8, 8))
        maps[name] = first.shape[2:], block.conv2(first).shape[2:]
    assert maps == {"resnet50_v1": ((4, 4), (4, 4)), "resnet50_v1b": ((8, 8), (4, 4))}


def test_final_drop_acts_in_training_only():
    net, x = initialised("resnet18_v1b", final_drop=0.5), images(2, 3, 40, 40)
    assert (net(x) == net(x)).asnumpy().all()
    with mx.autograd.train_mode():
        assert (net(x) != net(x)).asnumpy().any()


@pytest.mark.parametrize("kwargs, too_small", [({}, 16), ({"dilated": True}, 4)])
def test_too_small_images_are_refused(kwargs, too_small):
    net = initialised("resnet18_v1d", **kwargs)
    assert net(images(1, 3, too_small + 1, too_small + 1)).shape == (1, 10)
    with pytest.raises(
        Refused, match=rf"resnet18_v1d takes images of at least {too_small + 1}x{too_small + 1} .* 40x{too_small}"
    ):
        net(images(1, 3, 40, too_small))


def test_one_pixel_is_enough_without_a_pooled_shortcut():
    assert initialised("resnet50_v1c")(images(1, 3, 1, 1)).shape == (1, 10)


def test_channels_last_images_are_refused():
    net = initialised("resnet18_v1b")
    net.hybridize()
    with pytest.raises(Refused, match=r"\(N, 3, height, width\), but got \(2, 32, 32, 3\)"):
        net(images(2, 32, 32, 3))


@pytest.mark.parametrize(
    "name, kwargs, text",
    [
        ("resnet50_v1", {"dilated": True}, "resnet50_v1 has no dilated form.* resnet50_v1b"),
        ("resnet18_v1b", {"classes": 0}, "classes=0.* at least 1 class"),
        ("resnet18_v1b", {"final_drop": 1.0}, r"a dropout of 1.0.*\[0, 1\)"),
    ],
)
def test_arguments_out_of_range_are_refused(name, kwargs, text):
    with pytest.raises(Refused, match=text):
        get_model(name, **kwargs)
