"""A detector and a segmenter trained on two ranks: who writes, and that all images are scored once."""

import csv
import dataclasses

import mxnet as mx
import pytest

from gluon_tricks.data.annotations.boxes import VOC_CLASSES
from gluon_tricks.data.builtin import scenes
from gluon_tricks.recipes.kinds import read_recipe
from gluon_tricks.tasks.detection.settings import ROI_SETTINGS
from gluon_tricks.tasks.registry import task_of
from gluon_tricks.trained.load import load_network
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate

from .conftest import make_masks

TINY = ("--base", "resnet18_v1b", "--epochs", "1", "--batch-size", "1", "-j", "1", "--picture-epochs", "1")


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    """Scenes whose things go by names of VOC's: 4 to train on and 3 to validate."""
    folder = tmp_path_factory.mktemp("voc")
    scenes.make(folder, train=4, val=3)
    for path in (folder / "VOC2007" / "Annotations").iterdir():
        text = path.read_text()
        for ours, theirs in zip(scenes.CLASSES, VOC_CLASSES):
            text = text.replace(f"<name>{ours}</name>", f"<name>{theirs}</name>")
        path.write_text(text)
    return folder


@pytest.fixture(scope="module")
def masks(tmp_path_factory):
    """4 to train on and 3 to validate."""
    return make_masks(tmp_path_factory.mktemp("masks"), train=4, val=3)


def with_these_regions(folder):
    """A script that trains a detector whose roi="small" is what it is here."""
    script = folder / "detect.py"
    script.write_text(
        "import sys\n"
        "from gluon_tricks.cli import detect\n"
        "from gluon_tricks.tasks.detection.settings import ROI_SETTINGS, RoISettings\n"
        f"ROI_SETTINGS['small'] = RoISettings(**{dataclasses.asdict(ROI_SETTINGS['small'])!r})\n"
        "sys.exit(detect.main(sys.argv[1:]))\n"
    )
    return script


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_two_ranks(launch, voc, masks, tmp_path, task, few_regions):
    """Validation has an odd number of images, so one rank has an image less in the last step."""
    words = {
        "detection": (with_these_regions(tmp_path), "--data", voc, "--short", "96", "--long", "128"),
        "segmentation": ("scripts/train_fcn.py", "--dataset", "masks", "--data", masks, "--num-classes", "2"),
    }[task]
    more = {
        "detection": ("--roi", "small", "--lr", "0.0001", "--set", 'train_splits=["2007_trainval"]'),
        "segmentation": ("--crop-size", "32", "--base-size", "64"),
    }[task]
    done = launch(2, tmp_path / "logs", *words, *TINY, *more, "--save-dir", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "1 epoch of 2 steps, batch 2, float32, cpu(0) on 2 ranks" in done.stdout
    assert done.stdout.count("on 3 held-out images") == 1 and not (tmp_path / "logs" / "rank.1.log").exists()
    assert (tmp_path / "run" / "pictures" / "epoch-0001.png").is_file()
    with open(tmp_path / "run" / "metrics.csv") as file:
        (row,) = csv.DictReader(file)
    recipe = read_recipe(tmp_path / "run" / "recipe.json")
    alone = task_of(recipe)(recipe, [mx.cpu()], 1)
    scores = alone.evaluate(load_network(tmp_path / "run"), alone.val.epoch())
    assert {name: float(row[name]) for name in scores.row()} == pytest.approx(scores.row(), abs=1e-6)
    options = Options(contexts=[mx.cpu()], threads=1, picture_epochs=0)
    train_and_evaluate(recipe, tmp_path / "alone", options)
    with open(tmp_path / "alone" / "metrics.csv") as file:
        (by_one,) = csv.DictReader(file)
    # The same batches; dropout, and the samples of anchors and regions, are drawn anew on each rank.
    assert float(row["train_loss"]) == pytest.approx(float(by_one["train_loss"]), rel=0.1)
