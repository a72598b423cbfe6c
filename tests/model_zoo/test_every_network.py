"""What holds for every network of the zoo, whatever its family."""

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from model_zoo import get_model, keywords, list_models
from model_zoo.graph import trace

# Blocks of other members, more of them (of ResNet-26 fewer).
ALIKE = {"resnet101", "resnet152", "resnet34", "resnet26"}
ALIKE |= {"densenet169", "densenet201", "vgg13", "vgg16", "cifar_resnet110"}
DENSE_NORMS = ("cvjena_alexnet", "cvjena_vgg19")  # GroupNorm takes maps only
SMALLER = [name for name in list_models() if name.split("_")[0] not in ALIKE]  # one of each kind


def small(name, **kwargs):
    """A network with 7 classes, and with 64 hidden units in place of 4096: most of AlexNet's and VGG's numbers."""
    hidden = {"hidden": 64} if "hidden" in keywords(name) else {}
    return get_model(name, classes=7, **hidden, **kwargs)


def first(output):
    return output[0] if isinstance(output, (list, tuple)) else output


@pytest.fixture(scope="module", params=SMALLER)
def net(request):
    """A network with 7 classes, initialised. Its tests follow one another, so that one at a time is in memory."""
    mx.random.seed(1)
    net = small(request.param)
    net.initialize(mx.init.Xavier())
    return net


@pytest.fixture
def x(images):
    return lambda net, count=2: images(count, max(net.smallest_side, 32))


def test_hybridized_is_imperative(net, x):
    imperative = first(net(x(net))).asnumpy()
    assert imperative.shape == (2, 7) and imperative.std() > 0
    net.hybridize(static_alloc=True, static_shape=True)
    for _ in range(2):
        out = first(net(x(net))).asnumpy()
        np.testing.assert_allclose(out, imperative, rtol=0, atol=1e-5 * np.abs(imperative).max())
    net.hybridize(False)


def test_features_at_lead_to_the_logits(net, x):
    stages = range(1, sum(child.startswith("stage") for child in net._children) + 1)
    maps = net.features_at(*stages)(x(net))
    sides = [out.shape[2] for out in maps]
    assert sides == sorted(sides, reverse=True) and len(maps) == len(stages) >= 3
    assert (net.features_at(stages[1])(x(net)) == maps[1]).asnumpy().all()
    logits = net.head(net.neck(maps[-1]))
    np.testing.assert_array_equal(logits.asnumpy(), first(net(x(net))).asnumpy())


@pytest.mark.parametrize("wrong", [(), (0,), (9,), (2, 1), (1, 1)])
def test_other_stages_are_refused(wrong):
    with pytest.raises(Refused, match="resnet18_v1.features_at.*: name stages from 1 to 4, in ascending order"):
        get_model("resnet18_v1").features_at(*wrong)


@pytest.mark.parametrize("name", list_models())
def test_classes_and_layout_are_checked(name):
    with pytest.raises(Refused, match="classes=0.* at least 1 class"):
        get_model(name, classes=0)
    net = get_model(name)
    assert net.name == name
    side = net.smallest_side
    with pytest.raises(Refused, match=r"\(N, 3, height, width\), but got \(2, 300, 300, 3\)"):
        net(mx.nd.zeros((2, 300, 300, 3)))
    if side > 1:
        with pytest.raises(Refused, match=f"at least {side}x{side} pixels, but got 300x{side - 1}"):
            net(mx.nd.zeros((1, 3, 300, side - 1)))


@pytest.mark.parametrize("name", [name for name in SMALLER if "use_global_stats" in keywords(name)])
def test_global_stats_hold_in_training_mode(name, x):
    kwargs = {key: 0.0 for key in keywords(name) if key.endswith("drop")}
    net = small(name, use_global_stats=True, **kwargs)
    net.initialize(mx.init.Xavier())
    expected = first(net(x(net))).asnumpy()
    with mx.autograd.train_mode():
        seen = first(net(x(net))).asnumpy()
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", [name for name in SMALLER if "norm_layer" in keywords(name)])
def test_norm_layer_reaches_every_norm(name):
    made = []

    class Norm(mx.gluon.nn.BatchNorm):
        def __init__(self, **kwargs):
            made.append(kwargs["momentum"])
            super().__init__(**kwargs)

    arguments = {"momentum": 0.5}
    net = get_model(name, norm_layer=Norm, norm_kwargs=arguments)
    assert arguments == {"momentum": 0.5}  # the caller's own
    gammas = [key for key in net._collect_params_with_prefix() if key.endswith("gamma")]
    assert made == [0.5] * len(gammas) and made


@pytest.mark.parametrize("name", [name for name in SMALLER if "last_gamma" in keywords(name)])
def test_zero_gamma_is_in_the_last_norm_of_each_branch(name):
    net = get_model(name, last_gamma=True)
    net.initialize()
    zero = [
        k for k, p in net._collect_params_with_prefix().items() if k.endswith("gamma") and not p.data().asnumpy().any()
    ]
    assert len(zero) == sum(len(part) for part in net.trunk[1:])  # one in each block


@pytest.mark.parametrize(
    "name", [name for name in SMALLER if "norm_layer" in keywords(name) and name not in DENSE_NORMS]
)
def test_group_norm_which_takes_no_in_channels(name, x):
    net = small(name, norm_layer=mx.gluon.nn.GroupNorm)  # one group
    net.initialize(mx.init.Xavier())
    with mx.autograd.record():
        out = first(net(x(net)))
    assert out.shape == (2, 7) and np.isfinite(out.asnumpy()).all() and out.asnumpy().std() > 0
    assert not [key for key in net._collect_params_with_prefix() if "running" in key]


@pytest.mark.parametrize(
    "kwargs, text",
    [
        (dict(norm_layer=mx.gluon.nn.GroupNorm, use_global_stats=True), "norm_layer=GroupNorm .*'use_global_stats'"),
        (dict(norm_kwargs={"epsilom": 1e-3}), "norm_layer=BatchNorm .*'epsilom'"),
        (dict(norm_layer="GroupNorm"), "norm_layer='GroupNorm'.* give a class"),
        (dict(norm_kwargs="abc"), "norm_kwargs='abc'.* a dictionary"),
        (dict(classes="abc"), "classes='abc'.* a whole number"),
        (dict(classes=2.5), r"classes=2\.5.* a whole number"),
        (dict(classes=True), "classes=True.* a whole number"),
        (dict(final_drop="abc"), "a dropout of 'abc'"),
    ],
)
def test_arguments_of_another_type_are_refused(kwargs, text):
    with pytest.raises(Refused, match=text):
        get_model("resnet18_v1", **kwargs)


def test_a_numpy_integer_is_a_number_of_classes():
    assert get_model("resnet18_v1", classes=np.int64(7)).head.weight.shape == (7, 512)


def fits(net, side, whole=True):
    """Whether MXNet finds shapes for images of this side, without our own check; whole: up to the logits."""
    x = mx.sym.Variable("data")
    for part in net.trunk:
        x = part(x)
    try:
        _, (shape, *_), _ = (trace(net) if whole else x).infer_shape(data=(1, 3, side, side))
    except mx.MXNetError:
        return False
    return min(shape) > 0


@pytest.mark.parametrize("name", list_models())
def test_the_sides_are_the_least_and_the_most_that_work(name, capfd):
    net = get_model(name, classes=7)
    least, features, most = net.smallest_side, net.smallest_for_features, net.largest_side
    assert fits(net, least) and fits(net, features, whole=False)
    assert least == 1 or not fits(net, least - 1)
    assert features == 1 or not fits(net, features - 1, whole=False)
    assert most is None or fits(net, most) and not fits(net, most + 1)
    for side in {least - 1, most + 1 if most else 0} - {0}:
        with pytest.raises(Refused, match=f"{name} takes images of at (least|most) .* but got {side}x{side}"):
            net.check_images((1, 3, side, side))


# The least sides at which no window is larger than its map, worked out backwards from the last pool: densenet's last
# transition needs 2x2, so 4, 8 before the two others, 15 before the stem's pool (8 = ceil(15 / 2)) and 29 at its start.
@pytest.mark.parametrize(
    "name, side", [("resnet18_v1d", 17), ("densenet121", 29), ("googlenet", 31), ("inceptionv3", 75), ("alexnet", 63)]
)
@pytest.mark.parametrize("hybridize", [False, True])
def test_features_at_checks_images(name, side, hybridize):
    net = small(name)
    net.initialize(mx.init.Xavier())
    features = net.features_at(sum(child.startswith("stage") for child in net._children))
    if hybridize:
        features.hybridize()
    assert min(features(mx.nd.ones((1, 3, side, side))).shape[2:]) >= 1
    for shape, text in (
        ((1, 3, 300, side - 1), f"at least {side}x{side} pixels, but got 300x{side - 1}"),
        ((1, 300, 300, 3), r"\(N, 3, height, width\), but got \(1, 300, 300, 3\)"),
        ((3, 300, 300), r"but got \(3, 300, 300\)"),
    ):
        with pytest.raises(Refused, match=f"{name}.* takes images of .*{text}"):
            features(mx.nd.ones(shape))


IMAGENET_MEAN, UNSCALED = (123.68, 116.779, 103.939), (1, 1, 1)  # GluonCV's (0.485, 0.456, 0.406) * 255


@pytest.mark.parametrize(
    "names, edge, crop, mean, std",
    [
        ("resnet50_v1d mobilenet1.0 vgg16 googlenet alexnet", 256, 224, IMAGENET_MEAN, (58.393, 57.12, 57.375)),
        ("inceptionv3", 342, 299, IMAGENET_MEAN, (58.393, 57.12, 57.375)),
        ("zfnet zfnet_512_1024_512", 256, 224, IMAGENET_MEAN, UNSCALED),
        ("googlenet_2014 googlenet_2014_aux", 256, 224, IMAGENET_MEAN, UNSCALED),
        ("alexnet_2012 caffenet caffenet_no_lrn", 256, 227, IMAGENET_MEAN, UNSCALED),
        ("cvjena_alexnet", 256, 227, (0, 0, 0), UNSCALED),
        ("cvjena_vgg19 cvjena_resnet cvjena_resnet10 cvjena_resnet50", 256, 224, (0, 0, 0), UNSCALED),
        # 0.4914 * 255 and so on; 32 px are not cropped
        ("cifar_resnet20_v1 cifar_plain20", 32, 32, (125.307, 122.961, 113.8575), (51.5865, 50.847, 51.255)),
    ],
)
def test_each_network_says_what_it_expects_of_photos(names, edge, crop, mean, std):
    for name in names.split():
        net = get_model(name)
        steps = net.preprocessing.to_json()
        assert (steps["resize"]["shorter_edge"], steps["crop"]["height"], net.input_size) == (edge, crop, crop), name
        assert (tuple(steps["mean"]), tuple(steps["std"])) == (mean, std), name
