"""pixAcc and mIoU on matrices worked out by hand, and beside GluonCV's."""

import mxnet as mx
import numpy as np
import pytest
from gluoncv.utils.metrics import SegmentationMetric

from gluon_tricks.tasks.segmentation.metrics import SegmentationScores, confusion_matrix

NAN = float("nan")


def test_matrix_by_hand():
    """Row: the mask's class; what is predicted on void counts nowhere; no prediction is in the last column."""
    masks = np.array([[0, 0, 1], [2, -1, -1]])
    predictions = np.array([[0, 1, 1], [-1, 0, 2]])
    assert confusion_matrix(predictions, masks, 3).tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]


@pytest.mark.parametrize(
    "matrix, pix_acc, ious, miou",
    [
        # 10 pixels, 7 right; class 0: 4 / (5 + 5 - 4), class 1: 3 / (5 + 4 - 3), class 2 was predicted once: 0 / 1
        ([[4, 1, 0, 0], [1, 3, 1, 0], [0, 0, 0, 0]], 0.7, [4 / 6, 3 / 6, 0], 7 / 18),
        # class 2 is nowhere: not among those averaged
        ([[2, 0, 0, 0], [0, 6, 0, 0], [0, 0, 0, 0]], 1.0, [1, 1, NAN], 1.0),
        # pixels without a prediction are wrong, and in no class's prediction
        ([[2, 0, 2], [0, 4, 0]], 0.75, [0.5, 1], 0.75),
        ([[0, 0, 0], [0, 0, 0]], NAN, [NAN, NAN], NAN),  # all void
    ],
)
def test_scores_by_hand(matrix, pix_acc, ious, miou):
    scores = SegmentationScores.of(np.array(matrix), images=3)
    np.testing.assert_allclose([scores.pix_acc, scores.miou, *scores.per_class_iou], [pix_acc, miou, *ious])
    assert scores.images == 3


def test_planted_errors():
    """Of 100 pixels of class 0 and 50 each of 1 and 2, 20 of class 0 are called 1, and all of class 2 are called 0."""
    masks = np.repeat([0, 1, 2, -1], [100, 50, 50, 25])
    predictions = masks.copy()
    predictions[:20], predictions[150:200], predictions[200:] = 1, 0, 2
    scores = SegmentationScores.of(confusion_matrix(predictions, masks, 3), 1)
    assert scores.pix_acc == pytest.approx(130 / 200)
    assert scores.per_class_iou == pytest.approx([80 / 150, 50 / 70, 0])


def test_as_gluoncv_where_every_class_occurs():
    rng = np.random.default_rng(0)
    masks, logits = rng.integers(-1, 5, (2, 20, 30)), rng.normal(size=(2, 5, 20, 30))
    theirs = SegmentationMetric(5)
    theirs.update(mx.nd.array(masks), mx.nd.array(logits))
    scores = SegmentationScores.of(confusion_matrix(logits.argmax(axis=1), masks, 5), 2)
    assert (scores.pix_acc, scores.miou) == pytest.approx(theirs.get())


def test_what_the_loop_and_the_tables_see():
    scores = SegmentationScores(0.78125, 0.37, np.array([0.37]), 2000)
    assert scores.row() == {"val_pix_acc": 0.78125, "val_miou": 0.37}
    assert scores.best == 0.37
    assert str(scores) == "pixAcc 78.1%, mIoU 37.0%"
