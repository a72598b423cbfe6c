"""The devkit's average precision, on cases worked by hand, on planted errors and beside GluonCV's where it is right."""

import math
import threading
from types import SimpleNamespace

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.ranks import distributed
from gluon_tricks.tasks.average_precision import IGNORED, RIGHT, WRONG, average_precisions
from gluon_tricks.tasks.detection import evaluation, metrics
from gluon_tricks.tasks.detection.metrics import judge

OBJECT = np.array([[10, 10, 19, 19]])  # 10x10 px
AWAY = [50, 50, 59, 59]


def judged(boxes, scores, truths=OBJECT, difficult=None):
    difficult = np.zeros(len(truths), bool) if difficult is None else np.array(difficult)
    return judge(np.array(boxes, np.float32), np.array(scores, np.float32), np.array(truths), difficult).tolist()


def test_corner_pixels_belong_to_the_box():
    """20x10 px cover the object and as much again: exactly half. Without the +1 of the devkit it is 9/19."""
    assert metrics.overlaps(np.array([[10.0, 10, 29, 19]]), OBJECT)[0, 0] == 0.5
    assert judged([[10, 10, 29, 19]], [0.9]) == [RIGHT]
    assert judged([[10, 10, 30, 19]], [0.9]) == [WRONG]  # 100 / 210


def test_of_two_detections_of_an_object_the_lower_is_wrong():
    assert judged([OBJECT[0], OBJECT[0]], [0.3, 0.8]) == [WRONG, RIGHT]
    assert judged([OBJECT[0], OBJECT[0]], [0.5, 0.5]) == [RIGHT, WRONG]


def test_a_difficult_object_has_its_detections_ignored_however_many():
    assert judged([OBJECT[0], OBJECT[0], AWAY], [0.9, 0.8, 0.7], difficult=[True]) == [IGNORED, IGNORED, WRONG]


def test_a_detection_looks_at_the_object_it_overlaps_most_even_if_that_one_is_taken():
    near = [[10, 10, 19, 19], [10, 12, 19, 21]]  # overlap each other by 80 / 120
    assert judged([near[0], near[0]], [0.9, 0.8], near) == [RIGHT, WRONG]


def test_a_box_that_is_not_a_number_is_wrong():
    assert judged([[math.nan] * 4], [0.9]) == [WRONG]


def test_average_precision_by_hand():
    """Of 4 objects: right, wrong, right, ignored, wrong: precision 1 up to recall 1/4, then 2/3 up to 2/4.

    Area: 1/4 + 2/3 * 1/4. Eleven points: recalls 0, 0.1, 0.2 at 1 and 0.3, 0.4, 0.5 at 2/3.
    """
    eleven, area = average_precisions(
        np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([RIGHT, WRONG, RIGHT, IGNORED, WRONG]), 4
    )
    assert area == pytest.approx(5 / 12)
    assert eleven == pytest.approx((3 + 3 * 2 / 3) / 11)


@pytest.mark.parametrize("found", range(11))
def test_a_recall_of_just_k_tenths_reaches_k_tenths(found):
    eleven, area = average_precisions(np.ones(found), np.full(found, RIGHT), 10)
    assert area == pytest.approx(found / 10)
    assert eleven == pytest.approx((found + 1 if found else 0) / 11)


def test_without_objects_there_is_no_precision_and_without_detections_it_is_0():
    assert all(math.isnan(ap) for ap in average_precisions(np.ones(1), np.array([WRONG]), 0))
    assert average_precisions(np.ones(0), np.ones(0, int), 3) == (0, 0)


class Planted:
    """Detections in place of a network's: image -> rows of class, score, box."""

    def __init__(self, rows):
        self.rows = rows

    def collect_params(self):
        return {}

    def _collect_params_with_prefix(self):
        return {}

    def __call__(self, image):
        number = int(round(float(image[0, 0, 0, 0].asscalar()) * 58.393 + 123.68))  # its first pixel
        rows = np.array(self.rows[number], np.float32).reshape(-1, 6)
        rows = np.concatenate([rows, np.full((5 - len(rows), 6), -1, np.float32)])
        return tuple(mx.nd.array(rows[None, :, part]) for part in (slice(0, 1), slice(1, 2), slice(2, 6)))


TRUTHS = [  # xmin, ymin, xmax, ymax, class, difficult; the images are read at twice their size
    [[10, 10, 29, 29, 0, 0], [40, 40, 59, 59, 1, 0]],
    [[10, 10, 29, 29, 0, 0], [40, 40, 59, 59, 1, 1]],
    [[5, 5, 44, 44, 0, 0]],
]
PLANTED = [  # class, score, box at twice the size: right, twice, of a wrong class
    [[0, 0.9, 20, 20, 59, 59], [0, 0.5, 20, 20, 59, 59], [1, 0.8, 20, 20, 59, 59]],
    [[0, 0.7, 90, 90, 99, 99], [1, 0.6, 80, 80, 119, 119]],  # at a wrong place; a difficult one
    [[0, 0.6, 10, 10, 89, 89]],  # right
]


@pytest.fixture
def records():
    boxes = [np.array(rows, np.float32) for rows in TRUTHS]
    return SimpleNamespace(classes=("cat", "dog", "cow"), boxes=boxes, sizes=np.full((3, 2), 64))


def batch(images):
    """A batch of these images (-1: padding), 128 px, each with its number in its first pixel."""
    pixels = np.zeros((len(images), 128, 128, 3), np.uint8)
    pixels[:, 0, 0, 0] = images
    return SimpleNamespace(images=pixels, scales=np.full(len(images), 2, np.float32), indices=np.array(images))


def test_planted_errors(records):
    """Cats by score: right, wrong (place), right, wrong (twice): 2 of 3 found, precisions 1, 2/3.

    One dog, not found: the detection above the difficult dog is ignored, the one on the cat is wrong. No cows.
    """
    scores = evaluation.evaluate_detector(
        Planted(PLANTED), [batch([0, 1]), batch([2, -1])], [mx.cpu(0), mx.cpu(1)], records
    )
    cat = 1 / 3 + 2 / 9
    cat07 = (4 * 1 + 3 * 2 / 3) / 11  # recalls 0 to 0.3 at 1, 0.4 to 0.6 at 2/3
    assert scores.per_class_area == pytest.approx({"cat": cat, "dog": 0, "cow": math.nan}, nan_ok=True)
    assert scores.per_class_07 == pytest.approx({"cat": cat07, "dog": 0, "cow": math.nan}, nan_ok=True)
    assert scores.row() == {"val_map07": pytest.approx(cat07 / 2), "val_map": pytest.approx(cat / 2)}
    assert scores.best == scores.map07 and scores.images == 3
    assert str(scores) == "mAP 27.8% (VOC07 11-point 27.3%)"
    lines = [line.split() for line in scores.per_class_table().splitlines()[1:]]
    assert lines == [["cat", "55.6", "54.5"], ["dog", "0.0", "0.0"], ["cow", "-", "-"], ["mean", "27.8", "27.3"]]


def test_nothing_to_find_is_refused(records):
    records.boxes[1][:, 5] = 1
    with pytest.raises(Refused, match=r"no image to evaluate on \(of 1\) has an object"):
        evaluation.evaluate_detector(Planted(PLANTED), [batch([1])], [mx.cpu()], records)


def test_ranks_that_share_the_images_come_to_the_same(records, monkeypatch):
    alone = evaluation.evaluate_detector(Planted(PLANTED), [batch([0, 1, 2])], [mx.cpu()], records)
    place, barrier, given, results = threading.local(), threading.Barrier(2), [None, None], [None, None]

    def total(values):
        given[place.rank] = values
        barrier.wait()
        summed = given[0] + given[1]
        barrier.wait()
        return summed

    def run(rank, images):
        place.rank = rank
        results[rank] = evaluation.evaluate_detector(Planted(PLANTED), [batch(images)], [mx.cpu()], records)

    monkeypatch.setattr(distributed, "ranks", lambda: 2)
    monkeypatch.setattr(distributed, "rank", lambda: place.rank)
    monkeypatch.setattr(distributed, "total", total)
    threads = [threading.Thread(target=run, args=args) for args in ((0, [2, 0]), (1, [1, -1]))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [str(result) for result in results] == [str(alone)] * 2
    assert results[0].images == 3


def gluoncv_metrics(images):
    """GluonCV's 11-point and area metric after (boxes, labels, scores, truths) of each image."""
    from gluoncv.utils.metrics.voc_detection import VOC07MApMetric, VOCMApMetric

    values = []
    for metric in (VOC07MApMetric(), VOCMApMetric()):
        for boxes, labels, scores, truths in images:
            rows = truths[None, :, :4], truths[None, :, 4], truths[None, :, 5]
            metric.update(boxes[None], labels[None], scores[None], *rows)
        values.append(metric.get()[1])
    return values


def test_equals_gluoncv_on_random_detections():
    """Three classes over 20 images; scores differ, and 7 objects of a class have no recall of k tenths but 0 and 1."""
    rng, images, rows, objects = np.random.default_rng(5), [], [], np.zeros(3, int)
    for image in range(20):
        low = rng.integers(0, 60, (6, 2))
        truths = np.concatenate([low, low + rng.integers(10, 40, (6, 2)), rng.integers(0, 3, (6, 2))], 1)
        truths[:, 5] = rng.random(6) < 0.3
        for label in range(3):  # no more than 7 of each class that count
            counted = np.flatnonzero((truths[:, 4] == label) & (truths[:, 5] == 0))
            truths[counted[max(7 - objects[label], 0) :], 5] = 1
            objects[label] += min(len(counted), max(7 - objects[label], 0))
        truths = truths.astype(np.float32)
        boxes = np.repeat(truths[:, :4], 3, axis=0) + rng.normal(0, 4, (18, 4)).astype(np.float32)
        labels = np.where(rng.random(18) < 0.8, np.repeat(truths[:, 4], 3), 0)
        scores = rng.permutation(18) / 18 + image / 1000
        images.append((boxes, labels, scores, truths))
        for label in range(3):
            own, mine = labels == label, truths[truths[:, 4] == label]
            outcomes = judge(boxes[own], scores[own], mine[:, :4], mine[:, 5] > 0)
            rows += [(label, *pair) for pair in zip(scores[own], outcomes)]
    rows = np.array(rows)
    own = [rows[rows[:, 0] == label] for label in range(3)]
    ours = np.mean([average_precisions(r[:, 1], r[:, 2], 7) for r in own], axis=0)
    assert objects.tolist() == [7, 7, 7] and 0.1 < ours[1] < 0.9
    assert gluoncv_metrics(images) == pytest.approx(ours.tolist(), abs=1e-12)


@pytest.mark.parametrize(
    "boxes, scores, theirs, right",
    [
        ([OBJECT[0], OBJECT[0]], [0.5, 0.5], 0.5, 1.0),  # of two alike the second comes first, and is wrong
        ([[math.nan] * 4], [0.5], 1.0, 0.0),  # a box that is not a number is right
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_where_gluoncv_is_wrong(boxes, scores, theirs, right):
    boxes, scores = np.array(boxes, np.float32), np.array(scores, np.float32)
    truths = np.array([[*OBJECT[0], 0, 0]], np.float32)
    assert gluoncv_metrics([(boxes, np.zeros(len(boxes)), scores, truths)])[1] == pytest.approx(theirs)
    outcomes = judge(boxes, scores, truths[:, :4], truths[:, 5] > 0)
    assert average_precisions(scores, outcomes, 1)[1] == pytest.approx(right)


def test_gluoncv_misses_the_precision_at_a_recall_of_three_tenths():
    """Three of ten found, nothing else: 4 of the 11 points have precision 1. GluonCV compares 0.3 with 3 * 0.1."""
    truths = np.array([[20 * k, 0, 20 * k + 9, 9, 0, 0] for k in range(10)], np.float32)
    found = (truths[:3, :4], np.zeros(3), np.array([0.9, 0.8, 0.7]), truths)
    assert gluoncv_metrics([found])[0] == pytest.approx(3 / 11)
    assert average_precisions(found[2], np.full(3, RIGHT), 10)[0] == pytest.approx(4 / 11)
