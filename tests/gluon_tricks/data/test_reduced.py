"""JPEGs of training that are decoded smaller, where their crop is made so much smaller anyway."""

import cv2
import mxnet as mx
import numpy as np
import PIL.Image
import pytest

from gluon_tricks.data import loader
from gluon_tricks.data.auto_augment import AutoAugmented
from gluon_tricks.data.crop import TRIES, AreaCrop, CentreCrop, PadCrop, SideCrop
from gluon_tricks.data.headers import image_header
from gluon_tricks.data.loader import RecordLoader
from gluon_tricks.data.random_policies import RandAugmented, TrivialAugmented
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.data.records import Records, decode_image
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.registry import get_recipe
from gluon_tricks.tasks.registry import task_of

WHOLE = AreaCrop((1.0, 1.0), (4 / 3, 4 / 3))  # of an image of that shape
DRAWS = np.full((TRIES + 2, 4), 0.5)


def smooth(width=400, height=300):
    """(height, width, 3) BGR in which any resize leaves what it was: it rises evenly."""
    y, x = np.mgrid[:height, :width]
    return np.dstack([x * 255 / width, y * 255 / height, np.full_like(x, 90)]).astype(np.uint8)


def encoded(kind="jpg", **shape):
    return cv2.imencode(f".{kind}", smooth(**shape))[1].tobytes()


def turned(tmp_path):
    """The picture as a camera that was held upright stores it: lying, with EXIF orientation 6."""
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    upright = PIL.Image.fromarray(smooth(300, 400)[..., ::-1].copy())
    upright.transpose(PIL.Image.Transpose.ROTATE_90).save(tmp_path / "t.jpg", exif=exif, quality=95)
    return (tmp_path / "t.jpg").read_bytes()


def records_of(folder, *images):
    with RecordWriter(folder / "r", ["a"]) as writer:
        for k, image in enumerate(images):
            writer.add(0, k, image)
    return Records(folder / "r.rec")


def test_the_sides_are_those_of_the_turned_image(tmp_path):
    assert image_header(encoded()).sides == (400, 300) and image_header(turned(tmp_path)).sides == (300, 400)
    assert image_header(encoded("png")).sides == (0, 0)


@pytest.mark.parametrize(
    "reduction, shape", [(1, (299, 401, 3)), (2, (150, 201, 3)), (4, (75, 101, 3)), (8, (38, 51, 3))]
)
def test_sides_are_rounded_up(reduction, shape):
    assert decode_image(encoded(width=401, height=299), reduction).shape == shape


def test_a_turned_image_is_turned_then_too(tmp_path):
    np.testing.assert_allclose(decode_image(turned(tmp_path), 2), smooth(150, 200), atol=6)


@pytest.mark.parametrize(
    "crop, shrinks",
    [
        (WHOLE, 3.0),
        (AreaCrop((0.25, 0.25), (4 / 3, 4 / 3)), 1.5),
        (AreaCrop((0.5, 0.5), (1.0, 1.0)), 2.45),  # 245 x 245 of 120,000 px
        (SideCrop((120, 120)), 2.5),
        (SideCrop((120, 120), square=True), 2.5),
        (SideCrop((100, 199)), 2.0),  # the drawn one is 150
        (PadCrop(4, crop_ratio=1.0), 3.0),
        (CentreCrop(0.5), 1.5),
        (TrivialAugmented(WHOLE), 3.0),
        (RandAugmented(WHOLE, 9, 2), 3.0),
        (AutoAugmented(WHOLE), 1.0),  # which changes the image before the crop
    ],
)
def test_how_much_smaller_a_crop_makes_an_image(crop, shrinks):
    """Of 400 x 300 px, to 100 px."""
    assert crop.shrinks(400, 300, 100, DRAWS[: crop.rows]) == pytest.approx(shrinks, abs=1e-9)


@pytest.mark.parametrize("size, reduction", [(32, 8), (37, 8), (38, 4), (75, 4), (76, 2), (150, 2), (151, 1), (300, 1)])
def test_the_largest_reduction_that_leaves_the_crop_its_pixels(size, reduction, tmp_path, reductions):
    records = records_of(tmp_path, encoded())
    options = dict(size=size, batch_size=1, train=True, crop=WHOLE)
    (small,), (whole,) = (list(RecordLoader(records, **options, reduced=way).epoch(0)) for way in (True, False))
    assert reductions == [reduction, 1]
    np.testing.assert_allclose(small.images.astype(int), whole.images, atol=7)  # edges, and JPEG's own noise


def test_a_crop_shows_the_same_part(tmp_path, reductions):
    """Parts of all sizes at all places, each image cropped anew in every epoch."""
    records = records_of(tmp_path, *[encoded()] * 4)
    options = dict(size=40, batch_size=4, train=True, crop=AreaCrop((0.1, 1.0), (3 / 4, 4 / 3)))
    for epoch in range(6):
        (small,), (whole,) = (list(RecordLoader(records, **options, reduced=way).epoch(epoch)) for way in (True, False))
        assert np.abs(small.images.astype(int) - whole.images).mean() < 1.5
    assert {2, 4} <= {*reductions}


def test_images_that_grow_are_reduced_by_their_epochs_size(tmp_path, reductions):
    sizes = {0: 32, 1: 64, 2: 128}
    made = RecordLoader(
        records_of(tmp_path, encoded()), size=128, batch_size=1, train=True, crop=WHOLE, reduced=True,
        size_of_epoch=sizes.get,
    )  # fmt: skip
    for epoch in sizes:
        list(made.epoch(epoch))
    assert reductions == [8, 4, 2]


def test_validation_and_other_formats_are_decoded_whole(tmp_path, reductions):
    records = records_of(tmp_path, encoded(), encoded("png"), encoded("bmp"))
    list(RecordLoader(records, size=32, batch_size=3, train=False, reduced=True).epoch(0))
    list(RecordLoader(records, size=32, batch_size=3, train=True, crop=WHOLE, reduced=True).epoch(0))
    assert sorted(reductions) == [1, 1, 1, 1, 1, 8]


def test_what_is_broken_is_left_out_as_before(tmp_path, reductions):
    records = records_of(tmp_path, *[encoded()] * 199, encoded()[:-2000])
    made = RecordLoader(records, size=32, batch_size=100, train=True, crop=WHOLE, reduced=True)
    assert sum(batch.count for batch in made.epoch(0)) == 200 and [*made.undecodable] == [199]


@pytest.mark.parametrize("recipe", [Recipe(data="few_shapes"), get_recipe("tags_few_scenes")])
@pytest.mark.parametrize("decode", ["whole", "reduced"])
def test_a_recipe_says_it(recipe, decode, tmp_path, monkeypatch):
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(tmp_path))
    monkeypatch.setattr(loader.RecordLoader, "_reduction", lambda self, *of: seen.append(self._reduced) or 1)
    seen = []
    recipe = recipe.set(model="cifar_resnet20_v1", input_size=32, batch_size=2, decode=decode, crop="area")
    task = task_of(recipe)(recipe, [mx.cpu()], 1)
    next(task.train.epoch(0))
    next(task.val.epoch(0))
    assert seen[0] is (decode == "reduced") and seen[-1] is False
