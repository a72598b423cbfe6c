"""Which views are averaged with which weights, and averages and gains worked out by hand."""

import math

import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.views import PLACES, View
from gluon_tricks.tasks.classification.paired import gain
from gluon_tricks.tasks.classification.views import Views, log_probabilities, mixed, positions, views_of, weights_of
from model_zoo.preprocessing import Preprocessing

SEEN_AS = Preprocessing(224)  # of images whose shorter edge is 256 px


def labels_of(*args, seen_as=SEEN_AS):
    return [step.label for step in Views(*args).steps(seen_as)]


def test_ten_crops_and_three_scales_one_after_another():
    steps = Views("10", (224, 256, 288)).steps(SEEN_AS)
    assert [step.label for step in steps] == [
        "1 crop", "with its mirror image", "10 crops", "3 scales (224, 256, 288 px)",
    ]  # fmt: skip
    assert [len(step.weights) for step in steps] == [1, 2, 10, 22]  # at 224 px all five crops are one
    one, two, ten, all_ = (step.weights for step in steps)
    assert one == {View(256, 224): 1} and two == {View(256, 224): 1 / 2, View(256, 224, mirrored=True): 1 / 2}
    assert set(ten) == {View(256, 224, place, flip) for place in PLACES for flip in (False, True)}
    assert all_[View(224, 224)] == pytest.approx(1 / 6) and all_[View(288, 224, "top left")] == pytest.approx(1 / 30)
    assert all(sum(step.weights.values()) == pytest.approx(1) for step in steps)
    assert len(views_of(steps)) == 22


def test_what_is_added_at_which_scale():
    """Crops at the scale nearest to the network's own, 256 px; the first is always that of plain evaluation."""
    assert labels_of("1") == ["1 crop"] and Views("1").plain and not Views("flip").plain
    assert labels_of("5") == ["1 crop", "5 crops"]
    assert labels_of("flip", (300,)) == ["1 crop", "1 crop at 300 px", "with its mirror image"]
    assert labels_of("1", (240, 272)) == ["1 crop", "1 crop at 240 px", "2 scales (240, 272 px)"]
    assert labels_of("flip", (256, 384, 512), True) == [
        "1 crop", "the whole image", "with its mirror image", "3 scales (256, 384, 512 px)",
    ]  # fmt: skip
    one, whole, *_, all_ = Views("flip", (384, 512), True).steps(SEEN_AS)
    assert whole.weights == {View(384, None): 1} and one.weights == {View(256, 224): 1}
    assert set(all_.weights.values()) == {1 / 4} and View(512, None, mirrored=True) in all_.weights
    assert labels_of("10", (224, 384), seen_as=Preprocessing(224, 1.0))[:2] == ["1 crop", "with its mirror image"]


@pytest.mark.parametrize(
    "args, says",
    [
        (("7",), "there are no crops '7': choose one of 1, flip, 5, 10"),
        (("1", (256, 256)), "scales 256, 256: one of them is named twice"),
        (("1", tuple(range(224, 289))), "there are 65 scales, and 64 are the most: choose some of them"),
        (("1", (0,)), "scales 0: the shorter edge takes 1 to 8192 px"),
        (("1", (4000,), True), "scales 4000: the shorter edge takes 1 to 2048 px"),
        (("1", ("256",)), "the shorter edge takes"),
        (("10", (), True), "--dense looks at whole images, which have no 10 crops: leave out --crops, or flip"),
    ],
)
def test_choices_that_mean_nothing(args, says):
    with pytest.raises(Refused, match=says):
        Views(*args)


def test_scales_that_a_network_cannot_see():
    with pytest.raises(Refused, match="net sees crops of 224 px, which are larger than images of 100, 200 px: give"):
        Views("1", (100, 200, 256)).require("net", SEEN_AS, 0)
    with pytest.raises(Refused, match="--dense: net takes images of at least 200 px, and 100 px is less"):
        Views("1", (100, 200), True).require("net", SEEN_AS, 200)
    with pytest.raises(Refused, match="--crops 10: the crops of net are as large as its images, 224 px"):
        Views("10").require("net", Preprocessing(224, 1.0), 0)
    Views("10", (224, 225)).require("net", SEEN_AS, 0)
    Views("flip").require("net", Preprocessing(224, 1.0), 0)


def test_probabilities_are_averaged_and_not_logits():
    """Softmax of (log 3, 0) and of (0, 0): 3/4 and 1/2, mean 5/8 or, with weights 1/3 and 2/3, 7/12."""
    logits = np.array([[[math.log(3), 0], [0, 0]]], np.float32)
    means = np.exp(mixed(log_probabilities(logits), np.array([[1, 0], [0.5, 0.5], [1 / 3, 2 / 3]])))
    np.testing.assert_allclose(means[0], [[3 / 4, 1 / 4], [5 / 8, 3 / 8], [7 / 12, 5 / 12]], rtol=1e-7)


def test_probabilities_too_small_for_a_number():
    """exp(-2000) is 0 in 64 bits; its logarithm is not, and the order stays."""
    logs = log_probabilities(np.array([[[0, -2000, -1900], [0, -2000, -2100]]], np.float32))
    mean = mixed(logs, np.array([[0.5, 0.5]]))[0, 0]
    np.testing.assert_allclose(mean, [0, -2000, -1900 - math.log(2)], rtol=1e-12)


def test_a_network_without_numbers_is_never_right_and_a_view_of_no_weight_does_not_matter():
    logs = log_probabilities(np.array([[[1, 0], [np.nan, 0]]], np.float32))
    both, first = mixed(logs, np.array([[0.5, 0.5], [1, 0]]))[0]
    assert np.isnan(both).all() and np.isfinite(first).all()
    assert positions(np.stack([both, first])[None], np.array([0])).tolist() == [[2, 0]]


def test_of_equal_classes_the_lower_comes_first():
    logs = np.log(np.array([[0.2, 0.4, 0.4], [0.4, 0.2, 0.4]]))
    assert positions(logs, np.array([2, 2])).tolist() == [1, 1] and positions(logs, np.array([1, 0])).tolist() == [0, 0]


def test_weights_in_the_order_of_the_views():
    steps = Views("flip").steps(SEEN_AS)
    assert weights_of(steps, views_of(steps)).tolist() == [[1, 0], [0.5, 0.5]]


def test_a_gain_by_hand():
    """Of 98 images 7 are right in the new way alone, 2 in the old one: 5/98; with a half more each, 5/100 +- z s.

    p: of 9 that differ two or fewer on one side: 2 (1 + 9 + 36) / 512.
    """
    before, after = np.ones(98, bool), np.ones(98, bool)
    before[:7], after[7:9] = False, False
    found = gain(before, after)
    half = 1.959964 * math.sqrt(10 - 25 / 100) / 100
    assert (found.difference, found.low, found.high) == pytest.approx((5 / 98, 0.05 - half, 0.05 + half))
    assert found.p == pytest.approx(92 / 512)
    assert str(found) == "+5.10 (-1.12 to +11.12)"
    same = gain(before, before)
    assert (same.difference, same.p) == (0, 1) and same.low == -same.high < 0
