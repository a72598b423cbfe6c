"""Paired differences against numbers worked out by hand, other implementations and published tables."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from gluon_tricks.paper import paired
from gluon_tricks.paper.paired import Effect

PAIRS = [(1.0, 2.0, 3.0), (2.0, 2.2, 1.8), (-0.4, 0.9, 0.1, -1.2, 0.3), tuple(np.linspace(-1, 2, 30))]


def test_an_effect_by_hand():
    """1, 2, 3: mean 2, standard deviation 1, t = 2 sqrt(3); of two degrees of freedom p = 1 - t / sqrt(t^2 + 2).

    t(0.975; 2) = 4.30265 in every table: 2 ± 4.30265 / sqrt(3).
    """
    effect = Effect((1.0, 2.0, 3.0))
    assert (effect.mean, effect.spread) == (2, 1)
    assert effect.p == pytest.approx(1 - math.sqrt(12 / 14))
    assert effect.interval == pytest.approx((2 - 2.48414, 2 + 2.48414), abs=1e-4)
    assert (-effect).pairs == (-1, -2, -3) and (-effect).p == effect.p


@pytest.mark.parametrize("pairs", PAIRS)
def test_effects_are_scipys(pairs):
    theirs, effect = scipy.stats.ttest_1samp(pairs, 0), Effect(pairs)
    assert effect.p == pytest.approx(theirs.pvalue)
    assert effect.interval == pytest.approx(tuple(theirs.confidence_interval(0.95)))


@pytest.mark.parametrize("pairs", [(2.5,), (2.5, 2.5), (0.0, 0.0, 0.0)])
def test_one_pair_or_equal_ones_are_no_measure_of_noise(pairs):
    effect = paired.tested({"row": pairs})["row"]
    assert effect.mark == "?" and math.isnan(effect.spread) and math.isnan(effect.p) and math.isnan(effect.could_tell)
    assert paired.shown({"row": effect}, "row", "d") == {"d": f"{pairs[0]:+.2f} ?"}
    assert paired.note([effect]) == ""


def test_holms_correction_by_hand():
    """As R's p.adjust has it: times 5, 4, 3, 2, 1, none below one before it."""
    assert paired.holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert paired.holm([0.04, 0.001, 0.9, 0.02]) == pytest.approx([0.08, 0.004, 0.9, 0.06])
    assert paired.holm([0.6, 0.7]) == [1, 1] and paired.holm([0.03]) == [0.03] and paired.holm([]) == []


def test_holms_correction_is_the_closed_test_of_bonferronis():
    """Largest over all sets of hypotheses that a p is in of the set's size times its smallest p."""
    rng = np.random.default_rng(1)
    for count in range(1, 7):
        values = list(rng.uniform(0, 0.3, count))
        sets = [chosen for k in range(1, count + 1) for chosen in itertools.combinations(range(count), k)]
        closed = [max(len(s) * min(values[j] for j in s) for s in sets if i in s) for i in range(count)]
        assert paired.holm(values) == pytest.approx([min(value, 1) for value in closed])


def test_marks_are_by_the_adjusted_p():
    """By itself each of the two would pass: bounds of 12.706 x 0.2 / sqrt(2) = 1.797 for both."""
    alone = paired.tested({"a": (1.8586, 2.1414)})["a"]
    assert alone.mark == "*" and alone.adjusted == alone.p == pytest.approx(0.0450, abs=1e-4)
    both = paired.tested({"a": (1.8586, 2.1414), "b": (1.8586, 2.1414), "equal": (1.0, 1.0), "none": ()})
    assert [both[key].mark for key in both] == ["~", "~", "?"]  # equal ones are no test
    assert both["a"].adjusted == pytest.approx(2 * alone.p)


@pytest.mark.parametrize("difference, seeds", [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_seeds_needed_are_those_of_the_tables(difference, seeds):
    """Cohen's small, medium and large effects, paired, two-sided, p 0.05, power 0.8, as G*Power has them."""
    assert paired.seeds_needed(1, difference) == seeds == paired.seeds_needed(3, -3 * difference)
    assert paired.could_tell(2, seeds) <= 2 * difference < paired.could_tell(2, seeds - 1)


def test_more_seeds_than_are_counted():
    assert paired.seeds_needed(1, 0.01) is None
    assert math.isnan(paired.could_tell(1, 1)) and math.isnan(paired.could_tell(math.nan, 5))


@pytest.mark.parametrize("seeds", [2, 3, 5, 10, 40])
def test_what_could_be_told_is_told_four_times_of_five(seeds):
    """By simulation; and by the noncentral t of scipy where it can compute that."""
    difference = paired.could_tell(1, seeds)
    pairs = np.random.default_rng(seeds).normal(difference, 1, (40_000, seeds))
    told = scipy.stats.ttest_1samp(pairs, 0, axis=1).pvalue < 0.05
    assert told.mean() == pytest.approx(0.8, abs=0.008)  # four standard deviations
    if seeds > 2:
        critical, shift = scipy.stats.t.isf(0.025, seeds - 1), difference * math.sqrt(seeds)
        sides = scipy.stats.nct.sf(critical, seeds - 1, shift), scipy.stats.nct.cdf(-critical, seeds - 1, shift)
        assert sum(sides) == pytest.approx(0.8, abs=1e-6)


def test_noise_is_pooled_by_degrees_of_freedom():
    """1, 2, 3 has 1 with 2 degrees, 0 and 4 have 8 with 1: (2 + 8) / 3; one pair has nothing to say."""
    effects = [Effect((1.0, 2.0, 3.0)), Effect((0.0, 4.0)), Effect((9.0,))]
    assert paired.pooled(effects) == pytest.approx(math.sqrt(10 / 3))
    assert math.isnan(paired.pooled(effects[2:]))


def test_an_effect_as_cells():
    effects = paired.tested({"a": (1.0, 2.0, 3.0), "b": (5.0, 5.001)})
    assert paired.shown(effects, "a", "Difference", "Test: ", " (b)") == {
        "Difference": "+2.00 ~ (b)",
        "Test: 95 % interval": "-0.48 to +4.48",
        "Test: p, Holm's p": "0.074, 0.074",
        "Test: Could tell": "3.26 (3 seeds)",
    }
    assert paired.shown(effects, "b", "Difference")["p, Holm's p"] == "under 0.001, under 0.001"
    assert set(paired.shown(effects, "c", "Difference").values()) == {""} and len(paired.shown(effects, "c", "d")) == 4
    assert paired.shown({}, "c", "Difference") == {"Difference": ""}
