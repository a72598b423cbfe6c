"""Classes of unequal size, and their targets: what is told before a training, and how much each label counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import printable
from gluon_tricks.data.class_counts import ClassCounts
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tricks import LabelSmoothing, SigmoidLoss


class Balance:
    """The sizes of the training classes, and what a recipe makes of them.

    Args:
        recipe: with its classes.
        counts: of the training images.

    Raises:
        Refused: the recipe's weights are for other classes, or change what its loss looks at; it draws from a class
            that has no image; or its targets tell no class.
    """

    def __init__(self, recipe: Recipe, counts: ClassCounts):
        require_targets(recipe)
        self._counts, self._sampled = counts, recipe.sampling == "balanced"
        if self._sampled:
            self._counts.require_all("sampling balanced draws every class equally often")
        drawn = [1] * recipe.classes if self._sampled else self._counts.counts  # in proportion
        found = (trick.label_weights(self._counts.names, drawn) for trick in recipe.tricks)
        self._weights = next((weights for weights in found if weights is not None), None)
        compares = any(isinstance(trick, SigmoidLoss) and trick.threshold is not None for trick in recipe.tricks)
        if self._weights is not None and compares and any(trick.slot() == "mixing" for trick in recipe.tricks):
            raise Refused(
                "sigmoid_loss.threshold looks at the share of each class of a mixed image, which class_weights change: "
                "set sigmoid_loss.threshold=null, or sampling=balanced in the place of class_weights"
            )
        self._on_device: dict[mx.Context, mx.nd.NDArray] = {}

    def target(self, labels: mx.nd.NDArray) -> mx.nd.NDArray:
        """(n,) -> (n, K): at each image's class 1, or what its label weighs; else 0."""
        hot = mx.nd.one_hot(labels, len(self._counts.names))
        if self._weights is None:
            return hot
        context = labels.context
        if context not in self._on_device:
            self._on_device[context] = mx.nd.array(self._weights[np.newaxis], context, "float32")
        return mx.nd.broadcast_mul(hot, self._on_device[context])

    def warn(self) -> None:
        """Tells of classes without images, and of very unequal ones that nothing is done about."""
        self._counts.warn(made_up_for=self._sampled or self._weights is not None)

    def lines(self) -> Sequence[str]:
        """How many images the classes have, and what is done about it."""
        told = [self._counts.line()]
        if self._sampled:
            told.append("sampling balanced: every class is drawn equally often, images of small ones several times")
        if self._weights is not None:
            there = np.flatnonzero(self._counts.counts)
            ends = there[np.argmin(self._weights[there])], there[np.argmax(self._weights[there])]
            named = (f"{self._weights[k]:.3g} ({printable(self._counts.names[k], 60)})" for k in ends)
            over = "images drawn" if self._sampled else "training images"
            told.append(f"class weights: {' to '.join(named)}, 1 in the mean over the {over}")
        return told

    def recorded(self) -> dict[str, Any]:
        """The same for programs."""
        found = {"class_counts": dict(zip(self._counts.names, self._counts.counts))}
        if self._weights is not None:
            found["class_weights"] = dict(zip(self._counts.names, self._weights.tolist()))
        return found


def require_targets(recipe: Recipe) -> None:
    """Refuses label smoothing, and a threshold of the sigmoid loss, that make the targets of all classes the same.

    A threshold that is an absent class's share too: rounding would decide. Images that are mixed have no other bounds.

    Args:
        recipe: with its classes.
    """
    smoothing = next((trick for trick in recipe.tricks if isinstance(trick, LabelSmoothing)), LabelSmoothing(0.0))
    there, absent = smoothing.shares(recipe.classes)
    shares = f"of {recipe.classes} classes an image's own has a share of {there:.4g} and every other one {absent:.4g}"
    if there <= absent:
        raise Refused(
            f"label_smoothing.eps is {smoothing.eps:g}: {shares}, from which its own is not learnt: make eps smaller"
        )
    threshold = next((trick.threshold for trick in recipe.tricks if isinstance(trick, SigmoidLoss)), None)
    if threshold is not None and not (absent < threshold < there or threshold == absent == 0):
        smoothed = f" by label_smoothing.eps {smoothing.eps:g}" if smoothing.eps else ""
        raise Refused(
            f"sigmoid_loss.threshold is {threshold:g}, and {shares}{smoothed}: give a threshold between the two, as "
            "otherwise every class has the same target"
        )
