"""A run goes on with another number of ranks: the same images at the same step."""

import csv
import os
import signal
import subprocess
import time

import numpy as np
import pytest

from gluon_tricks.networks.checkpoint import list_checkpoints
from gluon_tricks.networks.of_recipe import parameters_by_name
from gluon_tricks.trained.load import load_network

from .conftest import ROOT, alone, command, rank_process, training

EPOCHS = ("--num-epochs", "12")  # of 4 steps


def losses(run):
    with open(run / "metrics.csv") as file:
        return [float(row["train_loss"]) for row in csv.DictReader(file)]


def test_a_killed_rank_is_named_and_fewer_ranks_go_on(launch, tiny_records, tmp_path):
    """Three ranks of 4 images, rank 1 killed after a step; two ranks go on with 6 each, as one of 12 would have."""
    run, logs = tmp_path / "run", tmp_path / "logs"
    words = training(tiny_records, run, "--batch-size", "4", *EPOCHS, "--save-steps", "1", "--resume", "auto")
    job = subprocess.Popen(
        command(3, logs, *words), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    while len(list_checkpoints(run / "checkpoints")) < 2:
        assert job.poll() is None, job.stderr.read()
        time.sleep(0.05)
    os.kill(rank_process(run, 1), signal.SIGKILL)
    _, said = job.communicate(timeout=60)
    assert job.returncode == 1 and "rank 1 ended by SIGKILL; the logs are in" in said

    step = int(list_checkpoints(run / "checkpoints")[-1].stem.split("-")[1])
    assert 2 <= step < 48
    resumed = launch(2, logs, *words)
    assert resumed.returncode == 0, resumed.stderr
    assert "going on with the run's global batch of 12: 6 images on each of 2 devices" in resumed.stdout
    assert f"after step {step} of 48" in resumed.stdout

    alone(*training(tiny_records, tmp_path / "one", "--batch-size", "12", *EPOCHS))
    assert losses(run) == pytest.approx(losses(tmp_path / "one"), rel=1e-3)
    one, other = (parameters_by_name(load_network(folder)) for folder in (tmp_path / "one", run))
    for name, parameter in one.items():
        np.testing.assert_allclose(other[name].data().asnumpy(), parameter.data().asnumpy(), atol=1e-3, err_msg=name)
