"""Precision, recall, F1 and confusions of each class: by hand, by scikit-learn, and as they are told."""

import json
from types import SimpleNamespace

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.json_text import to_lines
from gluon_tricks.tasks.classification.class_report import class_lines, class_values
from gluon_tricks.tasks.classification.class_scores import MOST_DENSE, ClassScores, confusion_matrix
from gluon_tricks.tasks.classification.guesses import Guesses, guess, guesses_of

NAN = float("nan")
TRUE, NAMED = [0, 0, 0, 0, 1, 1, 1, 2], [0, 0, 1, 1, 1, 1, 0, 1]


def guesses(true=TRUE, named=NAMED, confidence=None):
    parts = (np.array(part) for part in (range(len(true)), true, named))
    return Guesses(*parts, np.linspace(0.5, 0.9, len(true)) if confidence is None else np.array(confidence))


def test_by_hand():
    """Of 4 images of class 0 two are named so, beside one other; class 2 is never named, class 3 is not there."""
    matrix = confusion_matrix(np.array(TRUE, "float32"), NAMED, 4)
    assert matrix.tolist() == [[2, 2, 0, 0], [1, 2, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    scores = ClassScores(matrix)
    assert scores.count.tolist() == [4, 3, 1, 0]
    assert scores.precision.tolist() == pytest.approx([2 / 3, 2 / 5, 0, 0])
    assert scores.recall.tolist() == pytest.approx([1 / 2, 2 / 3, 0, 0])
    assert scores.f1.tolist() == pytest.approx([4 / 7, 4 / 8, 0, 0])  # 2 tp / (2 tp + wrong ones of both kinds)
    means = {"precision": 16 / 45, "recall": 7 / 18, "f1": 15 / 42}  # over the three that have images
    assert scores.macro() == pytest.approx(means)
    assert scores.largest_confusions() == [(0, 1, 2), (1, 0, 1), (2, 1, 1)]
    assert scores.largest_confusions(1) == [(0, 1, 2)]


def test_without_any_image():
    scores = ClassScores(confusion_matrix([], [], 3))
    assert scores.macro() == {"precision": 0, "recall": 0, "f1": 0} and scores.largest_confusions() == []


@pytest.mark.parametrize("classes", [2, 5, 40])
@pytest.mark.parametrize("seed", range(5))
def test_as_scikit_learn_has_it(classes, seed):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    true, named = rng.integers(0, classes, 60), rng.integers(0, classes - 1, 60)  # the last one is never named
    matrix, every = confusion_matrix(true, named, classes), np.arange(classes)
    np.testing.assert_array_equal(matrix, metrics.confusion_matrix(true, named, labels=every))
    scores = ClassScores(matrix)
    theirs = metrics.precision_recall_fscore_support(true, named, labels=every, zero_division=0)
    for mine, other in zip((scores.precision, scores.recall, scores.f1, scores.count), theirs):
        np.testing.assert_allclose(mine, other, rtol=1e-12)
    means = metrics.precision_recall_fscore_support(
        true, named, labels=np.unique(true), zero_division=0, average="macro"
    )
    assert [*scores.macro().values()] == pytest.approx(means[:3])


def test_many_classes_take_no_square_of_memory():
    """Of a million classes a matrix would have 8 TB. What is found is that of few classes."""
    few, many = (ClassScores(confusion_matrix(TRUE, NAMED, classes)) for classes in (MOST_DENSE, 1 << 20))
    assert many.count.shape == (1 << 20,) and few.matrix.shape == (MOST_DENSE, MOST_DENSE)
    for name in ("count", "precision", "recall", "f1"):
        np.testing.assert_array_equal(getattr(many, name)[:4], getattr(few, name)[:4])
    assert many.macro() == few.macro() and many.largest_confusions() == few.largest_confusions()


def test_what_is_guessed():
    """Of equal logits the lower class; what is no number names no class and is in no class's scores."""
    logits = mx.nd.array([[1, 1, 0], [0, 3, 1], [NAN, 1, 0], [NAN, NAN, NAN], [0, 0, 9]])
    told = guess(logits).asnumpy()
    assert told[[0, 1, 4], 0].tolist() == [0, 1, 2]
    sums = np.exp(logits.asnumpy()).sum(axis=1)
    assert told[[0, 1, 4], 1].tolist() == pytest.approx(np.exp([1, 3, 9]) / sums[[0, 1, 4]], rel=1e-5)
    batch = SimpleNamespace(indices=np.array([4, 0, 1, 2, -1]), labels=np.array([1, 1, 0, 0, 0]), count=4)
    found = guesses_of(batch, *told[:4].T)
    assert found.named.tolist() == [0, 1, -1, -1] and found.without_numbers == 2
    assert found.class_scores(3).matrix.sum() == 2 and found.mistakes().tolist() == [0]
    both = Guesses.joined([found, guesses()])
    assert len(both.images) == 12 and both.labels.dtype.kind == "i"
    assert len(Guesses.joined([]).named) == 0


def test_mistakes_begin_with_the_most_confident():
    assert guesses(confidence=[0.9, 0.9, 0.3, 0.8, 0.9, 0.9, 0.8, 0.99]).mistakes().tolist() == [7, 3, 6, 2]


def test_as_it_is_printed():
    assert class_lines(guesses(), ["猫", "a\x1b[31m", "x" * 100, "none"]) == [
        "class                                     images  precision  recall      F1",
        "猫                                             4     66.67%  50.00%  57.14%",
        r"a\x1b[31m                                      3     40.00%  66.67%  50.00%",
        "xxxxxxxxxxxxxxxxxxxxxx ... xxxxxxxxxxxxx       1      0.00%   0.00%   0.00%",
        "none                                           0      0.00%   0.00%   0.00%",
        "mean of 3 classes with images                  8     35.56%  38.89%  35.71%",
        "most often taken for another class:",
        r"猫                                       -> a\x1b[31m  2   50.00% of its images",
        r"a\x1b[31m                                -> 猫         1   33.33% of its images",
        r"xxxxxxxxxxxxxxxxxxxxxx ... xxxxxxxxxxxxx -> a\x1b[31m  1  100.00% of its images",
    ]


def test_of_many_classes_the_ten_worst_are_printed():
    """Of 40 classes with 1, 2, ... 40 images, one of each is wrong: the F1 of the first ones is lowest."""
    true = np.repeat(np.arange(40), np.arange(1, 41))
    named = true.copy()
    firsts = np.flatnonzero(np.diff(true, prepend=-1))
    named[firsts] = 40  # which has no image
    lines = class_lines(guesses(true, named), [f"c{k}" for k in range(41)])
    assert lines[0] == "the 10 classes of the lowest F1, of 40 with images (--json has all):"
    assert [line.split()[0] for line in lines[2:12]] == [f"c{k}" for k in range(10)]
    assert lines[12].startswith("mean of 40 classes with images     820")
    assert lines[14].split() == ["c0", "->", "c40", "1", "100.00%", "of", "its", "images"] and len(lines) == 24


def test_nothing_wrong_and_nothing_at_all():
    lines = class_lines(guesses([0, 1], [0, 1]), ["a", "b"])
    assert lines[-1].split() == ["mean", "of", "2", "classes", "2", "100.00%", "100.00%", "100.00%"]
    lines = class_lines(guesses([0, 1], [-1, -1]), ["a", "b"])
    assert lines[0] == "2 images not counted below: the network gives no numbers for them (NaN)"


def test_as_it_is_written():
    values = json.loads(json.dumps(class_values(guesses(), ["a", "b", "c", "d"])))
    assert values["class_names"] == ["a", "b", "c", "d"] and values["per_class"]["count"] == [4, 3, 1, 0]
    assert values["confusion_matrix"] == [[2, 2, 0, 0], [1, 2, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert values["confusions"][0] == {"true": "a", "named": "b", "count": 2, "share": 0.5}
    assert values["macro"]["recall"] == pytest.approx(7 / 18) and values["without_numbers"] == 0
    values = json.loads(json.dumps(class_values(guesses(), [f"c{k}" for k in range(3000)])))
    assert "confusion_matrix" not in values and sorted(values["confusion_counts"]) == [
        [0, 0, 2], [0, 1, 2], [1, 0, 1], [1, 1, 2], [2, 1, 1],
    ]  # fmt: skip


def test_rows_of_numbers_stand_on_a_line():
    value = {
        "m": [[1, 2], [3, -4.5e-07]],
        "t": ["[\n  1,\n 2 ]", "x"],
        "nothing": [],
        "pairs": [{"a": [1]}],
        "n": [None],
    }
    text = to_lines(value)
    assert json.loads(text) == value
    assert text.splitlines()[1:5] == ['  "m": [', "    [1, 2],", "    [3, -4.5e-07]", "  ],"]
