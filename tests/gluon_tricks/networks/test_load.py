"""Every way to name a trained network leads to the same one; what contradicts it is refused."""

import dataclasses
import json
import shutil

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.cli import convert, export
from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.checkpoint import Progress, save_checkpoint
from gluon_tricks.networks.load import require_same_normalisation
from gluon_tricks.networks.of_recipe import dtype_of
from gluon_tricks.networks.source import as_kept, pinned
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.trained.load import load_network, open_network
from model_zoo import get_model, published, weights
from model_zoo.preprocessing import Preprocessing

NAME = "cifar_resnet20_v1"
BIAS = [1, 2, 3, 0]  # of the head, by which the network is known


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A folder with a run of a network of 4 classes, and its parameters in files outside of it."""
    folder = tmp_path_factory.mktemp("trained")
    net = get_model(NAME, classes=4)
    net.initialize(mx.init.Zero())
    net.head.bias.set_data(mx.nd.array(BIAS))
    recipe = Recipe(model=NAME, classes=4, input_size=24)
    (folder / "run" / "checkpoints").mkdir(parents=True)
    (folder / "run" / "recipe.json").write_text(json.dumps(recipe.to_json()))
    trainer = mx.gluon.Trainer(net.collect_params(), "sgd")
    checkpoint = folder / "run" / "checkpoints" / "step-000000003.safetensors"
    save_checkpoint(checkpoint, net, trainer, Progress(step=3), recipe, "")
    shutil.copy(checkpoint, folder / "checkpoint.safetensors")
    weights.save(net, folder / "run" / "final.params")
    weights.save(net, folder / "ours.params")
    weights.save(net, folder / "gluoncv.params", "gluoncv")
    weights.save(net, folder / "said.safetensors")
    return folder


@pytest.fixture
def store(sources, monkeypatch):
    """Published are the file of the tag 0a1b2c3d and, as the default, that of 121e1579; asked: what was fetched."""
    asked = []
    files = {None: "ours.params", "121e1579": "gluoncv.params", "0a1b2c3d": "ours.params"}

    def fetch(name, tag=None):
        asked.append((name, tag))
        return sources / files[tag]

    monkeypatch.setattr(published, "fetch", fetch)
    return asked


@pytest.mark.parametrize(
    "source, of_a_run, file",
    [
        ("run", True, "run/final.params"),
        ("run/final.params", True, "run/final.params"),
        ("run/checkpoints", True, None),
        ("run/checkpoints/step-000000003.safetensors", True, None),
        ("checkpoint.safetensors", True, None),  # its recipe is inside
        ("ours.params", False, "ours.params"),  # recognised
        ("said.safetensors", False, "said.safetensors"),
    ],
)
def test_files_and_runs(sources, source, of_a_run, file):
    for flags in ({}, {"model": NAME, "classes": 4}):  # what agrees may be said
        trained = open_network(sources / source, **flags)
        assert (trained.net.name, trained.net.classes) == (NAME, 4)
        assert trained.net.head.bias.data().asnumpy().tolist() == BIAS
        assert (trained.recipe.input_size if trained.recipe else None) == (24 if of_a_run else None)
        assert trained.file == (sources / file if file else None) and trained.published is None
    assert load_network(sources / source).head.bias.data().asnumpy().tolist() == BIAS  # a teacher is named likewise


def test_a_runs_network_says_what_it_was_trained_on(sources, tmp_path):
    manifest = {"classes": ["a", "b", "c", "d"]}
    (tmp_path / "train.json").write_text(json.dumps(manifest))
    shutil.copytree(sources / "run", tmp_path / "run")
    seen_as = dict(input_size=64, crop_ratio=0.9, mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0))
    recipe = Recipe(model=NAME, classes=4, data="records", train=(str(tmp_path / "train.rec"),), **seen_as)
    (tmp_path / "run" / "recipe.json").write_text(json.dumps(recipe.to_json()))
    assert load_network(tmp_path / "run").preprocessing == Preprocessing(**seen_as, classes=("a", "b", "c", "d"))
    (tmp_path / "train.json").write_text(json.dumps({"classes": ["a", "b"]}))  # other images lie there now
    assert load_network(tmp_path / "run").preprocessing == Preprocessing(**seen_as)
    (tmp_path / "run" / "classes.json").write_text('["k", "l", "m", "n"]')  # what the run has kept counts
    assert load_network(tmp_path / "run").preprocessing == Preprocessing(**seen_as, classes=("k", "l", "m", "n"))
    (tmp_path / "run" / "classes.json").write_text("{}")
    with pytest.raises(Refused, match="classes.json does not say the run's classes rightly .*: delete it"):
        load_network(tmp_path / "run")
    assert load_network(sources / "said.safetensors").preprocessing == get_model(NAME).preprocessing


SEEN_AS = Preprocessing(24, 0.9, (10.0, 20.0, 30.0), (4.0, 5.0, 6.0), ("a", "b", "c", "d"))


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Files of a network on images of its own, which say so; made of a run, whose folder and data are then gone."""
    folder = tmp_path_factory.mktemp("told")
    net = get_model(NAME, classes=4)
    net.initialize(mx.init.Zero())
    (folder / "run").mkdir()
    (folder / "train.json").write_text(json.dumps({"classes": SEEN_AS.classes}))
    fields = {name: getattr(SEEN_AS, name) for name in ("input_size", "crop_ratio", "mean", "std")}
    recipe = Recipe(model=NAME, classes=4, data="records", train=(str(folder / "train.rec"),), **fields)
    (folder / "run" / "recipe.json").write_text(json.dumps(recipe.to_json()))
    weights.save(net, folder / "run" / "final.params")
    run = str(folder / "run")
    assert convert.main([run, str(folder / "x.safetensors")]) == 0
    assert convert.main([str(folder / "x.safetensors"), str(folder / "timm.safetensors"), "--to", "timm"]) == 2
    assert convert.main([str(folder / "x.safetensors"), str(folder / "gluoncv.safetensors"), "--to", "gluoncv"]) == 0
    assert export.main([run, str(folder / "e"), "--to", "symbol"]) == 0
    shutil.rmtree(run)
    (folder / "train.json").unlink()
    return folder


@pytest.mark.parametrize("name", ["x.safetensors", "gluoncv.safetensors", "e-symbol.json", "e-0000.params"])
def test_a_file_says_what_its_network_was_trained_on(told, name):
    trained = open_network(told / name)
    assert trained.recipe is None and trained.net.preprocessing == SEEN_AS
    require_same_normalisation(Recipe(model=NAME, mean=SEEN_AS.mean, std=SEEN_AS.std), trained, name)
    with pytest.raises(Refused, match=rf"{name} takes images of mean \[10.0, 20.0, 30.0\] and deviation \[4.0, "):
        require_same_normalisation(Recipe(model=NAME), trained, name)
    if name != "e-symbol.json":
        assert get_model(NAME, told / name, classes=4).preprocessing == SEEN_AS
        other = get_model(NAME, told / name, classes=7, any_classes=True)
        assert other.preprocessing == dataclasses.replace(SEEN_AS, classes=None)


@pytest.mark.parametrize(
    "text",
    [
        '{"mean": [1, 2]}',
        '{"std": [1, 1, 1e999]}',
        "[",
        '{"crop": {}}',
        '{"std": [0, 1, 1]}',
        '{"classes": "abcd"}',
        '{"mean": null}',
        "7",
    ],
)
def test_a_damaged_description_is_refused(told, tmp_path, text):
    shutil.copy(told / "e-0000.params", tmp_path)
    (tmp_path / "e-preprocessing.json").write_text(text)
    with pytest.raises(Refused, match="e-preprocessing.json does not say its preprocessing rightly: "):
        open_network(tmp_path / "e-0000.params", model=NAME)


@pytest.mark.parametrize("mean, scale", [((1, 2), (1, 1, 1)), ((1, 2, np.nan), (1, 1, 1)), ((1, 2, 3), (1, 1, np.inf))])
def test_arrays_that_say_it_are_three_finite_numbers(sources, tmp_path, mean, scale):
    pixels = {"net_init_mean": mx.nd.array(mean), "net_init_scale": mx.nd.array(scale)}
    mx.nd.save(str(tmp_path / "x.params"), {**mx.nd.load(str(sources / "ours.params")), **pixels})
    with pytest.raises(Refused, match="x.params has init_mean and init_scale that are not three finite numbers each"):
        open_network(tmp_path / "x.params")


def test_params_do_not_keep_it_which_is_said(told, tmp_path, capsys):
    assert convert.main([str(told / "x.safetensors"), str(tmp_path / "x.params")]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"{tmp_path}/x.params keeps no mean, deviation, image size and class names: write .safetensors to keep them"
    ]
    assert open_network(tmp_path / "x.params").net.stated == ()


def test_params_do_not_keep_how_a_network_was_built_which_is_said(tmp_path, capsys):
    """Blur and another epsilon change neither names nor shapes; hidden units change a shape, which tells."""
    net = get_model("resnet18_v1b", classes=2, blur=True, norm_kwargs={"epsilon": 0.001})
    net.initialize()
    weights.save(net, tmp_path / "x.safetensors")
    assert convert.main([str(tmp_path / "x.safetensors"), str(tmp_path / "x.params")]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"{tmp_path}/x.params does not say blur=True, epsilon=0.001: whoever reads it has to, or write .safetensors, "
        "which does"
    ]
    assert convert.main([str(tmp_path / "x.safetensors"), str(tmp_path / "y.safetensors")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize("to, tells", [("timm", True), ("torchvision", True), ("gluoncv", False)])
def test_libraries_that_do_not_look_into_the_metadata(to, tells, tmp_path, capsys):
    net = get_model("resnet18_v1b", classes=2, norm_kwargs={"epsilon": 0.001, "momentum": 0.95})
    net.initialize()
    weights.save(net, tmp_path / "x.safetensors")
    assert convert.main([str(tmp_path / "x.safetensors"), str(tmp_path / "y.safetensors"), "--to", to]) == 0
    said = f"y.safetensors says epsilon=0.001 where {to} does not look: build the network there with the same"
    assert capsys.readouterr().out.splitlines()[1:] == [f"{tmp_path}/{said}"] * tells


@pytest.mark.parametrize("to", ["timm", "torchvision"])
@pytest.mark.parametrize("layer", ["GroupNorm", "InstanceNorm"])
def test_norms_that_a_library_cannot_have_are_refused_before_anything_is_written(to, layer, tmp_path, capsys):
    net = get_model("resnet18_v1b", classes=2, norm_layer=getattr(mx.gluon.nn, layer))
    net.initialize()
    net(mx.nd.zeros((1, 3, 64, 64)))
    weights.save(net, tmp_path / "x.safetensors")
    assert convert.main([str(tmp_path / "x.safetensors"), str(tmp_path / "y.safetensors"), "--to", to]) == 2
    said = f"resnet18_v1b with norm_layer={layer} has no counterpart in '{to}': choose ours or gluoncv"
    assert said in capsys.readouterr().err and not (tmp_path / "y.safetensors").exists()
    assert convert.main([str(tmp_path / "x.safetensors"), str(tmp_path / "y.params"), "--to", "gluoncv"]) == 0


@pytest.mark.parametrize(
    "source, model, tag, top1",
    [
        (NAME, None, None, 92.9),
        (f"{NAME}/121e1579", None, "121e1579", 92.9),
        (f"{NAME}/0A1B2C3D", NAME, "0a1b2c3d", None),
        ("CIFAR_ResNet20_v1/121E1579", "CIFAR_ResNet20_V1", "121e1579", 92.9),
        ("TRUE", "CIFAR_ResNet20_v1", None, 92.9),
        ("true", NAME, None, 92.9),
        ("121e1579", NAME, "121e1579", 92.9),
    ],
)
def test_published_files(store, monkeypatch, tmp_path, source, model, tag, top1):
    monkeypatch.chdir(tmp_path)
    trained = open_network(source, model=model)
    assert store == [(NAME, tag)] and trained.published.top1 == top1
    assert (trained.net.name, trained.net.classes) == (NAME, 4) and trained.recipe is None
    assert trained.net.head.bias.data().asnumpy().tolist() == BIAS


@pytest.mark.parametrize(
    "source, flags, says",
    [
        ("RUN", dict(model="vgg16"), f"--model vgg16 contradicts .*run, whose model is {NAME}"),
        ("RUN", dict(classes=77), "--classes 77 contradicts .*run, whose classes is 4"),
        ("RUN/checkpoints/step-000000003.safetensors", dict(model="vgg16"), "--model vgg16 contradicts"),
        ("RUN/final.params", dict(model="vgg16"), "--model vgg16 contradicts"),
        ("RUN/../said.safetensors", dict(model="vgg16"), f"says that it holds a {NAME}, not a vgg16"),
        ("RUN/../ours.params", dict(model="resnet18_v1"), f"of resnet18_v1: .* it looks like a {NAME}"),
        ("RUN/../ours.params", dict(classes=5), "saved with 4 classes, but .* has 5"),
        (f"{NAME}/0a1b2c3d", dict(model="vgg16"), f"--model vgg16 contradicts {NAME}/0a1b2c3d"),
        (NAME, dict(model="vgg16"), f"--model vgg16 contradicts {NAME}"),
        (f"{NAME}/final.params", {}, "there is no file .*'final.params' is no tag .*published tags of .*: 121e1579$"),
        (f"{NAME}x/0a1b2c3d", {}, f"no model '{NAME}x': did you mean {NAME}"),
        ("0a1b2c3d", dict(model=f"{NAME}x"), f"no model '{NAME}x'"),
        ("0a1b2c3d", {}, "name it with --model"),
        ("true", {}, "name it with --model"),
        ("nowhere", {}, "there is no run or file nowhere, and no published network of this name"),
        ("x" * 300, {}, "there is no run or file xxx"),  # too long for a file's name
        ("x" * 300 + "#part", {}, "there is no run or file xxx"),
        ("nowhere/x.params", dict(model=NAME), "there is no run or file nowhere/x.params"),
    ],
)
def test_refused(sources, store, monkeypatch, tmp_path, source, flags, says):
    (tmp_path / "final.params").touch()  # which NAME/final.params does not mean
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refused, match=says):
        open_network(source.replace("RUN", str(sources / "run")), **flags)
    assert not store


def test_a_file_opens_by_its_networks_name_in_capitals(sources):
    for source in ("run", "ours.params", "said.safetensors"):
        assert open_network(sources / source, model=NAME.upper()).net.name == NAME


@pytest.mark.parametrize("source", ["run", "ours.params"])
def test_no_context_is_refused(sources, source):
    with pytest.raises(Refused, match="ctx is an empty list"):
        open_network(sources / source, ctx=[])


@pytest.mark.parametrize(
    "source, kept",
    [
        ("ResNet50_v1d/117A384E", "resnet50_v1d/117a384e"),
        ("CIFAR_ResNet20_v1", NAME),
        ("TRUE", "true"),
        ("Runs/T", "Runs/T"),
    ],
)
def test_a_published_file_is_kept_in_small_letters(source, kept):
    assert pinned(source) == kept


def test_a_file_is_kept_as_it_is_called(tmp_path, monkeypatch):
    (tmp_path / "ResNet18_v1").touch()
    monkeypatch.chdir(tmp_path)
    assert pinned("ResNet18_v1") == "ResNet18_v1" and as_kept("ResNet18_v1") == str(tmp_path / "ResNet18_v1")


def test_a_file_of_several_networks_asks_for_one(tmp_path):
    """Of 18 layers, v1 and v1b are one network under our names."""
    net = get_model("resnet18_v1b", classes=3)
    net.initialize()
    weights.save(net, tmp_path / "x.params")
    with pytest.raises(Refused, match="those of resnet18_v1 or resnet18_v1b: name it with model= .--model."):
        open_network(tmp_path / "x.params")
    assert open_network(tmp_path / "x.params", model="resnet18_v1").net.name == "resnet18_v1"
    weights.save(net, tmp_path / "x.safetensors")
    opened = open_network(tmp_path / "x.safetensors").net
    assert opened.name == "resnet18_v1b"
    np.testing.assert_array_equal(opened.head.weight.data().asnumpy(), net.head.weight.data().asnumpy())


@pytest.mark.parametrize("name", ["x-0000.params", "x-symbol.json"])
@pytest.mark.parametrize(
    ("beside", "says"),
    [
        ('{"task": "detection"}', "is an export of detection for other programs .*: name the run it was made of"),
        ('{"task": "' + "x" * 300 + '"}', r"is an export of x+ \.\.\. x+ for other programs"),
        ("{", "x-preprocessing.json does not say its preprocessing rightly"),
    ],
)
def test_what_was_exported_for_other_programs_is_refused(name, beside, says, tmp_path):
    """By what lies beside it, before its graph or parameters are looked at."""
    (tmp_path / name).write_text("nothing")
    (tmp_path / "x-preprocessing.json").write_text(beside)
    with pytest.raises(Refused, match=says) as refused:
        open_network(tmp_path / name)
    assert len(str(refused.value)) < 400 + len(str(tmp_path))


@pytest.mark.parametrize("name", ["cifar_resnet20_v1", "cifar_resnet20_v2"])  # the second begins with a normalisation
def test_what_an_open_network_is_fed(name):
    net = get_model(name, classes=2)
    net.initialize()
    assert dtype_of(net) == "float32"
    net.cast("float16")
    assert dtype_of(net) == "float16"
