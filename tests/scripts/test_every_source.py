"""Every option that names a trained network takes every form of one, and gets the same network from it."""

import json
import shutil
import types

import cv2
import mxnet as mx
import numpy as np
import pytest
import safetensors.numpy
from gluoncv.utils import export_block

import model_zoo
from gluon_tricks.cli import command_line, convert, detect, evaluate, export, look, predict, transfer_flags
from gluon_tricks.core.errors import Refused
from gluon_tricks.inside.viewed import open_viewed
from gluon_tricks.networks import of_recipe
from gluon_tricks.networks.checkpoint import Progress, save_checkpoint
from gluon_tricks.networks.load import require_classifier, require_same_normalisation
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.transfer import DetectionRecipe
from gluon_tricks.tasks.classification.task import Classification
from gluon_tricks.tasks.on_base import open_base
from gluon_tricks.training.final_network import save_final
from model_zoo import formats, get_model, published, timm_config, weights
from model_zoo.preprocessing import CIFAR10

NAME, TAG = "cifar_resnet20_v1", "121e1579"
BIAS = [1, 2, 3, 0]  # of the head, by which the network is known; all its other parameters are zeros
IMAGES = {"input_size": 32, "mean": CIFAR10["mean"], "std": CIFAR10["std"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, missing):
    """The network in every form."""
    folder = tmp_path_factory.mktemp("sources")
    net = get_model(NAME, classes=4)
    net.initialize(mx.init.Zero())
    net.head.bias.set_data(mx.nd.array(BIAS))
    recipe = Recipe(model=NAME, classes=4, **IMAGES)
    (folder / "run").mkdir()
    (folder / "run" / "recipe.json").write_text(json.dumps(recipe.to_json()))
    save_final(net, folder / "run", recipe)
    shutil.copytree(folder / "run", folder / "begun")
    (folder / "begun" / "final.params").unlink()
    (folder / "begun" / "checkpoints").mkdir()
    checkpoint = folder / "begun" / "checkpoints" / "step-000000003.safetensors"
    save_checkpoint(checkpoint, net, mx.gluon.Trainer(net.collect_params(), "sgd"), Progress(step=3), recipe, "")
    for ending in ("params", "safetensors"):
        weights.save(net, folder / f"ours.{ending}")
    weights.save(net, folder / "gluoncv.params", "gluoncv")
    safetensors.numpy.save_file(weights.values_of(net), folder / "timm.safetensors")  # which says nothing of itself
    _export_block(folder)
    try:
        import torch
    except ImportError:
        missing("PyTorch is not installed: pip install '.[interop]'")
    state = {f"module.{name}": torch.tensor(value) for name, value in weights.values_of(net).items()}
    other = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    args = types.SimpleNamespace(lr=0.1)
    torch.save({"model": state, "epoch": 3, "args": args}, folder / "checkpoint.pth")
    torch.save({"state_dict": other, "state_dict_ema": state, "args": args}, folder / "two.pth")
    cv2.imwrite(str(folder / "photo.png"), np.full((40, 40, 3), 90, np.uint8))
    return folder


def _export_block(folder):
    """GluonCV's own network as its export_block writes it; the pixels' mean and deviation made those of IMAGES."""
    import gluoncv

    theirs = gluoncv.model_zoo.get_model(NAME, classes=4)
    theirs.load_parameters(str(folder / "gluoncv.params"))
    export_block(str(folder / "block"), theirs, data_shape=(32, 32, 3))
    path = str(folder / "block-0000.params")
    values = mx.nd.load(path)
    for kind, numbers in (("mean", IMAGES["mean"]), ("scale", IMAGES["std"])):
        name = next(name for name in values if name.endswith(f"init_{kind}"))
        assert values[name].shape == (1, 1, 1, 3)
        values[name] = mx.nd.array(numbers).reshape((1, 1, 1, 3))
    mx.nd.save(path, values)


# --- the options: each returns the logits that it has got, or their softmax -------------------------------------------


def _evaluate(source, said, records, folder, capsys):
    words = [*said, "--pretrained", source, "--rec-val", f"{records}/val.rec", "--num-gpus", "0", "--json"]
    assert _main(evaluate, [*words, f"{folder}/e.json"], capsys) == 0
    result = json.loads((folder / "e.json").read_text())  # log sum exp of the bias is 3.44019, its mean 1.5
    assert result["top1"] == 0.25 and result["loss"] == pytest.approx(1.94019, abs=1e-4)
    return BIAS


def _predict(source, said, records, folder, capsys):
    words = [f"{folder}/photo.png", *said, "--params", source, "--num-gpus", "0", "--out", f"{folder}/out"]
    assert _main(predict, words, capsys) == 0
    classes = json.loads((folder / "out" / "photo.json").read_text())["classes"]
    scores = [c["score"] for c in sorted(classes, key=lambda c: c["index"])]
    return np.log(scores) - np.log(scores[3])


def _look(source, said, records, folder, capsys):
    words = [source, *said, "--views", "filters", "--num-gpus", "0", "--out", f"{folder}/look"]
    assert _main(look, words, capsys) == 0
    (scores,) = open_viewed(source, model=said[1] if said else None).probabilities(np.zeros((1, 32, 32, 3), np.uint8))
    return np.log(scores) - np.log(scores[3])


def _convert(source, said, records, folder, capsys):
    assert _main(convert, [source, f"{folder}/c.params", *said], capsys) == 0
    return formats.read(folder / "c.params")["head.bias"]


def _export(source, said, records, folder, capsys):
    size = ["--input-size", "32"] if source.endswith("-symbol.json") else []
    assert _main(export, [source, f"{folder}/x", "--to", "symbol", *said, *size], capsys) == 0
    steps = json.loads((folder / "x-preprocessing.json").read_text())
    assert size or (steps["mean"], steps["std"]) == (list(IMAGES["mean"]), list(IMAGES["std"]))
    return next(value for name, value in formats.read(folder / "x-0000.params").items() if name.endswith("_bias"))


def _use_pretrained(source, said, records, folder, capsys):
    return _start("--use-pretrained", source, said, records)


def _resume_params(source, said, records, folder, capsys):
    return _start("--resume-params", source, said, records)


def _start(flag, source, said, records):
    files = ["--rec-train", f"{records}/train.rec", "--rec-val", f"{records}/val.rec", "--input-size", "32"]
    recipe, _ = command_line.recipe_from_flags(command_line.parse([*files, flag, source, *said]), 1)
    assert recipe.model == NAME
    return of_recipe.initialised_network(recipe.set(classes=4), [mx.cpu()]).head.bias.data().asnumpy()


def _teacher(source, said, records, folder, capsys):
    files = {split: (f"{records}/{split}.rec",) for split in ("train", "val")}
    recipe = Recipe(model=NAME, data="records", **files, **IMAGES, batch_size=16)
    return Classification(recipe, [mx.cpu()], 1)._load_teacher(source)(mx.nd.zeros((1, 3, 32, 32)))[0].asnumpy()


def _base_params(source, said, records, folder, capsys):
    scenes = {**detect.MEANT, "recipes": {"few_scenes": DetectionRecipe(dataset="few_scenes")}, "default": "few_scenes"}
    args = transfer_flags.parser("", **scenes, own_flags=detect.own_flags)
    args = args.parse_args(["--base-params", source, *(["--base", NAME] if said else [])])
    scenes["recipes"] = {"few_scenes": DetectionRecipe(dataset="few_scenes", mean=IMAGES["mean"], std=IMAGES["std"])}
    recipe, _ = transfer_flags.recipe_from_flags(args, 1, None, **scenes)
    opened = open_base(recipe)
    require_same_normalisation(recipe, opened, source)
    return require_classifier(opened, source).head.bias.data().asnumpy()


def _main(script, words, capsys):
    """Its exit code; what it refuses is raised again."""
    code = script.main(words)
    said = capsys.readouterr().err
    if code == 2:
        raise Refused(said)
    return code


OPTIONS = [_evaluate, _predict, _look, _convert, _export, _use_pretrained, _resume_params, _teacher, _base_params]
FORMS = {  # SRC -> whether the network is named beside it
    "FOLDER/run": False,
    "FOLDER/run/final.params": False,
    "FOLDER/run/final-0000.params": False,
    "FOLDER/begun": False,
    "FOLDER/begun/checkpoints/step-000000003.safetensors": False,
    "FOLDER/ours.safetensors": False,
    "FOLDER/ours.params": True,
    "FOLDER/gluoncv.params": True,
    "FOLDER/checkpoint.pth": True,
    "FOLDER/two.pth#state_dict_ema": True,
    "FOLDER/block-0000.params": True,
    NAME: False,
    f"{NAME}/{TAG}": False,
    TAG: True,
    "true": True,
    "hf-hub:me/ours": False,
    "hf-hub:me/timm.v1@main": False,
}


@pytest.fixture
def few_networks(folder, monkeypatch, tmp_path, local_hub):
    """The published file is one of the folder's, a hub has two; few networks are asked whether a file is theirs."""
    mean, std = ([number / 255 for number in IMAGES[key]] for key in ("mean", "std"))
    config = {
        "architecture": "c20",
        "num_classes": 4,
        "mean": mean,
        "std": std,
        "input_size": (3, 32, 32),
        "crop_pct": 1,
    }
    local_hub.files = {
        ("me/ours", "model.safetensors"): (folder / "ours.safetensors").read_bytes(),
        ("me/timm.v1", "config.json"): json.dumps(config).encode(),
        ("me/timm.v1", "model.safetensors"): (folder / "timm.safetensors").read_bytes(),
    }
    monkeypatch.setitem(timm_config.ARCHITECTURES, NAME, "c20")  # no network as small is timm's
    monkeypatch.setattr(published, "fetch", lambda name, tag=None: folder / "gluoncv.params")
    few = {name: model_zoo._REGISTRY[name] for name in (NAME, "mobilenet0.25", "resnet50_v1", "resnet50_v1b")}
    monkeypatch.setattr(model_zoo, "_REGISTRY", few)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.__name__.strip("_"))
@pytest.mark.parametrize("form", FORMS)
def test_every_form_for_every_option(option, form, folder, few_networks, tiny_records, capsys):
    said = ["--model", NAME] if FORMS[form] else []
    if option is _teacher and form in (TAG, "true"):
        pytest.skip("no flag names a teacher's network: NAME and NAME/TAG do")
    if form in (TAG, "true", NAME, f"{NAME}/{TAG}") and option in (_use_pretrained, _resume_params):
        said = ["--model", NAME]
    got = option(form.replace("FOLDER", str(folder)), said, tiny_records, folder, capsys)
    np.testing.assert_allclose(got, BIAS, atol=1e-5)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.__name__.strip("_"))
def test_graphs(option, folder, few_networks, tiny_records, capsys):
    """An exported one is enough for some; GluonCV's of pixels for none, and its parameters are named."""
    for name, fine in (("run/final", (_export, _teacher)), ("block", ())):
        source = f"{folder}/{name}-symbol.json"
        if option in fine:
            np.testing.assert_allclose(option(source, [], tiny_records, folder, capsys), BIAS, atol=1e-5)
            continue
        with pytest.raises(Refused) as refused:
            option(source, [], tiny_records, folder, capsys)
        assert f"{folder}/{name}-0000.params" in str(refused.value) and str(refused.value).count("\n") <= 1


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.__name__.strip("_"))
@pytest.mark.parametrize("source", ["nowhere", "nowhere/final.params", "FOLDER/two.pth#swa", "FOLDER/run#model"])
def test_what_is_nothing_is_refused(option, source, folder, few_networks, tiny_records, capsys):
    with pytest.raises(Refused, match="there is no run or file|and no 'swa'"):
        option(source.replace("FOLDER", str(folder)), ["--model", NAME], tiny_records, folder, capsys)


@pytest.mark.parametrize("option", [_use_pretrained, _resume_params])
def test_a_start_of_another_kind_is_refused(option, folder, few_networks, tiny_records, tmp_path, capsys):
    other = Recipe(model="mobilenet0.25", classes=4)
    for recipe, says in (
        (DetectionRecipe(), "run is a run of detection, and a classifier starts from a classifier"),
        (other, f"run is a mobilenet0.25, and the network is to be a {NAME}: use --model mobilenet0.25"),
    ):
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / "final.params").touch()
        (tmp_path / "run" / "recipe.json").write_text(json.dumps(recipe.to_json()))
        with pytest.raises(Refused, match=says):
            option("run", ["--model", NAME], tiny_records, folder, capsys)
