"""Every task's network in every form that export writes: what other programs get is what ours compute."""

import importlib.util
import json

import cv2
import mxnet as mx
import numpy as np
import pytest

import model_zoo
from gluon_tricks.cli import export, predict
from gluon_tricks.recipes.multi_label import MultiLabelRecipe
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.transfer import DetectionRecipe, SegmentationRecipe
from gluon_tricks.tasks.detection import evaluation as detection
from gluon_tricks.tasks.registry import TASKS
from gluon_tricks.tasks.segmentation import evaluation as segmentation
from gluon_tricks.trained.load import load_network

NAMES = ("a", "straße <b>", "猫")
OWN = dict(classes=3, class_names=NAMES, data="/own")
RECIPES = {
    "classification": Recipe(model="cifar_resnet20_v1", classes=3, input_size=32),
    "multi_label": MultiLabelRecipe(
        model="cifar_resnet20_v1", classes=3, class_names=NAMES, data="folder", input_size=32
    ),
    "detection": DetectionRecipe(model="mobilenet0.25", dataset="voc", short=64, long=96, roi="small", **OWN),
    "segmentation": SegmentationRecipe(model="mobilenet0.25", dataset="masks", crop=64, **OWN),
}
FORMS = ("symbol", "onnx")
SHAPES = {  # of what is asked of each: of the two that take any size, other ones than export compares
    **dict.fromkeys(("classification", "multi_label"), [(1, 3, 32, 32), (3, 3, 32, 32)]),
    "detection": [(1, 3, 64, 96), (1, 3, 95, 64)],
    "segmentation": [(2, 3, 64, 97), (1, 3, 130, 33)],
}


def test_every_task_is_here():
    assert {*RECIPES} == {task.kind.task for task in TASKS} and {*FORMS} == {"symbol", "onnx"}


@pytest.fixture(scope="module", params=RECIPES)
def exported(request, tmp_path_factory, missing, untrained_run, fewer_regions):
    """A finished run's folder, with net.onnx and net-symbol.json in it."""
    for name in ("onnx", "onnxruntime"):
        if importlib.util.find_spec(name) is None:
            missing(f"{name} is not installed: pip install '.[export]'")
    folder, recipe = tmp_path_factory.mktemp(request.param), RECIPES[request.param].resolved()
    with pytest.MonkeyPatch.context() as patch:
        fewer_regions(patch)
        untrained_run(recipe, folder)
        for form, target in zip(FORMS, ("net", "net.onnx")):
            assert export.main([str(folder), str(folder / "files" / target), "--to", form]) == 2  # there is no folder
            (folder / "files").mkdir(exist_ok=True)
            assert export.main([str(folder), str(folder / "files" / target), "--to", form]) == 0
            (folder / "files").rename(folder / form)
        yield request.param, folder


def ours(task, net, images):
    """What evaluation and predict make of images."""
    if task == "detection":
        return [part.asnumpy() for part in detection.predict(net, images)]
    if task == "segmentation":
        return [segmentation.class_probabilities(net, images).asnumpy()]
    return [net(images).asnumpy()]


def theirs(folder, form, images):
    """What a program gets that has MXNet, or onnxruntime, and the files."""
    place = folder / form
    if form == "symbol":
        files = (str(place / f"net-{end}") for end in ("symbol.json", "0000.params"))
        outputs = mx.gluon.SymbolBlock.imports(next(files), ["data"], next(files))(images)
        return [out.asnumpy() for out in (outputs if isinstance(outputs, list) else [outputs])]
    import onnxruntime

    return onnxruntime.InferenceSession(str(place / "net.onnx")).run(None, {"data": images.asnumpy()})


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("form", FORMS)
def test_the_outputs_are_the_same(exported, form):
    task, folder = exported
    net = load_network(folder)
    for shape in SHAPES[task]:
        images = mx.nd.array(np.random.default_rng(7).standard_normal(shape))
        expected, seen = ours(task, net, images), theirs(folder, form, images)
        seen = [softmax(*seen)] if task == "segmentation" else seen
        assert [a.shape for a in seen] == [b.shape for b in expected]
        for a, b in zip(seen, expected):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * np.abs(b).max())
        if task == "detection":  # it is not nothing that is the same
            assert 0 < (seen[0] >= 0).sum() < seen[0].size


@pytest.mark.parametrize("form", FORMS)
def test_the_preprocessing_is_the_runs(exported, form):
    task, folder = exported
    recipe, told = RECIPES[task].resolved(), json.loads((folder / form / "net-preprocessing.json").read_text())
    assert (told["mean"], told["std"]) == (list(recipe.mean), list(recipe.std))
    assert (told["layout"], told["dtype"], told["colours"]) == ("NCHW", "float32", "RGB")
    assert task == "classification" or told["classes"] == list(NAMES)
    if task == "detection":
        assert (told["resize"]["shorter_edge"], told["resize"]["longer_edge_at_most"]) == (64, 96)
    assert task not in ("detection", "segmentation") or [*told["meaning"]] == told["outputs"]
    probabilities = {"classification": "softmax", "multi_label": "sigmoid"}.get(task)
    assert told.get("probabilities") == probabilities
    if form == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(folder / form / "net.onnx"))
        assert json.loads(session.get_modelmeta().custom_metadata_map["preprocessing"]) == told
        assert [output.name for output in session.get_outputs()] == told["outputs"]
        shapes = {"detection": [1, 3, None, None], "segmentation": [None, 3, None, None]}
        assert session.get_inputs()[0].shape == shapes.get(task, [None, 3, 32, 32])


def test_predict_takes_what_it_can_and_refuses_the_rest(exported, tmp_path, monkeypatch, capsys):
    """The parameters of a classifier's export say its network; what is for other programs is told in a sentence."""
    few = {name: model_zoo._REGISTRY[name] for name in ("cifar_resnet20_v1", "mobilenet0.25")}  # are asked for theirs
    monkeypatch.setattr(model_zoo, "_REGISTRY", few)
    task, folder = exported
    cv2.imwrite(str(tmp_path / "photo.png"), np.random.default_rng(0).integers(0, 256, (50, 60, 3)).astype(np.uint8))
    words = [str(tmp_path / "photo.png"), "--num-gpus", "0", "--out", str(tmp_path / "out"), "--params"]
    for file in ("symbol/net-0000.params", "symbol/net-symbol.json", "onnx/net.onnx"):
        capsys.readouterr()
        code, said = predict.main([*words, str(folder / file)]), capsys.readouterr().err
        if file.endswith(".onnx"):
            says = "is for other programs (docs/serving.md): name the run"
        elif task in ("detection", "segmentation"):
            says = f"is an export of {task} for other programs (docs/serving.md): name the run"
        else:
            says = "" if file.endswith(".params") else "is an exported graph only: name its parameters"
        assert (code, says in said, said.count("\n")) == ((2, True, 1) if says else (0, True, said.count("\n")))
        if not says:
            code, said = predict.main([*words, str(folder / file), "--threshold", "0.3"]), capsys.readouterr().err
            tagger = task == "multi_label"
            assert (code, "is for detectors and taggers" in said) == ((0, False) if tagger else (2, True))


FLAGS = {
    "--input-size": "64", "--batch-size": "2", "--crop-ratio": "1", "--rgb-mean": "1,2,3", "--rgb-std": "1,2,3",
    "--class-names": "x",
}  # fmt: skip


def test_flags_of_other_tasks_are_refused(exported, tmp_path, capsys):
    """A detector takes one image at a time, a segmenter any number; what is cut out of photos is for classifiers."""
    task, folder = exported
    refused = {"detection": [*FLAGS], "segmentation": [flag for flag in FLAGS if flag != "--batch-size"]}
    noun = next(other.noun for other in TASKS if other.kind.task == task)
    for flag in refused.get(task, []):
        assert export.main([str(folder), str(tmp_path / "net.onnx"), "--to", "onnx", flag, FLAGS[flag]]) == 2
        assert capsys.readouterr().err == f"refused: {flag} does not apply: {folder} is a {noun}\n"
    assert not any(tmp_path.iterdir())
    if task == "segmentation":
        assert export.main([str(folder), str(tmp_path / "net.onnx"), "--to", "onnx", "--batch-size", "3"]) == 0
        import onnxruntime

        session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
        assert session.get_inputs()[0].shape == [3, 3, None, None]
