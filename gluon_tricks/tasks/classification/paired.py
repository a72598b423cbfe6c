"""Whether one way of testing is better than another on the same images."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import scipy.special

from gluon_tricks.tasks.classification.evaluation import Z


@dataclasses.dataclass(frozen=True)
class Gain:
    """The difference of two fractions of the same images.

    Args:
        difference: (images that the new way alone has right - those that the old one alone has) / images.
        low, high: its 95 % interval.
        p: of McNemar's exact test: how probable as uneven a split is if neither way is better.
    """

    difference: float
    low: float
    high: float
    p: float

    def __str__(self) -> str:
        """In points: +0.50 (-0.10 to +1.10)."""
        return f"{100 * self.difference:+.2f} ({100 * self.low:+.2f} to {100 * self.high:+.2f})"


def gain(before: np.ndarray, after: np.ndarray) -> Gain:
    """What a new way gains over an old one, from which images each has right.

    With b images right in the new way alone and c in the old one alone: (b - c) / n; the interval is that of
    b + 1/2, c + 1/2 and n + 2, in which b - c has the variance b + c - (b - c)^2 / n.

    Args:
        before, after: (N,) booleans, N >= 1.

    Source: Agresti and Min, Simple improved confidence intervals for comparing matched proportions (Statistics in
        Medicine 2005); McNemar, Note on the sampling error of the difference between correlated proportions
        (Psychometrika 1947).
    """
    n = len(before)
    b, c = int((after & ~before).sum()), int((before & ~after).sum())
    middle = (b - c) / (n + 2)
    half = Z * math.sqrt(b + c + 1 - (b - c) ** 2 / (n + 2)) / (n + 2)
    p = min(1.0, 2 * scipy.special.bdtr(min(b, c), b + c, 0.5)) if b + c else 1.0
    return Gain((b - c) / n, middle - half, middle + half, float(p))
