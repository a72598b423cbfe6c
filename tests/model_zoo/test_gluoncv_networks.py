"""GluonCV's own networks in our interface: every name, and of every family its smallest network computed."""

import importlib
import json

import gluoncv
import mxnet as mx
import numpy as np
import PIL.ImageFile
import pytest
from gluoncv.model_zoo import model_store

from gluon_tricks.core import foreign
from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.parts import freeze
from gluon_tricks.recipes.transfer import DetectionRecipe, SegmentationRecipe
from model_zoo import formats, get_model, is_model, keywords, list_gluoncv_models, list_models, load_model, weights
from model_zoo.dense import fully_convolutional
from model_zoo.export import export_symbol
from model_zoo.gluoncv_files import FILE_NAMES, FILES
from model_zoo.gluoncv_layers import ChannelGroupNorm, DropBlock
from model_zoo.gluoncv_networks import GluonCVNetwork
from model_zoo.gluoncv_table import FAMILIES, FAMILY_OF
from model_zoo.graph import trace
from model_zoo.symbols import import_symbol

COMPUTED = (  # of those that take few pixels and have up to 16 million parameters one of each kind of code
    *("resnet18_v2", "se_resnet18_v1", "resnet18_v1b_0.89", "resnet50_v1d_0.11", "resnest14", "mobilenetv2_0.25"),
    *("mobilenetv3_small", "shufflenet_v1", "shufflenet_v2", "squeezenet1.1", "cifar_resnet20_v2", "dla34"),
)
OWN_NORMS = ("shufflenet", "hrnet", "residual", "cifar_residual", "mobilenetv3")  # GluonCV leaves norm_layer out


def first(outputs):
    return outputs[0] if isinstance(outputs, (list, tuple)) else outputs


# --- names ------------------------------------------------------------------------------------------------------------


def test_every_name_of_gluoncv_is_a_network_or_refused_with_what_to_use():
    theirs, ours = set(gluoncv.model_zoo.get_model_list()), set(list_models())
    assert set(list_gluoncv_models()) <= theirs - ours
    kinds = {}
    for name in theirs - ours - set(list_gluoncv_models()):
        with pytest.raises(
            Refused, match="is GluonCV's network for .*, and these are classifiers of images: "
        ) as error:
            get_model(name)
        kinds.setdefault(str(error.value).partition(" is GluonCV's network for ")[2].partition(",")[0], set()).add(name)
        assert not is_model(name)
    assert {"ssd_512_resnet50_v1_voc", "yolo3_darknet53_coco", "faster_rcnn_resnet50_v1b_voc"} <= kinds["boxes"]
    assert {"fcn_resnet50_ade", "hrnet_w48_s", "fastscnn_citys"} <= kinds["segmentation"]
    assert {"resnet50_v1b_custom", "c3d_kinetics400", "resnet18_v1b_kinetics400_int8"} <= kinds["videos"]
    assert kinds["8-bit integers of a classifier"] == {"mobilenet1.0_int8", "resnet50_v1_int8"}
    with pytest.raises(Refused, match="name resnet50_v1; evaluate --form int8"):
        get_model("resnet50_v1_int8")


def test_published_files_are_gluoncvs():
    for name in list_gluoncv_models():
        stem = FILE_NAMES.get(name, name)
        assert (name in FILES) == (stem in model_store._model_sha1), name
        assert name not in FILES or FILES[name][0][0] == model_store._model_sha1[stem]


def test_importing_gluoncv_leaves_pil_as_it_was(monkeypatch):
    """It makes PIL take half a file for a whole one."""
    monkeypatch.setattr(PIL.ImageFile, "LOAD_TRUNCATED_IMAGES", False)

    def imported(name, real=importlib.import_module):
        if name == "gluoncv":
            PIL.ImageFile.LOAD_TRUNCATED_IMAGES = True
        return real(name)

    monkeypatch.setattr(foreign.importlib, "import_module", imported)
    assert foreign.import_gluoncv() is gluoncv
    assert not PIL.ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize("name", [family.names[0] for family in FAMILIES])
def test_each_family_is_built_with_its_keywords_for_the_sides_it_takes(name):
    family = FAMILY_OF[name]
    taken = dict(last_gamma=True, final_drop=0.2, dropblock_prob=0.0, dilated=False, use_aux=False, dropout=0.1)
    net = get_model(name, classes=7, **{key: taken[key] for key in taken if key in keywords(name)})
    parameters = net._collect_params_with_prefix()
    assert all(parameter.name.startswith(f"{name}_") for parameter in parameters.values())
    assert {p.name for p in net.collect_params().values()} == {p.name for p in parameters.values()}
    symbol, sides = trace(net), net._sides
    usual, most = shape_of(symbol, net.input_size), sides.most or 10_000
    assert (1, 7) in usual[0]
    edges = {sides.least, sides.least + sides.slack, sides.least + sides.every, most} - {10_000}
    for side in {each + more for each in edges for more in (-1, 0, 1)} - {0}:
        if side <= most and sides.fit(side):
            net.check_images((1, 3, side, side))
            assert shape_of(symbol, side) == usual, side
            continue
        assert shape_of(symbol, side) != usual, side
        with pytest.raises(Refused, match=f"{name} takes images .* but got {side}x{side}"):
            net.check_images((1, 3, side, side))
    assert family.classes == get_model(name).classes


def shape_of(symbol, side):
    """The shapes of the outputs and of the parameters for images of a side; None: there are none."""
    try:
        arguments, outputs, _ = symbol.infer_shape(data=(1, 3, side, side))
    except mx.MXNetError:
        return None
    names = symbol.list_arguments()
    return tuple(outputs), tuple(shape for name, shape in zip(names, arguments) if name != "data")


# --- computed ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=COMPUTED)
def made(request, tmp_path_factory):
    """Name, network with 7 classes, images of a side it takes, its logits, a folder with its file as GluonCV has it."""
    mx.random.seed(1)
    net = get_model(request.param, classes=7)
    net.initialize(mx.init.Xavier())
    side = max(net.smallest_side, 32)
    x = mx.nd.random.normal(shape=(2, 3, side, side))
    logits = first(net(x)).asnumpy()
    folder = tmp_path_factory.mktemp("made")
    weights.save(net, folder / "gluoncv.params", "gluoncv")
    return request.param, net, x, logits, folder


def theirs_of(name):
    """GluonCV's network of 7 classes; those of pruned ones have 1000 in GluonCV."""
    net = gluoncv.model_zoo.get_model(name, **({"classes": 7} if FAMILY_OF[name].classes_keyword else {}))
    if not FAMILY_OF[name].classes_keyword:
        net.fc = mx.gluon.nn.Dense(7, in_units=net.fc._in_units)
    return net


def test_logits_are_gluoncvs(made):
    name, net, x, logits, folder = made
    assert logits.shape == (2, 7) and logits.std() > 0
    theirs = theirs_of(name)
    theirs.load_parameters(str(folder / "gluoncv.params"))
    np.testing.assert_array_equal(first(theirs(x)).asnumpy(), logits)
    full = {parameter.name: parameter.data() for parameter in theirs.collect_params().values()}
    mx.nd.save(str(folder / "exported.params"), full)  # as export_block writes them
    for file in ("gluoncv.params", "exported.params"):
        read = get_model(name, classes=7, pretrained=folder / file)
        np.testing.assert_array_equal(first(read(x)).asnumpy(), logits)


def test_a_file_says_its_network_and_gives_all_but_the_head_to_another(made):
    name, net, x, logits, folder = made
    weights.save(net, folder / "net.safetensors")
    read = load_model(folder / "net.safetensors")
    assert (read.name, read.classes) == (name, 7)
    np.testing.assert_array_equal(first(read(x)).asnumpy(), logits)
    with pytest.raises(Refused, match=f"was saved with 7 classes, but {name} has 3: pass classes=7"):
        get_model(name, classes=3, pretrained=folder / "gluoncv.params")
    other = get_model(name, classes=3, pretrained=folder / "gluoncv.params", any_classes=True)
    ours, given = other._collect_params_with_prefix(), formats.read(folder / "gluoncv.params")
    new = {key for key, parameter in ours.items() if parameter._data is None}
    assert new == {key for key in ours if key.startswith(f"{other.head_name}.")} != set()
    assert all((ours[key].data().asnumpy() == given[key]).all() for key in ours.keys() - new)


def test_exported_it_is_read_back_and_hybridized_it_is_the_same(made):
    name, net, x, logits, folder = made
    side = x.shape[2]
    seen_as = type(net.preprocessing)(side, net.preprocessing.crop_ratio)
    assert export_symbol(net, folder / "graph", seen_as) < 1e-5
    read = import_symbol(folder / "graph-symbol.json")
    np.testing.assert_allclose(first(read(x)).asnumpy(), logits, rtol=0, atol=1e-5 * np.abs(logits).max())
    assert json.loads((folder / "graph-preprocessing.json").read_text())["model"] == name
    net.hybridize(static_alloc=True, static_shape=True)
    np.testing.assert_allclose(first(net(x)).asnumpy(), logits, rtol=0, atol=1e-5 * np.abs(logits).max())
    net.hybridize(False)


def test_the_head_alone_learns_where_features_are_frozen_and_another_takes_its_place(made):
    name, net, x, _, folder = made
    net = get_model(name, classes=7, pretrained=folder / "gluoncv.params")
    freeze(net, ["features"])
    with mx.autograd.record():
        loss = first(net(x)).sum()
    loss.backward()
    learning = {k: p for k, p in net._collect_params_with_prefix().items() if p.grad_req != "null"}
    assert all(key.startswith(f"{net.head_name}.") for key in learning)
    assert all(parameter.grad().asnumpy().any() for parameter in learning.values()) and learning
    with net.name_scope():
        net.output = mx.gluon.nn.Dense(3)
    net.output.initialize()
    assert first(net(x)).shape == (2, 3) and net.classes == 3 and net.head is net.output


# --- what GluonCV's code has of its own -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mobilenetv2_0.25", "cifar_resnet20_v2", "mobilenetv3_small", "shufflenet_v1"])
def test_norms_are_gluoncvs_keyword_or_refused(name):
    made = []

    class Norm(mx.gluon.nn.BatchNorm):
        def __init__(self, **kwargs):
            made.append(self)
            super().__init__(**kwargs)

    if name.startswith(OWN_NORMS):
        with pytest.raises(
            Refused, match=f"{name}: GluonCV's code takes BatchNorm for .*leave out --use-gn, --sync-bn"
        ):
            get_model(name, norm_layer=Norm)
    else:
        net = get_model(name, norm_layer=Norm, norm_kwargs={"epsilon": 0.5})
        gammas = [key for key in net._collect_params_with_prefix() if key.endswith("gamma")]
        assert len(made) == len(gammas) and all(layer._kwargs["eps"] == 0.5 for layer in made)
        groups = get_model(name, norm_layer=mx.gluon.nn.GroupNorm)
        assert not [key for key in groups._collect_params_with_prefix() if "running" in key]
    net = get_model(name, use_global_stats=True)
    norms = []
    net.apply(lambda block: norms.append(block) if isinstance(block, mx.gluon.nn.BatchNorm) else None)
    assert norms and all(norm._kwargs["use_global_stats"] for norm in norms)


def test_an_epsilon_that_gluoncvs_code_says_itself_is_refused():
    with pytest.raises(Refused, match="GluonCV's code says itself what norm_kwargs say: leave them out .*'epsilon'"):
        get_model("nasnet_4_1056", norm_kwargs={"epsilon": 0.5})


def test_group_norm_of_each_channel_is_gluoncvs():
    theirs, ours = gluoncv.nn.GroupNorm(8, in_channels=16), ChannelGroupNorm(16, 8)
    x = mx.nd.random.normal(3, 2, shape=(2, 16, 5, 7))
    for layer in (theirs, ours):
        layer.initialize()
        layer.gamma.set_data(mx.nd.arange(16))
        layer.beta.set_data(mx.nd.arange(16) / 10)
    np.testing.assert_allclose(ours(x).asnumpy(), theirs(x).asnumpy(), rtol=1e-4, atol=1e-4)
    assert isinstance(get_model("resnet50_v1b_gn").bn1, ChannelGroupNorm)


@pytest.mark.parametrize("hybridize", [False, True])
def test_blocks_are_dropped_in_training_alone(hybridize):
    """Of 64 x 64 maps of 1 a square of 3 x 3 round each seed is 0; what is kept is 1 on average."""
    layer = DropBlock(0.2, 3, (64, 64))
    if hybridize:
        layer.hybridize()
    x = mx.nd.ones((2, 4, 64, 64))
    mx.random.seed(0)
    with mx.autograd.record():
        seen = layer(x).asnumpy()
    assert (layer(x) == x).asnumpy().all()
    assert (seen[0] == seen[1]).all() and seen.mean() == pytest.approx(1, abs=1e-5)
    assert 0.12 < (seen == 0).mean() < 0.25 and len(np.unique(seen)) == 2
    dropped = seen[0, 0] == 0
    inner = dropped[1:-1, 1:-1]
    round_it = np.stack([dropped[1 + i : 63 + i, 1 + j : 63 + j] for i in (-1, 0, 1) for j in (-1, 0, 1)])
    assert (inner <= (round_it.sum(axis=0) >= 4)).all()  # none alone: at a corner of its square it has three others


def test_dropblock_is_a_keyword_of_resnest():
    def rates(**kwargs):
        found = []
        net = get_model("resnest26", **kwargs)
        net.apply(lambda block: found.append(block.seeds._rate) if isinstance(block, DropBlock) else None)
        return found

    assert len(rates()) == 12 and min(rates()) > 0 and not any(rates(dropblock_prob=0.0))
    with pytest.raises(Refused, match="resnest26: a dropout of 2, but a probability"):
        get_model("resnest26", dropblock_prob=2)


def test_nasnet_learns_on_a_cpu_with_and_without_auxiliary_logits():
    for use_aux in (True, False):
        net = get_model("nasnet_4_1056", classes=2, use_aux=use_aux)
        assert len(net.heads) == 1 + use_aux
    net.initialize()
    net.hybridize(static_alloc=True, static_shape=True)
    x = mx.nd.random.normal(shape=(2, 3, 16, 16))
    with mx.autograd.record():
        loss = (net(x) ** 2).sum()
    loss.backward()
    assert np.isfinite(net.conv0[0].weight.grad().asnumpy()).all() and net.conv0[0].weight.grad().asnumpy().any()


def test_the_same_names_whatever_was_built_before():
    names = [list(get_model(name).collect_params()) for name in ("dla34", "cifar_resnet20_v2", "dla34")]
    assert names[0] == names[2]


# --- refused ----------------------------------------------------------------------------------------------------------


def test_what_has_no_stages_is_refused_by_one_sentence():
    net = get_model("mobilenetv2_0.25")
    net.initialize()
    net(mx.nd.zeros((1, 3, 32, 32)))
    says = "mobilenetv2_0.25 is GluonCV's own network, which has no stages .* such as resnet50_v1d"
    for use in (
        lambda: net.features_at(1),
        lambda: fully_convolutional(net),
        lambda: DetectionRecipe(model="mobilenetv2_0.25"),
        lambda: SegmentationRecipe(model="mobilenetv2_0.25"),
    ):
        with pytest.raises(Refused, match=says):
            use()


@pytest.mark.parametrize(
    "name, kwargs, text",
    [
        ("mobilenetv2_1.0", {"last_gamma": True}, "there is no argument 'last_gamma' in mobilenetv2_1.0"),
        ("xception", {"dilated": True}, "there is no argument 'dilated' in xception"),
        ("resnet18_v2", {"last_gamma": 1}, "resnet18_v2: last_gamma is 1, but it takes true or false"),
        ("resnest14", {"final_drop": 1.5}, "resnest14: a dropout of 1.5"),
        ("squeezenet1.0", {"norm_layer": None}, "there is no argument 'norm_layer' in squeezenet1.0"),
        ("resnest14", {"classes": 0}, "resnest14: classes=0"),
        ("mobilenetv4_small", {}, "there is no model 'mobilenetv4_small': did you mean mobilenetv3_small"),
    ],
)
def test_wrong_arguments(name, kwargs, text):
    with pytest.raises(Refused, match=text):
        get_model(name, **kwargs)


def test_only_the_head_and_the_features_are_replaced():
    net = get_model("mobilenetv2_0.25")
    assert isinstance(net, GluonCVNetwork) and net.features is net._block.features
    with pytest.raises(Refused, match="only the last layer, net.output, .* not 'stage9' by a Dense"):
        net.stage9 = mx.gluon.nn.Dense(3)
    with pytest.raises(Refused, match="mobilenetv2_0.25.output: give a dense layer such as nn.Dense"):
        net.output = mx.gluon.nn.Conv2D(3, 1)
    other = get_model("mobilenetv2_0.25")
    net.features = other.features
    assert net.features is other.features and net._block.features is other.features
    with pytest.raises(Refused, match="resnest14 has no features in GluonCV: its layers are conv1, bn1"):
        get_model("resnest14").features  # noqa: B018  a property
