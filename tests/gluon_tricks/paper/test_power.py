"""What --plan says before anything is run: by whose noise, and that nothing is said of what nobody knows."""

import json

import pytest

from gluon_tricks.paper import paired, power
from gluon_tricks.paper.cells import Runs
from gluon_tricks.paper.scales import get_scale


@pytest.fixture
def at(tmp_path, monkeypatch):
    """at(scale): the runs of a scale, where no checkout has records."""
    monkeypatch.setattr(power, "RECORDS", tmp_path / "records")
    return lambda scale: Runs(tmp_path / "runs", get_scale(scale))


def told(lines):
    return {line.split(": ")[0].rpartition("/")[2]: line.partition(": ")[2] for line in lines[1:]}


def test_nothing_is_known_before_anything_was_run(at, leave):
    unknown = ["what a number of seeds could tell is not known: no pairs of seeds have been measured"]
    assert power.plan("table5", at("imagenette"), 5) == unknown
    assert power.plan("table5", at("imagenette"), 5, rows=["v1"]) == []  # it differs from no row
    leave(at("imagenette"), "table5/resnet50/v1", 0.60)
    leave(at("imagenette"), "table5/resnet50/v1b", 0.62)
    assert power.plan("table5", at("imagenette"), 5) == unknown  # one pair is none


def test_the_noise_is_that_of_the_nearest_pairs(at, leave):
    """v1b - v1: 1, 2, 3 points, standard deviation 1. Five seeds could tell 1.68, and 0.45 takes 41."""
    runs = at("imagenette")
    leave(runs, "table5/resnet50/v1", 0.60, 0.60, 0.60)
    leave(runs, "table5/resnet50/v1b", 0.61, 0.62, 0.63)
    first, *_ = lines = power.plan("table5", runs, 5)
    assert first == "by the noise of the pairs measured so far (80 % power, p 0.05 of one test):"
    said = told(lines)
    assert said["v1b"] == (
        "5 seeds could tell 1.68 points; the paper's +0.45 takes 41 seeds (standard deviation 1.00 of 3 pairs)"
    )
    assert paired.could_tell(1, 41) < 0.45 < paired.could_tell(1, 40)
    assert said["v1d"].endswith("(standard deviation 1.00 of 3 pairs of this column)")
    assert told(power.plan("table5", runs, None))["v1b"].startswith("1 seed can tell nothing; the paper's +0.45 takes")
    alone = told(power.plan("table5", runs, 5, rows=["v1d"]))
    assert alone == {"v1d": "there will be 0 pairs, as v1c is not run: add it to --rows"}
    assert list(told(power.plan("table5", runs, 5, rows=["v1c", "v1d"]))) == ["v1c", "v1d"]
    assert told(power.plan("table5", runs, 3, rows=["v1b"]))["v1b"].startswith("3 seeds could tell")  # v1 is done
    assert told(power.plan("table5", runs, 5, rows=["v1b"]))["v1b"].startswith("there will be 3 pairs, as v1 is not")
    # table 6's first row is ResNet-50-D of table 5: of that column nothing is known, nor of another one
    assert power.plan("table6", runs, 5)[0].startswith("what a number of seeds could tell is not known")


def test_the_noise_of_another_column_and_of_another_proxy(at, leave):
    runs = at("imagenette")
    leave(runs, "table6/mobilenet1.0/efficient", 0.30, 0.30)
    leave(runs, "table6/mobilenet1.0/cosine", 0.40, 0.42)
    where = {
        "imagenette": ("2 pairs of other columns", "2 pairs"),
        "long": ("2 pairs of other columns at the scale imagenette", "2 pairs at the scale imagenette"),
    }
    for scale, (of_resnet, of_mobilenet) in where.items():
        for column, of in (("resnet50_v1d", of_resnet), ("mobilenet1.0", of_mobilenet)):
            assert told(power.plan("table6", at(scale), 3, [column]))["cosine"].endswith(f"deviation 1.41 of {of})")
    for scale in ("smoke", "imagenet"):  # whose noise no proxy knows
        assert power.plan("table6", at(scale), 3)[0].startswith("what a number of seeds could tell is not known")


def test_the_records_of_a_checkout_are_known(at, leave, tmp_path):
    records = Runs(tmp_path / "records", get_scale("imagenette"))
    leave(records, "table5/resnet50/v1", 0.60, 0.60, 0.60)
    leave(records, "table5/resnet50/v1b", 0.61, 0.62, 0.63)
    said = told(power.plan("table5", at("imagenette"), 3))
    assert said["v1b"].startswith("3 seeds could tell 3.26 points; ")
    assert said["v1b"].endswith("of 3 pairs of results/tables)")
    assert said["v1d"].endswith("of 3 pairs of this column of results/tables)")


def test_records_of_another_recipe_say_nothing(at, leave, tmp_path):
    records = Runs(tmp_path / "records", get_scale("imagenette"))
    leave(records, "table5/resnet50/v1", 0.60, 0.60)
    leave(records, "table5/resnet50/v1b", 0.61, 0.62)
    path = records.cell("table5/resnet50/v1b", 0).folder / "recipe.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "input_size": 32}))
    assert power.plan("table5", at("imagenette"), 3)[0].startswith("what a number of seeds could tell is not known")
