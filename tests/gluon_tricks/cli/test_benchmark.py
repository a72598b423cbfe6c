"""gluon-tricks benchmark runs what the repository has, and says where to get it where only the package is installed."""

import os
import sys

import pytest

from gluon_tricks.cli import benchmark


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder in which the package pretends to lie, beside a package of the same name that is not ours."""
    packages = tmp_path / "site-packages"
    monkeypatch.setattr(benchmark, "__file__", str(packages / "gluon_tricks" / "cli" / "benchmark.py"))
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(tmp_path / "bin" / "gluon-tricks"), raising=False)
    (packages / "benchmarks").mkdir(parents=True)
    (packages / "benchmarks" / "main.py").write_text("raise SystemExit('of another project')")
    return tmp_path


def test_without_the_repository(elsewhere, capsys):
    assert benchmark.main(["models", "--rounds", "1"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("refused: the benchmarks are not installed with the package: get the repository and run scr")


def test_help_without_the_repository(elsewhere, capsys):
    with pytest.raises(SystemExit) as end:
        benchmark.main(["--help"])
    assert end.value.code == 0 and "run scripts/benchmark.py --help there" in capsys.readouterr().out


def test_the_script_of_a_repository_beside_an_installed_package(elsewhere, monkeypatch):
    """Its own benchmarks are run, here and in the contestants' processes, and what was on the paths stays there."""
    root = elsewhere / "clone"
    for name in ("scripts/benchmark.py", "benchmarks/__init__.py", "benchmarks/main.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / "benchmarks" / "main.py").write_text("def main(words):\n    return len(words)\n")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(root / "scripts" / "benchmark.py"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("PYTHONPATH", "/a/folder")
    for name in [name for name in sys.modules if name.split(".")[0] == "benchmarks"]:
        monkeypatch.delitem(sys.modules, name)
    assert benchmark.main(["one", "two", "three"]) == 3
    assert os.environ["PYTHONPATH"] == f"{root}{os.pathsep}/a/folder" and sys.path.count(str(root)) == 1
    for name in ("benchmarks", "benchmarks.main"):
        sys.modules.pop(name)
