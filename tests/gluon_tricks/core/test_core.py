"""The ground floor."""

import importlib.metadata
import importlib.util
import pathlib
import re
import subprocess
import sys
import types

import numpy as np
import pytest

from gluon_tricks.core import environment, foreign
from gluon_tricks.core.environment import CUDA_LIBRARIES
from gluon_tricks.core.keyed_random import generator


def test_random_numbers_depend_on_their_place_alone():
    first = generator(7, "crop", 3, 5).random(4)
    generator(7, "crop", 3, 6).random(100)
    np.testing.assert_array_equal(generator(7, "crop", 3, 5).random(4), first)
    for other in ((8, "crop", 3, 5), (7, "mixup", 3, 5), (7, "crop", 5, 3), (7, "crop", 3, 6)):
        assert not np.isin(generator(*other).random(4), first).any()


def test_places_do_not_overlap():
    """Neighbouring places are 2**128 draws apart: no stretch of one occurs in the next."""
    one, two = generator(0, "x", 0, 0).random(10000), generator(0, "x", 0, 1).random(10000)
    assert not np.intersect1d(one, two).size


@pytest.mark.parametrize("package", ["gluon_tricks", "model_zoo"])
def test_either_package_prepares_for_mxnet_and_nothing_is_printed(package):
    code = f"import {package}; import mxnet; print(mxnet.nd.ones(2).sum().asscalar())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("2.0\n", "", 0)


def test_every_cuda_library_of_setup_is_loaded():
    """setup.py's wheels and environment.py's list name the same packages."""
    text = (pathlib.Path(__file__).resolve().parents[3] / "setup.py").read_text()
    wheels = {name.replace("-", "_") for name in re.findall(r'"nvidia-(.+)-cu11==', text)}
    assert wheels == {package for package, _ in CUDA_LIBRARIES} and len(wheels) == 10


def test_an_import_without_torch(tmp_path, monkeypatch):
    """It is not installed for that import, not None in sys.modules, and is there again after it."""
    (tmp_path / "asks_for_torch.py").write_text(
        "import sys\nknown = 'torch' in sys.modules\ntry:\n    import torch\nexcept ImportError:\n    torch = None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    finders, there = list(sys.meta_path), types.ModuleType("torch")
    monkeypatch.setitem(sys.modules, "torch", there)
    module = foreign._import_without_torch("asks_for_torch")
    assert module.torch is None and not module.known
    assert sys.modules["torch"] is there and sys.meta_path == finders


def test_gluoncv_and_timm_beside_torch(missing):
    """The lines of docs/weights.md, then the plain imports that fail without them in this environment."""
    if not importlib.util.find_spec("timm"):
        missing("timm is not installed: pip install '.[interop]' (Python 3.10 and up)")
    blocks = (pathlib.Path(__file__).resolve().parents[3] / "docs" / "weights.md").read_text("utf-8").split("```")
    (block,) = (block.removeprefix("python") for block in blocks if "import_torchvision" in block)
    code = f"{block}\nimport gluoncv, torch\nprint(gluoncv.model_zoo.__name__, timm.__version__, torch.ones(2).sum())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout == f"gluoncv.model_zoo {importlib.metadata.version('timm')} tensor(2.)\n", done.stderr


@pytest.mark.parametrize("processes", ["x", "0", "", "-2", "9" * 5000])
def test_a_number_of_processes_that_is_none_counts_as_one(processes, monkeypatch):
    monkeypatch.setattr(environment.os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    for name, value in (("HOROVOD_LOCAL_SIZE", processes), ("MPI_LOCALNRANKS", "2")):
        monkeypatch.setenv(name, value)
    assert environment.usable_cores() == 4
    monkeypatch.setenv("HOROVOD_LOCAL_SIZE", "2")
    assert environment.usable_cores() == 2


def test_a_number_of_threads_that_is_none_is_replaced_and_told(monkeypatch, capsys):
    """MXNet and OpenCV would end the process."""
    monkeypatch.setenv("OMP_NUM_THREADS", "a\x1bb")
    environment._set_by_default("OMP_NUM_THREADS", "3")
    assert environment.os.environ["OMP_NUM_THREADS"] == "3"
    assert capsys.readouterr().err == "OMP_NUM_THREADS is 'a\\x1bb', which is no whole number: 3 is taken\n"


def test_one_logical_core_of_each_physical_one_comes_first(monkeypatch):
    """Of eight logical cores on four physical ones, k and k + 4 being one, a process may use six."""
    monkeypatch.setattr(environment.os, "sched_getaffinity", lambda pid: {1, 2, 3, 4, 5, 7})
    monkeypatch.setattr(environment, "_siblings", lambda core: f"{core % 4},{core % 4 + 4}\n")
    assert environment.cores_apart() == [1, 2, 3, 4, 5, 7]  # 4 is 0's sibling, and 0 is not ours
    assert environment.physical_cores() == 4
    monkeypatch.setattr(environment, "_siblings", lambda core: f"{core - core % 2}-{core - core % 2 + 1}\n")
    assert environment.cores_apart() == [1, 2, 4, 7, 3, 5] and environment.physical_cores() == 4
    monkeypatch.setattr(environment.os, "sched_getaffinity", lambda pid: {2, 3, 4, 5})  # as by taskset
    assert environment.physical_cores() == 2
    monkeypatch.setattr(environment.os, "sched_getaffinity", lambda pid: {1, 2, 3, 4, 5, 7})
    monkeypatch.setattr(environment, "_siblings", lambda core: "")
    assert environment.cores_apart() == [1, 2, 3, 4, 5, 7] and environment.physical_cores() == 6
    monkeypatch.setenv("MPI_LOCALNRANKS", "3")
    assert environment.cores_apart() == [1, 2] and environment.physical_cores() == 2


@pytest.mark.parametrize("given, threads", [("3", 3), ("0", 2), (None, 2)])
def test_how_many_threads_there_are(given, threads, monkeypatch):
    monkeypatch.setattr(environment, "physical_cores", lambda: 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert environment.threads() == threads
