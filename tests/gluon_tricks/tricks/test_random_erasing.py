"""Random erasing: rectangles by hand, what is in them, and the same draws on any number of devices."""

import dataclasses

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks.classification.task import Classification
from gluon_tricks.tricks import RandomErasing, StepContext
from gluon_tricks.tricks.random_erasing import TRIES
from gluon_tricks.tricks.schedule import Plan
from model_zoo.preprocessing import IMAGENET

DRAW = StepContext(seed=3, step=5, plan=Plan(steps_per_epoch=2, epochs=10))


def draws(*first_try, whether=0.0):
    """Of an image whose first try at a rectangle is given, and whose others would not fit."""
    return np.array([whether, *first_try, *[1.0, 1.0, 0.5, 0.5] * (TRIES - 1)])


def test_a_rectangle_by_hand():
    """A quarter of 16 x 16 px, as high as it is wide: 8 x 8; u = 0.5 puts it at int(0.5 x 9) = 4."""
    trick = RandomErasing(1.0, area=(0.25, 0.25), aspect=(1.0, 1.0))
    assert trick.box(draws(0.3, 0.3, 0.5, 0.0), 16, 16).tolist() == [4, 0, 12, 8]
    # Four times as high as wide: 64 px are 16 high and 4 wide, which is all of the height: it does not fit.
    tall = RandomErasing(1.0, area=(0.25, 0.25), aspect=(4.0, 4.0))
    assert tall.box(draws(0.3, 0.3, 0.5, 0.0), 16, 16).tolist() == [0, 0, 0, 0]
    # In 20 x 16 px: 80 px, sqrt(320) = 17.9 high and 4.5 wide, rounded 18 and 4.
    assert tall.box(draws(0.3, 0.3, 0.999, 0.999), 20, 16).tolist() == [12, 2, 16, 20]
    assert RandomErasing(0.5).box(draws(0.3, 0.3, 0.5, 0.5, whether=0.5), 16, 16).tolist() == [0, 0, 0, 0]


def test_the_second_try_is_taken_where_the_first_does_not_fit():
    trick = RandomErasing(1.0, area=(0.25, 1.0), aspect=(1.0, 1.0))
    tries = np.array([0.0, *[1.0, 0, 0, 0], *[0.0, 0, 0, 0], *[1.0, 0, 0, 0] * (TRIES - 2)])
    assert trick.box(tries, 16, 16).tolist() == [0, 0, 8, 8]


@pytest.mark.parametrize("fill", ["mean", "noise"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_is_erased_is_a_rectangle_and_the_rest_stays(fill, dtype):
    images = mx.nd.array(np.random.default_rng(0).normal(5, 1, (16, 3, 24, 32)), dtype=dtype)
    target = mx.nd.ones((16, 2))
    erased, same = RandomErasing(0.5, fill=fill).batch(images, target, DRAW)
    assert same is target and erased.dtype == images.dtype
    changed = (erased != images).asnumpy().astype(bool)
    assert 2 <= changed.any(axis=(1, 2, 3)).sum() <= 14
    inside = []
    for image, new in zip(changed, erased.asnumpy()):
        if image.any():
            rows, columns = image.any(axis=(0, 2)).nonzero()[0], image.any(axis=(0, 1)).nonzero()[0]
            part = np.s_[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            assert image[part].all() and image.sum() == image[part].size
            assert 0.015 < image[part].size / image.size < 0.36
            inside.append(new[part].ravel())
    values = np.concatenate(inside).astype(np.float64)
    if fill == "mean":
        assert not values.any()
    else:
        assert abs(values.mean()) < 0.2 and 0.8 < values.std() < 1.2


@pytest.mark.parametrize(
    "mean, std, colour, deviation",
    [
        ((0, 0, 0), (1, 1, 1), IMAGENET["mean"], IMAGENET["std"]),
        ((0, 0, 0), (255, 255, 255), [m / 255 for m in IMAGENET["mean"]], [s / 255 for s in IMAGENET["std"]]),
        (IMAGENET["mean"], (1, 1, 1), (0, 0, 0), IMAGENET["std"]),
        (IMAGENET["mean"], IMAGENET["std"], (0, 0, 0), (1, 1, 1)),
    ],
    ids=["levels", "255ths", "less the mean", "normalised"],
)
def test_what_fills_is_in_the_units_of_the_network(mean, std, colour, deviation):
    step, whole = (
        dataclasses.replace(DRAW, mean=mean, std=std),
        dict(probability=1.0, area=(0.9, 0.9), aspect=(1.0, 1.0)),
    )
    images = mx.nd.full((4, 3, 64, 64), 1e3)
    for fill in ("mean", "noise"):
        erased = RandomErasing(**whole, fill=fill).batch(images, None, step)[0].asnumpy().transpose(1, 0, 2, 3)
        for channel, level, spread in zip(erased, colour, deviation):
            values = channel[channel != 1e3]
            if fill == "mean":
                np.testing.assert_array_equal(values, np.float32(level))
            else:
                assert values.mean() == pytest.approx(level, abs=0.1 * spread)
                assert values.std() == pytest.approx(spread, rel=0.1)


def test_a_training_tells_by_what_its_images_are_normalised(tiny_records):
    """The levels themselves, in which 0 would be black."""
    files = {split: (str(tiny_records / f"{split}.rec"),) for split in ("train", "val")}
    recipe = Recipe(
        model="cifar_resnet20_v1", data="records", **files, input_size=32, batch_size=4, augment="none",
        mean=(0, 0, 0), std=(1, 1, 1), tricks=(RandomErasing(1.0),),
    )  # fmt: skip
    task = Classification(recipe, [mx.cpu()], 1)
    ((shard,),) = task.micro_batches(next(iter(task.train.epoch())), DRAW)
    images = task.preprocess(shard)[0].asnumpy().transpose(0, 2, 3, 1)
    filled = (images == np.float32(IMAGENET["mean"])).all(axis=3)
    assert filled.any(axis=(1, 2)).all()


def test_draws_follow_from_the_place_in_the_global_batch():
    """Eight images at once, or as four shards of two: the same are erased, at the same places, with the same noise."""
    images = mx.nd.array(np.random.default_rng(0).normal(5, 1, (8, 3, 16, 16)))
    for fill in ("mean", "noise"):
        trick = RandomErasing(0.7, fill=fill)
        whole = trick.batch(images, None, DRAW)[0].asnumpy()
        shards = [
            trick.batch(images[2 * k : 2 * k + 2], None, dataclasses.replace(DRAW, shard_index=k))[0].asnumpy()
            for k in range(4)
        ]
        np.testing.assert_array_equal(np.concatenate(shards), whole)
        other = trick.batch(images, None, dataclasses.replace(DRAW, step=6))[0].asnumpy()
        assert (other != whole).any()


def test_the_share_of_images_and_of_pixels():
    """Areas uniform in [0.1, 0.3] of square rectangles, which always fit: 0.2 x 0.4 of all pixels."""
    trick = RandomErasing(0.4, area=(0.1, 0.3), aspect=(1.0, 1.0))
    images = mx.nd.ones((2000, 1, 40, 40))
    erased = 1 - trick.batch(images, None, DRAW)[0].asnumpy()
    assert erased.any(axis=(1, 2, 3)).mean() == pytest.approx(0.4, abs=0.035)
    assert erased.mean() == pytest.approx(0.08, abs=0.008)


@pytest.mark.parametrize(
    "numbers, words",
    [
        (dict(probability=1.5), "probability must lie in"),
        (dict(area=(0.5, 0.1)), "area takes two numbers, the lower one first"),
        (dict(aspect=(1.0,)), "aspect takes two numbers, the lower one first"),
        (dict(fill="black"), "fill must be 'mean' or 'noise'"),
    ],
)
def test_numbers_without_sense_are_refused(numbers, words):
    with pytest.raises(Refused, match=words):
        RandomErasing(**numbers)
