"""The script on runs of detectors and segmenters: their scores against planted answers, and what is refused."""

import json
import subprocess

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.cli import evaluate as script
from gluon_tricks.core.commands import words_of
from gluon_tricks.core.errors import Refused
from gluon_tricks.data.builtin import scenes
from gluon_tricks.machine.devices import cpu_has_bfloat16
from gluon_tricks.networks.checkpoint import Progress, save_checkpoint
from gluon_tricks.recipes.kinds import read_recipe
from gluon_tricks.recipes.transfer import DetectionRecipe, SegmentationRecipe
from gluon_tricks.tasks.annotated_validation import values
from gluon_tricks.tasks.detection import evaluation
from gluon_tricks.tasks.detection.metrics import DetectionScores
from gluon_tricks.tasks.detection.task import Detection, find_boxes
from gluon_tricks.tasks.registry import task_of
from gluon_tricks.tasks.segmentation.metrics import SegmentationScores
from gluon_tricks.trained.interface import evaluate
from gluon_tricks.trained.load import load_network
from gluon_tricks.training.final_network import save_final

BACKGROUND = 10


@pytest.fixture(autouse=True)
def few_scenes(monkeypatch, tmp_path_factory):
    """Four pictures to train on and two to validate."""
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setitem(scenes.DATA_SETS, "few_scenes", (4, 2))


def run_of(recipe, run, plant=lambda net: None):
    """What a run leaves of its network, here that before the first step."""
    net = task_of(recipe).on_trained_base(recipe, [mx.cpu()])
    plant(net)
    save_final(net, run, recipe)
    (run / "recipe.json").write_text(json.dumps(recipe.to_json()))
    return run


def say_background(net):
    """Class 10 for every pixel."""
    biases = [p for name, p in net.head.collect_params().items() if name.endswith("bias") and p.shape == (11,)]
    assert len(biases) == 1
    biases[0].set_data(mx.nd.array(1000 * np.eye(11)[BACKGROUND]))


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    recipe = DetectionRecipe(
        model="resnet18_v1b", dataset="few_scenes", classes=10, class_names=scenes.CLASSES, short=96, long=128,
        roi="small",
    )  # fmt: skip
    return run_of(recipe, tmp_path_factory.mktemp("detector"))


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    recipe = SegmentationRecipe(model="resnet18_v1b", dataset="few_scenes", classes=11, class_names=scenes.MASK_CLASSES)
    return run_of(recipe, tmp_path_factory.mktemp("segmenter"), say_background)


def evaluated(capsys, *words, code=0):
    assert script.main([*map(str, words), "--num-gpus", "0"]) == code
    said = capsys.readouterr()
    return said.err if code else said.out.splitlines()


def percent(value):
    return "-" if value is None else f"{100 * value:.1f}"


def test_a_segmenter_that_sees_background_everywhere(segmenter, tmp_path, capsys):
    """Right where background is: that fraction of the pixels that count is pixAcc, and the IoU of background."""
    masks = sorted((scenes.ensure(name="few_scenes") / "annotations" / "validation").glob("*.png"))
    values = np.concatenate([cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).ravel() for path in masks])
    fraction = (values == 11).sum() / (values > 0).sum()
    present = set(values.tolist()) - {0}
    assert len(masks) == 2 and len(present) < 11
    for more in ((), ("--multi-scale",)):
        lines = evaluated(capsys, "--pretrained", segmenter, "--json", tmp_path / "x.json", *more)
        result = json.loads((tmp_path / "x.json").read_text())
        assert result["pix_acc"] == pytest.approx(fraction) and result["miou"] == pytest.approx(fraction / len(present))
        expected = [(fraction if k == 11 else 0) if k in present else None for k in range(1, 12)]
        assert result["per_class_iou"] == [x and pytest.approx(x) for x in expected]
        assert (result["images"], result["classes"]) == (2, list(scenes.MASK_CLASSES))
        assert lines[0] == f"FCN on resnet18_v1b ({segmenter}) on 2 images of few_scenes"
        scales = " over 6 scales and flips" if more else ""
        assert lines[1] == f"pixAcc {fraction:.1%}, mIoU {fraction / len(present):.1%}{scales}"
        table = [line.split() for line in lines[3:15]]
        assert table[:11] == [[name, percent(x)] for name, x in zip(scenes.MASK_CLASSES, expected)]
        assert table[11] == ["mean", percent(fraction / len(present))]
    scores = evaluate(segmenter, multi_scale=True, threads=1)  # the same from Python
    assert (scores.pix_acc, scores.images) == (pytest.approx(fraction), 2)
    with pytest.raises(Refused, match="^--data .*: the data set of .* is few_scenes, which is built in"):
        evaluate(segmenter, data=tmp_path)
    with pytest.raises(Refused, match="^records does not apply: .* is a segmenter$"):
        evaluate(segmenter, "val.rec")


def test_a_detector_that_sees_the_first_picture_only(detector, tmp_path, monkeypatch, capsys):
    """Of a class with n objects there and m in the second picture, the area is n / (n + m) at a precision of 1."""
    records = find_boxes(DetectionRecipe(dataset="few_scenes"))[1]
    pictures = iter(records.boxes)

    def predict(net, images, sizes):
        """All that is annotated in the first picture, in the pixels of the image as it is given."""
        boxes = next(pictures)
        by = images.shape[2] / records.sizes[0, 0] if boxes is records.boxes[0] else 0
        found = (boxes[:, 4], np.ones(len(boxes)), boxes[:, :4] * by)
        return tuple(mx.nd.array(part[None]) for part in found)

    monkeypatch.setattr(evaluation, "predict", predict)
    counts = [np.bincount(b[b[:, 5] == 0, 4].astype(int), minlength=10) for b in records.boxes]
    expected = [n / (n + m) if n + m else None for n, m in zip(*counts)]
    lines = evaluated(capsys, "--pretrained", detector / "final.params", "--json", tmp_path / "x.json")
    result = json.loads((tmp_path / "x.json").read_text())
    assert result["per_class_area"] == [x and pytest.approx(x) for x in expected]
    known = [x for x in expected if x is not None]
    assert result["map_area"] == pytest.approx(np.mean(known)) and 0 < len(known) < 10
    table = [line.split()[:2] for line in lines[3:14]]
    assert table == [*([n, percent(x)] for n, x in zip(scenes.CLASSES, expected)), ["mean", percent(np.mean(known))]]
    assert lines[1].startswith(f"mAP {np.mean(known):.1%}")


def test_a_detector_is_scored_as_in_training(detector, tmp_path, capsys):
    evaluated(capsys, "--pretrained", detector, "--json", tmp_path / "x.json")
    task = Detection(DetectionRecipe.from_json(json.loads((detector / "recipe.json").read_text())), [mx.cpu()], 1)
    scores = task.evaluate(load_network(detector), task.val.epoch())
    result = json.loads((tmp_path / "x.json").read_text())
    assert (result["map07"], result["map_area"], result["images"]) == (scores.map07, scores.map_area, 2)


def test_another_folder(tmp_path, capsys, caplog):
    """One image of 40 x 30 px whose mask is 10 in three of four rows and void (255) in one of the others."""
    for split in ("train", "val"):
        for kind, pixels in (("images", np.zeros((40, 30, 3))), ("masks", np.full((40, 30), BACKGROUND))):
            (tmp_path / kind / split).mkdir(parents=True)
            pixels[:10] = 3
            if kind == "masks":
                pixels[0] = 255
            cv2.imwrite(str(tmp_path / kind / split / f"{split}.png"), pixels.astype(np.uint8))
    recipe = SegmentationRecipe(
        model="resnet18_v1b", dataset="masks", data="/nowhere", classes=11, class_names=tuple(map(str, range(11))),
    )  # fmt: skip
    (tmp_path / "run").mkdir()
    run = run_of(recipe, tmp_path / "run", say_background)
    lines = [line for line in evaluated(capsys, "--pretrained", run, "--data", tmp_path) if "no mask of" not in line]
    assert "has the class 0, 1, 2, 4, 5 and 4 more: the mean is over the others" in caplog.text  # 11 but for 3 and 10
    assert lines[0].endswith(f"on 1 image of {tmp_path}") and lines[1] == "pixAcc 76.9%, mIoU 38.5%"  # 30 / 39
    assert "nowhere" in evaluated(capsys, "--pretrained", run, code=2)


def test_what_makes_no_sense_is_refused(detector, segmenter, tmp_path, tiny_records, capsys):
    for run, what, words in (
        (detector, "detector", ("--rec-val", tiny_records / "val.rec")),
        (detector, "detector", ("--form", "int8")),
        (detector, "detector", ("--multi-scale",)),
        (detector, "detector", ("--crops", 10)),
        (segmenter, "segmenter", ("--dense",)),
        (segmenter, "segmenter", ("--scales", "224,256")),
        (segmenter, "segmenter", ("--batch-size", 8)),
        (segmenter, "segmenter", ("--crop-ratio", 0.5)),
        (segmenter, "segmenter", ("--places365", "list", "--submission", tmp_path / "x")),
    ):
        says = evaluated(capsys, "--pretrained", run, *words, code=2)
        assert says == f"refused: {words[0]} does not apply: {run} is a {what}\n"
    says = evaluated(capsys, "--pretrained", detector, segmenter, code=2)
    assert says == f"refused: an ensemble does not apply: {detector} is a detector\n"
    says = evaluated(capsys, "--pretrained", segmenter, "--data", tmp_path, code=2)
    assert "the data set of" in says and "is few_scenes, which is built in" in says
    recipe = json.loads((segmenter / "recipe.json").read_text())
    other = SegmentationRecipe.from_json({**recipe, "class_names": [*scenes.CLASSES, "sky"]})
    (tmp_path / "run").mkdir()
    says = evaluated(capsys, "--pretrained", run_of(other, tmp_path / "run"), code=2)
    assert "(the first difference: sky and background)" in says


def test_a_detector_does_not_compute_in_float16(detector, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(script, "choose_precision", lambda dtype, contexts: (dtype, ""))
    recipe, alone = read_recipe(detector / "recipe.json"), tmp_path / "step-000000001.safetensors"
    net = task_of(recipe).on_trained_base(recipe, [mx.cpu()])
    save_checkpoint(alone, net, mx.gluon.Trainer(net.collect_params(), "sgd"), Progress(step=1), recipe, "digest")
    for source in (detector, detector / "final.params", alone):
        says = evaluated(capsys, "--pretrained", source, "--dtype", "float16", code=2)
        assert says == f"refused: --dtype float16: {source} is a detector, which takes float32 or bfloat16\n"


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="this CPU has no bfloat16")
def test_a_segmenter_computes_in_bfloat16(tmp_path):
    """Images of 48 px, on which dilated convolutions with AMX end the process; in a process of its own."""
    rng = np.random.default_rng(0)
    for kind, shape in (("images", (48, 48, 3)), ("masks", (48, 48))):
        (tmp_path / kind / "val").mkdir(parents=True)
        for k in range(2):
            cv2.imwrite(str(tmp_path / kind / "val" / f"{k}.png"), rng.integers(0, 3, shape).astype(np.uint8))
    recipe = SegmentationRecipe(model="resnet18_v1b", dataset="masks", data=str(tmp_path), classes=3)
    (tmp_path / "run").mkdir()
    run = run_of(recipe, tmp_path / "run")
    done = subprocess.run(
        [*words_of("evaluate"), "--pretrained", run, "--dtype", "bfloat16"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0 and "bfloat16" in done.stdout, done.stderr


def test_tables_and_values_of_classes_that_do_not_occur():
    scores = SegmentationScores.of(np.array([[3, 1, 0], [0, 4, 0]]), images=1)  # 3/4 and 4/5
    assert scores.per_class_table(("a", "tree")).splitlines() == [
        "      IoU %", "a      75.0", "tree   80.0", "mean   77.5",
    ]  # fmt: skip
    scores = DetectionScores(0.5, 0.25, {"a": 0.5, "b": float("nan")}, {"a": 0.25, "b": float("nan")}, 3)
    assert values(scores, ("a", "b")) == {
        "classes": ["a", "b"], "map07": 0.5, "map_area": 0.25, "per_class_07": [0.5, None],
        "per_class_area": [0.25, None], "images": 3,
    }  # fmt: skip
