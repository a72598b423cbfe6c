"""A run goes on with another number of ranks: the same images at the same step."""

import csv

import numpy as np
import pytest

from gluon_tricks.networks.checkpoint import list_checkpoints
from gluon_tricks.networks.of_recipe import parameters_by_name
from gluon_tricks.trained.load import load_network

from .conftest import alone, training

EPOCHS = ("--num-epochs", "3", "--picture-epochs", "0")  # of 4 steps


def losses(run):
    with open(run / "metrics.csv") as file:
        return [float(row["train_loss"]) for row in csv.DictReader(file)]


def killed_in_step_6(words, folder):
    """A script that trains as the words say, but for rank 1 of three, which ends by SIGKILL in its sixth step."""
    script = folder / "killed.py"
    script.write_text(
        "import itertools, os, signal, sys\n"
        "from gluon_tricks.cli import train\n"
        "from gluon_tricks.training import loop\n"
        "step, count = loop.train_step, itertools.count(1)\n"
        "last = 6 if (os.environ['HOROVOD_RANK'], os.environ['HOROVOD_SIZE']) == ('1', '3') else None\n"
        "loop.train_step = lambda *a: step(*a) if next(count) != last else os.kill(os.getpid(), signal.SIGKILL)\n"
        f"sys.exit(train.main({[str(word) for word in words[1:]]!r}))\n"
    )
    return script


def test_a_killed_rank_is_named_and_fewer_ranks_go_on(launch, tiny_records, tmp_path):
    """Three ranks of 4 images, rank 1 killed in step 6; two ranks go on with 6 each, as one of 12 would have."""
    run, logs = tmp_path / "run", tmp_path / "logs"
    words = training(tiny_records, run, "--batch-size", "4", *EPOCHS, "--save-steps", "1", "--resume", "auto")
    script = killed_in_step_6(words, tmp_path)
    lost = launch(3, logs, script)
    assert lost.returncode == 1 and "rank 1 ended by SIGKILL; the logs are in" in lost.stderr

    (step,) = {int(path.stem.split("-")[1]) for path in list_checkpoints(run / "checkpoints")[-1:]}
    assert step in (4, 5)  # of step 5, unless its loss was still awaited
    resumed = launch(2, logs, script)
    assert resumed.returncode == 0, resumed.stderr
    assert "going on with the run's global batch of 12: 6 images on each of 2 devices" in resumed.stdout
    assert f"after step {step} of 12" in resumed.stdout

    alone(*training(tiny_records, tmp_path / "one", "--batch-size", "12", *EPOCHS))
    assert losses(run) == pytest.approx(losses(tmp_path / "one"), rel=1e-3)
    one, other = (parameters_by_name(load_network(folder)) for folder in (tmp_path / "one", run))
    for name, parameter in one.items():
        np.testing.assert_allclose(other[name].data().asnumpy(), parameter.data().asnumpy(), atol=1e-3, err_msg=name)
