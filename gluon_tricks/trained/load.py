"""A trained network of any task by what a user calls it: the SRC of the scripts."""

from __future__ import annotations

import os
from collections.abc import Sequence

import mxnet as mx

from gluon_tricks.networks.load import Trained, open_with
from gluon_tricks.tasks.registry import task_of
from model_zoo.classifier import Classifier


def open_network(
    source: str | os.PathLike, *, model: str | None = None, classes: int | None = None,
    ctx: mx.Context | Sequence[mx.Context] | None = None,
) -> Trained:  # fmt: skip
    """The network that SRC means. Args and Raises: as for networks.load.open_with."""
    return open_with(lambda recipe: task_of(recipe).restored, source, model=model, classes=classes, ctx=ctx)


def open_to_ask(
    source: str | os.PathLike, *, model: str | None = None, classes: int | None = None,
    ctx: mx.Context | Sequence[mx.Context] | None = None,
) -> Trained:  # fmt: skip
    """The network that SRC means; what sees images of one shape alone is made fast. Args and Raises: as above."""
    trained = open_network(source, model=model, classes=classes, ctx=ctx)
    if isinstance(trained.net, Classifier):
        trained.net.hybridize(static_alloc=True, static_shape=True)
    return trained


def load_network(
    source: str | os.PathLike, *, model: str = "", classes: int | None = None,
    ctx: mx.Context | Sequence[mx.Context] | None = None,
) -> mx.gluon.HybridBlock:  # fmt: skip
    """A trained network, ready to use in predict mode.

    Args:
        source: a run directory, one of its checkpoints, its final.params or its exported symbol; any parameter file
            that model_zoo.load_model takes, as FILE#PART too; NAME or NAME/TAG of a file that GluonCV published.
        model, classes: of a parameter file that fits several networks; elsewhere they must agree with what is found.
        ctx: a context or a list of them; the CPU by default.

    Returns: of a classifier, images (N, 3, H, W), normalised as its `preprocessing` says, -> logits (N, classes).

    Raises:
        Refused: there is no such thing, it does not say its network, or model or classes contradict it.
    """
    return open_network(source, model=model or None, classes=classes, ctx=ctx).net
