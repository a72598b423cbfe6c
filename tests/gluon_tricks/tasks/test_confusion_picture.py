"""The confusion matrix as evaluation counts it, and as a picture."""

import types

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.tasks.classification.confusion_picture import confusion_picture, most_confused
from gluon_tricks.tasks.classification.evaluation import evaluate


class Table:
    """A network whose logits are rows of a table: an image's first pixel says which."""

    def __init__(self, rows):
        self.rows = mx.nd.array(rows)

    def __call__(self, images):
        return self.rows.take(images[:, 0, 0, 0])

    def collect_params(self):
        return {}


def batches(guesses, labels, size):
    """Of `size` images each, the last one padded."""
    for first in range(0, len(guesses), size):
        some = np.zeros((size, 1, 1, 3), np.float32)
        some[: len(guesses[first : first + size]), 0, 0, 0] = guesses[first : first + size]
        own = np.zeros(size, np.float32)
        own[: len(labels[first : first + size])] = labels[first : first + size]
        count = min(size, len(guesses) - first)
        yield types.SimpleNamespace(images=some, labels=own, count=count, indices=np.arange(first, first + size))


NAN = 3  # of the rows below
ROWS = [[2.0, 1, 0], [0, 2, 1], [1, 0, 2], [float("nan")] * 3, [1, 1, 1]]  # the last: a tie, where the first counts


def preprocess(images, context):
    return mx.nd.array(images, ctx=context)


@pytest.mark.parametrize("devices", [[mx.cpu()], [mx.cpu(0), mx.cpu(1)]])
def test_evaluation_counts_who_is_taken_for_whom(devices, monkeypatch):
    monkeypatch.setattr("gluon_tricks.tasks.classification.evaluation.restore_plain_layout", lambda net: None)
    guesses, labels = [0, 0, 1, 2, 2, NAN, 4, 1, 0], [0, 1, 1, 2, 0, 2, 1, 1, 0]
    found = evaluate(Table(ROWS), batches(guesses, labels, 4), preprocess, devices)
    matrix = found.guesses.class_scores(3).matrix
    assert matrix.tolist() == [[2, 0, 1], [2, 2, 0], [0, 0, 1]]  # 9 images but for the one without numbers
    assert (found.images, found.top1) == (9, 5 / 9)
    assert matrix.diagonal().sum() == round(found.top1 * found.images)


def test_a_picture_has_a_cell_for_each_pair():
    """Rows are true classes: green where they are right, red where they are not, the darker the larger the share."""
    picture = confusion_picture(np.array([[8, 2, 0], [0, 10, 0], [5, 0, 5]]), ["a", "straße", "猫"]).astype(int)
    side = 3 * 44
    cells = picture[-side - 12 : -12, -side - 12 : -12].reshape(3, 44, 3, 44, 3)[:, 3, :, 3]  # near their corners
    reds = cells[:, :, 0] - cells[:, :, 1]
    assert ((reds > 0) == [[0, 1, 0], [0, 0, 0], [1, 0, 0]]).all() and reds[2, 0] > reds[0, 1]
    greens = cells[:, :, 1] - cells[:, :, 0]
    assert greens[1, 1] > greens[0, 0] > greens[2, 2] > 0
    assert (cells[2, 1] == 255).all()


@pytest.mark.parametrize("classes", [1, 2, 25, 26, 50, 51, 300])
def test_pictures_of_any_number_of_classes(classes):
    rng = np.random.default_rng(0)
    names = [("x" * 200, "<b>\n", "قطة", "", "class")[k % 5] + str(k) for k in range(classes)]
    picture = confusion_picture(rng.integers(0, 3, (classes, classes)), names)
    assert picture.dtype == np.uint8 and picture.shape[2] == 3 and max(picture.shape) < 1500


def test_of_many_classes_the_most_confused_are_shown():
    matrix = np.diag(np.full(100, 9))
    matrix[70, 3], matrix[3, 50], matrix[60, 61] = 5, 4, 1
    assert most_confused(matrix, 3).tolist() == [3, 50, 70]
    assert most_confused(matrix, 4).tolist() == [0, 3, 50, 70]  # 60 and 61 would be one too many
    assert most_confused(matrix, 5).tolist() == [3, 50, 60, 61, 70]
    assert most_confused(np.diag(np.full(100, 9)), 3).tolist() == [0, 1, 2]
    assert most_confused(matrix[:5, :5], 50).tolist() == [0, 1, 2, 3, 4]


def test_without_images_there_is_a_picture_too():
    assert confusion_picture(np.zeros((3, 3), np.int64), "abc").ndim == 3
