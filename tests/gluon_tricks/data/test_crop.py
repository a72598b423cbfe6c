"""The crops of training by name, on pictures whose pixels tell where they come from."""

import cv2
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.auto_augment import AutoAugmented
from gluon_tricks.data.crop import (
    TRIES,
    AreaCrop,
    CentreCrop,
    PadCrop,
    SideCrop,
    centre_crop,
    random_crop,
)
from gluon_tricks.data.random_policies import RandAugmented, TrivialAugmented
from gluon_tricks.data.recipe_crop import training_crop
from gluon_tricks.recipes.recipe import Recipe


def places(height, width):
    """(height, width, 3): each pixel has its column, its row and 7."""
    rows, columns = np.mgrid[:height, :width]
    return np.dstack([columns, rows, np.full((height, width), 7)]).astype(np.uint8)


def draws(u_side=0.0, u_x=0.0, u_y=0.0):
    return np.array([[u_side, 0.5, u_x, u_y]] * TRIES)


def corner(crop):
    """The column and row that the crop's first pixel came from; the crop is made of neighbours."""
    np.testing.assert_array_equal(crop, crop[0, 0] + places(*crop.shape[:2]) - [0, 0, 7])
    return tuple(crop[0, 0, :2].tolist())


@pytest.mark.parametrize("u, place", [((0, 0), (0, 0)), ((0.5, 0.5), (40, 20)), ((0.999, 0.999), (80, 40))])
def test_a_square_of_the_resized_image(u, place):
    """Side 100 of a 140 x 100 image leaves it as it is: 81 places in x and 41 in y for 60 px."""
    assert corner(SideCrop((100, 100)).cut(places(100, 140), 60, draws(0, *u))) == place


def test_the_side_is_uniform_among_whole_numbers_ends_included():
    """[4, 6]: thirds of [0, 1) are 4, 5 and 6. Of one grey, a 1 x 1 picture shows by its size alone."""
    seen = []
    for u in (0.0, 0.33, 0.34, 0.66, 0.67, 0.999):
        image, shapes = places(2, 2), []
        crop = SideCrop((4, 6)).cut(image, 4, draws(u, 0.999, 0.999))
        for side in (4, 5, 6):
            whole = cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)
            shapes += [side] if np.array_equal(crop, whole[side - 4 :, side - 4 :]) else []
        seen.append(shapes)
    assert seen == [[4], [4], [5], [5], [6], [6]]


def test_the_square_lies_in_the_middle():
    """Of 140 x 100 at side 100 the middle starts at column 20; 60 px have 41 places either way."""
    crop = SideCrop((100, 100), square=True)
    assert corner(crop.cut(places(100, 140), 60, draws())) == (20, 0)
    assert corner(crop.cut(places(100, 140), 60, draws(0, 0.999, 0.999))) == (60, 40)


def test_an_image_smaller_than_the_side_is_enlarged():
    crop = SideCrop((64, 64)).cut(places(8, 4), 64, draws(0, 0, 0.5))
    whole = cv2.resize(places(8, 4), (64, 128), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(crop, whole[32:96])  # 65 places: half of them is 32


@pytest.mark.parametrize("u, first", [(0.0, 0), (0.5, 96), (0.9999, 192)])
def test_of_a_very_long_image_the_ends_are_reached(u, first):
    """200 x 8: windows of 64 px lie 0 to 136 px from its end, and an 8 px square 0 to 56 from the window's: half of
    136 is 68, and half of 57 places is 28."""
    crop = SideCrop((8, 8)).cut(places(8, 200), 8, draws(0, u, 0))
    assert corner(crop) == (first, 0)


def test_a_border_is_cut_into():
    """32 px and 4 of border on each side: 9 places; the first shows four rows and columns of border."""
    image, colour = places(32, 32), (123, 117, 104)
    first, middle, last = (PadCrop(4, colour).cut(image, 32, draws(0, u, u)) for u in (0.0, 0.5, 0.999))
    assert (first[:4] == [104, 117, 123]).all() and (first[:, :4] == [104, 117, 123]).all()  # OpenCV's order is BGR
    np.testing.assert_array_equal(first[4:, 4:], image[:28, :28])
    np.testing.assert_array_equal(middle, image)
    np.testing.assert_array_equal(last[:28, :28], image[4:, 4:])
    assert (last[28:] == [104, 117, 123]).all()


def test_the_border_lies_around_what_validation_sees():
    crop = PadCrop(0, crop_ratio=0.5).cut(places(40, 60), 20, draws())
    np.testing.assert_array_equal(crop, centre_crop(places(40, 60), 20, 0.5))
    np.testing.assert_array_equal(CentreCrop(0.5).cut(places(40, 60), 20, draws()), crop)


def test_an_area_crop_is_the_part_that_random_crop_names():
    u = np.random.default_rng(0).random((TRIES, 4))
    x, y, w, h = random_crop(90, 60, u, (0.3, 0.6), (0.5, 2))
    wanted = cv2.resize(places(60, 90)[y : y + h, x : x + w], (24, 24), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(AreaCrop((0.3, 0.6), (0.5, 2)).cut(places(60, 90), 24, u), wanted)


def test_a_recipe_names_its_crop():
    recipe = Recipe(model="alexnet").resolved()
    assert training_crop(recipe) == AreaCrop((0.08, 1.0), (3 / 4, 4 / 3))
    assert training_crop(recipe.set(min_area=0.3, aspect=(1, 2))) == AreaCrop((0.3, 1.0), (1, 2))
    assert training_crop(recipe.set(crop="side", side=(256, 480))) == SideCrop((256, 480))
    assert training_crop(recipe.set(crop="square")) == SideCrop((256, 256), square=True)
    assert training_crop(recipe.set(crop="pad", pad=3)) == PadCrop(3, (124, 117, 104), recipe.crop_ratio)
    assert training_crop(recipe.set(crop="pad", pad_colour="black")) == PadCrop(4, (0, 0, 0), recipe.crop_ratio)
    assert training_crop(recipe.set(crop="centre")) == CentreCrop(recipe.crop_ratio)
    centre = CentreCrop(recipe.crop_ratio)
    for word, crop in (
        (True, AutoAugmented(centre)),
        ("autoaugment", AutoAugmented(centre)),
        ("trivial", TrivialAugmented(centre)),
        ("rand", RandAugmented(centre, 9, 2)),
        ("rand-m7-n3", RandAugmented(centre, 7, 3)),
        ("rand-n1", RandAugmented(centre, 9, 1)),
    ):
        assert training_crop(recipe.set(crop="centre", auto_augment=word)) == crop


@pytest.mark.parametrize(
    "changes, text",
    [
        ({"crop": "side", "input_size": 299}, r"input_size is 299 and side \[256, 256\]: a crop is no larger than"),
        ({"crop": "square", "input_size": 257}, r"set side to 257 or more, or input_size to 256 or less"),
        ({"side": (480, 256)}, r"side is \[480, 256\]: it takes two numbers, the lower one first"),
        ({"side": (256,)}, r"side is \[256\]: it takes two numbers"),
        ({"aspect": (2, 1)}, r"aspect is \[2, 1\]: it takes two numbers"),
        ({"crop": "random"}, "crop is 'random': choose one of area, side, square, pad, centre"),
        ({"pad": -1}, "pad is -1: it takes 0 or more"),
    ],
)
def test_crops_that_cannot_be_are_refused(changes, text):
    with pytest.raises(Refused, match=text):
        Recipe(model="alexnet").set(**changes)


def test_a_crop_larger_than_its_side_is_refused_before_an_image_is_read():
    with pytest.raises(Refused, match=r"a crop of 100 px out of images of side \[64, 128\]: low must be 100 or more"):
        SideCrop((64, 128)).require_size(100)
    with pytest.raises(Refused, match="area .* must lie in"):
        AreaCrop((0.0, 1.0))
