"""The rate that follows from validation errors: by hand, and in runs that stop, go on and are taken back."""

import csv
import dataclasses
import json

import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.paper import estimate
from gluon_tricks.paper.cells import Cell
from gluon_tricks.paper.metrics import mean_history
from gluon_tricks.paper.own_scale import sooner
from gluon_tricks.paper.speeds import kind_of
from gluon_tricks.recipes.recipe import Recipe, apply_setting
from gluon_tricks.recipes.transfer import DetectionRecipe
from gluon_tricks.tasks.classification.evaluation import ClassificationScores
from gluon_tricks.tasks.detection.metrics import DetectionScores
from gluon_tricks.tasks.protocol import errors_of
from gluon_tricks.trained.load import load_network
from gluon_tricks.training import loop
from gluon_tricks.training.divergence import Diverged
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate
from gluon_tricks.training.steps import Interrupted
from gluon_tricks.tricks import Cosine, Plateau, StepDecay, Warmup
from gluon_tricks.tricks.schedule import Plan

TWO = Plateau(by=0.1, patience=2, drops=2)


def rates(trick, errors):
    """The factor in force in each epoch, and in the one after the last."""
    return [round(trick.lr_factor(errors[:k]), 9) for k in range(len(errors) + 1)]


def test_the_rate_falls_after_so_many_epochs_without_a_new_best():
    """.5 best, .4 best, .4 and .45 not: falls before epoch 5; .3 best, .3, .3: falls again; .2, .2, .2: it ends."""
    errors = [0.5, 0.4, 0.4, 0.45, 0.3, 0.3, 0.3, 0.2, 0.2, 0.2]
    assert rates(TWO, errors) == [1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01]
    assert [TWO.ends(errors[:k]) for k in range(len(errors) + 1)] == [False] * 10 + [True]


def test_one_good_epoch_starts_the_count_again():
    assert rates(TWO, [0.5, 0.6, 0.4, 0.6, 0.3]) == [1] * 6


def test_a_gain_that_is_too_small_is_none():
    """From .50 to .49 is .01, less than .02; from .50 to .47 is enough, .49 having been no best."""
    small = dataclasses.replace(TWO, improvement=0.02)
    assert rates(small, [0.5, 0.49, 0.47, 0.46, 0.455]) == [1, 1, 1, 1, 1, 0.1]


def test_without_drops_it_only_stops_early():
    only = Plateau(patience=1, drops=0)
    assert rates(only, [0.5, 0.5]) == [1, 1, 1] and only.ends([0.5, 0.5]) and not only.ends([0.5, 0.4])


def test_it_takes_the_place_of_another_decay():
    recipe = Recipe(tricks=(Warmup(5), StepDecay()))
    assert recipe.add(Plateau()).tricks == (Warmup(5), Plateau())
    assert apply_setting(recipe, "plateau.patience=7").tricks == (Warmup(5), Plateau(patience=7))
    assert apply_setting(DetectionRecipe(), "plateau=on").tricks[1] == Plateau()
    assert recipe.add(Plateau()).open_ended and not recipe.add(Cosine()).open_ended


@pytest.mark.parametrize(
    "numbers, says",
    [
        (dict(by=0.0), "by must lie in"),
        (dict(by=2.0), "by must lie in"),
        (dict(improvement=1.0), "improvement must lie in"),
        (dict(patience=0), "patience is 0: it takes 1 or more"),
        (dict(drops=-1), "drops is -1: it takes 0 or more"),
    ],
)
def test_numbers_that_make_no_sense(numbers, says):
    with pytest.raises(Refused, match=says):
        Recipe(tricks=(Plateau(**numbers),))


@pytest.mark.parametrize("drops", [0, 1, 3])
@pytest.mark.parametrize("patience, says, least", [(1, "1 epoch", 3), (5, "5 epochs", 7)])
def test_a_doubt_where_it_can_have_no_effect(drops, patience, says, least):
    """Of errors of which none is better than the first: is there an epoch of another rate, or one that is left out?"""
    trick = Plateau(patience=patience, drops=drops)
    for epochs in range(1, 10):
        before_last = [0.5] * (epochs - 1)
        effect = rates(trick, before_last)[-1] < 1 or trick.ends(before_last)
        assert bool(trick.doubt(Plan(1, epochs))) != effect
    line = f"plateau with a patience of {says}: it has no effect in fewer than {least}, and the run has 2"
    assert trick.doubt(Plan(1, 2)) == trick.doubt(Plan(1, 9, first_epoch=7)) == line


def test_the_error_is_of_what_checkpoints_are_compared_by():
    rows = [{"val_top1": 0.75, "val_top5": 0.9, "val_loss": 1.0}, {"val_map07": 0.5, "val_map": 0.6}]
    assert errors_of(rows[:1], ClassificationScores) == [0.25] and errors_of(rows[1:], DetectionScores) == [0.5]


def test_a_scale_shortens_its_patience():
    assert sooner(Plateau(patience=10), 0.25).patience == 2 and sooner(Plateau(), 1 / 120).patience == 1


# --- in runs ------------------------------------------------------------------------------------------------------

ERRORS = [0.5, 0.4, 0.4, 0.4, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]  # patience 1: falls after 3, again after 4, ends after 6
LRS = [0.02, 0.02, 0.02, 0.002, 0.0002, 0.0002]


@pytest.fixture
def recipe(tiny_records, monkeypatch):
    """Ten epochs of three steps at most, whose validation errors are said."""
    files = {split: (str(tiny_records / f"{split}.rec"),) for split in ("train", "val")}

    finish = loop.finish_epoch

    def finishing(job, epoch, scores):
        said = ClassificationScores(1 - ERRORS[epoch], 1.0, 1.0, 20)
        finish(job, epoch, said)

    monkeypatch.setattr(loop, "finish_epoch", finishing)
    return Recipe(
        model="cifar_resnet20_v1", data="records", **files, input_size=32, epochs=10, batch_size=16, lr=0.02,
        tricks=(Plateau(patience=1, drops=2),),
    )  # fmt: skip


def metrics(run):
    return list(csv.DictReader(open(run / "metrics.csv")))


def test_a_run_ends_where_it_says(recipe, tmp_path):
    run = tmp_path / "seed0"
    train_and_evaluate(recipe, run, Options(checkpoint_epochs=4, picture_epochs=4))
    assert [float(row["lr"]) for row in metrics(run)] == pytest.approx(LRS, rel=1e-12)
    events = [json.loads(line)["event"] for line in open(run / "events.jsonl")]
    assert events[-1] == "done" and events.count("checkpoint") == 2  # of epoch 4, and the end
    assert (run / "curves.png").exists() and [p.name for p in sorted((run / "pictures").iterdir())][-1] == (
        "epoch-0006.png"
    )
    said = [line[20:] for line in (run / "log.txt").read_text().splitlines() if "no longer improves" in line]
    assert said == [
        "the validation error no longer improves: after epoch 3 the learning rate is 0.1 times the schedule's",
        "the validation error no longer improves: after epoch 4 the learning rate is 0.01 times the schedule's",
        "the validation error no longer improves: the run ends after epoch 6 of 10",
    ]
    load_network(run)

    cell = Cell("x", recipe.resolved(), run)
    assert cell.is_done() and cell.state() == "done" and cell.scores() == (0.7, 1.0)
    (run / "final.params").unlink()
    assert not cell.is_done()
    lines = (run / "metrics.csv").read_text().splitlines(keepends=True)
    (run / "metrics.csv").write_text("".join(lines[:4]))
    assert cell.state() == "3 of at most 10 epochs"


def test_it_goes_on_bit_for_bit(recipe, tmp_path):
    """Stopped in its fourth and its fifth epoch, at other rates than the first."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train_and_evaluate(recipe, whole, Options())
    for stop in (10, 14):
        asked = iter(range(1, 100))
        before = 0 if stop == 10 else 10
        with pytest.raises(Interrupted):
            train_and_evaluate(
                recipe, parts, Options(resume=True, should_stop=lambda a=asked, n=stop - before: next(a) >= n)
            )
    train_and_evaluate(recipe, parts, Options(resume=True))
    assert [row["lr"] for row in metrics(parts)] == [row["lr"] for row in metrics(whole)]
    assert (parts / "final.params").read_bytes() == (whole / "final.params").read_bytes()


def test_a_run_that_has_ended_goes_on_for_no_longer(recipe, tmp_path):
    run = tmp_path / "run"
    train_and_evaluate(recipe, run, Options())
    before = (run / "final.params").read_bytes()
    train_and_evaluate(recipe.set(epochs=20), run, Options(resume=True))
    assert "20 epochs in place of 10: validation results have ended the run after 6 epochs" in (
        (run / "log.txt").read_text()
    )
    assert (run / "final.params").read_bytes() == before and len(metrics(run)) == 6


def test_a_rollback_takes_the_rate_back_too(recipe, tmp_path, monkeypatch):
    """After epoch 5 it goes back to the checkpoint of epoch 2: the drops of 3 and 4 happen anew, at half the rate."""
    train_epoch, seen = loop.train_epoch, []

    def diverges(job, epoch):
        seen.append((epoch, job.factor(job.progress.step)))
        if epoch == 5 and not job.progress.rollbacks:
            for path in (job.journal.folder / "checkpoints").iterdir():
                if path.name > "step-000000006":
                    path.unlink() if "006" not in path.name else None
            raise Diverged(job.progress.step, "made to")
        train_epoch(job, epoch)

    monkeypatch.setattr(loop, "train_epoch", diverges)
    train_and_evaluate(recipe, tmp_path / "run", Options(keep=9))
    epochs, factors = zip(*seen)
    assert epochs == (0, 1, 2, 3, 4, 5, 2, 3, 4, 5)
    assert factors == pytest.approx((1, 1, 1, 0.1, 0.01, 0.01, 0.5, 0.05, 0.005, 0.005))


def test_a_plan_says_that_nobody_knows(tmp_path, monkeypatch):
    monkeypatch.setattr(estimate, "_rates", lambda recipes, *rest: {kind_of(recipes[0]): 1000.0})
    monkeypatch.setattr(estimate, "_images", lambda cell: (1000, 0))
    cell = Cell("table6/a/b", Recipe(epochs=10, input_size=32, tricks=(Plateau(),)), tmp_path / "seed0")
    first, last = estimate.plan([cell])
    assert first == "table6/a/b, seed 0: at most 10 epochs of 1000 images, at most 10 seconds"
    assert last.endswith("; those with a plateau may end sooner, by results that nobody knows yet")


def test_curves_of_runs_of_different_length():
    """The page has their mean: one that ended keeps its last number."""
    mean = mean_history([[10.0, 20.0, 40.0], [30.0]])
    assert mean.tolist() == [20.0, 25.0, 35.0]
