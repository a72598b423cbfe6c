"""AlexNet, ZFNet and CaffeNet against their papers: shapes, counts, starts, towers, local response normalisation."""

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from model_zoo import get_model
from model_zoo.lrn import LRN

# alexnet_2012, images of 227 pixels padded by 2 (figure 2; side = floor((side + 2 pad - kernel) / stride) + 1)
#   conv1  11x11/4, 96     56x56   96 * 3 * 121 + 96          =     34,944
#   pool   3x3/2           27x27
#   conv2  5x5, 256 in 2   27x27   256 * 48 * 25 + 256        =    307,456
#   pool                   13x13
#   conv3  3x3, 384        13x13   384 * 256 * 9 + 384        =    885,120
#   conv4  3x3, 384 in 2   13x13   384 * 192 * 9 + 384        =    663,936
#   conv5  3x3, 256 in 2   13x13   256 * 192 * 9 + 256        =    442,624
#   pool                   6x6
#   dense  4096                    4,096 * 9,216 + 4,096      = 37,752,832
#   dense  4096                    4,096 * 4,096 + 4,096      = 16,781,312
#   head   1000                    1,000 * 4,096 + 1,000      =  4,097,000, in all 60,965,224
# caffenet: the same with images of 227 pixels and no padding: (227 - 11) / 4 + 1 = 55.
# alexnet (2014, one tower): 64 * 363 + 64 = 23,296; 192 * 64 * 25 + 192 = 307,392; 384 * 192 * 9 + 384 = 663,936;
#   256 * 384 * 9 + 256 = 884,992; 256 * 256 * 9 + 256 = 590,080; dense as above 58,631,144: 61,100,840.
# zfnet (figure 3): conv1 7x7/2, 96: 110x110, 14,208; pool 55x55; conv2 5x5/2, 256: 26x26, 614,656; pool 13x13;
#   885,120 + 384 * 384 * 9 + 384 = 1,327,488 + 884,992; pool 6x6; dense as above: 62,357,608.
# zfnet_512_1024_512: 14,208 + 614,656 + 512 * 256 * 9 + 512 = 1,180,160 + 1024 * 512 * 9 + 1024 = 4,719,616
#   + 512 * 1024 * 9 + 512 = 4,719,104 + 4,096 * 512 * 36 + 4,096 = 75,501,568 + 16,781,312 + 4,097,000 = 107,627,624.
NETWORKS = {  # name: side of the images, channels and side of stage 1 to 3's maps, parameters
    "alexnet": (224, [(64, 27), (192, 13), (256, 6)], 61_100_840),
    "alexnet_2012": (227, [(96, 27), (256, 13), (256, 6)], 60_965_224),
    "zfnet": (224, [(96, 55), (256, 13), (256, 6)], 62_357_608),
    "zfnet_512_1024_512": (224, [(96, 55), (256, 13), (512, 6)], 107_627_624),
    "caffenet": (227, [(96, 27), (256, 13), (256, 6)], 60_965_224),
    "caffenet_no_lrn": (227, [(96, 27), (256, 13), (256, 6)], 60_965_224),
}
SMALLEST = {"alexnet": 63, "alexnet_2012": 63, "zfnet": 63, "caffenet": 55}


def map_shape(parts, side):
    """Of the last of the parts, without computing the map."""
    x = mx.sym.var("images")
    for part in parts:
        x = part(x)
    return x.infer_shape(images=(1, 3, side, side))[1][0]


def initialised(name, side, **kwargs):
    mx.random.seed(1)
    net = get_model(name, **kwargs)
    net.initialize(mx.init.Xavier())
    net(mx.nd.zeros((1, 3, side, side)))
    return net


def layers(net):
    return [layer for part in [*net.trunk, net.neck] for layer in part]


@pytest.mark.parametrize("name", NETWORKS)
def test_shapes_and_counts(name):
    side, maps, parameters = NETWORKS[name]
    net = get_model(name)
    assert net.input_size == side
    for stage, (channels, size) in enumerate(maps, start=1):
        assert map_shape(net.trunk[:stage], side) == (1, channels, size, size)
    net.infer_shape(mx.nd.zeros((1, 3, side, side)))
    assert sum(np.prod(p.shape) for p in net.collect_params().values()) == parameters


@pytest.mark.parametrize("name, sides", [("alexnet_2012", (56, 27)), ("zfnet", (110, 26)), ("caffenet", (55, 27))])
def test_maps_of_the_first_two_convolutions(name, sides):
    net = get_model(name)
    side = net.input_size
    assert map_shape([net.stage1[0]], side)[2:] == (sides[0],) * 2
    assert map_shape([net.stage1, net.stage2[0]], side)[2:] == (sides[1],) * 2


@pytest.mark.parametrize("name", SMALLEST)
def test_the_smallest_side_is_the_smallest(name):
    net, least = get_model(name), SMALLEST[name]
    assert net.smallest_side == least and map_shape(net.trunk, least)[2:] == (1, 1)
    with pytest.raises(mx.MXNetError):
        map_shape(net.trunk, least - 1)


def test_the_papers_images_of_224_pixels_give_alexnet_the_same_dense_layers():
    """(224 + 4 - 11) / 4 + 1 = 55.25, of which the pool makes 27 as of 56."""
    net = get_model("alexnet_2012")
    assert map_shape([net.stage1[0]], 224)[2:] == (55, 55)
    assert map_shape(net.trunk, 224) == map_shape(net.trunk, 227) == (1, 256, 6, 6)


def test_lrn_comes_before_the_pool_in_2012_and_after_it_in_caffe():
    def kinds(name):
        net = get_model(name)
        return [
            [type(layer).__name__ for layer in stage if type(layer) in (LRN, mx.gluon.nn.MaxPool2D)]
            for stage in net.trunk
        ]

    assert kinds("alexnet_2012") == [["LRN", "MaxPool2D"], ["LRN", "MaxPool2D"], ["MaxPool2D"]]
    assert kinds("caffenet") == kinds("zfnet") == [["MaxPool2D", "LRN"], ["MaxPool2D", "LRN"], ["MaxPool2D"]]
    assert kinds("caffenet_no_lrn") == kinds("alexnet") == [["MaxPool2D"]] * 3


# Six channels of 100: the sum of squares over 5 neighbours is 3, 4, 5, 5, 4, 3 times 10,000.
# k = 2, alpha = 1e-4: 2 + 3 = 5, 6, 7, 7, 6, 5. Caffe's k = 1, alpha = 1e-4 / 5: 1.6, 1.8, 2, 2, 1.8, 1.6.
@pytest.mark.parametrize(
    "name, place, sums", [("alexnet_2012", 2, [5, 6, 7, 7, 6, 5]), ("caffenet", 3, [1.6, 1.8, 2, 2, 1.8, 1.6])]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("hybridized", [False, True])
def test_lrn_by_hand(name, place, sums, dtype, hybridized):
    lrn = get_model(name).stage1[place]
    lrn.hybridize(hybridized)
    lrn.cast(dtype)
    out = lrn(mx.nd.full((1, 6, 1, 1), 100, dtype=dtype)).asnumpy()
    assert out.dtype == dtype
    np.testing.assert_allclose(out.ravel(), [100 / s**0.75 for s in sums], rtol=1e-6)


def test_the_gradient_of_lrn_with_a_convolution_after_it(images):
    """Where MXNet's own operator is wrong by half: against the derivative from b = a * s^-beta, worked out on paper.

    db_i / da_j = [i = j] s_i^-beta - 2 alpha beta a_i a_j s_i^(-beta - 1) for |i - j| <= 2
    """
    k, alpha, beta, channels = 2, 0.1, 0.75, 16
    net = mx.gluon.nn.HybridSequential()
    net.add(LRN(k=k, alpha=alpha), mx.gluon.nn.Conv2D(16, 3, padding=1, in_channels=channels))
    net.initialize(mx.init.Normal())
    a = images(8, 6).reshape((1, -1, 6, 8))[:, :channels, :, :6] * 3
    a.attach_grad()
    with mx.autograd.record():
        normalised = net[0](a)
        normalised.attach_grad()
        loss = (net[1](normalised) ** 2).sum()
    loss.backward()
    upstream = normalised.grad.asnumpy()[0].astype("float64")
    values = a.asnumpy()[0].astype("float64")
    near = abs(np.subtract.outer(range(channels), range(channels))) <= 2
    s = k + alpha * np.einsum("ij,jhw->ihw", near, values**2)
    expected = upstream * s**-beta - 2 * alpha * beta * values * np.einsum(
        "ij,ihw->jhw", near, upstream * values * s ** (-beta - 1)
    )
    for hybridized in (False, True):
        net.hybridize(hybridized)
        a.attach_grad()
        with mx.autograd.record():
            loss = (net(a) ** 2).sum()
        loss.backward()
        np.testing.assert_allclose(a.grad.asnumpy()[0], expected, rtol=0, atol=1e-5 * np.abs(expected).max())


# 2012, section 5: deviation 0.01; biases 1 in convolutions 2, 4, 5 and the hidden dense layers. Caffe: 0.005 for those.
@pytest.mark.parametrize("name, hidden", [("alexnet_2012", 0.01), ("caffenet", 0.005)])
def test_where_the_numbers_start(name, hidden):
    net = initialised(name, 63, classes=100)
    with_weights = [layer for layer in [*layers(net), net.head] if hasattr(layer, "weight")]
    biases = [layer.bias.data().asnumpy() for layer in with_weights]
    assert [set(b) for b in biases] == [{0}, {1}, {0}, {1}, {1}, {1}, {1}, {0}]
    deviations = [layer.weight.data().asnumpy().std() for layer in with_weights]
    np.testing.assert_allclose(deviations, [0.01] * 5 + [hidden] * 2 + [0.01], rtol=0.02)


def test_zfnet_starts_without_biases_and_alexnet_as_told():
    assert all(
        not b.data().asnumpy().any() for b in initialised("zfnet", 63, classes=2).collect_params(".*bias").values()
    )
    net = get_model("alexnet")
    net.initialize(mx.init.Constant(3))
    assert (net.stage1[0].weight.data().asnumpy() == 3).all() and not net.stage1[0].bias.data().asnumpy().any()


@pytest.mark.parametrize(
    "stage, place, channels, linked", [(2, 0, 96, 0), (3, 0, 256, 1), (3, 2, 384, 0), (3, 4, 384, 0)]
)
def test_the_towers_of_convolutions_2_4_and_5_do_not_see_each_other(stage, place, channels, linked):
    conv = getattr(get_model("alexnet_2012"), f"stage{stage}")[place]
    conv.initialize()
    x = mx.nd.ones((1, channels, 5, 5))
    x.attach_grad()
    with mx.autograd.record():
        first_tower = conv(x)[:, : conv.weight.shape[0] // 2].sum()
    first_tower.backward()
    seen = x.grad.asnumpy().any(axis=(0, 2, 3))
    assert seen[: channels // 2].all() and seen[channels // 2 :].all() == seen[channels // 2 :].any() == linked


def test_images_of_another_size_than_the_first_are_refused():
    net = initialised("alexnet", 100, classes=10)  # 24 -> 11 -> 5 -> 2: 1,024 features
    assert net(mx.nd.zeros((2, 3, 100, 110))).shape == (2, 10)  # 26 -> 12 -> 5 -> 2, too
    text = (
        "alexnet: its dense layers take 1024 features per image, but images of 224x224 pixels give 9216: "
        "use images of the size that its first images had$"
    )
    for hybridized in (False, True):
        net.hybridize(hybridized)
        with pytest.raises(Refused, match=text):
            net(mx.nd.zeros((1, 3, 224, 224)))
    with pytest.raises(Refused, match=r"take 9216 .* 100x63 pixels give 512: .* \(224x224 would\)"):
        initialised("alexnet", 224, classes=10)(mx.nd.zeros((1, 3, 100, 63)))


@pytest.mark.parametrize("name", ["alexnet", "caffenet"])
def test_dropout_follows_both_hidden_layers(name):
    net = get_model(name, hidden_drop=0.25)
    kinds = [type(layer).__name__ for layer in net.neck]
    assert kinds == ["Flatten", *["Dense", "Activation", "Dropout"] * 2]
    dropped = net.neck[3]
    with mx.autograd.train_mode():
        out = dropped(mx.nd.ones((100, 100))).asnumpy()
    assert abs((out == 0).mean() - 0.25) < 0.02
    with pytest.raises(Refused, match=rf"{name}: a dropout of 1.5.*\[0, 1\)"):
        get_model(name, hidden_drop=1.5)


def test_alexnet_has_no_norm_to_choose():
    with pytest.raises(
        Refused, match="no argument 'norm_layer' in alexnet_2012: there are classes, hidden, hidden_drop"
    ):
        get_model("alexnet_2012", norm_layer=mx.gluon.nn.BatchNorm)


def test_batch_norm_stands_before_every_relu():
    """CaffeNet with it: gamma and beta of 96 + 256 + 384 + 384 + 256 maps and two times 4096 numbers."""
    net = get_model("caffenet", batch_norm=True)
    kinds = [type(layer).__name__.removesuffix("Map") for layer in layers(net)]
    followed = [kinds[k + 1] for k, kind in enumerate(kinds) if kind in ("Conv2D", "Dense")]
    assert followed == ["BatchNorm"] * 7
    plain = [type(layer).__name__ for layer in layers(get_model("caffenet"))]
    plain.append("Flatten")  # the dense layers give maps of one pixel
    assert [kind for kind in kinds if kind != "BatchNorm"] == plain
    assert net.neck(mx.sym.var("map")).infer_shape(map=(2, 256, 6, 6))[1] == [(2, 4096)]
    assert all(kinds[k + 1] == "Activation" for k, kind in enumerate(kinds) if kind == "BatchNorm")
    net.infer_shape(mx.nd.zeros((1, 3, 227, 227)))
    trained = [p for p in net.collect_params().values() if p.grad_req != "null"]
    assert sum(np.prod(p.shape) for p in trained) == 60_965_224 + 2 * (96 + 256 + 384 + 384 + 256 + 2 * 4096)
    with pytest.raises(Refused, match="caffenet: batch_norm is 'yes', but it takes true or false"):
        get_model("caffenet", batch_norm="yes")


@pytest.mark.parametrize("name", ["caffenet", "vgg11", "cvjena_alexnet"])
def test_narrower_dense_layers(name):
    net = get_model(name, classes=20, hidden=64)
    net.infer_shape(mx.nd.zeros((1, 3, 224, 224)))
    shapes = [p.shape for p in net.collect_params(".*(neck|dense).*weight").values()]
    assert [shape[0] for shape in shapes] == [64, 64, 20] and shapes[2] == (20, 64)
    for wrong in (0, 2.5, True, 10**9):
        with pytest.raises(Refused, match=f"{name}: hidden={wrong}, but the hidden dense layers have 1 to 65536"):
            get_model(name, hidden=wrong)
