import functools
import os
import pathlib
import subprocess
import sys

import pytest

from gluon_tricks.cli import doctor as script
from gluon_tricks.core.errors import Refused
from gluon_tricks.machine import doctor
from gluon_tricks.ranks import launcher

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def no_horovod(monkeypatch):
    """Asking the real one starts two processes that import MXNet."""

    def built_with():
        raise Refused("there is no horovodrun")

    monkeypatch.setattr(launcher, "built_with", built_with)
    monkeypatch.setattr(doctor, "loader_speed", functools.partial(doctor.loader_speed, seconds=0.05))


def test_this_machine_can_train(tiny_records, tmp_path, capsys):
    assert script.main(["--run-dir", str(tmp_path), "--rec", str(tiny_records / "train.rec")]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} <= {"ok", "warning"}
    found = "\n".join(lines)
    for words in (
        "Python 3.", "numpy 1.", "MXNet 1.9.1", "GPU", "cuDNN", "bfloat16", "no horovodrun", "OpenCV 4", "GB free",
        "GB available", "files may be open", "48 images, 4 classes", "images/s",
    ):  # fmt: skip
        assert words in found
    assert last.startswith(f"ok: {sum(line.startswith('ok') for line in lines)}, warning: ")
    assert last.endswith("problem: 0")


def test_a_problem_is_exit_code_2(tiny_records, tmp_path, capsys):
    cut = tmp_path / "cut.rec"
    cut.write_bytes((tiny_records / "train.rec").read_bytes()[:-500])
    cut.with_suffix(".idx").write_bytes((tiny_records / "train.idx").read_bytes())
    assert script.main(["--run-dir", str(tmp_path), "--rec", str(cut), str(tiny_records / "val.rec")]) == 2
    out = capsys.readouterr().out
    assert "problem  " in out and "cut.rec is truncated" in out
    assert "20 images, 4 classes" in out  # the doctor goes on


def run(*python_flags, tiny_records, tmp_path):
    (tmp_path / "mxnet.py").write_text("raise OSError('libcuda.so.1: cannot open shared object file')")
    return subprocess.run(
        [sys.executable, *python_flags, ROOT / "scripts/doctor.py", "--run-dir", tmp_path]
        + ["--rec", tiny_records / "val.rec"],
        capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )  # fmt: skip


def test_without_mxnet_the_rest_is_examined(tiny_records, tmp_path):
    done = run(tiny_records=tiny_records, tmp_path=tmp_path)
    assert (done.returncode, done.stderr) == (2, "")
    assert "libcuda.so.1: cannot open shared object file; install the NVIDIA driver" in done.stdout
    assert "20 images, 4 classes" in done.stdout and "images/s" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("problem: 1")


def test_without_the_package(tiny_records, tmp_path):
    done = run("-E", "-S", tiny_records=tiny_records, tmp_path=tmp_path)
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.startswith("problem  No module named 'gluon_tricks'; pip install")
