"""Curves of loss against iterations: what they are drawn from."""

import json

import matplotlib.pyplot as pyplot
import numpy as np
import pytest

from gluon_tricks.cli import reproduce
from gluon_tricks.core.errors import Refused
from gluon_tricks.paper.caffe_scales import CAFFE_SCALES
from gluon_tricks.paper.cells import Runs
from gluon_tricks.paper.comparison import compare
from gluon_tricks.paper.training_curves import smoothed, training_curves

STEPS, EPOCHS = 30, 3


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path, CAFFE_SCALES["small"], ("train.rec",), ("val.rec",))


def left(cell, level):
    """A finished run of 30 steps, whose loss is level + 1/step."""
    cell.folder.mkdir(parents=True)
    recipe = cell.recipe.set(classes=10)
    (cell.folder / "recipe.json").write_text(json.dumps(recipe.to_json()))
    (cell.folder / "metrics.csv").write_text(
        "epoch,val_loss,val_top1,val_top5\n"
        + "".join(f"{k},{level - k / 10},0.4,0.8\n" for k in range(1, recipe.epochs + 1))
    )
    rows = [f"{step},{level + 1 / step}" for step in range(1, STEPS + 1)]
    (cell.folder / "steps.csv").write_text("\n".join(["step,loss", *rows, ""]))


def test_a_mean_over_three_by_hand():
    np.testing.assert_allclose(smoothed(np.array([3.0, 6, 9, 0]), 3), [6, 5])


def test_what_is_drawn(runs):
    """Of the reference two seeds, of k-means one, of the others none; 4 epochs, so 7 steps each."""
    for name, seed, level in (("reference", 0, 2.0), ("reference", 1, 1.0), ("kmeans", 0, 0.5)):
        left(runs.cell(f"magic_figure3/caffenet/{name}", seed), level)
    figure = training_curves(compare("magic_figure3", runs, 2).sections[0].lines)
    training, validation = figure.axes
    raw, mean, chance = training.lines[0], training.lines[1], training.lines[-1]
    np.testing.assert_allclose(raw.get_ydata(), [1.5 + 1 / step for step in range(1, 31)])
    np.testing.assert_allclose(mean.get_xdata(), range(6, 31))  # a fifth of 30
    assert mean.get_ydata()[0] == pytest.approx(1.5 + sum(1 / step for step in range(1, 7)) / 6)
    assert chance.get_ydata()[0] == pytest.approx(np.log(10))
    of_reference, of_kmeans, _ = validation.lines
    np.testing.assert_allclose(of_reference.get_ydata(), [1.4, 1.3, 1.2, 1.1])
    np.testing.assert_allclose(of_reference.get_xdata(), [7, 14, 21, 28])
    assert of_reference.get_label() == "reference (2 seeds)" and of_kmeans.get_label() == "k-means (ours)"
    pyplot.close(figure)


def test_what_it_cannot_be_drawn_from(runs):
    assert training_curves(compare("magic_figure3", runs, 1).sections[0].lines) is None
    cell = runs.cell("magic_figure3/caffenet/kmeans", 0)
    left(cell, 1.0)
    (cell.folder / "steps.csv").write_text("step,loss\n5,1\n6,1\n")
    with pytest.raises(Refused, match="kmeans/seed0/steps.csv does not have the loss of every step"):
        training_curves(compare("magic_figure3", runs, 1).sections[0].lines)


def test_the_command_writes_the_picture_with_the_table_and_shows_without_writing(tmp_path, capsys):
    runs = Runs(tmp_path, CAFFE_SCALES["smoke"])
    words = ["magic_figure3", "--scale", "smoke", "--runs", str(tmp_path)]
    assert reproduce.main([*words, "--show"]) == 0  # nothing yet
    assert "nothing of magic_figure3 has been run" in capsys.readouterr().out
    cell = runs.cell("magic_figure3/caffenet/kmeans", 0)
    left(cell, 1.0)
    assert reproduce.main([*words, "--show"]) == 0
    assert "40.00" in capsys.readouterr().out and not list((tmp_path / "smoke").glob("magic_figure3.*"))
    assert reproduce.main([*words, "--rows", "kmeans"]) == 0  # which is done
    assert "(with curves), .md and .csv, its picture in .png too" in capsys.readouterr().out
    assert (tmp_path / "smoke" / "magic_figure3.png").stat().st_size > 10_000
    assert 'alt="loss against iterations"' in (tmp_path / "smoke" / "magic_figure3.html").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["magic_figure3", "--network", "a.params"], "nothing of magic_figure3 starts from a trained network"),
        (["magic_figure2", "--rows", "kmeans"], "--rows is for tables, and magic_figure2 is a figure"),
        (["magic_figure2", "--scale", "imagenette"], "no scale 'imagenette'"),
        (["magic_figure2", "--scale", "small"], "name their folder with --data"),
        (["magic_figure4", "--scale", "small"], "name their folder with --data"),
    ],
)
def test_what_the_command_refuses(words, says, tmp_path, capsys):
    assert reproduce.main([*words, "--runs", str(tmp_path)]) == 2
    assert says in capsys.readouterr().err
