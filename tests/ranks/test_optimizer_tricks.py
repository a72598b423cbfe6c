"""The optimiser's refinements on several ranks: what one rank does, and the same network on all."""

import csv

import numpy as np
import pytest

from gluon_tricks.networks.checkpoint import list_checkpoints, read_checkpoint
from model_zoo import formats

from .conftest import alone, training

FLAGS = ("--num-epochs", "2", "--picture-epochs", "0", "--ema", "0.9", "--sam", "0.1", "--clip-grad", "0.5")
KINDS = {"lars": ("--optimizer", "lars", "--lr", "0.5"), "adamw": ("--optimizer", "adamw", "--lr", "1e-4")}


def column(run, name):
    with open(run / "metrics.csv") as file:
        return [float(row[name]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("kind", KINDS)
def test_two_ranks_do_what_one_does(launch, tiny_records, tmp_path, kind):
    """Without batch statistics; 12 images a step, 6 on each of two ranks. The second part is resumed on two."""
    words = (*FLAGS, *KINDS[kind], "--resume", "auto")
    done = launch(2, tmp_path / "logs", *training(tiny_records, tmp_path / "two", "--batch-size", "6", *words))
    assert done.returncode == 0, done.stderr
    alone(*training(tiny_records, tmp_path / "one", "--batch-size", "12", *words))
    one, two = (formats.read(tmp_path / run / "final.params") for run in ("one", "two"))
    for name, array in one.items():
        np.testing.assert_allclose(two[name], array, atol=1e-3, err_msg=name)
    for name in ("train_loss", "val_loss"):
        assert column(tmp_path / "two", name) == pytest.approx(column(tmp_path / "one", name), rel=1e-3)
    newest = read_checkpoint(list_checkpoints(tmp_path / "two" / "checkpoints")[-1])[0]
    assert {name.split("/")[0] for name in newest} == {"parameter", "optimizer", "average"}
    assert all(np.array_equal(newest[f"average/{name}"], array) for name, array in two.items())


def test_averaged_statistics_are_those_of_all_ranks(launch, tiny_records, tmp_path):
    """With batch statistics each rank has its own; final.params has the mean, and resuming goes on from it."""
    words = (*FLAGS[:4], "--ema", "0.9", "--resume", "auto", "--batch-size", "6")
    run = tmp_path / "run"
    done = launch(2, tmp_path / "logs", *training(tiny_records, run, *words, norm=()))
    assert done.returncode == 0, done.stderr
    more = launch(2, tmp_path / "logs2", *training(tiny_records, run, *words, "--num-epochs", "3", norm=()))
    assert more.returncode == 0, more.stderr
    final = formats.read(run / "final.params")
    newest = read_checkpoint(list_checkpoints(run / "checkpoints")[-1])[0]
    assert all(np.array_equal(newest[f"average/{name}"], array) for name, array in final.items())
    assert any("running_var" in name and np.abs(array - 1).max() > 1e-3 for name, array in final.items())


def test_statistics_over_all_ranks(launch, tiny_records, tmp_path):
    """SyncBatchNorm on two ranks is batch normalisation on one, in both passes of SAM and in the average."""
    words = ("--num-epochs", "1", *FLAGS[2:])
    two, one = (training(tiny_records, tmp_path / run, *words, norm=()) for run in ("two", "one"))
    done = launch(2, tmp_path / "logs", *two, "--batch-size", "6", "--sync-bn", "--lr", "0.001")
    assert done.returncode == 0, done.stderr
    alone(*one, "--batch-size", "12", "--lr", "0.001")
    final, other = (formats.read(tmp_path / run / "final.params") for run in ("one", "two"))
    for name, array in final.items():
        np.testing.assert_allclose(other[name], array, atol=2e-3, rtol=1e-2, err_msg=name)
