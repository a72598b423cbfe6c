"""How good a classifier is at each of its classes: precision, recall and F1 from its confusion matrix.

The definitions, and what counts where nothing was found, are scikit-learn's (precision_recall_fscore_support with
zero_division=0): a class without images, or that is never named, has 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.sparse

MOST_DENSE = 2048  # classes of a matrix that is held whole: 34 MB

Matrix = "np.ndarray | scipy.sparse.csr_array"


def confusion_matrix(labels: np.ndarray, guesses: np.ndarray, classes: int) -> Matrix:
    """Counts (K, K) int64: row the true class, column the named one; of more than 2048 classes a sparse matrix.

    Args:
        labels: true classes (n,), integers of any type or whole floats.
        guesses: named classes (n,).
        classes: K.
    """
    labels, guesses = (np.asarray(part).astype(np.int64) for part in (labels, guesses))
    if classes > MOST_DENSE:
        return scipy.sparse.coo_array((np.ones_like(labels), (labels, guesses)), (classes, classes)).tocsr()
    return np.bincount(labels * classes + guesses, minlength=classes * classes).reshape(classes, classes)


@dataclasses.dataclass(frozen=True)
class ClassScores:
    """Of each of K classes.

    Args:
        matrix: counts (K, K) int64, row the true class, column the named one; see confusion_matrix.

    Attributes:
        count: images of each class (K,).
        precision: of the images named so, the share that is (K,), in [0, 1].
        recall: of the images that are, the share named so (K,).
        f1: the harmonic mean of the two (K,).
    """

    matrix: Matrix

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
        true, named, images = scipy.sparse.find(self.matrix)
        wrong = true != named
        true, named, images = true[wrong], named[wrong], images[wrong]
        order = np.lexsort((named, true, -images))[:most]
        return [(int(true[k]), int(named[k]), int(images[k])) for k in order]


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
