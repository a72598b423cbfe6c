"""The script as a user runs it: a cell at the smoke scale, what it shows, and what it refuses before any work."""

import importlib.util
import pathlib

import pytest

PATH = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "reproduce.py"
spec = importlib.util.spec_from_file_location("reproduce_script", PATH)
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)


def test_a_cell_is_run_once_and_shown(tmp_path, capsys):
    words = ["table5", "--scale", "smoke", "--rows", "v1b", "--runs", str(tmp_path)]
    assert script.main(words) == 0
    out = capsys.readouterr().out
    assert "--- 1 of 1: table5/resnet50/v1b, seed 0" in out
    assert "a test of the machinery on drawn shapes" in out
    row = next(line for line in out.splitlines() if line.startswith("| ResNet-50-B"))
    assert "76.66 / 93.28" in row and "(1)" in row
    assert {p.suffix for p in (tmp_path / "smoke").glob("table5.*")} == {".md", ".csv", ".html"}
    assert script.main(words) == 0
    out = capsys.readouterr().out
    assert "--- 1 of" not in out and row in out


def test_show_runs_nothing(tmp_path, capsys):
    assert script.main(["table4", "--show", "--scale", "smoke", "--runs", str(tmp_path), "--seeds", "2"]) == 0
    out = capsys.readouterr().out
    assert out.count("not run") == 10 and "---" not in out.replace("| -", "").replace("--", "")
    assert not [path for path in (tmp_path / "smoke").iterdir() if path.is_dir()]


@pytest.mark.parametrize(
    "words, says",
    [
        (["tabel6"], "no table or figure 'tabel6': did you mean table6"),
        (["table6", "--rows", "mixupp"], "no row 'mixupp' in table6: did you mean mixup"),
        (["table6", "--columns", "resnet"], "no column 'resnet' in table6"),
        (["table6", "--scale", "imagenete"], "no scale 'imagenete': did you mean imagenet"),
        (["table6", "--seeds", "0"], "--seeds 0: give 1 or more"),
        (["table6", "--data", "/nowhere"], "neither train.rec nor a folder train"),
        (["figure3", "--scale", "smoke"], "drawn from runs of table6/resnet50_v1d/efficient"),
    ],
)
def test_refusals(words, says, tmp_path, capsys):
    assert script.main([*words, "--runs", str(tmp_path)]) == 2
    assert says in capsys.readouterr().err
