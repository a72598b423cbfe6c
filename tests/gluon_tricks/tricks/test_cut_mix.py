"""CutMix, and mixup or CutMix drawn by batch, against rectangles and targets worked out by hand."""

import dataclasses

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tricks import CutMix, Mixup, MixupOrCutMix, StepContext
from gluon_tricks.tricks.rectangles import inside
from gluon_tricks.tricks.schedule import Plan

DRAW = StepContext(seed=3, step=5, plan=Plan(steps_per_epoch=2, epochs=10))


def batch(count=4, side=8, dtype="float32"):
    """Images that are 0, 1, 2, ... all over, and their one-hot targets."""
    images = mx.nd.array(np.tile(np.arange(count).reshape(-1, 1, 1, 1), (1, 3, side, side)), dtype=dtype)
    return images, mx.nd.one_hot(mx.nd.arange(count), count)


def test_rectangles_by_hand():
    """l = 0.75: sides of half the image, 4 x 6 px of 8 x 12. In the middle whole, at a corner a quarter of it."""
    centres = np.array([[0.5, 0.5], [0.0, 0.0], [1.0 - 1e-9, 1.0 - 1e-9], [0.25, 0.9]])
    boxes = CutMix.boxes(np.full(4, 0.75), centres, height=8, width=12)
    assert boxes.tolist() == [[3, 2, 9, 6], [0, 0, 3, 2], [9, 6, 12, 8], [0, 5, 6, 8]]
    assert CutMix.boxes(np.array([1.0]), centres[:1], 8, 12).tolist() == [[6, 4, 6, 4]]  # no area
    assert CutMix.boxes(np.array([0.0]), centres[:1], 8, 12).tolist() == [[0, 0, 12, 8]]  # all of it


def test_what_is_inside_a_rectangle():
    mask = inside(np.array([[1, 0, 3, 2], [2, 2, 2, 3]]), mx.nd.zeros((2, 3, 3, 4)))
    assert mask[0, 0].asnumpy().tolist() == [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert mask.shape == (2, 1, 3, 4) and not mask[1].asnumpy().any()


@pytest.mark.parametrize("per", ["batch", "image"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_targets_are_the_shares_of_what_was_pasted(per, dtype):
    """Counted pixel by pixel: in each image its own number and its partner's alone."""
    for step in range(30):
        images, target = batch(dtype=dtype)
        mixed, of_mixed = CutMix(per=per).batch(images, target, dataclasses.replace(DRAW, step=step))
        assert mixed.dtype == images.dtype and of_mixed.dtype == np.float32
        pixels = mixed.asnumpy()
        for i, partner in enumerate((3, 2, 1, 0)):
            shares = [(pixels[i] == k).mean() for k in range(4)]
            assert shares[i] + shares[partner] == pytest.approx(1)
            np.testing.assert_allclose(of_mixed[i].asnumpy(), shares, atol=1e-6)
        assert (pixels == pixels[:, :1]).all()  # all channels alike


def test_one_rectangle_for_all_shards_or_one_for_each_image():
    images, target = batch(side=32)
    for per, alike in (("batch", True), ("image", False)):
        drawn = [
            CutMix(per=per).batch(images, target, dataclasses.replace(DRAW, shard_index=k))[1].asnumpy() for k in (0, 1)
        ]
        assert np.array_equal(*drawn) == alike
        own = np.diag(drawn[0])
        assert (len(set(own.round(6).tolist())) == 1) == alike


def test_the_share_kept_has_the_distribution_of_its_definition():
    """Clipping at the border pastes less: of l uniform the mean share kept is 0.706 by integrating its definition."""
    plan, kept = Plan(20000, 1), []
    images, target = batch(count=2, side=64)
    for step in range(1500):
        kept.append(CutMix().batch(images, target, StepContext(0, step, plan))[1][0, 0])
    # E over l of sides s = sqrt(1 - l), s in [0, 1] with density 2 s: a side inside has the mean s (1 - s / 4).
    s = np.linspace(0, 1, 20001)
    expected = 1 - np.trapz(2 * s * (s * (1 - s / 4)) ** 2, s)
    assert mx.nd.concat(*kept, dim=0).mean().asscalar() == pytest.approx(expected, abs=0.02)


def test_it_rests_in_the_last_epochs_and_with_alpha_0():
    images, target = batch()
    plan = Plan(steps_per_epoch=2, epochs=10)
    for trick, step, mixed in (
        (CutMix(off_epochs=2), 15, True), (CutMix(off_epochs=2), 16, False), (CutMix(0), 0, False),
        (MixupOrCutMix(off_epochs=2), 15, True), (MixupOrCutMix(off_epochs=2), 16, False),
    ):  # fmt: skip
        result = trick.batch(images, target, StepContext(1, step, plan))[1]
        assert bool((result != target).sum().asscalar()) is mixed


def test_each_batch_is_mixed_or_cut_as_drawn():
    """A cut image has whole numbers alone, a mixed one none but by chance; about a quarter of 400 batches are cut."""
    trick, images, target, cut = MixupOrCutMix(mixup_alpha=1.0, cut=0.25), *batch(), 0
    for step in range(400):
        draw = StepContext(seed=3, step=step, plan=Plan(400, 1))
        mixed, of_mixed = trick.batch(images, target, draw)
        is_cut = bool((mixed.round() == mixed).min().asscalar())
        alone = (CutMix(1.0) if is_cut else Mixup(1.0)).batch(images, target, draw)
        np.testing.assert_array_equal(mixed.asnumpy(), alone[0].asnumpy())
        np.testing.assert_array_equal(of_mixed.asnumpy(), alone[1].asnumpy())
        cut += is_cut
    assert 70 < cut < 130  # a standard deviation is 8.7


@pytest.mark.parametrize("cut", [0.0, 1.0])
def test_either_has_one_share_for_all_or_one_for_each_image(cut):
    """Row i is lam_i e_i + (1 - lam_i) e_(3-i): with its columns mirrored it adds up to e_i + e_(3-i)."""
    images, target = batch(side=32)
    for per, alike in (("batch", True), ("image", False)):
        of_mixed = MixupOrCutMix(1.0, 1.0, cut, per=per).batch(images, target, DRAW)[1].asnumpy()
        assert np.allclose(of_mixed + of_mixed[:, ::-1], np.eye(4) + np.eye(4)[::-1], atol=1e-6)
        assert (len({*np.diag(of_mixed).round(6).tolist()}) == 1) == alike


@pytest.mark.parametrize("cut, kind", [(0.0, Mixup), (1.0, CutMix)])
def test_permuted_partners_are_those_of_the_one_that_is_drawn(cut, kind):
    images, target = batch(count=8)
    mixed = MixupOrCutMix(1.0, 1.0, cut, partner="permuted").batch(images, target, DRAW)[1].asnumpy()
    np.testing.assert_array_equal(mixed, kind(1.0, partner="permuted").batch(images, target, DRAW)[1].asnumpy())
    assert not np.array_equal(mixed, kind(1.0).batch(images, target, DRAW)[1].asnumpy())


def test_a_recipe_mixes_in_one_way():
    recipe = Recipe().add(Mixup(0.4)).add(CutMix())
    assert recipe.tricks == (CutMix(),)
    assert Recipe.from_json(recipe.add(MixupOrCutMix(cut=0.3)).to_json()).tricks == (MixupOrCutMix(cut=0.3),)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: CutMix(-1), "alpha must be 0, or 0.0001 and more, but got"),
        (lambda: CutMix(1e-5), "alpha must be 0, or 0.0001 and more"),
        (lambda: CutMix(per="step"), "per must be 'batch' or 'image'"),
        (lambda: CutMix(partner="next"), "partner must be 'reversed' or 'permuted'"),
        (lambda: MixupOrCutMix(cut=1.5), "cut must lie in"),
        (lambda: MixupOrCutMix(mixup_alpha=-1), "alpha must be 0, or 0.0001 and more"),
        (lambda: MixupOrCutMix(per="step"), "per must be 'batch' or 'image'"),
        (lambda: MixupOrCutMix(partner="next"), "partner must be 'reversed' or 'permuted'"),
    ],
)
def test_numbers_without_sense_are_refused(make, words):
    with pytest.raises(Refused, match=words):
        make()


def test_what_has_no_effect_is_told():
    assert CutMix(off_epochs=10).doubt(Plan(1, 10)) == (
        "cut_mix is off in the last 10 epochs: it has no effect, as the run ends at epoch 10"
    )
    assert MixupOrCutMix(off_epochs=3).doubt(Plan(1, 3)).startswith("mixup_or_cut_mix is off in the last 3 epochs")
    assert CutMix(off_epochs=1).doubt(Plan(1, 1)).startswith("cut_mix is off in the last 1 epoch: ")
    assert CutMix(off_epochs=9).doubt(Plan(1, 10)) == MixupOrCutMix(off_epochs=2).doubt(Plan(1, 3)) == ""
    assert CutMix(off_epochs=2).doubt(Plan(1, 10, first_epoch=8)) != ""  # its last two are all that it has
