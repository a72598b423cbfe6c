"""Figure 1 of data-dependent initialisation: what it is drawn from."""

import json

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.paper import change_rates
from gluon_tricks.paper.cells import Runs
from gluon_tricks.paper.scales import SCALES


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
    monkeypatch.setattr(change_rates, "measured", lambda runs: found)
    figure = change_rates.magic_figure1(Runs(tmp_path, SCALES["smoke"]), 1)
    assert [len(panel.lines) for panel in figure.axes] == [5, 5]
    stored = json.loads((tmp_path / "smoke" / "magic_figure1.json").read_text())
    assert stored["k-means (ours)"][0]["layer"] == "stage1.0"
    drawn = figure.axes[0].lines[4].get_ydata()
    assert np.allclose(drawn, [rate["mean"] for rate in stored["k-means (ours)"]])
