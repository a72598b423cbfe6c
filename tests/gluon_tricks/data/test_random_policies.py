"""TrivialAugment and RandAugment: Pillow is the oracle of the operations, torchvision of their magnitudes."""

import importlib
import json

import cv2
import numpy as np
import PIL.Image
import PIL.ImageEnhance
import PIL.ImageOps
import pytest

from gluon_tricks.cli import command_line
from gluon_tricks.core import foreign
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.keyed_random import generator
from gluon_tricks.data.crop import TRIES, AreaCrop, SideCrop
from gluon_tricks.data.loader import RecordLoader
from gluon_tricks.data.pixel_operations import OPERATIONS
from gluon_tricks.data.random_policies import (
    LEVELS,
    WITHOUT_SIGN,
    RandAugmented,
    TrivialAugmented,
    rand_magnitude,
    trivial_magnitude,
)
from gluon_tricks.data.records import Records
from gluon_tricks.recipes.kinds import recipe_from_json
from gluon_tricks.recipes.recipe import Recipe, apply_setting

THEIRS = {  # in the order in which theirs stand
    "identity": "Identity", "shear_x": "ShearX", "shear_y": "ShearY", "translate_x": "TranslateX",
    "translate_y": "TranslateY", "rotate": "Rotate", "brightness": "Brightness", "colour": "Color",
    "contrast": "Contrast", "sharpness": "Sharpness", "posterize": "Posterize", "solarize": "Solarize",
    "auto_contrast": "AutoContrast", "equalize": "Equalize",
}  # fmt: skip
NAMES = list(THEIRS)


def pictures():
    """BGR: noise, noise of few levels (which can be stretched), a smooth ramp, one colour, and one pixel."""
    draw = generator(0, "pictures")
    y, x = np.mgrid[:47, :61]
    ramp = np.stack([4 * x, 5 * y, 2 * (x + y)], axis=-1).astype(np.uint8)
    noise = draw.integers(0, 256, (40, 50, 3)).astype(np.uint8)
    few = draw.integers(60, 70, (33, 32, 3)).astype(np.uint8)
    return [noise, few, ramp, np.full((16, 16, 3), (9, 80, 250), np.uint8), noise[:1, :1].copy()]


def _affine(image, *numbers):
    return image.transform(image.size, PIL.Image.Transform.AFFINE, numbers)


PILLOWS = {
    "identity": lambda image, m: image,
    "shear_x": lambda image, m: _affine(image, 1, m, 0, 0, 1, 0),
    "shear_y": lambda image, m: _affine(image, 1, 0, 0, m, 1, 0),
    "translate_x": lambda image, m: _affine(image, 1, 0, -int(m), 0, 1, 0),
    "translate_y": lambda image, m: _affine(image, 1, 0, 0, 0, 1, -int(m)),
    "rotate": lambda image, m: image.rotate(m),
    "brightness": lambda image, m: PIL.ImageEnhance.Brightness(image).enhance(1 + m),
    "colour": lambda image, m: PIL.ImageEnhance.Color(image).enhance(1 + m),
    "contrast": lambda image, m: PIL.ImageEnhance.Contrast(image).enhance(1 + m),
    "sharpness": lambda image, m: PIL.ImageEnhance.Sharpness(image).enhance(1 + m),
    "posterize": lambda image, m: PIL.ImageOps.posterize(image, m),
    "solarize": lambda image, m: PIL.ImageOps.solarize(image, m),
    "auto_contrast": lambda image, m: PIL.ImageOps.autocontrast(image),
    "equalize": lambda image, m: PIL.ImageOps.equalize(image),
}


def pillow(name, pixels, magnitude):
    """What Pillow makes of BGR pixels."""
    return np.asarray(PILLOWS[name](PIL.Image.fromarray(pixels[..., ::-1].copy()), magnitude))[..., ::-1]


@pytest.mark.parametrize("name", NAMES)
def test_an_operation_is_pillows(name):
    """At every strength and both signs, level for level."""
    assert list(OPERATIONS) == NAMES
    for pixels in pictures():
        before = pixels.copy()
        for level in range(LEVELS):
            for magnitude in {trivial_magnitude(name, level), rand_magnitude(name, level, pixels.shape[1])}:
                for signed in {magnitude} if name in WITHOUT_SIGN else {magnitude, -magnitude}:
                    found = OPERATIONS[name](pixels, signed)
                    assert found.dtype == np.uint8
                    np.testing.assert_array_equal(found, pillow(name, pixels, signed), err_msg=f"{signed}")
        np.testing.assert_array_equal(pixels, before)


@pytest.fixture
def torchvision():
    pytest.importorskip("torch")
    try:
        foreign.import_torchvision()
    except ImportError as error:
        pytest.skip(str(error))
    return importlib.import_module("torchvision.transforms.autoaugment")


@pytest.mark.parametrize("kind", ["TrivialAugmentWide", "RandAugment"])
def test_magnitudes_are_torchvisions(kind, torchvision):
    trivial = kind == "TrivialAugmentWide"
    space = getattr(torchvision, kind)()._augmentation_space(LEVELS, *([] if trivial else [(224, 224)]))
    assert list(space) == [THEIRS[name] for name in NAMES]
    for name in NAMES:
        levels, signed = space[THEIRS[name]]
        assert signed == (name not in WITHOUT_SIGN)
        of_level = trivial_magnitude if trivial else lambda name, level: rand_magnitude(name, level, 224)
        if levels.ndim:
            ours = [of_level(name, level) for level in range(LEVELS)]
            np.testing.assert_allclose(ours, levels.numpy(), atol=1e-4)
    assert (RandAugmented(AreaCrop()).magnitude, RandAugmented(AreaCrop()).count) == (9, 2)


@pytest.mark.parametrize("name", NAMES)
def test_the_direction_is_torchvisions(name, torchvision):
    """Of a strength in the middle, on a smooth picture: but for roundings of places and levels the same."""
    pixels, magnitude = pictures()[2], trivial_magnitude(name, 13)
    nearest = torchvision.InterpolationMode.NEAREST
    image = PIL.Image.fromarray(pixels[..., ::-1].copy())
    for signed in {magnitude} if name in WITHOUT_SIGN else {magnitude, -magnitude}:
        theirs = np.asarray(torchvision._apply_op(image, THEIRS[name], signed, nearest, None))[..., ::-1]
        assert (np.abs(OPERATIONS[name](pixels, signed).astype(int) - theirs) <= 8).mean() > 0.98


def test_by_hand():
    """Some levels of one row: grey of (B 10, G 20, R 30) is 0.114 * 10 + 0.587 * 20 + 0.299 * 30 = 21.85, so 22."""
    row = np.array([[[10, 20, 30], [200, 100, 0]]], np.uint8)
    assert OPERATIONS["brightness"](row, -0.5).tolist() == [[[5, 10, 15], [100, 50, 0]]]
    assert OPERATIONS["colour"](row[:, :1], -1.0).tolist() == [[[22, 22, 22]]]
    assert OPERATIONS["posterize"](row, 4).tolist() == [[[0, 16, 16], [192, 96, 0]]]
    assert OPERATIONS["solarize"](row, 100).tolist() == [[[10, 20, 30], [55, 155, 0]]]
    assert OPERATIONS["auto_contrast"](row, 0).tolist() == [[[0, 0, 255], [255, 255, 0]]]
    assert OPERATIONS["translate_x"](row, 1.9).tolist() == [[[0, 0, 0], [10, 20, 30]]]
    assert OPERATIONS["translate_x"](row, -2.0).tolist() == [[[0, 0, 0]] * 2]
    assert (trivial_magnitude("rotate", 10), trivial_magnitude("posterize", 30)) == (45, 2)
    assert (rand_magnitude("solarize", 20, 224), rand_magnitude("translate_y", 30, 331)) == (85, 150)


def drawn(*rows):
    """Draws of (operation, strength, sign) after those of a crop."""
    more = [[(NAMES.index(name) + 0.5) / 14, (level + 0.5) / LEVELS, sign, 0.0] for name, level, sign in rows]
    return np.vstack([generator(0, "crop", 0, 5).random((TRIES, 4)), more])


def test_what_is_drawn_and_that_the_crop_is_the_one_without():
    pixels = pictures()[0]
    plain = AreaCrop().cut(pixels, 24, drawn(("identity", 0, 0.1))[:TRIES])
    trivial = TrivialAugmented(AreaCrop()).cut
    np.testing.assert_array_equal(trivial(pixels, 24, drawn(("identity", 30, 0.1))), plain)
    for sign, factor in ((0.4, 1), (0.6, -1)):
        wanted = OPERATIONS["rotate"](plain, factor * 135 * 7 / 30)
        np.testing.assert_array_equal(trivial(pixels, 24, drawn(("rotate", 7, sign))), wanted)
    both = RandAugmented(AreaCrop(), 15, 2).cut(pixels, 24, drawn(("solarize", 0, 0.9), ("shear_y", 29, 0.9)))
    np.testing.assert_array_equal(both, OPERATIONS["shear_y"](OPERATIONS["solarize"](plain, 127.5), -0.15))
    assert (TrivialAugmented(AreaCrop()).rows, RandAugmented(AreaCrop(), 9, 3).rows) == (TRIES + 1, TRIES + 3)
    scaled = RandAugmented(SideCrop((224, 224)), 9, 3).scaled(112, 224)
    assert scaled == RandAugmented(SideCrop((112, 112)), 9, 3)
    with pytest.raises(Refused, match="a crop of 300 px"):
        TrivialAugmented(SideCrop((224, 224))).require_size(300)


def test_every_operation_comes_equally_often():
    """14,000 draws: 1000 +- 4 deviations of sqrt(14000 / 14 * 13 / 14) = 30 for each."""
    u = generator(0, "u").random(14_000)
    often = np.bincount((u * len(OPERATIONS)).astype(int), minlength=14)
    assert len(often) == 14 and np.abs(often - 1000).max() < 122


@pytest.mark.parametrize("crop", [TrivialAugmented(AreaCrop()), RandAugmented(AreaCrop(), 9, 2)])
def test_batches_follow_from_seed_epoch_and_image_alone(crop, tiny_records):
    records = Records(tiny_records / "train.rec")

    def images(threads, crop, start=0, **more):
        loader = RecordLoader(
            records, **{"size": 32, "batch_size": 8, "train": True, **more}, crop=crop, threads=threads
        )
        return np.concatenate([batch.images for batch in loader.epoch(1, start)])

    changed = images(1, crop)
    np.testing.assert_array_equal(changed, images(3, crop))
    np.testing.assert_array_equal(changed[16:], images(2, crop, 2))
    two = [images(2, crop, batch_size=4, rank=rank, ranks=2).reshape(6, 4, 32, 32, 3) for rank in range(2)]
    np.testing.assert_array_equal(changed.reshape(6, 8, 32, 32, 3), np.concatenate(two, axis=1))
    differing = (changed != images(1, AreaCrop())).any((1, 2, 3)).mean()
    assert 0.6 < differing <= 1
    copies = images(1, crop, copies=8)[:8]  # eight times the first image
    assert len({copy.tobytes() for copy in copies}) == 8


def meant(*words):
    return command_line.recipe_from_flags(command_line.parse(words), 1)[0].auto_augment


def test_what_a_recipe_and_the_flag_say():
    assert [meant("--auto_aug"), meant("--auto-augment", "trivial"), meant("--auto-aug", "rand-m7-n1"), meant()] == [
        "autoaugment", "trivial", "rand-m7-n1", ""
    ]  # fmt: skip
    assert meant("--set", "auto_augment=true") == "autoaugment"
    old = Recipe().to_json()
    for before, now in ((True, "autoaugment"), (False, "")):
        assert recipe_from_json({**json.loads(json.dumps(old)), "auto_augment": before}).auto_augment == now
    for word, says in (
        ("augmix", "'augmix': choose one of autoaugment, trivial, rand, or rand with its numbers such as rand-m9-n2"),
        ("rand-m31", "m lies in 0 to 30, the number of operations n in 1 to 14"),
        ("rand-n0", "n in 1 to 14"),
        ("rand-m9-mstd0.5", "choose one of"),
    ):
        with pytest.raises(Refused, match=says):
            apply_setting(Recipe(), f"auto_augment={word}")


def test_arrays_that_pillow_lends_are_taken_on():
    """They cannot be written to; the loader and the next operation read them."""
    lent = OPERATIONS["rotate"](pictures()[0], 20.0)
    assert cv2.cvtColor(lent, cv2.COLOR_BGR2RGB).shape == lent.shape
    for name in NAMES:
        assert OPERATIONS[name](lent, 4.0).shape == lent.shape
