"""What is drawn, read back from the pixels."""

import cv2
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.tasks import pictures

NAMES = ["tench, Tinca tinca", "goldfish", "great white shark", "Käfer", "hen", "ostrich"]
SIZES = [(20, 20), (4000, 3000), (3000, 20), (20, 4000), (1, 1), (263, 376)]


def grey(height, width, level=128):
    return np.full((height, width, 3), level, np.uint8)


def pixels_of(picture, shade, tolerance=2):
    """Where a colour is."""
    return (np.abs(picture.astype(int) - shade).max(axis=2) <= tolerance).nonzero()


def test_colours_are_distinct_and_stable():
    shades = np.array([pictures.colour(k) for k in range(42)])
    apart = np.abs(shades[:, None] - shades[None]).max(axis=2) + 255 * np.eye(len(shades), dtype=int)
    assert apart[:21, :21].min() >= 50 and apart.min() >= 16
    # Hue 0 (red), saturation 230 and value 235 of 255: green and blue are 235 (1 - 230 / 255) = 23.04.
    assert pictures.colour(0) == (235, 23, 23) and all(type(level) is int for level in pictures.colour(7))


@pytest.mark.parametrize("size", SIZES)
def test_every_size_gives_a_picture_to_look_at(size):
    """The longer side is between 400 and 1280; the panel or the legend come on top."""
    image = grey(*size)
    drawn = pictures.boxes(image, np.array([[0, 0, size[1], size[0], 1]]), NAMES)
    masked = pictures.overlay(image, np.full(size, 2), NAMES)
    barred = pictures.bars(image, NAMES, np.full(6, 1 / 6))
    for picture in (drawn, masked, barred, pictures.grid([image] * 3)):
        assert picture.dtype == np.uint8 and picture.shape[2] == 3
    longer = min(max(*size, 400), 1280)
    assert max(drawn.shape[:2]) == longer and min(drawn.shape[:2]) >= 120
    assert masked.shape[1] == drawn.shape[1] and drawn.shape[0] < masked.shape[0] <= drawn.shape[0] + 70
    assert drawn.shape[1] + 260 <= barred.shape[1] <= drawn.shape[1] + 600
    assert drawn.shape[0] <= barred.shape[0] <= drawn.shape[0] + 400


def bar_lengths(picture):
    rows, columns = pixels_of(picture, pictures._BAR, 0)
    starts = [row for row in np.unique(rows) if row - 1 not in rows]
    return [int((rows == row).sum()) for row in starts]


def test_bars_are_as_long_as_their_probabilities():
    picture = pictures.bars(grey(300, 400), NAMES, np.array([0.1, 0.4, 0.2, 0, 0.3, np.nan]), top=4)
    lengths = bar_lengths(picture)
    full = bar_lengths(pictures.bars(grey(300, 400), NAMES, np.array([1.0, 0, 0, 0, 0, 0])))[0]
    np.testing.assert_allclose(lengths, np.array([0.4, 0.3, 0.2, 0.1]) * full, atol=1)
    assert (picture[:, 0] == 128).all() and full > 100


def ink_left(picture):
    """Whether the outermost pixels of a paper carry ink: text that left the picture, or touches its edge."""
    edges = np.concatenate([picture[0], picture[-1], picture[:, -1]])
    return (edges < 100).all(axis=1).any()


@pytest.mark.parametrize("size", SIZES)
def test_no_text_leaves_the_picture(size):
    names = ["a name that goes on and on and never comes to an end, " * 8] * 6
    white = grey(*size, level=255)
    assert not ink_left(pictures.bars(white, names, np.linspace(0, 1, 6)))
    mask = np.full(size, -1)
    mask[0, 0] = 0
    legend = pictures.overlay(white, mask, names)[len(pictures.boxes(white, np.zeros((0, 5)), NAMES)) :]
    assert not ink_left(legend) and (legend < 100).any()


def test_a_box_has_its_place_and_its_classs_colour():
    boxes = np.array([[100, 50, 300, 200, 1], [10, 210, 90, 290, 2], [-1, -1, -1, -1, -1]])
    picture = pictures.boxes(grey(300, 400), boxes, NAMES)
    rows, columns = pixels_of(picture, pictures.colour(1))
    assert abs(columns.min() - 100) <= 1 and abs(columns.max() - 300) <= 1 and abs(rows.max() - 200) <= 1
    label = pixels_of(picture[:50], pictures.colour(1))[0]
    assert label.min() == 30 and len(label) > 1000  # above the box, 20 pixels high
    assert (picture[150, 150:250] == 128).all()  # the inside is the photo's
    assert len(pixels_of(picture, pictures.colour(2))[0]) > 500


def test_boxes_scale_with_the_photo():
    picture = pictures.boxes(grey(2560, 2560), np.array([[256, 512, 1280, 2048, 3]]), NAMES)
    rows, columns = pixels_of(picture, pictures.colour(3))
    assert abs(columns.min() - 128) <= 2 and abs(rows.max() - 1024) <= 2


def test_only_boxes_that_are_sure_enough_are_drawn():
    boxes = np.array([[20, 60, 120, 160, 1], [200, 60, 300, 160, 4]])
    picture = pictures.boxes(grey(300, 400), boxes, NAMES, scores=np.array([0.49, 0.5]))
    assert len(pixels_of(picture, pictures.colour(1))[0]) == 0 < len(pixels_of(picture, pictures.colour(4))[0])
    assert (pictures.boxes(grey(300, 400), np.zeros((0, 5)), NAMES) == 128).all()


def test_labels_do_not_cover_each_other():
    taken = []
    for _ in range(8):
        place = pictures._free_place((50, 40, 90, 80), (100, 20), (300, 400), taken)
        if place:
            taken.append(place)
    # above the box, at its top inside, below it, then above and below those as far as 3 labels' heights
    assert [place[1] for place in taken] == [20, 40, 80, 60, 0, 100]
    assert all(place[0] == 50 for place in taken)
    assert pictures._free_place((390, 0, 399, 10), (100, 20), (300, 400), [])[::2] == (300, 400)
    assert pictures._free_place((0, 0, 9, 9), (100, 200), (150, 400), []) is None


def test_text_is_readable_on_every_colour():
    """Black or white, whichever is further from the colour's own brightness."""
    weights = (0.299, 0.587, 0.114)
    for k in range(30):
        shade = pictures.colour(k)
        assert abs(np.dot(pictures._ink_on(shade), weights) - np.dot(shade, weights)) >= 127


def test_overlay_colours_pixels_and_names_classes():
    mask = np.full((400, 400), 1)
    mask[:, 300:], mask[:100] = 4, -1
    picture = pictures.overlay(grey(400, 400, 100), mask, NAMES)
    for at, k in (((200, 100), 1), ((200, 350), 4)):
        expected = 0.4 * 100 + 0.6 * np.array(pictures.colour(k))
        np.testing.assert_allclose(picture[at], expected, atol=1)
    assert (picture[:100] == 100).all()
    legend = picture[400:]
    squares = [pixels_of(legend, pictures.colour(k), 0)[1] for k in range(6)]
    assert [len(square) > 50 for square in squares] == [False, True, False, False, True, False]
    assert squares[1].max() < squares[4].min()  # the larger class first

    mask[mask == 1] = 255
    picture = pictures.overlay(grey(400, 400, 100), mask, NAMES)
    assert (picture[100:400, :300] == 100).all()


def test_overlay_of_a_small_mask_keeps_its_pixels():
    """A checkerboard of 2x2 on 200 px each."""
    picture = pictures.overlay(grey(2, 2, 0), np.array([[0, 1], [1, 0]]), NAMES)[:400]
    one, other = (np.round(0.6 * np.array(pictures.colour(k))) for k in (0, 1))
    for corner, shade in (((0, 0), one), ((199, 199), one), ((0, 200), other), ((200, 199), other), ((399, 399), one)):
        assert np.abs(picture[corner] - shade).max() <= 1


def test_all_void_has_no_legend():
    assert pictures.overlay(grey(400, 300), np.full((400, 300), -1), NAMES).shape == (400, 300, 3)


def test_grid_has_targets_beside_predictions():
    tiles = [grey(100, 150, level) for level in (50, 60, 70, 80)] + [grey(960, 480, 90)]
    picture = pictures.grid(tiles, columns=2, titles=("target", "prediction"))
    # 3 rows of 480 (the tall one at half its size), 2 columns of 240, gaps of 8, a line of titles
    assert picture.shape == (8 + 24 + 3 * 488, 8 + 2 * 248, 3)
    below = picture[32:]  # letters have all levels of grey
    centres = [np.median(pixels_of(below, level, 0), axis=1) for level in (50, 60, 70, 80)]
    assert centres[0][0] == centres[1][0] < centres[2][0] == centres[3][0]
    assert centres[0][1] == centres[2][1] < centres[1][1] == centres[3][1]
    with pytest.raises(Refused, match="no pictures"):
        pictures.grid([])


def test_png_is_the_picture(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    pictures.save_png(tmp_path / "a.png", picture)
    assert (cv2.imread(str(tmp_path / "a.png"))[:, :, ::-1] == picture).all()


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_picture_is_refused(image):
    with pytest.raises(Refused, match="uint8 of shape"):
        pictures.bars(image, NAMES, np.zeros(6))


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(Refused, match="mask of shape"):
        pictures.overlay(grey(4, 5), np.zeros((5, 4), int), NAMES)
