"""Trainings on several hosts of one machine: see network.py. Each rank takes one thread: CI has two cores."""

import contextlib
import csv
import importlib.util
import os
import pathlib
import shutil
import sys
import time

import numpy as np
import pytest

from gluon_tricks.networks.checkpoint import list_checkpoints, read_checkpoint
from tests.ranks.conftest import training

from . import network as made


@pytest.fixture(scope="session")
def network(missing, tmp_path_factory):
    """network(**settings) opens a Network in a folder of its own. Whether there can be one is looked at once."""
    if why := made.missing():
        missing(why)
    if importlib.util.find_spec("horovod") is None:
        missing("Horovod is not installed: make venv builds it where there is a C++ compiler")
    return lambda **settings: made.Network(tmp_path_factory.mktemp("hosts"), **settings)


def command(hosts, logs, words, *flags):
    """launch.py with ranks in all places of `hosts`, such as "host1:1,host2:2"."""
    ranks = sum(int(part.rpartition(":")[2]) for part in hosts.split(","))
    front = [sys.executable, "scripts/launch.py", "-np", ranks, "-H", hosts, "--logs", logs, *flags, "--"]
    return [*front, *words]


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def run(host, *words, **more):
    """launch.py on a host, to its end; words as of `command`."""
    return host.run(command(*words), env=ENVIRONMENT, **more)


def wait_for(process, condition, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.05)


def checkpoints(folder):
    return list_checkpoints(folder / "checkpoints")


def outcome(folder):
    """Arrays of a run's last checkpoint, and the rows of metrics.csv but for its speeds."""
    with open(folder / "metrics.csv") as file:
        rows = [{k: v for k, v in row.items() if k != "images_per_second"} for row in csv.DictReader(file)]
    return read_checkpoint(checkpoints(folder)[-1])[0], rows


def assert_the_same(folder, other):
    """Bit for bit."""
    (arrays, rows), (others, other_rows) = outcome(folder), outcome(other)
    assert arrays.keys() == others.keys() and rows == other_rows
    for name, array in arrays.items():
        np.testing.assert_array_equal(others[name], array, err_msg=name)


class Holdable:
    """A training of `held.py` on two hosts, in the sixth of whose eight steps host2 can be held.

    Args:
        network: that has the hosts.
        records: of tests/conftest.py.
        launching: the number of the host that launch.py runs on.
        flags: of launch.py.
        more: of the training.
    """

    def __init__(self, network, records, name="run", launching=1, flags=(), more=()):
        self.network, self.launching = network, network.hosts[launching - 1]
        self.one, self.two = network.hosts[:2]
        self.logs, self.run = network.folder / f"{name}-logs", self.one.path(name)
        words = training(records, network.disk / name, "--batch-size", "6", "--save-steps", "3", *more)
        self.words = [pathlib.Path(__file__).with_name("held.py"), network.disk, *words[1:]]
        self.flags = flags

    @contextlib.contextmanager
    def held(self, *more):
        """The job, held; it goes on when the context ends."""
        self.two.path("hold").touch()
        process = self.start(*more)
        try:
            wait_for(process, self.two.path("held").exists)
            yield process
            self.two.path("held").unlink()
        except BaseException:
            process.kill()
            raise

    def start(self, *more):
        return self.launching.start(self._command(more), env=ENVIRONMENT)

    def finish(self, *more):
        """From start or checkpoint to the end."""
        return self.launching.run(self._command(more), env=ENVIRONMENT)

    def _command(self, more):
        return command("host1:1,host2:1", self.logs, [*self.words, *more], *self.flags)


@pytest.fixture(scope="session")
def undisturbed(network, tiny_records, tmp_path_factory):
    """The folder of the same run with both ranks on one host, which nothing disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with network() as hosts:
        job = Holdable(hosts, tiny_records)
        done = hosts.hosts[0].run(command("host1:2", folder / "logs", job.words), env=ENVIRONMENT)
        assert done.returncode == 0, done.stderr
        shutil.copytree(job.run, folder / "run")
    return folder / "run"
