"""Figure 2 of data-dependent initialisation: nearest neighbours, worked out by hand and on drawn pictures."""

import json

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.pack import RecordWriter
from gluon_tricks.data.records import Records
from gluon_tricks.paper import neighbours
from gluon_tricks.paper.caffe_scales import CAFFE_SCALES
from gluon_tricks.paper.cells import Runs
from gluon_tricks.tasks.classification.task import Classification
from model_zoo.mean_image import MeanImage
from model_zoo.preprocessing import Preprocessing

COLOURS = [(250, 10, 10), (200, 8, 8), (10, 250, 10), (8, 120, 8), (120, 120, 10), (10, 10, 250)]  # RGB
LABELS = [0, 0, 1, 1, 1, 2]


class MeanColour:
    """Features: the mean of each channel, (n, 3)."""

    def __init__(self):
        self.features = lambda images: images.mean(axis=(2, 3))


@pytest.fixture
def records(tmp_path):
    with RecordWriter(tmp_path / "colours", ["red", "green", "blue"]) as writer:
        for k, (colour, label) in enumerate(zip(COLOURS, LABELS)):
            image = np.full((16, 16, 3), colour[::-1], np.uint8)
            writer.add(label, k, cv2.imencode(".png", image)[1].tobytes())
    return Records(tmp_path / "colours.rec")


def test_the_smallest_angle_wins_whatever_the_length(records):
    """Red's is the darker red, green's the darker green; of blue all are far, the yellow one's cosine is 2500 / ..."""
    queries = neighbours.Some(records, np.array([0, 2, 5]))
    pool = neighbours.Some(records, np.array([1, 3, 4]))
    found = neighbours.nearest(MeanColour(), Preprocessing(16, 1.0, (0, 0, 0), (1, 1, 1)), queries, pool)
    assert found.images.tolist()[:2] == [0, 1] and found.same.tolist() == [True, True, False]
    unit = [np.array(colour) / np.linalg.norm(colour) for colour in COLOURS]
    expected = [unit[0] @ unit[1], unit[2] @ unit[3], max(unit[5] @ unit[k] for k in (1, 3, 4))]
    np.testing.assert_allclose(found.similarity, expected, atol=1e-5)


@pytest.mark.parametrize("pixels", [False, True])
def test_a_mean_image_is_subtracted_pixel_by_pixel(records, pixels):
    """Of one colour nothing is left but where the mean image is 4 levels brighter (above) or darker (below) than it."""
    image = np.full((16, 16, 3), COLOURS[0], np.float32)
    image[:8] += 4
    image[8:] -= 4
    seen = []
    net = MeanColour()
    net.features = lambda images: seen.append(images.asnumpy()) or images.mean(axis=(2, 3))
    seen_as = Preprocessing(16, 1.0, COLOURS[0], (2, 2, 2), mean_image=MeanImage.of(image) if pixels else None)
    neighbours.nearest(net, seen_as, *[neighbours.Some(records, np.array([0]))] * 2)
    expected = np.repeat([-2, 2], 8)[:, None] if pixels else 0  # over a deviation of 2
    np.testing.assert_allclose(seen[0], np.broadcast_to(expected, (1, 3, 16, 16)), atol=1e-5)


def test_the_sheet_and_its_numbers(tmp_path, monkeypatch):
    """On the drawn pictures, with one beginning and CaffeNet's features taken for mean colours."""
    monkeypatch.setattr(neighbours, "ROWS", ("Gaussian",))
    monkeypatch.setattr(neighbours, "started", lambda start, images, classes: MeanColour())
    monkeypatch.setattr(neighbours, "POOL", 30)
    runs = Runs(tmp_path, CAFFE_SCALES["smoke"])
    figure = neighbours.magic_figure2(runs, 1)
    assert len(figure.axes) == 2 * neighbours.SHOWN and "nearest of 30 images" in figure.get_suptitle()
    told = json.loads((tmp_path / "smoke" / "magic_figure2.json").read_text())["Gaussian"]
    assert told["queries"] == 64 and told["pool"] == 30 and len(told["neighbours"]) == 64
    assert f"{told['same_class']} of 64 same class" in figure.axes[neighbours.SHOWN].get_ylabel()
    images, near = [row[0] for row in told["neighbours"]], [row[1] for row in told["neighbours"]]
    assert len(set(images)) == 64 and not set(images) & set(near)


def test_a_network_that_is_not_there(tmp_path):
    with pytest.raises(Refused, match="there is no run or file nowhere"):
        neighbours.magic_figure2(Runs(tmp_path, CAFFE_SCALES["smoke"]), 1, ["nowhere"])
    assert not any(tmp_path.iterdir())


def test_too_few_images(records, tmp_path, monkeypatch):
    files = {split: tuple(map(str, records.paths)) for split in ("train", "val")}
    monkeypatch.setattr(Classification, "sample", lambda task, count: mx.nd.zeros((2, 3, 63, 63)))
    task = type("", (), {"train": type("", (), {"records": records}), "recipe": None})
    monkeypatch.setattr(neighbours, "_task", lambda runs: task)
    with pytest.raises(Refused, match="among 20 images or more, and there are 6: name more with --data"):
        neighbours.magic_figure2(Runs(tmp_path, CAFFE_SCALES["smoke"], **files), 1)
