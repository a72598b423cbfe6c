"""What the training loop leaves open: what is learnt, from which data, and how it is scored."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import mxnet as mx
import numpy as np

from gluon_tricks.data.base_loader import ReadOptions
from gluon_tricks.ranks import distributed
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.tricks import StepContext

# Of a micro-batch, what one device works on: the context, arrays on the host, what else `preprocess` needs.
Shard = tuple
ONE_AT_A_TIME = ReadOptions(threads=1, prefetch=1)  # of a loader that `handful` reads a few images with
TaskLoss = Callable[[Any, Any, Any], mx.nd.NDArray]  # (X, z, y) of one device -> (n,) float32, one number per image


def split_batch(parts: Sequence[np.ndarray], count: int, contexts: Sequence[mx.Context]) -> Iterator[list[Shard]]:
    """So many micro-batches: each device with its shard of every part, all of them split along their first axis."""
    for pieces in zip(*(np.split(part, count) for part in parts)):
        yield list(zip(contexts, *(np.split(piece, len(contexts)) for piece in pieces)))


def read_options(recipe: Settings, threads: int | None) -> ReadOptions:
    """Those of the loaders of this rank."""
    return ReadOptions(recipe.seed, threads, distributed.rank(), distributed.ranks())


class Scores(Protocol):
    """What an evaluation finds.

    Attributes:
        columns: of metrics.csv.
        labels: those of them that are told -> what they are called; the losses among them need not be there.
        images: how many it is over.
        best: by which checkpoints are compared, in [0, 1], more being better.
    """

    columns: tuple[str, ...]
    labels: dict[str, str]
    images: int

    @property
    def best(self) -> float: ...

    def row(self) -> dict[str, float]:
        """Its columns of metrics.csv, `labels` among them, all called val_..."""

    def per_class(self) -> dict[str, list[float | None]]:
        """Scores of each class, in the order of the classes; None: the class does not occur. {}: there are none."""

    @classmethod
    def from_row(cls, row: dict[str, float], images: int) -> Scores:
        """The scores of a row that was written before."""


class Loader(Protocol):
    """Batches in an order that is a pure function of (seed, epoch), which training can go on with anywhere."""

    records: Any  # len(), digest, paths
    steps_per_epoch: int
    seed: int

    def reseed(self, seed: int) -> None: ...

    def epoch(self, epoch: int = 0, start_step: int = 0) -> Iterator[Any]: ...


class Task(Protocol):
    """One of classification, detection and segmentation; made from a recipe, devices and a number of threads.

    Attributes:
        scores: the class of what evaluate returns.
        recipe: the one given, with what the data says (classes) and, once it is there, the network.
        train, val: the loaders of this rank.
        open_files: how many data files they hold open.
    """

    scores: type[Scores]
    recipe: Settings
    train: Loader
    val: Loader
    open_files: int

    def __init__(self, recipe: Settings, contexts: Sequence[mx.Context], threads: int | None): ...

    def network(self, restored: bool = False) -> mx.gluon.HybridBlock:
        """The network before its first step, on every device, in the recipe's precision.

        Args:
            restored: its numbers are going to be a checkpoint's: what it would start from need not be there.
        """

    def loss(self) -> TaskLoss:
        """The loss per image. Raises Refused where it needs what is not there (a teacher)."""

    def micro_batches(self, batch: Any, step: StepContext) -> Iterator[list[Shard]]:
        """A loader's batch in recipe.rounds parts, each as the shards of the devices, still on the host."""

    def preprocess(self, shard: Shard) -> tuple[Any, Any]:
        """X, what the network takes, and y, what the loss compares its output with, on the shard's device."""

    def forward(self, net: mx.gluon.HybridBlock, X: Any) -> Any:
        """z, the network's output, to be called under autograd.record()."""

    def evaluate(self, net: mx.gluon.HybridBlock, batches: Iterable) -> Scores:
        """Scores of a network over all batches of all ranks; leaves it in the plain layout."""

    def final_scores(self, net: mx.gluon.HybridBlock, batches: Iterable) -> dict[str, float]:
        """What is scored at the end of a run alone, by its name in words; {}: nothing. Leaves the plain layout."""

    def draw(self, net: mx.gluon.HybridBlock, path: pathlib.Path) -> None:
        """What the network makes of a fixed handful of validation images, as a PNG; leaves it in the plain layout."""

    def describe(self) -> str:
        """What is trained on what, in words."""


def handful(loader: Loader, most: int = 8) -> Iterator[Any]:
    """At most so many batches with an image, evenly spread over the epoch of a validation loader: always the same."""
    for step in np.unique(np.linspace(0, loader.steps_per_epoch - 1, most).round().astype(int)).tolist():
        with contextlib.closing(loader.epoch(0, step)) as batches:
            batch = next(batches)
        if batch.count:
            yield batch
