"""Damaged files, a few hundred, in a process of its own: each is refused or read."""

import collections
import importlib.util
import json
import pathlib
import subprocess
import sys

import mxnet as mx
import pytest

import model_zoo
from model_zoo import get_model, weights

COUNT = 80  # mutations of each file


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with one good file of each kind; those of PyTorch where it is installed."""
    folder = tmp_path_factory.mktemp("hostile") / "good"
    folder.mkdir()
    net = get_model("cifar_resnet20_v1")
    net.initialize(mx.init.Xavier())
    net.hybridize()
    net(mx.nd.zeros((1, 3, 32, 32)))
    weights.save(net, folder / "ours.params")
    weights.save(net, folder / "gluoncv.safetensors", "gluoncv")
    net.export(str(folder / "exported"))
    (folder / "exported-symbol.json").unlink()
    if importlib.util.find_spec("torch"):
        torch = importlib.import_module("torch")
        state = {name: torch.tensor(value) for name, value in weights.values_of(net).items()}
        torch.save({"state_dict": state, "epoch": 3}, folder / "torch.pth")
        torch.save(state, folder / "torch-of-old.pth", _use_new_zipfile_serialization=False)
    return folder


def test_each_is_refused_or_read(files):
    child = pathlib.Path(__file__).with_name("hostile_files.py")
    root = pathlib.Path(model_zoo.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, str(child), str(files), str(COUNT)],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PYTHONPATH": str(root), "PATH": "", "OMP_NUM_THREADS": "1"},
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"{lines[-1:]} ended with {done.returncode}: {done.stderr[-2000:]}"
    outcomes = collections.Counter()
    for what, outcome in zip(lines[::2], lines[1::2]):
        outcomes[json.loads(what)[0], outcome.split()[0]] += 1
    for path in files.iterdir():
        refused, read = outcomes[path.name, "refused"], outcomes[path.name, "read"]
        assert refused + read == COUNT
        assert refused > COUNT / 4, path.name  # flipped weights and appended junk may well be read
