"""DenseNets against numbers worked out by hand."""

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from model_zoo import get_model

# A layer with c channels coming in has 128*c + 128*32*9 weights and 2*c + 2*128 gammas and betas: 130*c + 37,120.
# n layers from c channels on: 37,120*n + 130*(n*c + 16*n*(n - 1)). A transition from c channels: 2*c + c*c/2.
STEM, STAGE1, STAGE2 = (
    9_536,  # 3*64*49 + 2*64
    335_040,  # 6 layers from 64: 222,720 + 130*864
    952_960,  # transition from 256: 33,280; 12 layers from 128: 445,440 + 130*3,648
)
PARAMETERS = {
    121: dict(
        stage3=2_969_856,  # transition from 512: 132,096; 24 layers from 256: 890,880 + 130*14,976
        stage4=2_686_464,  # transition from 1,024: 526,336; 16 layers from 512: 593,920 + 130*12,032; norm of 1,024
        head=1_025_000,  # 1,024*1,000 + 1,000
    ),
    169: dict(
        stage3=4_448_256,  # 132,096; 32 layers from 256: 1,187,840 + 130*24,064
        stage4=6_738_688,  # transition from 1,280: 821,760; 32 from 640: 1,187,840 + 130*36,352; norm of 1,664
        head=1_665_000,
    ),
    201: dict(
        stage3=8_203_776,  # 132,096; 48 layers from 256: 1,781,760 + 130*48,384
        stage4=8_591_616,  # transition from 1,792: 1,609,216; 32 from 896: 1,187,840 + 130*44,544; norm of 1,920
        head=1_921_000,
    ),
}
CHANNELS = {121: (256, 512, 1024, 1024), 169: (256, 512, 1280, 1664), 201: (256, 512, 1792, 1920)}  # c + 32*n


def count(block):
    return sum(np.prod(p.shape) for p in block.collect_params().values() if p.grad_req != "null")


def shapes(block, *shape):
    out = block(mx.sym.Variable("data"))
    return mx.sym.Group(out if isinstance(out, list) else [out]).infer_shape(data=shape)[1]


def initialised(**kwargs):
    mx.random.seed(1)
    net = get_model("densenet121", classes=10, **kwargs)
    net.initialize(mx.init.Xavier())
    return net


@pytest.mark.parametrize("depth", PARAMETERS)
def test_parameters_of_each_part(depth):
    expected = dict(stem=STEM, stage1=STAGE1, stage2=STAGE2, neck=0, **PARAMETERS[depth])
    assert {name: count(part) for name, part in get_model(f"densenet{depth}")._children.items()} == expected


@pytest.mark.parametrize("depth", CHANNELS)
@pytest.mark.parametrize("dilated, sides", [(False, (56, 28, 14, 7)), (True, (56, 28, 28, 28))])
def test_maps(depth, dilated, sides):
    net = get_model(f"densenet{depth}", dilated=dilated)
    expected = [(1, channels, side, side) for channels, side in zip(CHANNELS[depth], sides)]
    assert shapes(net.features_at(1, 2, 3, 4), 1, 3, 224, 224) == expected


def test_a_layer_keeps_what_came_in(images):
    layer, x = initialised().stage1[0], mx.nd.random.normal(shape=(1, 64, 5, 5))
    out = layer(x)
    assert out.shape == (1, 96, 5, 5) and out[:, 64:].asnumpy().any()
    np.testing.assert_array_equal(out[:, :64].asnumpy(), x.asnumpy())


@pytest.mark.parametrize("stage, step", [("stage3", 2), ("stage4", 4)])
def test_dilated_layers_see_every_2nd_or_4th_place(stage, step):
    x = mx.nd.random.normal(shape=(1, {"stage3": 256, "stage4": 512}[stage], 12, 12))
    fine, coarse = x, x[:, :, ::step, ::step]
    for dilated, plain in zip(getattr(initialised(dilated=True), stage)[1:], getattr(initialised(), stage)[1:]):
        fine, coarse = dilated(fine), plain(coarse)
    expected = coarse.asnumpy()
    np.testing.assert_allclose(fine[:, :, ::step, ::step].asnumpy(), expected, atol=1e-5 * expected.max())


def test_the_neck_averages_7x7_numbers_and_all_if_dilated():
    x = mx.nd.arange(64).reshape((1, 1, 8, 8))
    assert get_model("densenet121").neck(x).asscalar() == pytest.approx(27)  # rows 0 to 6: 3*8 on average; columns: 3
    assert get_model("densenet121", dilated=True).neck(x).asscalar() == pytest.approx(31.5)


# 7 <= last map <= 13: 14 to 27, 28 to 55 and 56 to 111 after the transitions, twice that before the stem
@pytest.mark.parametrize("side, words", [(220, "at least 221x221"), (445, "at most 444x444")])
def test_sizes(side, words):
    net = get_model("densenet121")
    for fine in (221, 444):
        net.check_images((1, 3, fine, fine))
        assert shapes(net, 1, 3, fine, fine) == [(1, 1000)]
    with pytest.raises(Refused, match=f"densenet121 takes images of {words} pixels, but got {side}x300"):
        net(mx.nd.zeros((1, 3, side, 300)))


def test_sizes_if_dilated(images):
    net = initialised(dilated=True)
    assert net(images(1, 5)).shape == (1, 10)
    net.check_images((1, 3, 1000, 1000))
    with pytest.raises(Refused, match="at least 5x5 pixels, but got 4x4"):
        net(images(1, 4))


def test_layer_drop_takes_new_numbers_only():
    layer = initialised(layer_drop=0.25).stage1[0]
    x = mx.nd.random.uniform(0.1, 1, shape=(2, 64, 32, 32))
    with mx.autograd.train_mode():
        out = layer(x).asnumpy()
    np.testing.assert_array_equal(out[:, :64], x.asnumpy())
    assert 0.24 < (out[:, 64:] == 0).mean() < 0.26  # 65,536 draws: 0.25 +- 0.002
    with pytest.raises(Refused, match=r"densenet121: a dropout of -0.1.*\[0, 1\)"):
        initialised(layer_drop=-0.1)
