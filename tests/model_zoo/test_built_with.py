"""A parameter file says how its network was built, and reading it builds the same."""

import json

import mxnet as mx
import numpy as np
import pytest
import safetensors.numpy
from mxnet.gluon import nn

from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.of_recipe import untrained
from gluon_tricks.ranks.sync_batch_norm import SyncBatchNorm
from gluon_tricks.recipes.recipe import Recipe
from model_zoo import built_with, export, formats, get_model, list_models, load_model, weights

BUILT = [
    ("resnet18_v1d", {"blur": True}),
    ("resnet50_v1b", {"dilated": True}),
    ("cifar_resnet20_v1", {"norm_layer": nn.GroupNorm, "norm_kwargs": {"num_groups": 4}}),
    ("mobilenet0.25", {"norm_kwargs": {"epsilon": 0.1}}),
    ("cvjena_resnet", {"depth": 10}),
    ("vgg11", {"hidden": 32}),
    ("caffenet", {"batch_norm": True, "hidden": 16}),
]


def built(name, keywords):
    net = get_model(name, classes=3, **keywords)
    mx.random.seed(1)
    net.initialize(mx.init.Xavier())
    for parameter in net.collect_params(".*running_var").values():
        parameter.set_data(parameter.data() * 0.3)
    return net


def images(net):
    side = net.input_size if net.name in ("vgg11", "caffenet") else 64  # dense layers over a map of one size
    return mx.nd.array(np.random.default_rng(0).normal(size=(1, 3, side, side)))


@pytest.mark.parametrize("name, keywords", BUILT, ids=[name for name, _ in BUILT])
def test_a_file_and_an_export_are_read_as_they_were_built(name, keywords, tmp_path):
    net = built(name, keywords)
    expected = net(images(net)).asnumpy()
    weights.save(net, tmp_path / "net.safetensors")
    export.export_symbol(net, tmp_path / "net", net.preprocessing)
    for file in ("net.safetensors", "net-0000.params"):
        read = load_model(tmp_path / file)
        assert (read.name, built_with.told_keywords(read.keywords)) == (name, built_with.told_keywords(keywords))
        np.testing.assert_allclose(read(images(net)).asnumpy(), expected, rtol=1e-5, atol=1e-6)


def test_blurred_parameters_are_for_a_blurred_network(tmp_path):
    """Nothing else would show: names and shapes are the same."""
    for key in ("blur", "dilated"):
        weights.save(built("resnet18_v1b", {key: True}), tmp_path / "net.safetensors")
        get_model("resnet18_v1b", pretrained=tmp_path / "net.safetensors", classes=3, **{key: True})
        with pytest.raises(Refused, match=f"holds a network with {key}=True: give that too"):
            get_model("resnet18_v1b", pretrained=tmp_path / "net.safetensors", classes=3)


def with_keywords(keywords):
    net = get_model("mobilenet0.25")
    net.keywords = keywords
    return net


@pytest.mark.parametrize(
    "told, asked, says",
    [
        ({"norm_layer": nn.GroupNorm}, {"norm_layer": nn.InstanceNorm}, "norm_layer=GroupNorm"),
        (
            {"norm_layer": nn.GroupNorm},
            {"norm_layer": nn.GroupNorm, "norm_kwargs": {"num_groups": 4}},
            "num_groups.: 1",
        ),
        ({"norm_kwargs": {"epsilon": 0.1}}, {}, "norm_kwargs={'epsilon': 0.1}.* 'net.norm_kwargs={\"epsilon\": 0.1}'"),
        ({"norm_kwargs": {"epsilon": 0.1}}, {"norm_kwargs": {"epsilon": 0.2}}, "give that too"),
    ],
)
def test_norms_that_no_name_shows_are_compared(told, asked, says):
    with pytest.raises(Refused, match=f"FILE holds a network with .*{says}"):
        built_with.require_alike("FILE", told, with_keywords(asked))
    built_with.require_alike("FILE", {}, with_keywords(asked))  # it does not say them


def of_another_epsilon():
    """The networks whose norms usually have another epsilon than MXNet's."""
    return [name for name in list_models() if get_model(name).usual_epsilon != 1e-5]


def epsilons(net):
    found = []
    net.apply(lambda layer: found.append(layer._kwargs["eps"]) if isinstance(layer, nn.BatchNorm) else None)
    return {*found}


def test_each_network_knows_the_epsilon_that_its_norms_have():
    for name in list_models():
        net = get_model(name)
        assert epsilons(net) <= {net.usual_epsilon}, name
    assert {"inceptionv3", "googlenet"} <= {*of_another_epsilon()}


@pytest.mark.parametrize("name", of_another_epsilon())
def test_an_epsilon_is_another_than_that_of_the_network(name, tmp_path):
    file = tmp_path / "net.safetensors"
    weights.save(built(name, {"norm_kwargs": {"epsilon": 1e-5}}), file)
    assert epsilons(load_model(file)) == {1e-5}
    with pytest.raises(Refused, match=r"holds a network with norm_kwargs={'epsilon': 1e-05}: give that too"):
        get_model(name, pretrained=file, classes=3)
    get_model(name, pretrained=file, classes=3, norm_kwargs={"epsilon": 1e-5})
    weights.save(built(name, {"norm_kwargs": {"epsilon": 0.001}}), file)
    get_model(name, pretrained=file, classes=3)


def test_norms_that_compute_the_same_are_taken():
    one = {"norm_layer": SyncBatchNorm, "norm_kwargs": {"ranks": 2, "momentum": 0.5}}
    built_with.require_alike("FILE", one, with_keywords({"norm_layer": nn.BatchNorm}))
    built_with.require_alike("FILE", {"norm_kwargs": {"epsilon": 1e-5}}, with_keywords({}))  # all layers have it
    asked = with_keywords({**one, "norm_kwargs": {"epsilon": 0.1}})
    built_with.require_alike("FILE", {"norm_kwargs": {"epsilon": 0.1}}, asked)


def test_the_group_norm_of_a_recipe_is_told(tmp_path):
    """--use-gn: 32 groups, which MXNet's layer by itself has not."""
    net = untrained(Recipe(model="resnet18_v1b", classes=3, net={"norm_layer": "GroupNorm"}))
    net.initialize(mx.init.Xavier())
    weights.save(net, tmp_path / "net.safetensors")
    read = load_model(tmp_path / "net.safetensors")
    assert built_with.told_keywords(read.keywords) == {"norm_layer": "GroupNorm", "norm_kwargs": {"num_groups": 32}}
    np.testing.assert_array_equal(read(images(net)).asnumpy(), net(images(net)).asnumpy())


def test_what_is_of_training_alone_is_not_told():
    keywords = {"norm_layer": SyncBatchNorm, "norm_kwargs": {"ranks": 2, "epsilon": 1e-3}, "drop_path": 0.1}
    assert built_with.told_keywords({**keywords, "classes": 3, "final_drop": 0.5}) == {"norm_kwargs": {"epsilon": 1e-3}}
    assert "keywords" not in weights.about(get_model("resnet18_v1b", drop_path=0.1), "ours")


@pytest.mark.parametrize(
    "said",
    ["{", "[]", '{"blur": "yes"}', '{"pretrained": true}', '{"depth": 1000000}', '{"norm_layer": "Dense"}']
    + ['{"norm_layer": ["GroupNorm"]}', '{"norm_kwargs": [1]}', '{"norm_kwargs": {"epsilon": "x"}}', '{"depth": {}}'],
)
def test_damaged_words_are_refused(said, tmp_path):
    weights.save(built("cvjena_resnet", {"depth": 10}), tmp_path / "net.safetensors")
    about = {**formats.metadata(tmp_path / "net.safetensors"), "keywords": said}
    values = safetensors.numpy.load_file(tmp_path / "net.safetensors")
    safetensors.numpy.save_file(values, tmp_path / "net.safetensors", about)
    with pytest.raises(Refused, match="net.safetensors does not say rightly how its network was built"):
        load_model(tmp_path / "net.safetensors")


def test_a_timm_file_without_names_keeps_its_size(tmp_path):
    """Whatever of the preprocessing was said is said again by the file that it is saved in."""
    net = built("resnet18_v1b", {"blur": True})
    values = weights.as_theirs(net, weights.values_of(net), "timm")
    values = {name: np.ascontiguousarray(value) for name, value in values.items()}
    safetensors.numpy.save_file(values, tmp_path / "model.safetensors")
    nested = {"input_size": [3, 176, 176], "crop_pct": 0.95, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    config = {"architecture": "resnetblur18", "num_classes": 3, "pretrained_cfg": nested}
    (tmp_path / "config.json").write_text(json.dumps(config))
    read = load_model(tmp_path / "model.safetensors")
    weights.save(read, tmp_path / "again.safetensors")
    again = load_model(tmp_path / "again.safetensors")
    assert again.preprocessing == read.preprocessing and again.preprocessing.input_size == 176
    assert {*read.stated} <= {*again.stated} and "classes" not in again.stated
    np.testing.assert_array_equal(again(images(net)).asnumpy(), net(images(net)).asnumpy())
