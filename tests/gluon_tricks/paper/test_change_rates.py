"""Figure 1 of data-dependent initialisation: what it is drawn from."""

import dataclasses
import json

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.initialise.data import change_rates as rates_of
from gluon_tricks.networks.load import Trained
from gluon_tricks.paper import change_rates
from gluon_tricks.paper.cells import Runs
from gluon_tricks.paper.scales import SCALES
from gluon_tricks.tasks.classification.task import Classification
from model_zoo import get_model
from model_zoo.mean_image import MeanImage


@pytest.fixture(scope="module")
def found():
    rng = np.random.default_rng(0)
    images = rng.standard_normal((12, 3, 21, 21)).repeat(3, axis=2).repeat(3, axis=3) * 60
    images = mx.nd.array(images)
    return {name: change_rates.rates_from(start, images, 10) for name, start in change_rates.STARTS.items()}


def test_ours_are_flat_and_the_others_are_not(found):
    """As in the document: log C~ of ours varies by less than a third of what the same filters without it vary."""
    spread = {name: np.std([np.log(rate.mean) for rate in rates]) for name, rates in found.items()}
    assert all(len(rates) == 8 for rates in found.values())
    assert spread["Gaussian (ours)"] < spread["Gaussian"] / 3 and spread["k-means (ours)"] < spread["k-means"] / 3
    assert spread["Gaussian (Caffe)"] > 1


def test_the_figure_and_its_numbers(found, tmp_path, monkeypatch):
    monkeypatch.setattr(change_rates, "measured", lambda runs, networks: found)
    figure = change_rates.magic_figure1(Runs(tmp_path, SCALES["smoke"]), 1)
    assert figure.get_suptitle().startswith("CaffeNet before training, on the first 100 training images")
    assert [len(panel.lines) for panel in figure.axes] == [5, 5]
    stored = json.loads((tmp_path / "smoke" / "magic_figure1.json").read_text())
    assert stored["k-means (ours)"][0]["layer"] == "stage1.0"
    drawn = figure.axes[0].lines[4].get_ydata()
    assert np.allclose(drawn, [rate["mean"] for rate in stored["k-means (ours)"]])
    figure = change_rates.magic_figure1(Runs(tmp_path, SCALES["smoke"]), 1, ["mine.params"])
    assert figure.get_suptitle().startswith("CaffeNet before training, and trained, on the first 100 training images")


def trained(model, **shape) -> Trained:
    mx.random.seed(1)
    net = get_model(model, classes=10, **shape)
    net.initialize()
    net(mx.nd.zeros((1, 3, 63, 63)))
    return Trained(net)


def test_a_trained_network_is_a_curve_of_its_own(tmp_path, monkeypatch):
    """Its rates are those of the network, on images as it takes them, and stand beside the beginnings'."""
    opened, seen = trained("caffenet", hidden=16), np.random.default_rng(0).standard_normal((8, 3, 63, 63))
    opened.net.preprocessing = dataclasses.replace(opened.net.preprocessing, input_size=63)
    asked = []
    monkeypatch.setattr(change_rates, "STARTS", {})
    monkeypatch.setattr(change_rates, "open_classifier", lambda source, ctx: opened)
    monkeypatch.setattr(
        Classification, "sample", lambda task, count: asked.append(task.recipe.input_size) or mx.nd.array(seen)
    )
    found = change_rates.measured(Runs(tmp_path, SCALES["smoke"]), ["mine.params"])
    assert asked[0] == 63 and found == {"mine.params": rates_of(opened.net, seen)}
    mean, std = opened.net.preprocessing.mean, opened.net.preprocessing.std
    image = np.full((63, 63, 3), mean, np.float32) + std * np.arange(63)[:, None, None] / 63
    opened.net.preprocessing = dataclasses.replace(opened.net.preprocessing, mean_image=MeanImage.of(image))
    (by_pixels,) = change_rates.measured(Runs(tmp_path, SCALES["smoke"]), ["mine.params"]).values()
    expected = rates_of(opened.net, seen - np.arange(63)[:, None] / 63)
    assert [rate.mean for rate in by_pixels] == pytest.approx([rate.mean for rate in expected], rel=1e-3)
    assert by_pixels[0].mean != pytest.approx(found["mine.params"][0].mean, rel=1e-2)


def test_a_network_that_the_figure_cannot_show(tmp_path, monkeypatch):
    runs = Runs(tmp_path, SCALES["smoke"])
    with pytest.raises(Refused, match="there is no run or file nowhere"):
        change_rates.measured(runs, ["nowhere"])
    for name in ("cifar_resnet20_v1", "zfnet"):  # the latter has eight layers too
        net = get_model(name, classes=10)
        monkeypatch.setattr(change_rates, "open_classifier", lambda source, ctx, net=net: Trained(net))
        with pytest.raises(Refused, match=f"mine is a {name}, and the figure is of CaffeNet: name a CaffeNet"):
            change_rates.measured(runs, ["mine"])


def test_each_beginning_is_told_when_it_is_measured(tmp_path, monkeypatch, capsys):
    told = []
    monkeypatch.setattr(change_rates, "rates_from", lambda *words: told.append(capsys.readouterr().out) or [])
    monkeypatch.setattr(Classification, "sample", lambda task, count: mx.nd.zeros((count, 3, 63, 63)))
    assert [*change_rates.measured(Runs(tmp_path, SCALES["smoke"]))] == [*change_rates.STARTS]
    assert told == [f"change rates on 100 images: {name}\n" for name in change_rates.STARTS]
