"""Invariance curves of features that can be worked out."""

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.inside.invariance import AMOUNTS, invariance, moved


def features(images):
    """Early: the red of every pixel; late: its mean (as global average pooling has it); class 1 by it."""
    red = images[..., 0].astype(np.float64)
    mean = red.mean(axis=(1, 2))[:, None]
    return red.reshape(len(red), -1), mean, np.concatenate([1 - mean / 255, mean / 255], axis=1)


@pytest.fixture
def image():
    """A spot of 2 x 2 px in the middle of 16 x 16 black ones."""
    found = np.zeros((16, 16, 3), np.uint8)
    found[7:9, 7:9] = 200
    return found


def test_a_mean_does_not_see_a_shift(image):
    """The spot shifted by 2 px and more is wholly elsewhere: sqrt(2) times its length away, for every pixel."""
    curve = invariance(features, image[None], [1], "shift", (-0.25, 0, 0.125, 0.25), (0, 0, 0))
    np.testing.assert_allclose(curve.early[:, 0], [2**0.5, 0, 2**0.5, 2**0.5])
    assert (curve.late == 0).all() and np.ptp(curve.probability) == 0
    assert curve.probability[0, 0] == pytest.approx(4 * 200 / 256 / 255)


def test_a_shift_goes_downwards_and_what_comes_in_has_the_colour(image):
    down = moved(image, "shift", 0.25, (1, 2, 3))
    assert (down[11:13, 7:9] == 200).all() and (down[:4] == (1, 2, 3)).all() and (down == 200).sum() == 12


def test_a_range_of_amounts_is_a_list_of_them(image):
    curve = invariance(features, image[None], [0], "rotation", range(0, 91, 45))
    assert curve.amounts == (0, 45, 90)


def test_a_whole_turn_returns_to_the_start():
    images = np.random.default_rng(0).integers(0, 256, (2, 15, 15, 3)).astype(np.uint8)
    curve = invariance(features, images, [0, 1], "rotation", fill=(0, 0, 0))
    assert curve.amounts == AMOUNTS["rotation"] and curve.amounts[-1] == 360
    for values in (curve.early, curve.late):
        assert (values[[0, -1]] == 0).all() and (values[1:-1] > 0).any(axis=0).all()
    np.testing.assert_array_equal(curve.probability[0], curve.probability[-1])


def test_a_quarter_turn_is_counter_clockwise():
    """About the middle of 5 x 5 px the corner at the right goes to the left."""
    image = np.zeros((5, 5, 3), np.uint8)
    image[0, 4] = 90
    np.testing.assert_array_equal(moved(image, "rotation", 90, (0, 0, 0)), np.rot90(image))


def test_scale_enlarges_about_the_middle(image):
    """Twice as large the spot's 2 x 2 px have 4 x 4, blurred at their edges by the interpolation."""
    np.testing.assert_array_equal(moved(image, "scale", 1, (0, 0, 0)), image)
    twice = moved(image, "scale", 2, (0, 0, 0))[..., 0].astype(float)
    assert (twice[7:9, 7:9] == 200).all() and twice.sum() == pytest.approx(4 * 4 * 200, rel=0.02)


def test_the_distance_is_over_the_length_and_of_nothing_0(image):
    curve = invariance(lambda x: (x[:, 0, 0], x[:, 0, 0] * 0, x[:, 0, 0] / 255), image[None] + 50, [0], "shift", (0.5,))
    wanted = np.linalg.norm(np.array([124, 117, 104]) - 50) / np.linalg.norm([50] * 3)
    assert curve.early.item() == pytest.approx(wanted) and curve.late.item() == 0


def test_arrays_of_mxnet_are_taken(image):
    given = mx.nd.array(image[None], dtype="uint8"), mx.nd.array([1])
    assert invariance(features, *given, "shift", (0.25,)).probability.shape == (1, 1)


@pytest.mark.parametrize(
    "change, says",
    [
        ({"kind": "blur"}, "'blur' is no way to change an image: choose one of shift, scale, rotation"),
        ({"kind": None}, "None is no way to change an image"),
        ({"features": 3}, "features takes a function such as viewed.features, but got 3"),
        ({"features": lambda x: x[:, 0, 0]}, "features gives early features, late ones and .*, but gave an ndarray"),
        ({"images": np.zeros((16, 16, 3), np.uint8)}, r"images are an array .*, but got uint8 \(16, 16, 3\)"),
        ({"images": np.zeros((1, 16, 16, 3))}, "images are an array .*, but got float64"),
        ({"classes": [2]}, r"classes takes a class from 0 to 1 for each image, 1 in all, but got \[2\]"),
        ({"classes": [-1]}, "classes takes a class from 0 to 1 for each image, 1 in all"),
        ({"classes": 0}, "classes takes a class from 0 to 1 for each image, 1 in all"),
        ({"classes": [0, 1]}, "classes takes a class from 0 to 1 for each image, 1 in all"),
        ({"classes": ["red"]}, "classes takes a class from 0 to 1 for each image, 1 in all"),
        ({"amounts": 0.5}, "amounts takes numbers, at least one, but got 0.5"),
        ({"amounts": ()}, "amounts takes numbers, at least one"),
        ({"amounts": (2,)}, "amounts is 2"),
        ({"amounts": (np.nan,)}, "amounts must be finite"),
        ({"kind": "scale", "amounts": (0,)}, "amounts is 0"),
        ({"fill": (1, 2)}, "takes 3 numbers"),
        ({"fill": (1, 2, 300)}, "is 300"),
    ],
)
def test_what_cannot_be_asked_is_refused(image, change, says):
    given = {"features": features, "images": image[None], "classes": [0], "kind": "shift", "amounts": (0.5,), **change}
    with pytest.raises(Refused, match=says):
        invariance(**given)
