"""Files: what is read, and what is refused in which words. (Equality with GluonCV: test_equals_gluoncv.py)"""

import re

import gluoncv
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from model_zoo import formats, get_model, load_model, naming, recognise, weights
from model_zoo.graph import trace

NAME = "resnet18_v1b"


def values(net):
    return {name: p.data(p.list_ctx()[0]).asnumpy() for name, p in net._collect_params_with_prefix().items()}


@pytest.fixture(scope="module")
def net():
    net = get_model(NAME, classes=10)
    net.initialize(mx.init.Normal(0.1))
    return net


@pytest.fixture(scope="module")
def saved(net, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "net.params"
    net.save_parameters(str(path))
    return path


def assert_equal(net, expected):
    seen = values(net)
    assert seen.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(seen[name], expected[name], err_msg=name)


def test_rename_takes_whole_segments_in_one_pass():
    table = {"stem.1": "conv1.1", "conv1": "body.0", "stage1": "layer1"}
    assert naming.rename("stem.1.gamma", table) == "conv1.1.gamma"  # its conv1 is not renamed again
    assert naming.rename("stem.10.gamma", table) == "stem.10.gamma"
    assert naming.rename("stage1.11.conv1.weight", table) == "layer1.11.body.0.weight"


def test_our_own_file(net, saved):
    assert_equal(get_model(NAME, pretrained=saved, classes=10), values(net))


def test_an_exported_network(net, tmp_path):
    net.hybridize()
    net(mx.nd.zeros((1, 3, 32, 32)))
    net.export(str(tmp_path / "net"))
    net.hybridize(False)
    assert_equal(get_model(NAME, pretrained=tmp_path / "net-0000.params", classes=10), values(net))


def test_an_initialised_network_takes_a_file_where_it_is(net, saved):
    other = get_model(NAME, classes=10)
    other.initialize(ctx=mx.cpu(1))
    weights.assign(other, formats.read(saved))
    assert other.head.weight.list_ctx() == [mx.cpu(1)]
    assert_equal(other, values(net))


def test_several_contexts(net, saved):
    other = get_model(NAME, pretrained=saved, ctx=[mx.cpu(0), mx.cpu(1)], classes=10)
    assert other.head.weight.list_ctx() == [mx.cpu(0), mx.cpu(1)]
    assert_equal(other, values(net))


@pytest.mark.parametrize(
    "none, says",
    [
        ([], "ctx is an empty list: name at least one context in it, or leave it out"),
        ((), "ctx is an empty list"),
        ("cpu", "ctx takes a context such as .*, but got 'cpu'"),
        (mx.gpu(99), r"ctx is gpu\(99\), and MXNet finds"),
    ],
)
def test_no_context_is_refused(saved, none, says):
    for load in (lambda: get_model(NAME, pretrained=saved, ctx=none, classes=10), lambda: load_model(saved, ctx=none)):
        with pytest.raises(Refused, match=says):
            load()


def test_what_is_no_file_and_no_parameters_is_refused(net):
    with pytest.raises(Refused, match="path takes the name of a parameter file, but got a ResNet"):
        load_model(net)
    with pytest.raises(Refused, match="values takes name -> array, such as .*, but got 'net.params'"):
        recognise("net.params")


def test_float16_files_load_as_float32(net, tmp_path):
    path = tmp_path / "half.params"
    mx.nd.save(str(path), {name: mx.nd.array(value).astype("float16") for name, value in values(net).items()})
    loaded = get_model(NAME, pretrained=path, classes=10)
    assert {np.dtype(p.dtype).name for p in loaded.collect_params().values()} == {"float32"}
    assert_equal(loaded, {name: value.astype("float16").astype("float32") for name, value in values(net).items()})


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(Refused, match="there is no parameter file .*none.params"):
        get_model(NAME, pretrained=tmp_path / "none.params")
    with pytest.raises(Refused, match=f"^{tmp_path} is a folder: .* final.params, or open a run by .*load_network"):
        get_model(NAME, pretrained=tmp_path)


def test_another_model_is_named(tmp_path):
    other = gluoncv.model_zoo.get_model("resnet34_v1b", classes=10)
    other.initialize()
    other(mx.nd.zeros((1, 3, 32, 32)))
    other.save_parameters(str(tmp_path / "x.params"))
    with pytest.raises(Refused) as error:
        get_model(NAME, pretrained=tmp_path / "x.params", classes=10)
    # 16 - 8 blocks more, each with 2 weights and 2 x 4 numbers of BatchNorm
    assert "parameters of resnet18_v1b: the file has 80 other names (layer1.2.bn1.beta, " in str(error.value)
    assert str(error.value).endswith("it looks like a resnet34_v1b")


def test_v1c_and_v1d_are_not_taken_for_each_other(tmp_path):
    """They have the same shapes, so only the names tell."""
    net = get_model("resnet18_v1c")
    net.initialize()
    net.save_parameters(str(tmp_path / "x.params"))
    with pytest.raises(Refused, match="lacks 15 .*it looks like a resnet18_v1c"):
        get_model("resnet18_v1d", pretrained=tmp_path / "x.params")


def test_a_published_file_of_another_family(shared_data):
    path = shared_data / "gluoncv_params" / "cifar_resnet20_v1-0000.params"
    with pytest.raises(Refused, match="does not hold the parameters of resnet18_v1: .*lacks .* and has .* other names"):
        get_model("resnet18_v1", pretrained=path)


def test_other_classes_are_named(saved):
    with pytest.raises(Refused, match="saved with 10 classes, but resnet18_v1b has 1000: pass classes=10"):
        get_model(NAME, pretrained=saved)


def test_another_shape_is_refused_and_nothing_changed(net, tmp_path):
    changed = {**values(net), "stage2.0.conv1.weight": np.zeros((1, 2, 3, 3), np.float32)}
    mx.nd.save(str(tmp_path / "x.params"), {name: mx.nd.array(value) + 1 for name, value in changed.items()})
    before = values(net)
    with pytest.raises(Refused, match=r"stage2.0.conv1.weight has the shape \(1, 2, 3, 3\), not \(128, 64, 3, 3\)"):
        weights.assign(net, formats.read(tmp_path / "x.params"))
    assert_equal(net, before)


# --- files that GluonCV exported: known by their numbers -----------------------------------------------------------

EXPORTED = ["resnet18_v1", "resnet50_v1d", "se_resnext50_32x4d", "mobilenet0.25", "vgg11_bn", "cifar_resnet20_v1"]
EXPORTED += ["densenet121", "inceptionv3", "googlenet"]


def exported(name, classes=7):
    """What export writes for GluonCV's network: {name in the file: array}, and the same by structural names."""
    net = gluoncv.model_zoo.get_model(name, classes=classes)
    for parameter in net.collect_params().values():  # other numbers in each: whatever its layer brings takes long
        parameter.initialize(mx.init.Uniform(0.1))
    side = {"inceptionv3": 299, "densenet121": 224, "googlenet": 224}.get(name, 32)
    net.hybridize()
    net(mx.nd.zeros((1, 3, side, side)))
    mx.nd.waitall()  # weights that are read while a forward is under way come out wrong
    in_order = {p.name: p.data().asnumpy() for p in net.collect_params().values()}
    computed = {name: in_order[name] for name in trace(net).list_inputs() if name != "data"}
    return in_order, {key: p.data().asnumpy() for key, p in net._collect_params_with_prefix().items()}, computed


@pytest.mark.parametrize("name", EXPORTED)
def test_an_export_of_gluoncv_is_known_by_its_numbers(name):
    """Each array is what the file of the same network with structural names has there.

    Today's MXNet exports in the order of computing, a shortcut before its body; older ones in that of making, or with
    the running statistics at the end.
    """
    in_order, by_place, computed = exported(name)
    expected = weights.as_ours(get_model(name, classes=7), by_place)
    for order in (in_order, dict(sorted(in_order.items(), key=lambda item: "running" in item[0])), computed):
        seen = weights.as_ours(get_model(name, classes=7), order)
        assert seen.keys() == expected.keys()
        for key in expected:
            assert np.array_equal(seen[key], expected[key]), key


def test_other_numbers_are_refused():
    """Stages in another order; a convolution whose number another one of other shape should have."""
    in_order, *_ = exported("cifar_resnet20_v1")
    swapped = {
        name.replace("stage1", "stage0").replace("stage2", "stage1").replace("stage0", "stage2"): value
        for name, value in in_order.items()
    }
    other = {"stage2_conv0": "stage2_conv2", "stage2_conv2": "stage2_conv0"}
    renamed = {re.sub("stage2_conv[02]", lambda found: other[found[0]], name): v for name, v in in_order.items()}
    for values in (swapped, renamed, {**in_order, "cifarresnetv10_dense1_weight": np.zeros((2, 2))}):
        with pytest.raises(Refused, match="does not hold the parameters"):
            weights.as_ours(get_model("cifar_resnet20_v1", classes=7), values)


def test_exports_of_two_variants_of_one_shape_are_told_apart():
    in_order, *_ = exported("resnet50_v1c")
    assert weights.as_ours(get_model("resnet50_v1c", classes=7), in_order)
    with pytest.raises(Refused, match="does not hold the parameters of resnet50_v1d"):
        weights.as_ours(get_model("resnet50_v1d", classes=7), in_order)


def test_an_export_with_other_classes_names_them():
    in_order, *_ = exported("cifar_resnet20_v1")
    with pytest.raises(Refused, match="saved with 7 classes, but cifar_resnet20_v1 has 10: pass classes=7"):
        weights.as_ours(get_model("cifar_resnet20_v1"), in_order)


# --- all but the head ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("naming", ["ours", "gluoncv", "torchvision", "exported"])
def test_all_but_a_head_under_two_names(naming):
    """GluonCV's googlenet calls its head `output` too."""
    net, new = get_model("googlenet", classes=10), get_model("googlenet", classes=4)
    parameters = net._collect_params_with_prefix()
    values = {name: np.broadcast_to(np.float32(0), [size or 8 for size in p.shape]) for name, p in parameters.items()}
    if naming == "exported":
        theirs = {p.name: values[name] for name, p in parameters.items()}
    else:
        theirs = weights.as_theirs(net, values, naming)
    assert weights.head_classes(new, theirs) == 10
    kept = weights.as_ours(new, theirs, head=False)
    assert values.keys() - kept.keys() == {"head.weight", "head.bias", "output.weight", "output.bias"}


def test_all_but_the_head_of_an_export_by_order():
    in_order, by_place, _ = exported("cifar_resnet20_v1")
    seen = weights.as_ours(get_model("cifar_resnet20_v1"), in_order, head=False)
    expected = weights.as_ours(get_model("cifar_resnet20_v1", classes=7), by_place)
    assert expected.keys() - seen.keys() == {"head.weight", "head.bias"}
    for key in seen:
        np.testing.assert_array_equal(seen[key], expected[key], err_msg=key)


def test_an_initialised_head_stays(saved):
    net = get_model(NAME, classes=4)
    net.initialize()
    before = net.head.weight.data().asnumpy()
    weights.assign(net, formats.read(saved), any_classes=True)
    np.testing.assert_array_equal(net.head.weight.data().asnumpy(), before)
    assert get_model(NAME, pretrained=saved, any_classes=True, classes=4).head.weight._data is None


# --- shapes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seen, wanted, fits",
    [
        ((4, 3), (4, 3), True),
        ((4, 3), (4, 0), True),  # 0: not known yet
        ((5, 3), (4, 0), False),
        ((4, 2, 3, 3), (4, 18), True),  # a dense layer kept as a convolution
        ((4, 2, 3, 3), (4, 0), True),
        ((4, 2, 3, 3), (4, 9), False),
        ((2, 4, 3, 3), (4, 18), False),  # the first axis is not the same
        ((4, 4, 1, 7), (4, 4, 7, 1), False),  # as many numbers, but another kernel
        ((), (4,), False),
    ],
)
def test_shapes_that_fit(seen, wanted, fits):
    assert naming.fits(seen, wanted) is fits


def test_a_convolution_becomes_a_dense_layer_and_back():
    net = get_model("vgg11", classes=7)
    values = {}
    for number, (name, p) in enumerate(net._collect_params_with_prefix().items()):
        shape = {"neck.1.weight": (4096, 25088), "neck.4.weight": (4096, 4096)}.get(name, p.shape)
        values[name] = np.broadcast_to(np.float32(number), [size or 4096 for size in shape])
    timm = weights.as_theirs(net, values, "timm")
    assert timm["pre_logits.fc1.weight"].shape == (4096, 512, 7, 7)  # 25088 = 512 * 49
    assert timm["pre_logits.fc2.weight"].shape == (4096, 4096, 1, 1)
    back = weights.as_ours(net, timm)
    assert {name: value.shape for name, value in back.items()} == {name: v.shape for name, v in values.items()}


@pytest.mark.parametrize(
    ("name", "initialised", "says"),
    [
        (NAME, False, "resnet18_v1b has parameters, such as stem.0.weight, without numbers: call its initialize()"),
        ("vgg11", True, "vgg11 has parameters, such as neck.1.weight, of unknown shape: pass a batch of images"),
    ],
)
def test_parameters_without_numbers_are_not_written(name, initialised, says, tmp_path):
    net = get_model(name, classes=10)
    if initialised:
        net.initialize()
    with pytest.raises(Refused, match=re.escape(says)):
        weights.save(net, tmp_path / "net.safetensors")
    assert not [*tmp_path.iterdir()]


def test_a_library_without_this_network_is_refused(net, tmp_path):
    with pytest.raises(Refused, match="no counterpart in 'timm': choose ours or gluoncv"):
        weights.as_theirs(get_model("resnet18_v1"), {}, "timm")


@pytest.mark.parametrize(
    "name, keywords, left",
    [
        ("resnet50_v1b", {"blur": True}, "ours or timm"),
        ("resnet50_v1b", {"dilated": True}, "ours or gluoncv or timm or torchvision"),
        ("resnet18_v1b", {"dilated": True}, "ours or gluoncv or timm"),
        ("resnext50_32x4d", {"dilated": True}, "ours or timm or torchvision"),
        ("mobilenet1.0", {"dilated": True}, "ours or timm"),
        ("densenet121", {"dilated": True}, "ours"),
        ("vgg11_bn", {"hidden": 64}, "ours"),
        ("alexnet", {"hidden": 64}, "ours"),
        ("alexnet", {"batch_norm": True}, "ours"),
    ],
)
def test_what_a_library_cannot_build_is_not_written(name, keywords, left):
    """Their own network of the name takes such a file or not; what it computes is something else."""
    with pytest.raises(Refused) as refused:
        weights.as_theirs(get_model(name, **keywords), {}, "caffe")
    ((key, value),) = keywords.items()
    assert str(refused.value) == f"{name} with {key}={value} has no counterpart in 'caffe': choose {left}"


def test_a_plain_networks_file_is_read_into_one_that_its_library_lacks(tmp_path):
    """Training a blurred network may start from GluonCV's plain one."""
    plain = get_model("resnet18_v1", classes=2)
    plain.initialize()
    weights.save(plain, tmp_path / "x.params", "gluoncv")
    blurred = get_model("resnet18_v1", pretrained=tmp_path / "x.params", classes=2, blur=True)
    assert_equal(blurred, weights.values_of(plain))


@pytest.mark.parametrize("name, side", [("vgg11", 64), ("vgg11", 448), ("alexnet", 160)])
def test_hidden_layers_over_maps_of_another_size_are_no_torch_networks(name, side):
    """512 channels in maps of 2x2 and of 14x14; AlexNet's 256 in 4x4."""
    net, count = get_model(name), {64: 512 * 4, 448: 512 * 196, 160: 256 * 16}[side]
    assert net.count_features(side, side) == count
    given = {key: np.broadcast_to(np.float32(0), (1, count)) for key in naming.parameters_of(net)}
    for library in {*weights.TORCH} & {*net.peers}:
        with pytest.raises(Refused, match=f"{name} has dense layers that take {count} features, and .* of 224 px"):
            weights.as_theirs(net, given, library)
    assert weights.as_theirs(net, given, "gluoncv")


# --- what wrappers put before the names ----------------------------------------------------------------------------


@pytest.mark.parametrize("whose", ["ours", "gluoncv", "torchvision"])
@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "backbone.", "net.", "module._orig_mod.model."])
def test_a_prefix_is_stripped_and_said(prefix, whose, tmp_path, caplog):
    net = get_model("resnet18_v1b", classes=2)
    net.initialize(mx.init.Xavier())
    net(mx.nd.zeros((1, 3, 32, 32)))
    theirs = weights.as_theirs(net, weights.values_of(net), whose)
    path = tmp_path / "x.safetensors"
    formats.write(path, {f"{prefix}{name}": value for name, value in theirs.items()} | {"n_averaged": np.array(3)}, {})
    loaded = get_model("resnet18_v1b", pretrained=path, classes=2)
    np.testing.assert_array_equal(loaded.head.weight.data().asnumpy(), net.head.weight.data().asnumpy())
    count = len(theirs)
    assert [r.getMessage() for r in caplog.records] == [f"{path}: stripped the prefix {prefix!r} from {count} names"]


@pytest.mark.parametrize("odd", ["module.fc.extra", "fc.extra"])
def test_a_prefix_stays_where_not_all_names_fit(odd, tmp_path):
    net = get_model("resnet18_v1b", classes=2)
    net.initialize()
    values = {f"module.{name}": value for name, value in {"a": np.zeros(2)}.items()}
    formats.write(tmp_path / "x.safetensors", {**values, odd: np.zeros(2)}, {})
    with pytest.raises(Refused, match="x.safetensors does not hold the parameters of resnet18_v1b.* has 2 other names"):
        weights.assign(net, formats.read(tmp_path / "x.safetensors"), source=tmp_path / "x.safetensors")


# --- what a warning says -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, library, says",
    [
        ("mobilenet1.0", "timm", "timm's own files were trained with ReLU6 where this network has ReLU"),
        (
            "inceptionv3",
            "torchvision",
            "auxiliary classifiers, which are left out, and on images normalised by mean 127",
        ),
        ("googlenet", "torchvision", "on images normalised by mean 127.5 and std 127.5 on the 0..255 scale"),
        ("resnet18_v1b", "torchvision", None),
    ],
)
def test_a_file_that_may_mean_another_network_is_told(name, library, says, tmp_path, caplog):
    net = get_model(name, classes=2)
    net.initialize(mx.init.Zero())
    if name == "googlenet":  # its shapes are deferred, or may be
        net(mx.nd.zeros((1, 3, 224, 224)))
    for whose in ("ours", "gluoncv", library):
        weights.save(net, tmp_path / "x.safetensors", whose)
        caplog.clear()
        get_model(name, pretrained=tmp_path / "x.safetensors", classes=2)
        told = [record.getMessage() for record in caplog.records if record.name == "model_zoo"]
        if whose == library and says:
            assert len(told) == 1 and says in told[0] and str(tmp_path / "x.safetensors") in told[0]
        else:
            assert not told


@pytest.mark.parametrize(
    "prefixes, extra, says",
    [
        (["student", "teacher"], [], "holds student and teacher: name one, as FILE#student"),
        (["model", "ema_model"], ["queue"], "holds model and ema_model: name one, as FILE#model"),
        (
            ["module.encoder_q", "module.encoder_k"],
            [],
            "module.encoder_k and module.encoder_q: name one, as FILE#module.encoder_k",
        ),
        (["model"], ["criterion.weight"], "holds model and other names: name one, as FILE#model"),
    ],
)
def test_networks_under_prefixes_are_named(net, prefixes, extra, says, tmp_path):
    path = tmp_path / "x.safetensors"
    named = {f"{prefix}.{name}": value for prefix in prefixes for name, value in values(net).items()}
    formats.write(path, {**named, **{name: np.ones(2, "float32") for name in extra}}, {})
    for load in (lambda: get_model(NAME, path, classes=10), lambda: load_model(path)):
        with pytest.raises(Refused, match=says.replace("FILE", str(path))):
            load()
    for prefix in prefixes:
        assert_equal(get_model(NAME, f"{path}#{prefix}", classes=10), values(net))
