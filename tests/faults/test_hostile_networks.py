"""Damaged parameter files, checkpoints and exported networks, read where libmxnet is: each is refused or read."""

import importlib.util

import pytest

COUNT = 84  # of each kind of parameter file


def test_parameter_files(judgements, tmp_path):
    found = judgements("hostile_parameters.py", tmp_path, COUNT)
    assert len(found) == (5 if importlib.util.find_spec("torch") else 3)
    for kind, counter in found.items():
        assert counter["refused"] + counter["read"] == COUNT
        assert counter["refused"] > COUNT / 4, kind  # flipped weights and appended junk may well be read


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("checkpoint", 60),
        ("header", 60),
        ("recipe of a run", 60),
        ("final.params", 60),
        ("graph", 120),
        ("values of a graph", 120),
        ("parameters of a graph", 60),
    ],
)
def test_what_a_run_leaves(judgements, tmp_path, kind, count):
    counter = judgements("hostile_networks.py", tmp_path, count, kind)[kind]
    assert counter["refused"] + counter["read"] == count
    assert counter["refused"] > count / 4
