"""The networks with batch normalisation everywhere, as their authors build them, and the generator of ResNets."""

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from model_zoo import get_model
from model_zoo.cvjena import blocks_per_stage

# cvjena_alexnet: AlexNet in two towers for images of 227 pixels, 60,965,224 (see test_alexnet.py), and 2 numbers for
#   each of 3 + 96 + 256 + 384 + 384 + 256 + 4,096 + 4,096 = 9,571 normalised channels: 60,984,366.
# cvjena_vgg19: 143,667,240 (see test_vgg.py) and 2 * (3 + 5,504 + 8,192) = 27,398: 143,694,638.
# cvjena_resnet10, two 3x3 convolutions without biases in a block:
#   stem    2 * 3 + (3 * 64 * 49 + 64) + 2 * 64                                          =     9,606
#   stage1  no first norm: 36,864 + 128 + 36,864                                         =    73,856
#   stage2  128 + 73,728 + 256 + 147,456, projection 8,192                               =   229,760
#   stage3  256 + 294,912 + 512 + 589,824, projection 32,768                             =   918,272
#   stage4  512 + 1,179,648 + 1,024 + 2,359,296, projection 131,072, last norm 1,024     = 3,672,576
#   head    512 * 1,000 + 1,000                                                          =   513,000: 5,417,070
# cvjena_resnet50; a bottleneck of width w on c channels: 2c + cw + 2w + 9ww + 2w + 4ww, its projection 4wc:
#   stem 9,606
#   stage1  4,096 + 128 + 36,864 + 128 + 16,384 + 16,384 = 73,984, then 2 * 70,400        =   214,784
#   stage2  246,784 + 131,072, then 3 * 280,064                                          = 1,218,048
#   stage3  985,088 + 524,288, then 5 * 1,117,184                                        = 7,095,296
#   stage4  3,936,256 + 2,097,152, then 2 * 4,462,592, last norm 4,096                   = 14,962,688
#   head    2,049,000: 25,549,422
PARAMETERS = {
    "cvjena_alexnet": 60_984_366,
    "cvjena_vgg19": 143_694_638,
    "cvjena_resnet10": 5_417_070,
    "cvjena_resnet50": 25_549_422,
}
MAPS = {  # sides of the stages' maps; Caffe's pools round up
    "cvjena_alexnet": [27, 13, 6],
    "cvjena_vgg19": [112, 56, 28, 14, 7],
    "cvjena_resnet10": [56, 28, 14, 7],
    "cvjena_resnet50": [56, 28, 14, 7],
}
SMALLEST = {"cvjena_alexnet": 55, "cvjena_vgg19": 17, "cvjena_resnet10": 5}


def initialised(name, *args, **kwargs):
    mx.random.seed(1)
    net = get_model(name, *args, **kwargs)
    net.initialize(mx.init.Xavier())
    return net


def layers(block):
    """The layers without layers, in order."""
    children = list(block._children.values())
    return [layer for child in children for layer in layers(child)] if children else [block]


def map_sides(net, side):
    x, sides = mx.sym.var("images"), []
    for part in net.trunk:
        x = part(x)
        sides.append(x.infer_shape(images=(1, 3, side, side))[1][0][2])
    return sides[1:]


@pytest.mark.parametrize("name", PARAMETERS)
def test_shapes_and_counts(name):
    net = get_model(name)
    assert net.input_size == (227 if name == "cvjena_alexnet" else 224)
    assert map_sides(net, net.input_size) == MAPS[name]
    net.infer_shape(mx.nd.zeros((1, 3, net.input_size, net.input_size)))
    assert sum(np.prod(p.shape) for p in net.collect_params().values() if p.grad_req != "null") == PARAMETERS[name]


@pytest.mark.parametrize("name", SMALLEST)
def test_the_smallest_side_is_the_smallest(name):
    net, least = get_model(name), SMALLEST[name]
    assert net.smallest_side == least and map_sides(net, least)[-1] == 1
    with pytest.raises(mx.MXNetError):
        map_sides(net, least - 1)


@pytest.mark.parametrize("name", PARAMETERS)
def test_no_dropout_and_no_lrn(name):
    kinds = {type(layer).__name__ for layer in layers(get_model(name))}
    of_all = {"BatchNorm", "Conv2D", "Activation", "MaxPool2D", "Dense"}
    assert kinds - {"Flatten", "GlobalAvgPool2D", "DenseMap"} == of_all


@pytest.mark.parametrize("name, count", [("cvjena_alexnet", 5 + 2), ("cvjena_vgg19", 16 + 2)])
def test_a_norm_is_on_the_input_and_between_every_layer_and_its_relu(name, count):
    kinds = [type(layer).__name__.removesuffix("Map") for layer in layers(get_model(name))]
    assert kinds[0] == "BatchNorm" and kinds[-1] == "Dense"
    after = [kinds[i + 1 : i + 3] for i, kind in enumerate(kinds[:-1]) if kind in ("Conv2D", "Dense")]
    assert after == [["BatchNorm", "Activation"]] * count


@pytest.mark.parametrize("name, side", [("cvjena_alexnet", 67), ("cvjena_resnet10", 32)])
def test_the_input_norm_takes_the_place_of_the_mean(name, side, images):
    """Whatever brightness and contrast all images have: the logits in training are the same, and the mean adapts."""
    net, x, seen = initialised(name, classes=7), images(8, side), []
    net(x)
    for batch in (x, 50 * x + 120):
        with mx.autograd.record():
            seen.append(net(batch))
        seen[-1].backward()  # MXNet's BatchNorm updates its statistics on the way back
    expected = seen[0].asnumpy()
    np.testing.assert_allclose(seen[1].asnumpy(), expected, rtol=0, atol=2e-3 * np.abs(expected).max())
    # mean <- 0.9 mean + 0.1 mean of the batch, twice; with m, the mean of x: 0.09 m + 0.1 (50 m + 120)
    m = x.asnumpy().mean(axis=(0, 2, 3))
    np.testing.assert_allclose(net.stem[0].running_mean.data().asnumpy(), 5.09 * m + 12, rtol=1e-4)


def test_where_the_weights_start():
    """He's Gaussian: a variance of 2 / inputs of an output; in a ResNet's first convolution 2 / outputs of an input."""
    net = initialised("cvjena_alexnet", classes=100)
    net(mx.nd.zeros((1, 3, 55, 55)))  # 256 features
    assert net.stage2[0].weight.data().asnumpy().std() == pytest.approx((2 / (48 * 25)) ** 0.5, rel=0.01)
    assert net.neck[1].weight.data().asnumpy().std() == pytest.approx((2 / 256) ** 0.5, rel=0.01)
    resnet = initialised("cvjena_resnet10")
    assert resnet.stem[1].weight.data().asnumpy().std() == pytest.approx((2 / (64 * 49)) ** 0.5, rel=0.05)
    assert resnet.stage4[0].body[0].weight.data().asnumpy().std() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.01)
    vgg = initialised("cvjena_vgg19", classes=10)
    vgg(mx.nd.zeros((1, 3, 17, 17)))
    assert vgg.stage5[0].weight.data().asnumpy().std() == pytest.approx(0.01, rel=0.01)
    assert vgg.neck[4].weight.data().asnumpy().std() == pytest.approx(0.005, rel=0.01)
    assert (vgg.neck[4].bias.data().asnumpy() == 1).all()


# --- the generator ------------------------------------------------------------------------------------------------

AUTHORS = {  # depth -> blocks, as in the authors' generator
    **{10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 26: (3, 3, 3, 3), 34: (3, 4, 6, 3)},
    **{50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)},
}
OTHERS = {12: (1, 1, 2, 1), 14: (1, 2, 2, 1), 28: (3, 3, 4, 3), 48: (3, 4, 13, 3), 53: (3, 4, 7, 3)}


@pytest.mark.parametrize("depth, counts", {**AUTHORS, **OTHERS}.items())
def test_depths(depth, counts):
    net = get_model("cvjena_resnet", depth=depth, classes=10)
    stages = net.trunk[1:]
    assert tuple(len(stage) - (2 if stage is net.stage4 else 0) for stage in stages) == counts  # norm, relu at the end
    parameters = net._collect_params_with_prefix()
    assert sum(len(p.shape) > 1 and "shortcut" not in key for key, p in parameters.items()) == depth


def test_blocks_are_dealt_out_and_none_is_lost():
    for total in range(4, 60):
        counts = blocks_per_stage(total)
        assert sum(counts) == total and min(counts) >= 1


@pytest.mark.parametrize(
    "depth, near",
    [
        (9, "10 and 12"),
        (-3, "10 and 12"),
        (11, "10 and 12"),
        (49, "48 and 50"),
        (51, "50 and 53"),
        (52, "50 and 53"),
    ],
)
def test_other_depths_are_refused_with_the_near_ones(depth, near):
    with pytest.raises(Refused, match=f"cvjena_resnet cannot have depth={depth}: .* near are {near}$"):
        get_model("cvjena_resnet", depth=depth)


def test_the_published_depths_are_two_calls_of_the_generator(images):
    nets = [initialised("cvjena_resnet10", classes=5), initialised("cvjena_resnet", depth=10, classes=5)]
    assert nets[0]._collect_params_with_prefix().keys() == nets[1]._collect_params_with_prefix().keys()
    out = [net(images(2, 32)).asnumpy() for net in nets]
    np.testing.assert_array_equal(out[0], out[1])
    with pytest.raises(Refused, match="no argument 'depth' in cvjena_resnet10"):
        get_model("cvjena_resnet10", depth=18)
    with pytest.raises(Refused, match="no argument 'last_gamma' in cvjena_resnet50"):
        get_model("cvjena_resnet50", last_gamma=True)


@pytest.mark.parametrize("depth", [18, 50])
def test_a_block_without_weights_is_the_identity(depth, images):
    """No relu follows the sum: also negative numbers pass."""
    block = get_model("cvjena_resnet", depth=depth).stage2[1]
    block.initialize(mx.init.Zero())
    for conv in (layer for layer in layers(block) if isinstance(layer, mx.gluon.nn.Conv2D)):
        conv.weight.set_data(mx.nd.zeros(conv.weight.shape))
    x = mx.nd.random.normal(shape=(1, 128 if depth == 18 else 512, 5, 5))
    np.testing.assert_array_equal(block(x).asnumpy(), x.asnumpy())


def test_what_the_shortcuts_see():
    def order(block):
        return [[type(layer).__name__ for layer in part] for part in (block.opening, block.body)]

    norm_relu, norm_relu_conv = ["BatchNorm", "Activation"], ["BatchNorm", "Activation", "Conv2D"]
    net = get_model("cvjena_resnet50")
    assert order(net.stage2[0]) == [norm_relu, ["Conv2D", *norm_relu_conv * 2]]
    assert order(net.stage1[0]) == [["Conv2D", *norm_relu], ["Conv2D", *norm_relu_conv]]  # as the authors generate it
    projected = [block.shortcut is not None for block in net.stage1]
    assert projected == [True, False, False]
    first = get_model("cvjena_resnet10").stage1[0]
    assert order(first) == [["Conv2D", *norm_relu], ["Conv2D"]] and first.shortcut is None


@pytest.mark.parametrize("depth", [18, 50])
def test_dilated_keeps_the_parameters_and_the_map(depth, images):
    plain = initialised("cvjena_resnet", depth=depth, classes=5)
    dilated = initialised("cvjena_resnet", depth=depth, classes=5, dilated=True)
    assert dilated.features_at(4)(images(1, 64)).shape[2:] == (8, 8)
    assert plain.features_at(4)(images(1, 64)).shape[2:] == (2, 2)
    shapes = [{k: p.shape for k, p in net._collect_params_with_prefix().items()} for net in (plain, dilated)]
    assert shapes[0] == shapes[1]
    convs = [
        layer
        for layer in layers(dilated.stage4)
        if isinstance(layer, mx.gluon.nn.Conv2D) and layer.weight.shape[2] == 3
    ]
    assert [conv._kwargs["dilate"][0] for conv in convs] == ([2, 4, 4, 4] if depth == 18 else [2, 4, 4])


def test_features_end_rectified(images):
    features = initialised("cvjena_resnet10").features_at(4)(images(2, 64)).asnumpy()
    assert features.min() == 0 and features.max() > 0


@pytest.mark.parametrize("depth", [26.5, 26.0, float("inf"), float("nan"), "abc", "26", True, None])
def test_a_depth_that_is_no_whole_number_is_refused(depth):
    with pytest.raises(Refused, match=f"cvjena_resnet: depth={depth!r}, but it is a whole number of layers"):
        get_model("cvjena_resnet", depth=depth)


@pytest.mark.parametrize("name", ["cvjena_alexnet", "cvjena_vgg19"])
@pytest.mark.parametrize("layer", ["GroupNorm", "InstanceNorm"])
def test_norms_of_maps_only_are_refused(name, layer):
    with pytest.raises(Refused, match=f"{name} .*hidden dense layers.* {layer}"):
        get_model(name, norm_layer=getattr(mx.gluon.nn, layer))
