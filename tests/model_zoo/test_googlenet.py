"""GoogLeNet, with norms and of 2014, against numbers worked out by hand."""

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from model_zoo import get_model

# A module from c channels on with the row (a, r3, b, r5, d, p) of table 1: c*(a + r3 + r5 + p) + 9*r3*b + 25*r5*d
# weights and a bias for each of its channels. With norms: 9*r5*d in place of 25, and two numbers for each channel.
#       2014                                                  with norms
#   3a  39,936 + 110,592 +  12,800 +   368 =   163,696        39,936 + 110,592 +  4,608 +   736 =   155,872
#   3b  90,112 + 221,184 +  76,800 +   640 =   388,736        90,112 + 221,184 + 27,648 + 1,280 =   340,224
#   4a 176,640 + 179,712 +  19,200 +   624 =   376,176       176,640 + 179,712 +  6,912 + 1,248 =   364,512
#   4b 184,320 + 225,792 +  38,400 +   648 =   449,160       184,320 + 225,792 + 13,824 + 1,296 =   425,232
#   4c 176,128 + 294,912 +  38,400 +   664 =   510,104       176,128 + 294,912 + 13,824 + 1,328 =   486,192
#   4d 180,224 + 373,248 +  51,200 +   704 =   605,376       180,224 + 373,248 + 18,432 + 1,408 =   573,312
#   4e 304,128 + 460,800 + 102,400 + 1,024 =   868,352       304,128 + 460,800 + 36,864 + 2,048 =   803,840
#   5a 479,232 + 460,800 + 102,400 + 1,024 = 1,043,456       479,232 + 460,800 + 36,864 + 2,048 =   978,944
#   5b 625,664 + 663,552 + 153,600 + 1,264 = 1,444,080       625,664 + 663,552 + 55,296 + 2,528 = 1,347,040
WITH_NORMS = {
    "stem": 9_536,  # 3*64*49 + 2*64
    "stage1": 115_200,  # 64*64 + 2*64; 64*192*9 + 2*192
    "stage2": 496_096,
    "stage3": 2_653_088,
    "stage4": 2_325_984,
    "neck": 0,
    "head": 1_025_000,  # 1,024*1,000 + 1,000
}
OF_2014 = {
    "stem": 9_472,  # 3*64*49 + 64
    "stage1": 114_944,  # 64*64 + 64; 64*192*9 + 192
    "stage2": 552_432,
    "stage3": 2_809_168,
    "stage4": 2_487_536,
    "neck": 0,
    "head": 1_025_000,
}
AUXILIARY = {  # 1x1 from 512 or 528 to 128 channels; 2,048*1,024 + 1,024; the logits
    "aux1": 65_664 + 2_098_176 + 1_025_000,
    "aux2": 67_712 + 2_098_176 + 1_025_000,
}
TOTALS = {"googlenet": 6_624_904, "googlenet_2014": 6_998_552, "googlenet_2014_aux": 13_378_280}


def count(block):
    return sum(np.prod(p.shape) for p in block.collect_params().values() if p.grad_req != "null")


def shapes(block, side):
    out = block(mx.sym.Variable("data"))
    return mx.sym.Group(list(out) if isinstance(out, (list, tuple)) else [out]).infer_shape(data=(1, 3, side, side))[1]


def initialised(name, **kwargs):
    mx.random.seed(1)
    net = get_model(name, classes=10, **kwargs)
    net.initialize()
    return net


@pytest.mark.parametrize(
    "name, parts",
    [
        ("googlenet", {**WITH_NORMS, "output": WITH_NORMS["head"]}),  # one layer under two names, counted once below
        ("googlenet_2014", OF_2014),
        ("googlenet_2014_aux", {**OF_2014, **AUXILIARY}),
    ],
)
def test_parameters(name, parts):
    net = get_model(name)
    assert {name: count(part) for name, part in net._children.items()} == parts
    assert count(net) == TOTALS[name]


@pytest.mark.parametrize("name", TOTALS)
def test_maps(name):
    expected = [(1, 192, 56, 56), (1, 480, 28, 28), (1, 832, 14, 14), (1, 1024, 7, 7)]
    assert shapes(get_model(name).features_at(1, 2, 3, 4), 224) == expected


# googlenet: 7 <= last map <= 13. Backwards, the 2x2 pool takes 14 to 27, and a pool that rounds up and has m out
# takes 2*m or 2*m + 1: 28 to 55, 56 to 111, 112 to 223, and the stem 223 to 446.
# googlenet_2014: MXNet refuses a 3x3 pool on less than 3x3; 3 is made of 6 or 7, that of 12 and more, 24 and more.
# googlenet_2014_aux: maps of 12 to 14 in stage 3; 24 to 29, 48 to 59, 96 to 119, 191 to 238.
@pytest.mark.parametrize(
    "name, smallest, largest", [("googlenet", 223, 446), ("googlenet_2014", 47, None), ("googlenet_2014_aux", 191, 238)]
)
def test_sizes(name, smallest, largest):
    net = get_model(name)
    for fine in (smallest, largest or 1000):
        net.check_images((1, 3, fine, fine))
        assert shapes(net, fine) == [(1, 1000)] * (3 if "aux" in name else 1)
    with pytest.raises(Refused, match=f"{name} takes images of at least {smallest}x{smallest} pixels"):
        net(mx.nd.zeros((1, 3, smallest, smallest - 1)))
    if largest:
        with pytest.raises(Refused, match=f"{name} takes images of at most {largest}x{largest} pixels"):
            net(mx.nd.zeros((1, 3, largest + 1, largest)))


@pytest.mark.parametrize("place", [1, 4])
def test_lrn_by_hand(place):
    x = mx.nd.array([[[[100.0]], [[200.0]], [[0.0]], [[0.0]], [[300.0]]]])
    # Of the 5 channels around it, a fifth of 1e-4 times the sum of squares: 1 + 1, 1 + 1, 1 + 2.8, 1 + 2.6, 1 + 1.8
    expected = [100 / 2**0.75, 200 / 2**0.75, 0, 0, 300 / 2.8**0.75]
    np.testing.assert_allclose(get_model("googlenet_2014").stage1[place](x).asnumpy().ravel(), expected, rtol=1e-5)


def test_float64_agrees_with_float32(images):
    net, x = initialised("googlenet_2014"), 100 * images(1, 64, "float64")
    expected = net(x.astype("float32")).asnumpy()
    net.hybridize()
    net(x.astype("float32"))
    net.cast("float64")
    out = net(x)
    assert out.dtype == np.float64
    np.testing.assert_allclose(out.asnumpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_initial_parameters_are_caffes():
    net = initialised("googlenet_2014_aux")
    for name, parameter in net._collect_params_with_prefix().items():
        values = parameter.data().asnumpy()
        if name.endswith("bias"):
            classifier = name in ("head.bias", "aux1.4.bias", "aux2.4.bias")
            assert (values == np.float32(0 if classifier else 0.2)).all(), name
        else:
            bound = np.sqrt(3 / np.prod(values.shape[1:]))
            assert 0.95 * bound < np.abs(values).max() < 1.0001 * bound, name
            assert abs(values.mean()) < 0.1 * bound, name


@pytest.mark.parametrize("name, kernel", [("googlenet", (3, 3)), ("googlenet_2014", (5, 5))])
def test_the_5x5_convolution_is_3x3_with_norms(name, kernel):
    net = get_model(name)
    modules = [*net.stage2[1:], *net.stage3[1:], *net.stage4[1:]]
    layers = [module[2][1].conv if name == "googlenet" else module[2][1] for module in modules]
    assert [layer.weight.shape for layer in layers] == [
        (channels, reduced, *kernel)
        for channels, reduced in zip((32, 96, 48, 64, 64, 64, 128, 128, 128), (16, 32, 16, 24, 24, 32, 32, 32, 48))
    ]


def test_the_auxiliary_classifiers_stand_at_4a_and_4d(images):
    net, x = initialised("googlenet_2014_aux"), images(2, 224)
    logits = net(x)
    assert isinstance(logits, tuple) and [out.shape for out in logits] == [(2, 10)] * 3
    trunk = net.stage2(net.stage1(net.stem(x)))
    for k, layer in enumerate(net.stage3):
        trunk = layer(trunk)
        if k in (1, 4):  # the pool, 4a, 4b, 4c, 4d, 4e
            expected = (net.aux1 if k == 1 else net.aux2)(trunk)
            np.testing.assert_array_equal(logits[1 if k == 1 else 2].asnumpy(), expected.asnumpy())
    net.hybridize(static_alloc=True, static_shape=True)
    with mx.autograd.train_mode():
        traced = net(x)
    assert isinstance(traced, tuple) and len(traced) == 3


def test_the_head_of_the_aux_network_is_that_of_the_one_without(images):
    both, plain = initialised("googlenet_2014_aux"), initialised("googlenet_2014")
    values = both._collect_params_with_prefix()
    for name, parameter in plain._collect_params_with_prefix().items():
        parameter.set_data(values[name].data())
    np.testing.assert_array_equal(both(images(1, 191))[0].asnumpy(), plain(images(1, 191)).asnumpy())


@pytest.mark.parametrize("name, part, shape, rate", [
    ("googlenet", lambda net: net.neck, (20, 1024, 7, 7), 0.4),
    ("googlenet_2014", lambda net: net.neck, (20, 1024, 7, 7), 0.4),
    ("googlenet_2014_aux", lambda net: net.aux1[3], (20, 1024), 0.7),
])  # fmt: skip
def test_dropout_rates(name, part, shape, rate):
    block = part(get_model(name))
    assert (block(mx.nd.ones(shape)).asnumpy() == 1).all()
    with mx.autograd.train_mode():
        seen = block(mx.nd.ones(shape)).asnumpy()
    assert ((seen == 0) | np.isclose(seen, 1 / (1 - rate))).all()
    assert abs((seen == 0).mean() - rate) < 0.02  # 20,480 draws: +- 0.0034


@pytest.mark.parametrize(
    "name, keyword",
    [
        ("googlenet", "aux_drop"),
        ("googlenet_2014", "aux_drop"),
        ("googlenet_2014", "norm_layer"),
        ("googlenet", "dilated"),
    ],
)
def test_keywords_of_others_are_refused(name, keyword):
    with pytest.raises(Refused, match=f"no argument '{keyword}' in {name}"):
        get_model(name, **{keyword: 0.5})
