"""Views of one image, against places worked out by hand, and the batches that they come in."""

import cv2
import numpy as np
import pytest

from gluon_tricks.data import loader as loader_module
from gluon_tricks.data import views as module
from gluon_tricks.data.base_loader import ReadOptions
from gluon_tricks.data.crop import centre_crop
from gluon_tricks.data.pack import RecordWriter
from gluon_tricks.data.records import Records
from gluon_tricks.data.views import PLACES, View, ViewLoader


def cut(pixels, views):
    """The views in their order."""
    found = dict(module.cut(pixels, views))
    return [found[view] for view in views]


def numbered(height, width):
    """An image whose pixel says where it is: row, column, 7."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, 7)], axis=2).astype(np.uint8)


def test_five_places_and_their_mirror_images():
    """6 x 9 px, not resized: the middle square is columns 1 to 6, so corners of 4 px begin at columns 1 and 3."""
    image = numbered(6, 9)
    first = {"centre": (1, 2), "top left": (0, 1), "top right": (0, 3), "bottom left": (2, 1), "bottom right": (2, 3)}
    for place, part in zip(PLACES, cut(image, [View(6, 4, place) for place in PLACES])):
        assert part.shape == (4, 4, 3) and tuple(part[0, 0, :2]) == first[place], place
        assert tuple(part[-1, -1, :2]) == tuple(np.add(first[place], 3))
    for place, part in zip(PLACES, cut(image, [View(6, 4, place, True) for place in PLACES])):
        row, column = first[place]
        assert tuple(part[0, 0, :2]) == (row, column + 3) and tuple(part[0, -1, :2]) == first[place]


@pytest.mark.parametrize("shape", [(40, 61), (61, 40), (50, 50), (20, 300)])
def test_the_centre_is_the_crop_of_validation(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    for size, ratio, edge in ((32, 0.875, 37), (24, 0.8, 30), (30, 1.0, 30)):
        np.testing.assert_array_equal(cut(image, [View(edge, size)])[0], centre_crop(image, size, ratio))


def test_whole_images_and_their_ends():
    image = numbered(10, 16)
    whole, mirrored, large = cut(image, [View(10, None), View(10, None, mirrored=True), View(20, None)])
    np.testing.assert_array_equal(whole, image)
    np.testing.assert_array_equal(mirrored, image[:, ::-1])
    assert large.shape == (20, 32, 3)
    assert cut(numbered(10, 200), [View(10, None)])[0].shape == (10, 80, 3)  # at most 8 : 1
    assert cut(numbered(200, 10), [View(10, None)])[0].shape == (80, 10, 3)


def test_a_whole_image_has_no_more_pixels_than_memory_is_for(monkeypatch):
    monkeypatch.setattr(module, "MOST_WHOLE", 300)
    part = cut(numbered(10, 64), [View(10, None)])[0]
    assert part.shape == (10, 30, 3) and tuple(part[0, 0, :2]) == (0, 17)
    assert cut(numbered(20, 64), [View(20, None)])[0].shape == (20, 20, 3)  # never less than a square


@pytest.fixture
def records(tmp_path):
    """Seven photos of sizes of their own, label k; the fourth cannot be decoded."""
    pixels = [np.random.default_rng(k).integers(0, 256, (20 + k, 30 - k, 3)).astype(np.uint8) for k in range(7)]
    with RecordWriter(tmp_path / "photos", [f"c{k}" for k in range(7)]) as writer:
        for k, image in enumerate(pixels):
            writer.add(k, k, b"no image" if k == 3 else cv2.imencode(".png", image)[1].tobytes())
    return Records(tmp_path / "photos.rec"), [image[:, :, ::-1] for image in pixels]


@pytest.mark.parametrize("threads", [1, 3])
def test_every_image_once_in_all_its_views(records, threads, monkeypatch):
    records, pixels = records
    decoded, decode = [], loader_module.decode_image
    monkeypatch.setattr(
        loader_module, "decode_image", lambda data, reduction: decoded.append(len(data)) or decode(data)
    )
    monkeypatch.setattr(ViewLoader, "_too_many", lambda self, count: False)
    views = (View(16, 12, "top left"), View(16, None), View(20, 14, mirrored=True), View(20, 12))
    loader = ViewLoader(records, views, batch_size=3, classes=7, options=ReadOptions(threads=threads))
    seen = []
    for batch in loader.epoch():
        assert batch.crops[12].shape == (3, 2, 12, 12, 3) and batch.crops[14].shape == (3, 1, 14, 14, 3)
        for slot, image in enumerate(batch.indices[: batch.count]):
            expected = cut(pixels[image], views)
            np.testing.assert_array_equal(batch.crops[12][slot, 0], expected[0])
            np.testing.assert_array_equal(batch.whole[slot][0], expected[1])
            np.testing.assert_array_equal(batch.crops[14][slot, 0], expected[2])
            np.testing.assert_array_equal(batch.crops[12][slot, 1], expected[3])
        seen += batch.labels[: batch.count].tolist()
        assert (batch.indices[batch.count :] == -1).all() and not batch.crops[12][batch.count :].any()
        assert [len(whole) for whole in batch.whole] == [1] * batch.count + [0] * (3 - batch.count)
    assert seen == [0, 1, 2, 4, 5, 6] and list(loader.undecodable) == [3] and len(decoded) == 7
