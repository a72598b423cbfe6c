"""Balanced sampling: how often each class and each image comes, the same for any ranks, threads and start."""

import cv2
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.keyed_random import generator
from gluon_tricks.data.augment import coefficients
from gluon_tricks.data.base_loader import REPEAT
from gluon_tricks.data.loader import RecordLoader
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.data.records import Records
from gluon_tricks.data.sampling import balanced_order, repeated_order, repeats
from gluon_tricks.recipes.recipe import Recipe

SIZES = (70, 3, 20, 7)  # 100 images of four classes: 25 of each in an epoch


@pytest.fixture(scope="module")
def unequal(tmp_path_factory):
    """100 images of noise of 40 px, image i being of class labels[i]."""
    path, random = tmp_path_factory.mktemp("unequal") / "train", np.random.default_rng(0)
    with RecordWriter(path, ["often", "seldom", "c", "d"]) as writer:
        for i, label in enumerate(random.permutation(np.repeat(np.arange(4), SIZES)).tolist()):
            image = random.integers(0, 256, (40, 40, 3)).astype(np.uint8)
            writer.add(label, i, cv2.imencode(".png", image)[1].tobytes())
    return Records(f"{path}.rec")


def epoch_of(records, epoch=0, start_step=0, **options):
    options = {"size": 24, "batch_size": 10, "train": True, "balanced": True, **options}
    return list(RecordLoader(records, **options).epoch(epoch, start_step))


def joined(batches, field):
    return np.concatenate([getattr(batch, field) for batch in batches])


def assert_same(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others):
        for array, same in zip(batch, other):
            np.testing.assert_array_equal(array, same)


@pytest.mark.parametrize("count", [1, 3, 4, 100, 103, 1000])
def test_every_class_comes_equally_often_and_every_image_before_any_again(count):
    labels = np.random.default_rng(1).permutation(np.repeat([0, 1, 2, 5], SIZES))
    order = balanced_order(labels, count, generator(0, "test", count))
    often = np.array([(labels[order] == k).sum() for k in (0, 1, 2, 5)])
    assert often.sum() == count and often.max() - often.min() <= 1
    for k, size in zip((0, 1, 2, 5), SIZES):
        of_class = order[labels[order] == k]
        for first in range(0, len(of_class), size):
            assert len({*of_class[first : first + size]}) == len(of_class[first : first + size])


def test_which_classes_come_once_more_is_drawn():
    """103 of four classes: three of them 26 times. In 40 draws each is the fourth sometimes."""
    labels = np.repeat(np.arange(4), SIZES)
    drawn = [np.bincount(labels[balanced_order(labels, 103, generator(0, "test", k))]) for k in range(40)]
    assert {int(often.argmin()) for often in drawn} == {0, 1, 2, 3}


def test_repeats_are_counted_in_order():
    assert repeats(np.array([7, 3, 7, 7, 3, 1])).tolist() == [0, 0, 1, 2, 1, 0]
    assert repeats(np.array([], int)).tolist() == []


def test_an_epoch_draws_as_many_images_and_of_each_class_a_fourth(unequal):
    first, second = epoch_of(unequal), epoch_of(unequal, 1)
    for batches in (first, second):
        assert len(batches) == 10 and np.bincount(joined(batches, "labels")).tolist() == [25] * 4
        np.testing.assert_array_equal(joined(batches, "labels"), unequal.labels()[joined(batches, "indices")])
    often = [{*joined(batches, "indices")[joined(batches, "labels") == 0].tolist()} for batches in (first, second)]
    assert [len(images) for images in often] == [25, 25] and often[0] != often[1]  # others of the 70
    assert (joined(first, "labels") != joined(second, "labels")).any()


def test_what_a_last_incomplete_batch_leaves_out_is_of_no_class(unequal):
    """Batches of 32: 96 images are drawn, 24 of each class, and not 100 of which 4 are dropped."""
    assert np.bincount(joined(epoch_of(unequal, batch_size=32), "labels")).tolist() == [24] * 4


def test_an_image_that_comes_again_is_cropped_and_coloured_anew(unequal):
    batches = epoch_of(unequal, 3)
    indices, epochs, images = (joined(batches, field) for field in ("indices", "epochs", "images"))
    matrix, flip = coefficients("paper", 0, epochs, indices)
    (again,) = np.nonzero(indices == np.flatnonzero(unequal.labels() == 1)[0])
    assert len(again) in (8, 9)  # 25 times three images
    assert epochs[again].tolist() == [3 + REPEAT * r for r in range(len(again))]
    assert len({images[k].tobytes() for k in again}) == len({matrix[k].tobytes() for k in again}) == len(again)
    assert {*flip[again].tolist()} == {0.0, 1.0}
    for k in again[:1]:  # the first time as in an epoch in which it comes once
        plain = epoch_of(unequal, 3, balanced=False)
        (at,) = np.nonzero(joined(plain, "indices") == indices[k])
        np.testing.assert_array_equal(images[k], joined(plain, "images")[at[0]])
        np.testing.assert_array_equal(matrix[k], coefficients("paper", 0, 3, indices[k : k + 1])[0][0])


def test_plain_sampling_is_the_shuffle_that_it_was(unequal):
    batches = epoch_of(unequal, 2, balanced=False, seed=5)
    expected = generator(5, "shuffle", 2).permutation(100)
    np.testing.assert_array_equal(joined(batches, "indices"), expected)
    assert (joined(batches, "epochs") == 2).all()


def test_the_stream_does_not_depend_on_threads_prefetch_or_start(unequal):
    whole = epoch_of(unequal, 3, threads=1)
    assert_same(whole, epoch_of(unequal, 3, threads=4, prefetch=1))
    assert_same(whole[7:], epoch_of(unequal, 3, start_step=7))
    assert (joined(epoch_of(unequal, 3, seed=1), "indices") != joined(whole, "indices")).mean() > 0.5


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_the_images_of_a_step(unequal, ranks):
    alone = epoch_of(unequal, 2, batch_size=18)
    shared = [epoch_of(unequal, 2, batch_size=18 // ranks, rank=rank, ranks=ranks) for rank in range(ranks)]
    assert len(alone) == 5
    for step, batch in enumerate(alone):
        for field in ("images", "labels", "indices", "epochs"):
            together = np.concatenate([getattr(shared[rank][step], field) for rank in range(ranks)])
            np.testing.assert_array_equal(getattr(batch, field), together)


def test_validation_has_every_image_once(unequal):
    batches = epoch_of(unequal, train=False)
    assert joined(batches, "indices").tolist() == list(range(100))


def test_an_undecodable_image_that_comes_often_counts_once(tmp_path):
    """The only image of a class, half of an epoch: it is 1 % of 100, and another one stands in its place each time."""
    with RecordWriter(tmp_path / "train", ["often", "broken"]) as writer:
        for i in range(100):
            image = cv2.imencode(".png", np.full((24, 24, 3), i, np.uint8))[1].tobytes()
            writer.add(i == 40, i, b"nothing" if i == 40 else image)
    loader = RecordLoader(Records(tmp_path / "train.rec"), size=24, batch_size=25, train=True, balanced=True)
    batches = list(loader.epoch())
    assert [batch.count for batch in batches] == [25] * 4 and sorted(loader.undecodable) == [40]
    indices = joined(batches, "indices")
    assert (indices == 41).sum() >= 50 and (indices != 40).all() and indices.min() >= 0


def test_every_image_comes_several_times_in_one_batch():
    """M = 2 and B = 4: two images, then the same two. M = 3 and B = 4: 7 7 7 3, 3 3 5 5, 5, each sorted by copies."""
    assert repeated_order(np.array([7, 3, 5, 1]), 2, 4).tolist() == [7, 3, 7, 3, 5, 1, 5, 1]
    assert repeated_order(np.array([7, 3, 5]), 3, 4).tolist() == [7, 3, 7, 7, 3, 5, 3, 5, 5]
    assert repeated_order(np.array([7, 3]), 1, 4).tolist() == [7, 3]


def test_copies_are_those_of_the_shuffle_each_augmented_anew(unequal):
    """100 images in batches of 10 with 5 copies: 2 in a step, 20 in an epoch of as many steps as without copies."""
    batches = epoch_of(unequal, 2, balanced=False, copies=5, seed=5)
    shuffle = generator(5, "shuffle", 2).permutation(100)
    assert [batch.indices.tolist() for batch in batches] == [[*shuffle[2 * s : 2 * s + 2]] * 5 for s in range(10)]
    assert batches[3].epochs.tolist() == [2 + REPEAT * r for r in (0, 0, 1, 1, 2, 2, 3, 3, 4, 4)]
    matrix, flip = coefficients("paper", 5, batches[3].epochs, batches[3].indices)
    for place in (0, 1):
        assert len({batches[3].images[k].tobytes() for k in range(place, 10, 2)}) == 5
        assert len({matrix[k].tobytes() for k in range(place, 10, 2)}) == 5
    plain = epoch_of(unequal, 2, balanced=False, seed=5)  # the first copy is as in an epoch in which it comes once
    np.testing.assert_array_equal(batches[0].images[:2], plain[0].images[:2])
    others = joined(epoch_of(unequal, 3, balanced=False, copies=5, seed=5), "indices")
    assert len({*others} | {*shuffle[:20]}) > 25


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("ranks", [2, 3])
def test_copies_are_the_same_on_any_ranks_from_any_step_on(unequal, ranks, balanced):
    options = dict(copies=4, balanced=balanced, seed=1)
    alone = epoch_of(unequal, 2, batch_size=18, **options)
    shared = [epoch_of(unequal, 2, batch_size=18 // ranks, rank=r, ranks=ranks, **options) for r in range(ranks)]
    for step, batch in enumerate(alone):
        for field in ("images", "labels", "indices", "epochs"):
            together = np.concatenate([getattr(shared[rank][step], field) for rank in range(ranks)])
            np.testing.assert_array_equal(getattr(batch, field), together)
    assert_same(alone[3:], epoch_of(unequal, 2, batch_size=18, start_step=3, threads=3, **options))
    images, often = np.unique(joined(alone, "indices"), return_counts=True)
    assert often.sum() == 90 and (often % 4 == 0).sum() >= len(images) - 1  # 22.5 times four


def test_balanced_classes_come_equally_often_with_copies(unequal):
    """Batches of 32: 96 images of 24 that are drawn, six of each class."""
    batches = epoch_of(unequal, batch_size=32, copies=4)
    assert np.bincount(joined(batches, "labels")).tolist() == [24] * 4


def test_validation_knows_no_copies(unequal):
    assert joined(epoch_of(unequal, train=False, copies=3), "indices").tolist() == list(range(100))
    with pytest.raises(Refused, match="copies is 0: it takes 1 or more"):
        epoch_of(unequal, copies=0)
    with pytest.raises(Refused, match="aug_repeats is 9 and batch_size 8: an image comes so many times in one batch"):
        Recipe(batch_size=8, aug_repeats=9)
