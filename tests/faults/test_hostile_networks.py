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


KINDS = {  # of damaged files of a run -> how many of each
    60: ("checkpoint", "header", "recipe of a run", "final.params", "parameters of a graph"),
    120: ("graph", "values of a graph"),
}


@pytest.mark.parametrize("count", KINDS)
def test_what_a_run_leaves(judgements, tmp_path, count):
    found = judgements("hostile_networks.py", tmp_path, count, *KINDS[count])
    assert found.keys() == set(KINDS[count])
    for kind, counter in found.items():
        assert counter["refused"] + counter["read"] == count, kind
        assert counter["refused"] > count / 4, kind
