"""ImageNet models with batch normalisation: the cells of their tables, their errors worked out by hand, the figure."""

import csv
import json

import pytest

from gluon_tricks.cli import reproduce
from gluon_tricks.core.errors import Refused
from gluon_tricks.paper import cvjena, tables
from gluon_tricks.paper.cells import Runs, missing
from gluon_tricks.paper.comparison import compare
from gluon_tricks.paper.cvjena_scales import CVJENA_SCALES
from gluon_tricks.recipes.registry import get_recipe, get_table
from gluon_tricks.tricks import LinearDecay

TABLE1, FIGURE1, BN = "cvjena_table1", "cvjena_figure1", "cvjena_bn"


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path, CVJENA_SCALES["small"], ("train.rec",), ("val.rec",))


def leave(runs, name, seed, error, told=True):
    """A finished run whose top-1 error falls to `error` in the last epoch from twice that; 10 steps of 64 an epoch."""
    cell = runs.cell(name, seed)
    cell.folder.mkdir(parents=True, exist_ok=True)
    (cell.folder / "recipe.json").write_text(json.dumps({**cell.recipe.to_json(), "classes": 10}))
    if told:
        (cell.folder / "events.jsonl").write_text(json.dumps({"event": "start", "steps_per_epoch": 10}) + "\n")
    with open(cell.folder / "metrics.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("epoch", "val_top1", "val_top5", "lr", "images_per_second"))
        for epoch in range(1, cell.recipe.epochs + 1):
            factor = 1 if epoch == cell.recipe.epochs else 2
            writer.writerow((epoch, 1 - factor * error, 1 - factor * error / 4, 0.05 / epoch, 64))
    return cell


def test_the_cells_are_the_documents_recipes():
    """Section 3 of the document: its four networks as the recipes train them, and Caffe's AlexNet for 64 epochs."""
    for name in ("alexnet", "vgg19", "resnet10", "resnet50"):
        assert get_recipe(f"{TABLE1}/{name}/bn").set(name="") == get_recipe(f"cvjena/{name}").set(name="")
    original = get_recipe(f"{TABLE1}/alexnet/original")
    assert original.set(name="", tricks=(), epochs=1) == get_recipe("caffenet").set(name="", tricks=(), epochs=1)
    lr_at, plan = original.schedule(5004)
    assert plan.epochs == 64 and [lr_at(5004 * epoch) for epoch in (19, 20, 40, 60)] == pytest.approx(
        [1e-2, 1e-3, 1e-4, 1e-5]
    )
    assert [row.key for row in get_table(TABLE1).shown("vgg19")] == ["bn"]


def test_the_documents_errors():
    """Table 1: 39.9 / 18.1, 26.9 / 8.8, 36.1 / 14.8, 24.6 / 7.6, and of the originals 42.6 / 19.6."""
    table = get_table(TABLE1)
    shown = {(row.key, column): scores for row in table.rows for column, scores in row.paper.items()}
    assert shown == {
        ("original", "alexnet"): (57.4, 80.4),
        ("bn", "alexnet"): (60.1, 81.9),
        ("bn", "vgg19"): (73.1, 91.2),
        ("bn", "resnet10"): (63.9, 85.2),
        ("bn", "resnet50"): (75.4, 92.4),
    }


def test_equal_cells_are_one_run(runs):
    def names(table):
        return [cell.name for cell in runs.cells(table, (), (), 1)]

    bn, original = f"{TABLE1}/alexnet/bn", f"{TABLE1}/alexnet/original"
    assert names(FIGURE1) == [bn, f"{FIGURE1}/alexnet/constant"]
    assert names(BN) == [original, f"{BN}/alexnet/inserted", f"{BN}/alexnet/fine_tuned", bn]


@pytest.mark.parametrize("scale", CVJENA_SCALES)
def test_the_rate_falls_or_stays(scale):
    table = get_table(FIGURE1)
    linear, constant = (CVJENA_SCALES[scale].recipe(table, "alexnet", row) for row in ("linear", "constant"))
    assert constant == linear.set(name=constant.name, tricks=())
    for recipe, last in ((linear, 0.0), (constant, 0.05)):
        lr_at, plan = recipe.schedule(100)
        assert (lr_at(0), lr_at(plan.steps)) == pytest.approx((0.05, last))


@pytest.mark.parametrize("scale", CVJENA_SCALES)
def test_what_batch_normalisation_is_put_into(tmp_path, scale):
    """Both start from one network without it; the first learns nothing but its statistics, at a rate of 0."""
    runs = Runs(tmp_path, CVJENA_SCALES[scale], ("train.rec",), ("val.rec",))
    without, inserted, tuned, _ = runs.cells(BN, (), (), 2)[:4]
    for cell in (inserted, tuned):
        assert cell.source == without and cell.recipe.pretrained == str(without.folder / "final.params")
        assert cell.recipe.net == {**without.recipe.net, "batch_norm": True, "hidden_drop": 0.0}
        assert (cell.recipe.model, cell.recipe.mean) == ("caffenet", without.recipe.mean)
    assert (inserted.recipe.epochs, inserted.recipe.lr, inserted.recipe.tricks) == (1, 0, ())
    assert tuned.recipe.tricks == (LinearDecay(),) and tuned.recipe.lr == 0.01
    assert 4 * tuned.recipe.epochs == max(without.recipe.epochs, 4)
    assert missing([tuned]) == [without, tuned]


def test_scales_keep_the_rates_and_narrow_alexnet(runs):
    by_name = {cell.name: cell.recipe for cell in runs.cells(TABLE1, (), (), 1)}
    assert {name.split("/")[1]: recipe.lr for name, recipe in by_name.items() if name.endswith("bn")} == {
        "alexnet": 0.05, "vgg19": 0.01, "resnet10": 0.1, "resnet50": 0.1,
    }  # fmt: skip
    assert all((recipe.epochs, recipe.batch_size) == (12, 64) for recipe in by_name.values())
    for row, recipe in by_name.items():
        assert ("hidden" in recipe.net) == ("resnet" not in row)
        assert recipe.side == (recipe.input_size * 9 // 8,) * 2 and recipe.crop == "side"


def test_errors_beside_the_originals(runs):
    """Two seeds: 40 and 38 % without, 30 and 32 with: differences of -10 and -6, t = 4 with one degree of freedom.

    The interval is 8 ± 12.706 x 2; one test needs no correction; two seeds could tell 11.55 standard deviations.
    """
    for seed, (without, with_it) in enumerate(((0.40, 0.30), (0.38, 0.32))):
        leave(runs, f"{TABLE1}/alexnet/original", seed, without)
        leave(runs, f"{TABLE1}/alexnet/bn", seed, with_it)
    comparison = compare(TABLE1, runs, 2)
    assert [section.lines[0].column for section in comparison.sections] == ["alexnet", "vgg19", "resnet10", "resnet50"]
    original, bn = comparison.sections[0].rows
    assert list(original.values()) == [
        "the original, without batch normalisation", "42.6 / 19.6", "", "39.00 ± 1.41 (2)", "9.75 ± 0.35 (2)",
        *[""] * 4,
    ]  # fmt: skip
    assert list(bn.values()) == [
        "with batch normalisation", "39.9 / 18.1", "42.6 / 19.6", "31.00 ± 1.41 (2)", "7.75 ± 0.35 (2)",
        "-8.00 ~ (the original, without batch normalisation)", "-33.41 to +17.41", "0.156, 0.156", "32.67 (2 seeds)",
    ]  # fmt: skip
    of_resnet10 = comparison.sections[2].rows[0]
    assert of_resnet10["Original, top-1 / top-5 error"] == "- / -" and of_resnet10["Ours, top-1 error"] == "not run"
    assert "Errors of one crop in percent" in tables.markdown(comparison)


def test_a_seed_that_failed_is_told_of(runs):
    leave(runs, f"{TABLE1}/alexnet/bn", 0, 0.30)
    runs.cell(f"{TABLE1}/alexnet/bn", 1).failure.write_text("refused: no room")
    bn = compare(TABLE1, runs, 2).sections[0].rows[1]
    assert bn["Ours, top-1 error"] == "30.00 (1); seed 1 failed: refused: no room"
    assert bn["Ours, top-5 error"] == "7.50 (1)"


def test_the_time_of_training(runs):
    """640 images an epoch at 64 a second: 10 seconds an epoch."""
    cell = leave(runs, f"{TABLE1}/alexnet/bn", 0, 0.3)
    assert list(cvjena.training_hours(cell)) == pytest.approx([10 * epoch / 3600 for epoch in range(1, 13)])
    for odd in (None, "10", [10], 0):  # as somebody has left it
        (cell.folder / "events.jsonl").write_text(json.dumps({"event": "start", "steps_per_epoch": odd}) + "\n")
        assert len(cvjena.training_hours(cell)) == 0


def test_the_figure(runs):
    assert cvjena.curves(compare(FIGURE1, runs, 1).sections[0].lines) is None
    leave(runs, f"{TABLE1}/alexnet/bn", 0, 0.30)
    leave(runs, f"{TABLE1}/alexnet/bn", 1, 0.20)
    leave(runs, f"{FIGURE1}/alexnet/constant", 0, 0.40)
    panel, rates = cvjena.curves(compare(FIGURE1, runs, 2).sections[0].lines).axes
    falling, staying = panel.lines
    assert list(falling.get_ydata()) == pytest.approx([50] * 11 + [25]) and falling.get_xdata()[-1] == pytest.approx(
        120 / 3600
    )
    assert [line.get_label() for line in panel.lines] == [
        "the rate falls linearly to 0 (2 seeds): 25.00 %",
        "the rate stays (1 seed): 40.00 %",
    ]
    assert [line.get_color() for line in rates.lines] == ["grey", "grey"]
    for lines in (panel.lines, rates.lines):  # a row's error and its rate are dashed alike
        assert [line.get_linestyle() for line in lines] == ["-", "--"]
    assert list(rates.lines[0].get_ydata()[:2]) == pytest.approx([0.05, 0.025])
    assert panel.get_xlabel() == "hours of training" and len(staying.get_xdata()) == 12


def test_without_times_the_figure_is_over_epochs(runs):
    leave(runs, f"{TABLE1}/alexnet/bn", 0, 0.30, told=False)
    leave(runs, f"{FIGURE1}/alexnet/constant", 0, 0.40)
    panel, _ = cvjena.curves(compare(FIGURE1, runs, 1).sections[0].lines).axes
    assert panel.get_xlabel() == "epoch" and list(panel.lines[1].get_xdata()) == list(range(1, 13))


def test_the_command_writes_the_figure(runs, capsys, monkeypatch):
    leave(runs, f"{TABLE1}/alexnet/bn", 0, 0.30)
    leave(runs, f"{FIGURE1}/alexnet/constant", 0, 0.40)
    monkeypatch.setattr(reproduce, "_with_images", lambda *rest: runs)
    assert reproduce.main([FIGURE1, "--scale", "small", "--runs", str(runs.root)]) == 0
    assert "its picture in .png too" in capsys.readouterr().out
    assert (runs.root / "small" / f"{FIGURE1}.png").read_bytes()[:4] == b"\x89PNG"


def test_what_is_refused(tmp_path, capsys):
    for table in (TABLE1, FIGURE1, BN):
        assert reproduce.main([table, "--scale", "small", "--runs", str(tmp_path)]) == 2
        said = capsys.readouterr().err
        assert f"{table} at the scale small is trained on small photos in class folders" in said and "--data" in said
    with pytest.raises(Refused, match="no scale 'imagenette'"):
        reproduce.get_scale("imagenette", CVJENA_SCALES)
