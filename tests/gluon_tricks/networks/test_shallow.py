"""The first and the last layers of a VGG from a trained vgg11."""

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.of_recipe import initialised_network, parameters_by_name
from gluon_tricks.networks.shallow import copy_ends
from gluon_tricks.ranks import distributed
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks.classification.task import Classification
from gluon_tricks.training.job import Options
from gluon_tricks.training.prepare import prepare
from gluon_tricks.tricks import DataDependentInit
from model_zoo import get_model

# vgg11 has one convolution in stages 1 and 2 and two in stage 3: 3 -> 64, 64 -> 128, 128 -> 256, 256 -> 256.
ENDS = [f"{layer}.{kind}" for layer in ("stage1.0", "stage2.0", "stage3.0", "stage3.2", "neck.1", "neck.4", "head")
        for kind in ("weight", "bias")]  # fmt: skip


NARROW = {"hidden": 64}  # in place of 4096


def network(model, classes=2, seed=0, net=NARROW):
    recipe = Recipe(
        model=model, net=net, classes=classes, input_size=32, batch_size=1, seed=seed, init="gaussian", init_sd=0.1
    )
    return initialised_network(recipe, [mx.cpu()])


def test_the_first_four_convolutions_and_the_dense_layers_are_taken():
    deep, shallow = network("vgg16"), network("vgg11", seed=1)
    before = {name: p.data().asnumpy() for name, p in parameters_by_name(deep).items()}
    copy_ends(deep, shallow, "run")
    given = {name: p.data().asnumpy() for name, p in parameters_by_name(shallow).items()}
    for name, parameter in parameters_by_name(deep).items():
        np.testing.assert_array_equal(parameter.data().asnumpy(), given[name] if name in ENDS else before[name])
    weights = [name for name in ENDS if name.endswith("weight")]
    assert all(not np.array_equal(given[name], before[name]) for name in weights)


@pytest.mark.parametrize(
    "model, classes, text",
    [
        ("vgg11", 3, r"run has head.weight of shape \(3, 64\), and vgg16 has \(2, 64\): give a shallower"),
        ("cifar_resnet20_v1", 2, r"run has stem.0.weight of shape .*, and vgg16 has none"),
    ],
)
def test_a_network_of_another_kind_or_number_of_classes_is_refused(model, classes, text):
    net = get_model("vgg16", classes=2, **NARROW)
    net.initialize()
    net.infer_shape(mx.nd.zeros((1, 3, 32, 32)))
    with pytest.raises(Refused, match=text):
        copy_ends(net, network(model, classes, net=NARROW if model.startswith("vgg") else {}), "run")


def test_a_training_starts_from_it_and_goes_on_without(tmp_path):
    """The start is in the recipe; when a run goes on, the file need not be there."""
    shallow = network("vgg11", classes=10, seed=1, net={})  # a file without a recipe is known by the usual shapes
    source = tmp_path / "vgg11.params"
    shallow.save_parameters(str(source))
    recipe = Recipe(
        name="deep", model="vgg13", data="few_shapes", input_size=32, batch_size=2, epochs=1, shallow=str(source)
    ).resolved()
    job = prepare(recipe, tmp_path / "run", Options(contexts=[mx.cpu()], threads=1))
    with job.journal:
        first = job.net.stage1[0].weight.data().asnumpy()
    np.testing.assert_array_equal(first, shallow.stage1[0].weight.data().asnumpy())
    source.unlink()
    with pytest.raises(Refused, match="vgg11.params"):
        Classification(recipe, [mx.cpu()], 1).network()
    assert Classification(recipe, [mx.cpu()], 1).network(restored=True)


def test_rank_0_alone_needs_the_shallow_network(monkeypatch):
    recipe = Recipe(model="vgg13", net=NARROW, classes=2, input_size=32, shallow="vgg11.params")
    with pytest.raises(Refused, match="vgg11.params"):
        Classification.outline(recipe)
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    assert Classification.outline(recipe)


@pytest.mark.parametrize("changes", [{"pretrained": "file"}, {"tricks": "data"}])
def test_two_starts_are_refused(changes):
    tricks = (DataDependentInit(),) if "tricks" in changes else ()
    with pytest.raises(Refused, match="shallow run and .*: each sets the first and the last layers; leave one out"):
        Recipe(shallow="run", tricks=tricks, pretrained=changes.get("pretrained", ""))
