"""The record of what was tried on GluonCV's own networks, and the table that docs/gluoncv.md makes of it."""

import json
import pathlib

import pytest

from benchmarks import gluoncv_names
from model_zoo import get_model, list_gluoncv_models

ROOT = pathlib.Path(__file__).resolve().parents[2]
RECORD = ROOT / "results" / "gluoncv_names.json"


def test_the_page_has_the_records_table():
    table = gluoncv_names.table(json.loads(RECORD.read_text(encoding="utf-8"))["networks"])
    assert table in (ROOT / "docs" / "gluoncv.md").read_text(encoding="utf-8")
    rows = [line.split("`")[1] for line in table.splitlines() if line.startswith("| `")]
    assert rows == list_gluoncv_models()


def test_outcomes_become_cells_and_notes(monkeypatch):
    seen = {"parameters": 1234, "multiply_adds": 5e9, "trained": True, "onnx": "too new", "int8": "too new"}
    row = next(line for line in gluoncv_names.table({"resnet18_v2": seen}).splitlines() if "resnet18_v2" in line)
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[:5] == ["`resnet18_v2`", "224", "1,234", "5.00 G", "yes"]
    assert (
        cells.count("no [1]") == 2
        and cells.count("") == 7
        and "1. too new" in gluoncv_names.table({"resnet18_v2": seen})
    )


def test_what_a_network_cannot_do_is_the_sentence_why():
    def refused():
        get_model("resnet18_v2", classes=0)

    assert "classes=0" in gluoncv_names._outcome(refused)
    assert gluoncv_names._outcome(lambda: None) is True
    assert gluoncv_names._outcome(lambda: 1 / 0) == "ZeroDivisionError: division by zero"


def test_unknown_names_are_refused(capsys):
    assert gluoncv_names.main(["resnet18_v1"]) == 2
    assert "resnet18_v1 is none of GluonCV's own networks here" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["cifar_resnet20_v2"])
def test_a_network_is_tried(name, tmp_path):
    trial = gluoncv_names.Trial(name, tmp_path)
    trial.trained()
    assert trial.side == 32 and trial.loss > 0
    trial.symbol()
