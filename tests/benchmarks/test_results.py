"""What is said of the contestants' rounds, and of CPUs that do not multiply bfloat16."""

import cv2
import numpy as np
import pytest

from benchmarks import loader, main, models, profile, results, scaling, train, transfer
from gluon_tricks.paper.contest import Contestant


def test_a_ratio_is_that_of_the_same_rounds():
    """20/10, 30/20 and 80/20 have the median 2, where the medians' ratio is 1.5."""
    rounds = {"ours": [20.0, 30.0, 80.0], "theirs": [10.0, 20.0, 20.0]}
    said = "crops: ours 30.0 images/s, theirs 20.0 images/s: 2.00x"
    assert results.compare(rounds, "crops", "ours", "theirs") == said
    pairs = [("ours", "theirs"), ("ours", "DALI"), ("others", "theirs")]
    assert results.comparisons(rounds, "crops", pairs) == [said]


def contests(monkeypatch, module, left_out=()):
    """Nothing is measured: each contestant that is not left out has 2.0 in each round; returns who took part."""
    seen: dict[str, Contestant] = {}

    def measured(contestants, rounds):
        seen.update({contestant.name: contestant for contestant in contestants})
        return {c.name: [2.0] * rounds for c in contestants if not c.name.endswith(left_out)}

    monkeypatch.setattr(module, "measure", measured)
    return seen


@pytest.mark.parametrize("has", [True, False])
def test_a_cpu_without_bfloat16_is_measured_in_float32_and_says_so(has, tiny_records, monkeypatch):
    """It trains bfloat16 in float32: such a line would compare float32 with itself; a bare network would not run."""
    monkeypatch.setattr(results, "cpu_has_bfloat16", lambda: has)
    for module, run in (
        (train, lambda: train.run(str(tiny_records / "train.rec"), "resnet18_v1b", 32, 8, 1, 1, 2)),
        (models, lambda: models.run(["resnet18_v1b"], 2, 1, 2)),
    ):
        seen = contests(monkeypatch, module)
        _, lines = run()
        asked = {contestant.arguments.get("dtype", "float32") for contestant in seen.values()}
        assert asked == ({"float32", "bfloat16"} if has else {"float32"})
        assert (lines[-1] == results.WITHOUT_BFLOAT16) is not has
        assert any("bfloat16" in line for line in lines[:-1]) is has


@pytest.mark.parametrize("what, module", [("profile", profile), ("scaling", scaling)])
def test_bfloat16_that_is_asked_for_by_name_is_refused_there(what, module, monkeypatch, capsys):
    monkeypatch.setattr(module, "run", lambda *given, **named: ({}, ["measured"]))
    for has, code in ((True, 0), (False, 2)):
        monkeypatch.setattr(results, "cpu_has_bfloat16", lambda has=has: has)
        assert main.main([what, "--dtype", "bfloat16"]) == code
        assert main.main([what]) == 0
    said = capsys.readouterr().err
    assert said.startswith("refused: --dtype bfloat16: this CPU does not multiply it") and "measure float32" in said


def test_images_of_one_class_are_refused_before_the_loop_is_measured(tmp_path, monkeypatch, capsys):
    """A folder of one image, which stands for a class of its own."""
    monkeypatch.setattr(train, "measure", lambda *words: pytest.fail("it was measured"))
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    assert main.main(["train", "--photos", str(tmp_path), "--input-size", "32"]) == 2
    assert capsys.readouterr().err.startswith("refused: all images to train on are of one class: name a folder of ")


def test_who_dies_is_left_out_and_the_rest_is_compared(tiny_records, monkeypatch):
    rec = str(tiny_records / "train.rec")
    seen = contests(monkeypatch, loader, ("ImageRecordIter, augmented", "ours, trivial"))
    _, lines = loader.run(rec, 16, 8, 1, 1)
    assert {name for name, of in seen.items() if not of.optional} == {"ours, crop", "ours, augmented"}
    said = [line.split(": ", 1)[1] for line in lines if "DALI" not in line]
    assert [line.split(" 2.0")[0] for line in said] == [
        *("ours, crop", "ours, reduced", "ours, autoaugment", "ours, rand-m9-n2")
    ]

    seen = contests(monkeypatch, train, (train._LEFT_ALONE,))
    _, lines = train.run(rec, "resnet18_v1b", 32, 8, 1, 1, 2)
    assert {name for name, of in seen.items() if of.optional} == {"GluonCV's loop, float32", train._LEFT_ALONE}
    assert any("GluonCV's loop, float32 2.0" in line for line in lines)
    assert not any(train._LEFT_ALONE in line for line in lines)

    monkeypatch.setattr(transfer, "arrange", lambda folder: None)
    seen = contests(monkeypatch, transfer, ("training: GluonCV", "the loader"))
    _, lines = transfer.run("resnet18_v1b", "small", 2, 1, 1, 1)
    assert {name for name, of in seen.items() if not of.optional} == {
        f"{title}, {work}: ours" for title in ("Faster-RCNN", "FCN") for work in ("training", "prediction")
    }
    of_fcn = [line.split("batch 2, ")[1] for line in lines if line.startswith("FCN")]
    assert of_fcn == [
        "training: ours 2.000 s an image",
        "prediction: ours 2.000 s an image, GluonCV on the same base 2.000 s: ours takes 1.00 of its time",
        "the loop: 2.000 s an image, 1.00 of a step whose batch is there",
    ]
