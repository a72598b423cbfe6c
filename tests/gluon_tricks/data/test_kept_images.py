"""Images that are decoded once and stay in memory: the same batches, and no more memory than was given."""

import logging

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import byte_size
from gluon_tricks.data import kept_images
from gluon_tricks.data.crop import AreaCrop, CentreCrop, PadCrop, SideCrop
from gluon_tricks.data.kept_images import KeptImages, room_for_images
from gluon_tricks.data.loader import RecordLoader
from gluon_tricks.data.recipe_crop import with_policy
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.data.records import Records
from gluon_tricks.recipes.recipe import DECODINGS, Recipe
from gluon_tricks.recipes.registry import get_recipe
from gluon_tricks.tasks.registry import task_of

SHAPE = (40, 48, 3)
BYTES = 40 * 48 * 3
CROPS = {"area": AreaCrop(), "side": SideCrop((40, 56)), "square": SideCrop((40, 56), square=True),
         "as_is": SideCrop((40, 40)), "pad": PadCrop(4, crop_ratio=1.0), "centre": CentreCrop(1.0)}  # fmt: skip


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("kept"), np.random.default_rng(0)
    with RecordWriter(folder / "r", ["a", "b"]) as writer:
        for k in range(12):
            pixels = cv2.resize(rng.integers(0, 256, (5, 6, 3), np.uint8), SHAPE[1::-1])
            writer.add(k % 2, k, cv2.imencode(".png" if k % 3 else ".jpg", pixels)[1].tobytes())
    return Records(folder / "r.rec")


def batches(records, epochs=3, **options):
    made = RecordLoader(records, **{"size": 32, "batch_size": 4, "train": True, "seed": 7, **options})
    return [batch for epoch in range(epochs) for batch in made.epoch(epoch)]


def assert_same(one, other):
    assert len(one) == len(other) > 0
    for mine, theirs in zip(one, other):
        for field in mine._fields:
            np.testing.assert_array_equal(getattr(mine, field), getattr(theirs, field), field)


@pytest.mark.parametrize("policy", ["", "trivial", "rand-m9-n2", "autoaugment"])
@pytest.mark.parametrize("crop", CROPS)
def test_every_crop_is_the_same_and_decodes_once(crop, policy, records, reductions):
    crop = with_policy(CROPS[crop], policy)
    wanted = batches(records, crop=crop)
    assert len(reductions) == 36
    assert_same(batches(records, crop=crop, keep=10**9), wanted)
    assert len(reductions) == 36 + 12


@pytest.mark.parametrize("way", [dict(train=False), dict(balanced=True), dict(copies=2), dict(threads=3),
                                 dict(size_of_epoch=lambda epoch: 16 + 8 * epoch)])  # fmt: skip
def test_in_every_way_of_reading(way, records):
    assert_same(batches(records, keep=10**9, **way), batches(records, **way))


def test_an_epoch_that_is_gone_on_with(records):
    made, other = (RecordLoader(records, size=32, batch_size=4, train=True, keep=keep) for keep in (10**9, 0))
    assert_same([*made.epoch(1, 1), *made.epoch(2, 2)], [*other.epoch(1, 1), *other.epoch(2, 2)])


@pytest.mark.parametrize("room, kept", [(5 * BYTES, 5), (6 * BYTES - 1, 5), (BYTES - 1, 0), (12 * BYTES, 12)])
def test_no_more_than_there_is_room_for(room, kept, records, reductions, caplog):
    with caplog.at_level(logging.WARNING, "gluon_tricks.data"):
        assert_same(batches(records, keep=room, threads=1), batches(records))
    assert len(reductions) == 36 + 12 + 2 * (12 - kept)
    says = f"12 decoded images do not all fit into {byte_size(room)} of memory: each epoch decodes the others"
    assert caplog.messages == [says] * (kept < 12)


def test_one_that_is_too_large_keeps_no_smaller_one_out():
    kept = KeptImages(10, of=3)
    for image, side in ((0, 2), (1, 1), (2, 1), (0, 2)):
        kept.keep(image, image, np.zeros((side, side, 3), np.uint8))
    assert [kept.get(image) is not None for image in range(3)] == [False, True, True]


def test_what_is_read_once_is_not_kept(tmp_path, monkeypatch):
    """The images of an own mean, of an initialisation, of a picture."""
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(tmp_path))
    made, begin = [], RecordLoader.__init__

    def watched(self, *args, **named):
        made.append(named.get("keep", 0))
        begin(self, *args, **named)

    monkeypatch.setattr(RecordLoader, "__init__", watched)
    recipe = Recipe(data="few_shapes", mean_of="channels", model="cifar_resnet20_v1", input_size=32, batch_size=8)
    task = task_of(recipe)(recipe.set(decode="once"), [mx.cpu()], 1)
    task.sample(4)
    task._drawn_batch()
    assert [keep > 0 for keep in made] == [False, True, True, False, False]


def test_what_cannot_be_decoded_is_left_out_as_before(tmp_path, reductions):
    whole = cv2.imencode(".jpg", np.zeros(SHAPE, np.uint8))[1].tobytes()
    with RecordWriter(tmp_path / "r", ["a"]) as writer:
        for k in range(200):
            writer.add(0, k, whole if k != 150 else whole[:-300])
    made = RecordLoader(Records(tmp_path / "r.rec"), size=32, batch_size=100, train=True, keep=10**9)
    for epoch in range(2):
        assert sum(batch.count for batch in made.epoch(epoch)) == 200 and [*made.undecodable] == [150]
    assert len(reductions) in (
        201,
        202,
    )  # the broken one twice, and the one in its place perhaps by two threads at once


def test_reduced_images_are_not_kept(records):
    with pytest.raises(Refused, match="reduced and keep: .* leave one out"):
        RecordLoader(records, size=32, batch_size=4, train=True, reduced=True, keep=1)
    with pytest.raises(Refused, match="keep is -1"):
        RecordLoader(records, size=32, batch_size=4, train=True, keep=-1)


def test_the_ranks_of_a_machine_share_a_quarter_of_what_is_free(monkeypatch):
    monkeypatch.setattr(kept_images, "available_memory", lambda: 8000)
    assert room_for_images() == 2000
    monkeypatch.setenv("HOROVOD_LOCAL_SIZE", "4")
    assert room_for_images() == 500


@pytest.mark.parametrize("recipe", [Recipe(data="few_shapes"), get_recipe("tags_few_scenes")])
@pytest.mark.parametrize("decode", DECODINGS)
def test_a_recipe_says_it(recipe, decode, tmp_path, monkeypatch):
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(tmp_path))
    recipe = recipe.set(model="cifar_resnet20_v1", input_size=32, batch_size=2, decode=decode, crop="area")
    task = task_of(recipe)(recipe, [mx.cpu()], 1)
    for side in (task.train, task.val):
        batch = next(side.epoch(0))
        kept = [image for image in batch.indices.tolist() if side._kept.get(image)]
        assert kept == (batch.indices.tolist() if decode == "once" else [])


def test_it_decides_nothing():
    once = Recipe(decode="once")
    assert once.deciding("cells") == Recipe().deciding("cells") != Recipe(decode="reduced").deciding("cells")
    assert not once.differences(Recipe(), "resume")
