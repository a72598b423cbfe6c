"""What a classifier took each image for: the class that it named and how sure it was, kept while it is scored."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import mxnet as mx
import numpy as np

from gluon_tricks.tasks.classification.class_scores import ClassScores, confusion_matrix


@dataclasses.dataclass(frozen=True, eq=False)
class Guesses:
    """Of n images, in the order in which they were scored. An image that the network gives no number for has none.

    Args:
        images: which image of the records each is (n,), whole numbers.
        labels: its class (n,), whole numbers.
        named: the class of the largest logit (n,), of equal ones the lowest; -1: the network gives no numbers (NaN).
        confidence: the probability of that class (n,), in [0, 1].
    """

    images: np.ndarray
    labels: np.ndarray
    named: np.ndarray
    confidence: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence[Guesses]) -> Guesses:
        """Those of several batches; of none, no image."""
        nothing = cls(*np.zeros((3, 0), np.int64), np.zeros(0))
        fields = (field.name for field in dataclasses.fields(cls))
        return cls(*(np.concatenate([getattr(part, name) for part in parts or [nothing]]) for name in fields))

    @property
    def without_numbers(self) -> int:
        """How many images the network gives no numbers for."""
        return int((self.named < 0).sum())

    def class_scores(self, classes: int) -> ClassScores:
        """Over the images that a class was named for. Args: classes: K."""
        there = self.named >= 0
        return ClassScores(confusion_matrix(self.labels[there], self.named[there], classes))

    def mistakes(self) -> np.ndarray:
        """Places in these arrays of the images whose named class is not theirs, the most confident first."""
        wrong = np.flatnonzero((self.named >= 0) & (self.named != self.labels))
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")]


def guess(logits: mx.nd.NDArray) -> mx.nd.NDArray:
    """The class of the largest logit and its probability, on the device: (N, K) float32 -> (N, 2) float32.

    Where a logit is not a number, the probability is none.
    """
    named = logits.argmax(axis=1)
    return mx.nd.stack(named, logits.softmax(axis=1).pick(named, axis=1), axis=1)


def guesses_of(batch, named: np.ndarray, confidence: np.ndarray) -> Guesses:
    """Those of a batch. Args: named, confidence: of its real images (n,); confidence NaN: there is no number."""
    images, labels = (np.asarray(part[: batch.count]) for part in (batch.indices, batch.labels))
    known = np.isfinite(confidence)
    return Guesses(images, labels, np.where(known, named, -1).astype(np.int64), np.where(known, confidence, 0.0))
