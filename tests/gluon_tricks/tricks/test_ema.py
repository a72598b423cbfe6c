"""How much of the average stays, by hand."""

import dataclasses

import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.recipes.recipe import Recipe, apply_setting
from gluon_tricks.tricks import Ema, StepContext
from gluon_tricks.tricks.schedule import Plan


def stays(trick, steps):
    return [trick.average(StepContext(0, step, Plan(10, 1000))) for step in steps]


def test_it_comes_up_to_its_decay():
    """1/10, 2/11, 3/12, 4/13; (1 + k) / (10 + k) is 0.9 at k = 80."""
    assert stays(Ema(0.9), range(4)) == pytest.approx([0.1, 2 / 11, 0.25, 4 / 13])
    assert stays(Ema(0.9), (79, 80, 81, 5000)) == pytest.approx([80 / 89, 0.9, 0.9, 0.9])
    assert stays(Ema(0.9, warmup=1), range(3)) == [0.9, 0.9, 0.9]


def test_timms_warm_up():
    """Powers of 8: 1 - 8^(-2/3) = 3/4, 1 - 64^(-2/3) = 15/16; and 0.99 at the 1000th. gamma 2 takes twice as long."""
    timms = Ema(0.9999, warmup=1, power=2 / 3)
    assert stays(timms, (0, 7, 63, 999)) == pytest.approx([0, 3 / 4, 15 / 16, 0.99])
    assert stays(dataclasses.replace(timms, warmup=2), (0, 14)) == pytest.approx([0, 3 / 4])
    assert stays(dataclasses.replace(timms, decay=0.9), (7, 63)) == pytest.approx([3 / 4, 0.9])


def test_it_counts_from_the_first_step_of_the_run():
    """With a start epoch as without: the average begins as the weights that the run begins with."""
    recipe = Recipe(batch_size=8, epochs=9, tricks=(Ema(0.9),))
    for start in (0, 3):
        _, plan = recipe.set(start_epoch=start).schedule(steps_per_epoch=20)
        told = [recipe.tricks[0].average(StepContext(0, 20 * start + k, plan)) for k in range(3)]
        assert told == pytest.approx([0.1, 2 / 11, 0.25])


def test_every_third_update():
    assert stays(Ema(0.9, every=3), range(7)) == [None, None, 0.1, None, None, pytest.approx(2 / 11), None]


@pytest.mark.parametrize(
    ("keep", "kept"), [("average", (True, True)), ("raw", (False, False)), ("better", (False, True))]
)
def test_which_network_is_kept(keep, kept):
    assert (Ema(keep=keep).keeps_average(0.8, 0.7), Ema(keep=keep).keeps_average(0.7, 0.7)) == kept


def test_what_it_does_not_take():
    for numbers, says in (
        ({"decay": 1.0}, r"decay must lie in \[0, 1\)"), ({"warmup": 0.5}, "warmup must be 1 or more"),
        ({"every": 0}, "every must be 1 or more"), ({"keep": "best"}, "keep must be 'average', 'raw' or 'better'"),
    ):  # fmt: skip
        with pytest.raises(Refused, match=says):
            Ema(**numbers)


def test_it_goes_through_json_and_settings():
    recipe = apply_setting(Recipe(tricks=()), "ema.decay=0.99")
    assert recipe.tricks == (Ema(0.99),) and Recipe.from_json(recipe.to_json()) == recipe
    assert recipe.copies() == 4  # weight, gradient, momentum, average
