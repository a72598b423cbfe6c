"""The script as a user runs it: there and back, bit by bit."""

import json
import shutil

import mxnet as mx
import numpy as np
import pytest
import safetensors

from gluon_tricks.cli import convert as script
from gluon_tricks.networks.checkpoint import Progress, save_checkpoint
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.transfer import SegmentationRecipe
from gluon_tricks.tasks.registry import task_of
from gluon_tricks.training.final_network import save_final
from model_zoo import formats, get_model, published, weights

MODEL = ("--model", "resnet18_v1b")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Our file of a resnet18_v1b with 7 classes."""
    mx.random.seed(1)
    net = get_model("resnet18_v1b", classes=7)
    net.initialize(mx.init.Normal(0.1))
    path = tmp_path_factory.mktemp("convert") / "ours.params"
    net.save_parameters(str(path))
    return path


def convert(*words):
    assert script.main([str(word) for word in words]) == 0
    return formats.read(words[1])


def refused(capsys, *words):
    assert script.main([str(word) for word in words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("refused: ") and said.count("\n") == 1
    return said


def assert_equal(seen, expected):
    assert seen.keys() == expected.keys()
    for name in expected:
        assert seen[name].dtype == expected[name].dtype
        np.testing.assert_array_equal(seen[name], expected[name], err_msg=name)


@pytest.mark.parametrize("to", ["timm", "torchvision", "gluoncv", "ours"])
@pytest.mark.parametrize("suffix", ["safetensors", "params"])
def test_there_and_back(source, tmp_path, to, suffix, capsys):
    there = convert(source, tmp_path / f"x.{suffix}", "--to", to, *MODEL)
    line = capsys.readouterr().out
    # 20 convolutions, 20 norms of 4 tensors, the head's weight and bias; 11.18 M of ImageNet's 11.69 M parameters are
    # not in the head (torchvision: 11,689,512 - 513,000); 7 x 513 in this head; 2 x 4800 running statistics
    assert line == (
        f"resnet18_v1b with 7 classes: 102 tensors, {11_689_512 - 513_000 + 7 * 513 + 2 * 4800:,} numbers, "
        f"from {source} to {tmp_path}/x.{suffix}, named as {to}\n"
    )
    assert ("layer1.0.bn1.weight" in there) == (to in ("timm", "torchvision"))
    assert ("layer1.0.bn1.gamma" in there) == (to == "gluoncv")
    told = MODEL if to == "ours" and suffix == "params" else ()
    assert_equal(convert(tmp_path / f"x.{suffix}", tmp_path / "back.params", *told), formats.read(source))


def test_metadata(source, tmp_path):
    convert(source, tmp_path / "x.safetensors", "--to", "timm", *MODEL)
    with safetensors.safe_open(tmp_path / "x.safetensors", framework="np") as file:
        assert file.metadata() == {"model": "resnet18_v1b", "naming": "timm", "classes": "7"}


def test_half_precision_stays(tmp_path, source):
    half = {name: value.astype("float16") for name, value in formats.read(source).items()}
    formats.write(tmp_path / "half.params", half, {})
    there = convert(tmp_path / "half.params", tmp_path / "x.safetensors", "--to", "timm", *MODEL)
    assert {value.dtype for value in there.values()} == {np.dtype("float16")}
    assert_equal(convert(tmp_path / "x.safetensors", tmp_path / "back.params"), half)


def test_a_published_file(source, tmp_path, monkeypatch):
    files = {("resnet18_v1b", "2d9d980c"): source, ("resnet18_v1b", None): source}
    monkeypatch.setattr(published, "fetch", lambda name, tag: files[name, tag])
    for src in ("resnet18_v1b/2d9d980c", "resnet18_v1b"):
        assert_equal(convert(src, tmp_path / "x.params"), formats.read(source))


def test_a_run_directory(source, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    recipe = Recipe(model="resnet18_v1b", classes=7, input_size=32)
    (run / "recipe.json").write_text(json.dumps(recipe.to_json()))
    shutil.copy(source, run / "final.params")
    assert_equal(convert(run, tmp_path / "x.params"), formats.read(source))
    (run / "final.params").unlink()
    net = get_model("resnet18_v1b", pretrained=source, classes=7)
    trainer = mx.gluon.Trainer(net.collect_params(), "sgd")
    save_checkpoint(run / "step-000000001.safetensors", net, trainer, Progress(), recipe, "")
    for src in (run, run / "step-000000001.safetensors"):
        assert_equal(convert(src, tmp_path / "x.params"), formats.read(source))


def test_names_of_several_networks_ask_for_one(source, tmp_path, capsys):
    """Of 18 layers, v1 and v1b are one network under our names."""
    says = refused(capsys, source, tmp_path / "x.params")
    assert "are those of resnet18_v1 or resnet18_v1b: name it with model= (--model)" in says


def test_names_of_no_network(source, tmp_path, capsys):
    values = {f"x{name}": value for name, value in formats.read(source).items()}
    formats.write(tmp_path / "x.params", values, {})
    says = refused(capsys, tmp_path / "x.params", tmp_path / "y.params")
    assert (
        "are those of no network of the zoo: name it with model= (--model)" in says
        and "of one that was built with keywords make a .safetensors" in says
    )
    says = refused(capsys, tmp_path / "x.params", tmp_path / "y.params", *MODEL)
    assert "does not hold the parameters of resnet18_v1b" in says
    assert not (tmp_path / "y.params").exists()


def test_refusals(source, tmp_path, capsys):
    assert "there is no run or file" in refused(capsys, tmp_path / "none", tmp_path / "x.params")
    assert "should end in .safetensors or .params" in refused(capsys, source, tmp_path / "x.pth", *MODEL)
    assert "neither final.params nor a checkpoint" in refused(capsys, tmp_path, tmp_path / "x.params")
    net = get_model("cifar_resnet20_v1")
    net.initialize()
    weights.save(net, tmp_path / "c.safetensors")
    says = refused(capsys, tmp_path / "c.safetensors", tmp_path / "x.params", "--to", "timm")
    assert "cifar_resnet20_v1 has no counterpart in 'timm': choose ours or gluoncv" in says
    says = refused(capsys, tmp_path / "c.safetensors", tmp_path / "x.params", "--model", "vgg16")
    assert "says that it holds a cifar_resnet20_v1, not a vgg16" in says


@pytest.mark.parametrize("name", ["d.safetensors", "d.params"])
def test_where_nothing_can_be_written(source, tmp_path, capsys, name):
    (tmp_path / name).mkdir()
    assert f"{name}: it is a folder" in refused(capsys, source, tmp_path / name, *MODEL)
    assert [path.name for path in tmp_path.iterdir()] == [name]  # nothing half-written is left
    assert script.main([str(source), "/proc/x.params", *MODEL]) == 1
    assert capsys.readouterr().err == "stopped: /proc/x.params cannot be written: No such file or directory\n"


def test_a_segmenter_has_no_other_names(tmp_path, capsys):
    recipe = SegmentationRecipe(model="resnet18_v1b", classes=3)
    save_final(task_of(recipe).on_trained_base(recipe, [mx.cpu()]), tmp_path, recipe)
    (tmp_path / "recipe.json").write_text(json.dumps(recipe.to_json()))
    assert "is a run of segmentation, and this is for classifiers" in refused(capsys, tmp_path, tmp_path / "y.params")


def test_an_exported_graph_has_no_names(source, tmp_path, capsys):
    net = get_model("resnet18_v1b", pretrained=source, classes=7)
    net.hybridize()
    net(mx.nd.zeros((1, 3, 32, 32)))
    net.export(str(tmp_path / "x"))
    assert "x-symbol.json is an exported graph only" in refused(
        capsys, tmp_path / "x-symbol.json", tmp_path / "y.params"
    )
