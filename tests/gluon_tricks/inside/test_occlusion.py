"""Occlusion maps of a network whose answers can be worked out."""

import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.inside.occlusion import centres, occluded, occlusion_map


def sees_white(images):
    """Class 1 as likely as there is white in the image, of 4 x 4 px at most; else class 0."""
    share = (images == 255).all(axis=3).sum(axis=(1, 2)) / 16
    return np.stack([1 - share, share], axis=1)


@pytest.fixture
def image():
    """A white square of 4 x 4 px at rows 2 to 5, columns 8 to 11 of 16 x 16 black ones."""
    found = np.zeros((16, 16, 3), np.uint8)
    found[2:6, 8:12] = 255
    return found


def test_a_hidden_object_drops_its_class(image):
    """The square's middle is at 2, 6, 10, 14; it covers 2 before and 2 from there: rows 0..3, 4..7, ..."""
    found = occlusion_map(sees_white, image, patch=4, stride=4, fill=(0, 0, 0), batch_size=5)
    assert found.whole.tolist() == [0, 1] and found.top == 1
    wanted = np.ones((4, 4))
    wanted[0, 2] = wanted[1, 2] = 0.5  # rows 2 and 3, then 4 and 5, of columns 8 to 11
    np.testing.assert_array_equal(found.of(1), wanted)
    larger = occlusion_map(sees_white, image, patch=8, stride=8, fill=(0, 0, 0))  # rows 0..7 of columns 8..15
    np.testing.assert_array_equal(larger.of(1), [[1, 0], [1, 1]])
    np.testing.assert_array_equal(larger.likeliest, [[1, 0], [1, 1]])


def test_a_square_at_the_edge_is_cut_off_and_has_its_colour(image):
    hidden = occluded(image, 0, 15, 4, (1, 2, 3))
    assert (hidden[:2, 13:] == (1, 2, 3)).all() and (hidden != image).any(axis=2).sum() == 6
    assert (image[:2, 13:] == 0).all()  # a copy


def test_the_cells_cover_the_image():
    assert centres(16, 4).tolist() == [2, 6, 10, 14] and centres(10, 4).tolist() == [2, 6, 9]
    assert centres(5, 1).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "patch, stride, says",
    [
        (16, 4, "the square has 16 px and the image 16: choose 1 to 15"),
        (4, 9, "the stride is 9 px and the image has 16: choose 1 to 8"),
        (4, 0, "the stride is 0 px"),
        (0, 4, "the square has 0 px"),
    ],
)
def test_a_square_that_shows_nothing_is_refused(image, patch, stride, says):
    with pytest.raises(Refused, match=says):
        occlusion_map(sees_white, image, patch, stride)


@pytest.mark.parametrize(
    "change, says",
    [
        ({"probabilities": 3}, "probabilities takes a function such as viewed.probabilities, but got 3"),
        ({"probabilities": lambda x: (x, x, x)}, r"probabilities gives an array \(n, K\), as .* does, but gave \("),
        ({"image": np.zeros((1, 16, 16, 3), np.uint8)}, r"a photo is an array .*, but got uint8 \(1, 16, 16, 3\)"),
        ({"image": np.zeros((16, 16, 3))}, "a photo is an array .*, but got float64"),
        ({"image": "photo.png"}, "but got 'photo.png'"),
        ({"patch": 4.5}, "patch takes a whole number, but got 4.5"),
        ({"stride": None}, "stride takes a whole number, but got None"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"fill": 3}, "takes 3 numbers, but got 3"),
    ],
)
def test_what_cannot_be_asked_is_refused(image, change, says):
    with pytest.raises(Refused, match=says):
        occlusion_map(**{"probabilities": sees_white, "image": image, "patch": 4, "stride": 4, **change})


def test_too_many_places_are_refused():
    with pytest.raises(Refused, match="has 262144 places with a stride of 1 px: choose a larger one"):
        occlusion_map(sees_white, np.zeros((512, 512, 3), np.uint8), 4, 1)
