"""Trainings on several hosts of one machine: see network.py. Each rank takes one thread: CI has two cores."""

import contextlib
import csv
import importlib.util
import os
import sys
import time

import numpy as np
import pytest

from gluon_tricks.networks.checkpoint import list_checkpoints, read_checkpoint

from . import network as made


@pytest.fixture(scope="session")
def network(missing, tmp_path_factory):
    """network(**settings) opens a Network in a folder of its own. Whether there can be one is looked at once."""
    if why := made.missing():
        missing(why)
    if importlib.util.find_spec("horovod") is None:
        missing("Horovod is not installed: make venv builds it where there is a C++ compiler")
    return lambda **settings: made.Network(tmp_path_factory.mktemp("hosts"), **settings)


@pytest.fixture
def two_hosts(network):
    with network() as both:
        yield both


def command(hosts, logs, words, *flags):
    """launch.py with ranks in all places of `hosts`, such as "host1:1,host2:2"."""
    ranks = sum(int(part.rpartition(":")[2]) for part in hosts.split(","))
    front = [sys.executable, "scripts/launch.py", "-np", ranks, "-H", hosts, "--logs", logs, *flags, "--"]
    return [*front, *words]


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def run(host, *words, **more):
    """launch.py on a host, to its end; words as of `command`."""
    return host.run(command(*words), env=ENVIRONMENT, **more)


@contextlib.contextmanager
def started(host, *words):
    """launch.py on a host: its process, which ends with the context at the latest."""
    process = host.start(command(*words), env=ENVIRONMENT)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(process, condition, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
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
