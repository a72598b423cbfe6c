"""The degradation problem: its four networks, their numbers worked out by hand, and its picture."""

import csv
import dataclasses
import io
import json

import matplotlib.colors
import pytest

from gluon_tricks.cli import reproduce
from gluon_tricks.core.errors import Refused
from gluon_tricks.paper import degradation, tables
from gluon_tricks.paper.cells import Runs, missing
from gluon_tricks.paper.comparison import compare
from gluon_tricks.paper.pictures import picture
from gluon_tricks.paper.scales import CIFAR_SCALES
from gluon_tricks.recipes.registry import get_recipe
from gluon_tricks.tricks import StepDecay

ROWS = ("plain20", "plain56", "resnet20", "resnet56")


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path, CIFAR_SCALES["small"], ("train.rec",), ("val.rec",))


def leave(runs, row, seed, training, test):
    """What a finished run leaves whose errors are halved in the last epoch; of an older version without training's."""
    cell = runs.cell(f"degradation/cifar10/{row}", seed)
    cell.folder.mkdir(parents=True)
    (cell.folder / "recipe.json").write_text(json.dumps({**cell.recipe.to_json(), "classes": 10}))
    with open(cell.folder / "metrics.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("epoch", "train_error", "val_top1", "val_top5"))
        for epoch in range(1, cell.recipe.epochs + 1):
            factor = 1 if epoch == cell.recipe.epochs else 2
            writer.writerow((epoch, "" if training is None else factor * training, 1 - factor * test, 0.99))
    return cell


@pytest.fixture
def done(runs):
    """Two seeds of all: the deeper plain net is worse in training (+0.04, +0.06) and the deeper residual one better."""
    for seed, more in ((0, 0.0), (1, 0.02)):
        leave(runs, "plain20", seed, 0.20, 0.25)
        leave(runs, "plain56", seed, 0.24 + more, 0.28)
        leave(runs, "resnet20", seed, 0.18, 0.22 + more)
        leave(runs, "resnet56", seed, 0.12, 0.20)
    return runs


def test_the_four_cells_differ_in_their_network_alone():
    recipes = [get_recipe(f"degradation/cifar10/{row}") for row in ROWS]
    assert [r.model for r in recipes] == ["cifar_plain20", "cifar_plain56", "cifar_resnet20_v1", "cifar_resnet56_v1"]
    assert len({json.dumps(r.set(name="", model="").to_json()) for r in recipes}) == 1
    for recipe in recipes:  # section 4.2 of He et al.
        assert (recipe.optimizer, recipe.momentum, recipe.wd, recipe.base_lr()) == ("sgd", 0.9, 1e-4, 0.1)
        assert (recipe.batch_size, recipe.bn_batch, recipe.crop, recipe.pad, recipe.augment) == (
            128,
            64,
            "pad",
            4,
            "flip",
        )
        lr_at, plan = recipe.schedule(50_000 // 128)
        rates = [lr_at(step) for step in (0, 31_999, 32_000, 47_999, 48_000)]
        assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001]) and 64_000 - 390 < plan.steps <= 64_000


def test_the_small_scale_is_shorter_and_nothing_else():
    for row in ROWS:
        paper, small = (
            CIFAR_SCALES[s].recipe(reproduce.get_table("degradation"), "cifar10", row) for s in ("paper", "small")
        )
        assert small == paper.set(epochs=8, bn_batch=None).add(StepDecay((4, 6)))


def test_errors_and_differences(done):
    section = compare("degradation", done, 2).sections[0]
    shown = {line.key: texts for line, texts in zip(section.lines, section.rows)}
    told = {key: [texts[h] for h in list(texts)[1:4]] for key, texts in shown.items()}
    assert told == {
        "plain20": ["-", "25.00 ± 0.00 (2)", "20.00 ± 0.00 (2)"],
        "plain56": ["-", "28.00 ± 0.00 (2)", "25.00 ± 1.41 (2)"],  # 24 and 26
        "resnet20": ["8.75", "23.00 ± 1.41 (2)", "18.00 ± 0.00 (2)"],
        "resnet56": ["6.97", "20.00 ± 0.00 (2)", "12.00 ± 0.00 (2)"],
    }
    training, test = (f"Difference, {which} error" for which in ("training", "test"))
    assert shown["plain20"][training] == ""
    # 4 and 6: t = 5 with one degree of freedom, p = 2 atan(1/5)/pi
    assert shown["plain56"][training] == "+5.00 ~ (plain-20)"
    assert shown["plain56"]["Training: p, Holm's p"] == "0.126, 0.126"  # of one test: the others are equal pairs
    assert shown["resnet20"][training] == "-2.00 ? (plain-20)" and shown["resnet20"]["Training: 95 % interval"] == ""
    # -2 and -4, t = 3; of the test errors resnet20 has a p too: -3 and -1, t = 2, p = 2 atan(1/2)/pi
    assert shown["resnet56"][test] == "-3.00 ~ (ResNet-20)" and shown["resnet56"]["Test: p, Holm's p"] == "0.205, 0.410"
    assert shown["resnet20"]["Test: p, Holm's p"] == "0.295, 0.410"


def test_a_run_without_training_errors_is_shown(runs):
    leave(runs, "plain20", 0, None, 0.25)
    section = compare("degradation", runs, 1).sections[0]
    texts, others = section.rows[:2]
    assert (texts["Ours, test error"], texts["Ours, training error"]) == ("25.00 (1)", "-")
    assert others["Ours, test error"] == "not run"
    (panel, _) = degradation.curves(section.lines).axes
    assert [line.get_label() for line in panel.lines] == ["plain-20 (1 seed), test"]


def test_a_seed_that_failed_and_other_precisions_are_told_of(done):
    failed = done.cell("degradation/cifar10/plain20", 2)
    failed.failure.write_text("refused: no room")
    stored = done.cell("degradation/cifar10/plain20", 1).folder / "recipe.json"
    stored.write_text(json.dumps({**json.loads(stored.read_text()), "dtype": "bfloat16"}))
    texts = compare("degradation", done, 3).sections[0].rows[0]
    says = "25.00 ± 0.00 (2) in bfloat16 and float32; seed 2 failed: refused: no room"
    assert texts["Ours, test error"] == says


def test_the_curves(done):
    plain, residual = degradation.curves(compare("degradation", done, 2).sections[0].lines).axes
    assert (plain.get_title(), residual.get_title()) == ("plain networks", "residual networks")
    for panel, names in ((plain, ("plain-20", "plain-56")), (residual, ("ResNet-20", "ResNet-56"))):
        labels = [f"{name} (2 seeds), {what}" for name in names for what in ("test", "training")]
        assert [line.get_label() for line in panel.lines] == labels
        for test, training in zip(panel.lines[::2], panel.lines[1::2]):
            assert test.get_linestyle() == "-" and training.get_linestyle() == "--"
            assert test.get_linewidth() > training.get_linewidth()
            colours = {matplotlib.colors.to_hex(line.get_color()) for line in (test, training)}
            assert len(colours) == 1
    deeper = plain.lines[3]  # plain-56's training error: 48 and 52, then 24 and 26
    assert list(deeper.get_xdata()) == list(range(1, 9)) and list(deeper.get_ydata()) == pytest.approx([50] * 7 + [25])


def test_a_row_of_a_users_own(done):
    lines = [dataclasses.replace(line, key="own") for line in compare("degradation", done, 2).sections[0].lines[:1]]
    plain, others = degradation.curves(lines).axes
    assert not plain.lines and len(others.lines) == 2


def test_the_files(done):
    comparison = compare("degradation", done, 2)
    text = tables.markdown(comparison)
    assert "8 epochs in place of 164" in text and "Training: of the images of the last epoch" in text
    rows = list(csv.DictReader(io.StringIO(tables.as_csv(comparison))))
    assert [row["train_error"] for row in rows[:4]] == ["20.0", "20.0", "24.0", "26.0"] and len(rows) == 8
    png, what = picture(comparison, comparison.sections[0])
    assert png[:4] == b"\x89PNG" and what == "errors against epoch"
    assert 'alt="errors against epoch"' in tables.page(comparison)


def test_nothing_has_been_run(runs):
    comparison = compare("degradation", runs, 1)
    assert picture(comparison, comparison.sections[0])[0] is None and "<img" not in tables.page(comparison)
    assert len(missing(runs.cells("degradation", (), (), 1))) == 4


def test_the_command_writes_the_picture(done, capsys, monkeypatch):
    monkeypatch.setattr(reproduce, "_with_images", lambda *rest: done)
    assert reproduce.main(["degradation", "--scale", "small", "--seeds", "2", "--runs", str(done.root)]) == 0
    assert "its picture in .png too" in capsys.readouterr().out
    assert {path.name for path in (done.root / "small").glob("degradation.*")} == {
        f"degradation.{ending}" for ending in ("csv", "html", "md", "png")
    }


def test_cifar_has_to_be_named(tmp_path, capsys):
    for scale in ("small", "paper"):
        assert reproduce.main(["degradation", "--scale", scale, "--runs", str(tmp_path)]) == 2
        assert "is trained on CIFAR-10 (the folder cifar-10-batches-bin, " in capsys.readouterr().err
    with pytest.raises(Refused, match="no scale 'imagenette'"):
        reproduce.get_scale("imagenette", CIFAR_SCALES)
