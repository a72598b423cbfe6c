"""The scores of a trained detector or segmenter on validation images, those of its run or of another folder."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import as_utf8, first_difference, plural
from gluon_tricks.data.augment import normalised
from gluon_tricks.networks.load import Trained
from gluon_tricks.networks.of_recipe import dtype_of, input_dtype
from gluon_tricks.recipes.transfer import TransferRecipe
from gluon_tricks.tasks.findings import Arrays
from gluon_tricks.tasks.other_data import of_a_run
from gluon_tricks.tasks.protocol import Loader, Scores, ScoringOptions


class AnnotatedTask(Protocol):
    """What the class of a Task says besides, whose images have boxes or masks."""

    network_name: str

    @classmethod
    def place(cls, recipe: TransferRecipe) -> str:
        """Where a recipe's validation images come from, in words."""

    @classmethod
    def validation_loader(cls, recipe: TransferRecipe, batch_size: int, threads: int | None) -> Loader:
        """Every validation image of a recipe once."""

    @classmethod
    def score(
        cls, net: mx.gluon.HybridBlock, batches: Iterable, contexts: Sequence[mx.Context], records: Any,
        preprocess: Callable, found: Arrays | None = None,
    ) -> Scores:  # fmt: skip
        """The scores of a network. It takes those of its evaluation_flags that concern it besides.

        Args:
            records: the loader's.
            preprocess: (images uint8 NHWC ndarray, context) -> the network's input on that device.
            found: as of Validation.score.
        """


@dataclasses.dataclass(frozen=True)
class AnnotatedValidation:
    """See protocol.Validation. The network is a detector or a segmenter.

    Args:
        task: what it is.
        source: what the run is called.
        place: where the images come from, in words.
        multi_scale: a segmenter's mean over six scales and their mirror images.
    """

    task: type[AnnotatedTask]
    net: mx.gluon.HybridBlock
    recipe: TransferRecipe
    source: str
    place: str
    loader: Loader
    contexts: Sequence[mx.Context]
    multi_scale: bool = False

    def score(self, batches: Iterable, precision: str | None = None, found: Arrays | None = None) -> Scores:
        dtype = input_dtype(precision) if precision else dtype_of(self.net)
        if precision:
            self.net.cast(dtype)
            self.net.hybridize(static_alloc=True)  # the shapes of images differ
        preprocess = functools.partial(_preprocess, self.recipe, dtype)
        options = {"multi_scale": True} if self.multi_scale else {}
        return self.task.score(self.net, batches, self.contexts, self.loader.records, preprocess, found, **options)

    def doubts(self) -> list[str]:
        return []  # reading the annotations has told of all

    def result(self, scores: Scores, precision: str, seconds: float) -> dict[str, Any]:
        return {
            "model": self.recipe.model,
            "task": self.recipe.task,
            "pretrained": as_utf8(self.source),
            "data": as_utf8(self.place),
            "dtype": precision,
            "multi_scale": self.multi_scale,
            **values(scores, self.loader.records.classes),
            "undecodable": len(self.loader.undecodable),
            "images_per_second": scores.images / seconds,
        }

    def lines(self, scores: Scores, result: dict[str, Any]) -> list[str]:
        images = plural(scores.images, "image")
        return [
            f"{self.task.network_name} on {self.recipe.model} ({self.source}) on {images} of {self.place}",
            f"{scores}{' over 6 scales and flips' if self.multi_scale else ''}",
            scores.per_class_table(self.loader.records.classes),
            f"{result['images_per_second']:.1f} images/s, {result['dtype']}",
        ]


def open_validation(
    task: type[AnnotatedTask], source: str, contexts: Sequence[mx.Context], options: ScoringOptions, trained: Trained
) -> AnnotatedValidation:
    """The validation images of a run's recipe. Args and Raises: as for Task.open_validation."""
    recipe, data = trained.recipe, options.data
    if data and not recipe.data:
        raise Refused(f"--data {data}: the data set of {source} is {recipe.dataset}, which is built in: leave it out")
    recipe = recipe.set(data=data) if data else recipe
    with of_a_run(source, recipe):
        loader, place = task.validation_loader(recipe, len(contexts), options.threads), task.place(recipe)
    names, own = recipe.class_names, loader.records.classes
    if names and (odd := first_difference(names, own)):
        raise Refused(f"{source} was trained on other classes than {place} has ({odd})")
    return AnnotatedValidation(task, trained.net, recipe, source, place, loader, contexts, options.multi_scale)


def _preprocess(recipe: TransferRecipe, dtype: str, images: np.ndarray, context: mx.Context) -> mx.nd.NDArray:
    return normalised(images, context, recipe.mean, recipe.std).astype(dtype, copy=False)


def values(scores: Scores, names: Sequence[str]) -> dict[str, Any]:
    """The scores as they are written to JSON, those of the classes in their order; None: it does not occur."""
    means = {name: value for name, value in vars(scores).items() if not name.startswith("per_class")}
    return {"classes": list(names), **means, **scores.per_class()}
