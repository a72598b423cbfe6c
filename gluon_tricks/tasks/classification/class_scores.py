"""How good a classifier is at each of its classes: precision, recall and F1 from its confusion matrix.

The definitions, and what counts where nothing was found, are scikit-learn's (precision_recall_fscore_support with
zero_division=0): a class without images, or that is never named, has 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np


def confusion_matrix(labels: np.ndarray, guesses: np.ndarray, classes: int) -> np.ndarray:
    """Counts (K, K) int64: row the true class, column the named one.

    Args:
        labels: true classes (n,), integers of any type or whole floats.
        guesses: named classes (n,).
        classes: K.
    """
    pairs = np.asarray(labels).astype(np.int64) * classes + np.asarray(guesses).astype(np.int64)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


@dataclasses.dataclass(frozen=True)
class ClassScores:
    """Of each of K classes.

    Args:
        matrix: counts (K, K) int64, row the true class, column the named one.

    Attributes:
        count: images of each class (K,).
        precision: of the images named so, the share that is (K,), in [0, 1].
        recall: of the images that are, the share named so (K,).
        f1: the harmonic mean of the two (K,).
    """

    matrix: np.ndarray

    @property
    def count(self) -> np.ndarray:
        return self.matrix.sum(axis=1)

    @property
    def precision(self) -> np.ndarray:
        return _share(self.matrix.diagonal(), self.matrix.sum(axis=0))

    @property
    def recall(self) -> np.ndarray:
        return _share(self.matrix.diagonal(), self.count)

    @property
    def f1(self) -> np.ndarray:
        return _share(2 * self.matrix.diagonal(), self.matrix.sum(axis=0) + self.count)

    def macro(self) -> dict[str, float]:
        """Plain means over the classes that have images."""
        there = self.count > 0
        means = {name: getattr(self, name)[there] for name in ("precision", "recall", "f1")}
        return {name: float(values.mean()) if there.any() else 0.0 for name, values in means.items()}

    def largest_confusions(self, most: int = 10) -> Sequence[tuple[int, int, int]]:
        """(true class, named class, images), the most frequent first; equal ones in the order of the classes."""
        wrong = self.matrix - np.diag(self.matrix.diagonal())
        order = np.argsort(-wrong, axis=None, kind="stable")[:most]
        pairs = zip(*np.unravel_index(order, wrong.shape))
        return [(int(t), int(p), int(wrong[t, p])) for t, p in pairs if wrong[t, p]]


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
