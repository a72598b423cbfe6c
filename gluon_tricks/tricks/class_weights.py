"""Class weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from gluon_tricks.core.bounds import within
from gluon_tricks.core.errors import Refused, require_known
from gluon_tricks.core.wording import composed, some
from gluon_tricks.tricks.base import Trick, require

LEAST, MOST = 1e-6, 1e6  # that a class may weigh


@dataclasses.dataclass(frozen=True)
class ClassWeights(Trick):
    """l = -w_y log p_y: the label y of an image counts w_y times.

    Balanced: w_k = n / (K n_k), n_k of the n training images being of class k, and K classes having any.
    Given v_k: w_k = n v_k / sum_j n_j v_j.
    So the mean of w over the training images is 1, and a learning rate keeps its meaning. Where every class is drawn
    equally often, the n_k count as equal.

    A smoothed label counts as a whole by its own class, l = w_y (-sum_k q_k log p_k); the two labels of a mixed image
    each by theirs; what a teacher says of an image is no label and counts once. Validation has no weights.

    Args:
        names: of all classes, where their weights are given; (): balanced.
        weights: v, of these classes, in the same order.

    Source: scikit-learn's class_weight="balanced"; King & Zeng, Logistic regression in rare events data (2001).
    Differs: PyTorch's CrossEntropyLoss(weight=w) divides the sum over a batch by the sum of its weights, this loss by
        its images: a batch with many images of small classes counts for more. And PyTorch weights each term of a
        smoothed label by the class of the term: the label of a large class then stands for a small one, as soon as
        its own w (1 - eps) is the smaller of the two.
    Avoid where: classes are of about equal size, or what counts is the share of right answers over all images.
    """

    one_class = True

    names: tuple[str, ...] = ()
    weights: tuple[float, ...] = within(LEAST, MOST, default=())

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(self.names) == len(self.weights), self, "names and weights must be as many")
        require(len({*map(composed, self.names)}) == len(self.names), self, "each class must be named once")

    @property
    def balanced(self) -> bool:
        """Whether the weights follow from the counts."""
        return not self.names

    def label_weights(self, names: Sequence[str], counts: Sequence[int]) -> np.ndarray:
        counts = np.asarray(counts, np.float64)
        if self.balanced:
            there = counts > 0
            return np.divide(counts.sum(), there.sum() * counts, out=np.zeros_like(counts), where=there)
        for name in self.names:
            where = "the training images, and class_weights names it"
            require_known(composed(name), [*map(composed, names)], "class", where)
        given = dict(zip(map(composed, self.names), self.weights))
        missing = [name for name in names if composed(name) not in given]
        if missing:
            raise Refused(
                f"class_weights has no weight for {len(missing)} of {len(names)} classes ({some(missing, 3)}): give "
                "each class one"
            )
        weights = np.array([given[composed(name)] for name in names])
        return weights * counts.sum() / (counts * weights).sum()

    def least_weight(self, classes: int) -> float:
        """n / (K n_k) >= 1 / K, and sum_j n_j v_j <= n max v."""
        return 1 / classes if self.balanced else min(self.weights) / max(self.weights)
