"""Schedules at their boundaries, as recipes compose them."""

import math

import pytest

from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tricks import Cosine, ExponentialDecay, LinearDecay, LinearScaling, PolyDecay, StepDecay, Warmup


def lr_at(*tricks, epochs=120, steps_per_epoch=10, **fields):
    return Recipe(epochs=epochs, tricks=tricks, **fields).schedule(steps_per_epoch)[0]


def test_warmup_rises_linearly_and_ends_at_the_rate_itself():
    lr = lr_at(Warmup(5), lr=0.4)  # m = 50: batch i has i/50 of 0.4
    assert [lr(0), lr(24), lr(49), lr(50)] == pytest.approx([0.008, 0.2, 0.4, 0.4], rel=1e-15)


def test_warmup_from_a_rate():
    lr = lr_at(Warmup(1, start_lr=0.1), lr=0.5)
    assert [lr(0), lr(4), lr(9)] == pytest.approx([0.14, 0.3, 0.5])


def test_step_decay_falls_on_the_epoch():
    lr = lr_at(StepDecay((30, 60, 90)), lr=0.1)
    assert [lr(0), lr(299), lr(300), lr(599), lr(600), lr(900), lr(1199)] == pytest.approx(
        [0.1, 0.1, 0.01, 0.01, 0.001, 1e-4, 1e-4]
    )


def test_warmup_does_not_move_the_steps_of_a_decay():
    lr = lr_at(Warmup(5), StepDecay((30,)), lr=0.1)
    assert (lr(299), lr(300)) == pytest.approx((0.1, 0.01))


def test_every_decay_but_steps_leaves_the_warmup_alone():
    """Half the rate a step: 0.2, 0.4 in a warm-up of two steps, whatever decays after it."""
    for decay in (Cosine(), ExponentialDecay(by=0.5, every=0.1), LinearDecay(), PolyDecay()):
        lr = lr_at(Warmup(0.2), decay, epochs=2, lr=0.4)
        assert (lr(0), lr(1), lr(2)) == pytest.approx((0.2, 0.4, 0.4)) and lr(3) < 0.4, decay


def test_exponential_decay_counts_from_the_end_of_the_warmup():
    """0.94 every two epochs of ten steps after a warm-up of five epochs: at steps 70 and 90."""
    lr = lr_at(Warmup(5), ExponentialDecay(), lr=1.0)
    assert [lr(49), lr(50), lr(69), lr(70), lr(89), lr(90)] == pytest.approx([1, 1, 1, 0.94, 0.94, 0.8836])


def test_cosine_is_exact_at_both_ends_and_takes_what_the_warmup_leaves():
    lr = lr_at(Warmup(5), Cosine(), epochs=15, lr=0.4)  # T = 100 after 50
    assert lr(50) == 0.4
    assert lr(100) == pytest.approx(0.2)
    assert lr(75) == pytest.approx(0.4 * 0.5 * (1 + math.sqrt(0.5)))
    assert lr(149) == pytest.approx(0.4 * 0.5 * (1 - math.cos(math.pi / 100)))
    assert lr(150) == 0.0


def test_the_order_of_warmup_and_decay_is_immaterial():
    one, other = lr_at(Warmup(3), Cosine()), lr_at(Cosine(), Warmup(3))
    assert [one(step) for step in range(1200)] == [other(step) for step in range(1200)]


def test_linear_and_polynomial():
    assert [lr_at(LinearDecay(), epochs=10, lr=1.0)(s) for s in (0, 25, 100)] == [1.0, 0.75, 0.0]
    assert [lr_at(PolyDecay(2.0), epochs=10, lr=1.0)(s) for s in (0, 50, 100)] == [1.0, 0.25, 0.0]


def test_linear_scaling_and_an_explicit_rate():
    assert Recipe(batch_size=1024, tricks=(LinearScaling(),)).base_lr() == pytest.approx(0.4)
    assert Recipe(batch_size=1024, lr=0.3, tricks=(LinearScaling(),)).base_lr() == 0.3
    assert Recipe(batch_size=1024).base_lr() == 0.1


def test_a_decay_replaces_a_decay():
    recipe = Recipe(tricks=(StepDecay(), Warmup())).add(Cosine())
    assert recipe.tricks == (Cosine(), Warmup())
