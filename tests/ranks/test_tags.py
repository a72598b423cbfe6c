"""A tagger trained on two ranks: the same batches and scores as in one process, padding not counted."""

import csv
import json

import mxnet as mx
import pytest

from gluon_tricks.data.builtin import scenes
from gluon_tricks.recipes.kinds import read_recipe
from gluon_tricks.trained.interface import evaluate
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate


def rows_of(run):
    with open(run / "metrics.csv") as file:
        return list(csv.DictReader(file))


def test_two_ranks(launch, tmp_path):
    """Validation has an odd number of images, so one rank has an image less in the last step."""
    scenes.make(tmp_path, train=4, val=3)
    names = tmp_path / "names.txt"
    names.write_text("\n".join(scenes.CLASSES))
    words = ("--data", tmp_path, "--classes", names, "--model", "cifar_resnet20_v1", "--input-size", "24")
    words += ("--set", "side=[32,32]", "--set", "crop_ratio=0.75", "--set", "bn_batch=2", "--test-crops", "3")
    words += ("--num-epochs", "1", "--batch-size", "2", "-j", "1", "--picture-epochs", "0", "--lr", "0.01")
    done = launch(2, tmp_path / "logs", "scripts/train_multi_label.py", *words, "--save-dir", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "1 epoch of 1 step, batch 4, float32, cpu(0) on 2 ranks" in done.stdout
    assert done.stdout.count("on 3 held-out images") == 1
    (row,) = rows_of(tmp_path / "run")
    told = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    (final,) = [event["scores"] for event in told if event["event"] == "final_scores"]
    again = evaluate(tmp_path / "run", threads=1)
    assert [again.map07, again.map_area] == pytest.approx([*final.values()], abs=1e-6) and again.images == 3
    options = Options(contexts=[mx.cpu()], threads=1, picture_epochs=0)
    train_and_evaluate(read_recipe(tmp_path / "run" / "recipe.json"), tmp_path / "alone", options)
    (alone,) = rows_of(tmp_path / "alone")
    for column in ("train_loss", "val_loss", "val_map07", "val_map"):
        assert float(row[column]) == pytest.approx(float(alone[column]), rel=1e-4), column
