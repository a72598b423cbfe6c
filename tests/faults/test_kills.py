"""kill -9 at random moments: nothing is lost but time."""

import csv
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from gluon_tricks.networks.checkpoint import list_checkpoints, read_checkpoint

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What draws random numbers on the device and on the host, and what has a state.
HARD = ("--set", "net.final_drop=0.5", "--mixup", "--no-wd", "--warmup-epochs", "1", "--save-steps", "2")


def words(records, run, dtype):
    files = ["--rec-train", records / "train.rec", "--rec-val", records / "val.rec", "--save-dir", run]
    net = ["--model", "mobilenet0.25", "--input-size", "32", "--batch-size", "8", "--num-epochs", "3", "--lr", "0.01"]
    return [str(word) for word in (*files, *net, "--dtype", dtype, "-j", "1", *HARD)]


def outcome(run):
    with open(run / "metrics.csv") as file:
        rows = [
            {name: value for name, value in row.items() if name != "images_per_second"} for row in csv.DictReader(file)
        ]
    return read_checkpoint(list_checkpoints(run / "checkpoints")[-1])[0], rows


@pytest.mark.parametrize("dtype, phases", [("float32", "sesccsesce"), ("bfloat16", "csesceesse")])
def test_ten_kills_change_nothing(tiny_records, tmp_path, dtype, phases):
    """In steps, evaluations and writes: the last parameters, optimiser states and metrics are bit for bit the same."""
    one, many = tmp_path / "whole", tmp_path / "killed"
    plain = [sys.executable, "scripts/train_imagenet.py", *words(tiny_records, one, dtype)]
    done = subprocess.run(plain, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    killer = [sys.executable, "tests/faults/killed_children.py", "7", phases, str(many)]
    resumed = [*words(tiny_records, many, dtype), "--resume", "auto"]
    done = subprocess.run([*killer, *resumed], capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("going on from step-") >= 5
    (arrays, rows), (others, other_rows) = outcome(one), outcome(many)
    assert arrays.keys() == others.keys() and rows == other_rows and len(rows) == 3
    for name, array in arrays.items():
        np.testing.assert_array_equal(others[name], array, err_msg=name)
    assert not list((many / "checkpoints").glob(".*"))  # what a kill left half written
