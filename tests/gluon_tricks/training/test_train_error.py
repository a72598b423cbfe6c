"""The training error: counted over the steps themselves, on any number of devices, from any checkpoint on."""

import csv
import itertools

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.data.augment import normalised
from gluon_tricks.data.loader import RecordLoader
from gluon_tricks.data.records import Records
from gluon_tricks.networks.checkpoint import Progress
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks.classification.evaluation import ClassificationScores, evaluate
from gluon_tricks.tasks.lettering import import_pyplot
from gluon_tricks.trained.load import load_network
from gluon_tricks.training import loop
from gluon_tricks.training.curves import draw_curves
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate
from gluon_tricks.training.steps import Interrupted
from gluon_tricks.tricks import LabelSmoothing, Mixup

QUIET = Options(picture_epochs=0)


@pytest.fixture
def recipe(tiny_records):
    """Without statistics of a batch: a network says the same of an image in training and in evaluation."""
    files = {split: (str(tiny_records / f"{split}.rec"),) for split in ("train", "val")}
    return Recipe(
        name="tiny", model="cifar_resnet20_v1", net={"norm_layer": "GroupNorm", "norm_kwargs": {"num_groups": 4}},
        data="records", **files, input_size=16,
        crop="centre", crop_ratio=1.0, augment="none", epochs=1, batch_size=8, lr=0.0, tricks=(LabelSmoothing(),),
    )  # fmt: skip


def errors(run):
    with open(run / "metrics.csv", newline="") as file:
        return [row["train_error"] for row in csv.DictReader(file)]


def test_of_a_network_that_learns_nothing_it_is_what_evaluation_finds(recipe, tmp_path):
    train_and_evaluate(recipe.set(lr=0.02, epochs=3), tmp_path / "start", QUIET)
    recipe = recipe.set(pretrained=str(tmp_path / "start" / "final.params"))
    train_and_evaluate(recipe, tmp_path / "run", QUIET)
    net, resolved = load_network(tmp_path / "run"), recipe.resolved()
    loader = RecordLoader(Records(recipe.train), size=16, batch_size=16, train=False, crop_ratio=1.0)

    def prepared(images, context):
        return normalised(images, context, resolved.mean, resolved.std)

    scores = evaluate(net, loader.epoch(), prepared, [mx.cpu()])
    assert scores.images == 48 and 0 < scores.top1 < 1
    assert float(errors(tmp_path / "run")[0]) == pytest.approx(1 - scores.top1, abs=1e-12)


def test_it_is_the_same_on_two_devices_and_in_two_rounds(recipe, tmp_path):
    recipe = recipe.set(lr=0.02, epochs=2)
    train_and_evaluate(recipe, tmp_path / "one", QUIET)
    train_and_evaluate(recipe, tmp_path / "two", Options(contexts=[mx.cpu(0), mx.cpu(1)], picture_epochs=0))
    train_and_evaluate(recipe.set(accumulate=2), tmp_path / "rounds", QUIET)
    assert errors(tmp_path / "one") == errors(tmp_path / "two") == errors(tmp_path / "rounds")


@pytest.mark.parametrize("tricks", [(), (Mixup(alpha=1.0),)])
def test_a_run_that_is_stopped_counts_every_image_once(recipe, tmp_path, tricks):
    recipe = recipe.set(lr=0.02, epochs=2, tricks=tricks)
    train_and_evaluate(recipe, tmp_path / "whole", QUIET)
    asked = itertools.count(1)
    for _ in range(3):
        try:
            stops = Options(resume=True, picture_epochs=0, should_stop=lambda: next(asked) % 5 == 0)
            train_and_evaluate(recipe, tmp_path / "parts", stops)
        except Interrupted:
            continue
    train_and_evaluate(recipe, tmp_path / "parts", Options(resume=True, picture_epochs=0))
    assert errors(tmp_path / "parts") == errors(tmp_path / "whole") and len(errors(tmp_path / "whole")) == 2


def test_an_epoch_that_an_older_version_began(recipe, tmp_path, monkeypatch):
    """It is the error of the images that were counted: here of the last two of six steps."""
    seen, tally = [], loop.tally

    def counting(*arguments):
        seen.append(tally(*arguments))
        return seen[-1]

    monkeypatch.setattr(loop, "tally", counting)
    older, asked = loop.Job.checkpoint, itertools.count(1)

    def forgetful(job):
        job.progress.wrong = job.progress.counted = 0
        older(job)

    monkeypatch.setattr(loop.Job, "checkpoint", forgetful)
    with pytest.raises(Interrupted):
        train_and_evaluate(recipe, tmp_path / "run", Options(picture_epochs=0, should_stop=lambda: next(asked) == 4))
    monkeypatch.undo()
    monkeypatch.setattr(loop, "tally", counting)
    train_and_evaluate(recipe, tmp_path / "run", Options(resume=True, picture_epochs=0))
    wrong = [float(sums.asnumpy()[1]) for (sums,) in seen]
    assert len(wrong) == 6 and float(errors(tmp_path / "run")[0]) == sum(wrong[4:]) / 16


def test_the_curves_of_a_run_that_has_it_in_part(recipe, tmp_path, monkeypatch):
    pyplot = import_pyplot()
    monkeypatch.setattr(pyplot, "close", lambda figure: None)
    row = dict(epoch=1, train_loss=1.0, val_loss=1.0, val_top1=0.5, val_top5=1.0, lr=0.1, images_per_second=1.0)
    scores, shown = ClassificationScores.from_row(row, 8), []
    for history in ([row, {**row, "epoch": 2}], [row, {**row, "epoch": 2, "train_error": 0.25}]):
        draw_curves(Progress(history=history), 6, tmp_path / "curves.png", recipe, scores)
        panel = pyplot.gcf().axes[1]
        shown.append({line.get_label(): np.array(line.get_ydata(), float) for line in panel.lines})
    monkeypatch.undo()
    pyplot.close("all")
    assert [list(labels) for labels in shown] == [["top-1", "top-5"], ["top-1", "top-5", "top-1, training"]]
    np.testing.assert_array_equal(shown[1]["top-1, training"], [np.nan, 0.75])
