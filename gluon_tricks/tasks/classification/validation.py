"""The scores of a trained classifier, as evaluation gives and prints them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import Any

import mxnet as mx

from gluon_tricks.core.wording import as_utf8, plural
from gluon_tricks.data.loader import RecordLoader
from gluon_tricks.data.requirements import of_one_class
from gluon_tricks.data.shards import in_words
from gluon_tricks.networks.of_recipe import dtype_of, input_dtype
from gluon_tricks.tasks.classification.class_report import class_lines, class_values, names_of
from gluon_tricks.tasks.classification.evaluation import ClassificationScores, evaluate, scores_of, wilson
from gluon_tricks.tasks.classification.evaluation_set import EvaluationSet
from gluon_tricks.tasks.classification.guesses import Guesses
from gluon_tricks.tasks.findings import Arrays


@dataclasses.dataclass(frozen=True)
class ClassificationValidation:
    """See protocol.Validation.

    Args:
        source: what the network is called.
        batch_size: images on each device at a time.
        threads: of the loader; None: all cores.
    """

    evaluated: EvaluationSet
    source: str
    contexts: Sequence[mx.Context]
    batch_size: int
    threads: int | None

    @functools.cached_property
    def loader(self) -> RecordLoader:
        devices = len(self.contexts)
        # Of fewer images than a batch is to have, the rest of it would be computed for nothing.
        on_each = min(self.batch_size, max(-(-len(self.evaluated.records) // devices), 1))
        return self.evaluated.loader(on_each * devices, self.threads)

    def set_precision(self, precision: str) -> None:
        """Makes the network compute in it, fast."""
        self.evaluated.net.hybridize(static_alloc=True, static_shape=True)
        self.evaluated.net.cast(input_dtype(precision))

    def score(
        self, batches: Iterable, precision: str | None = None, found: Arrays | None = None
    ) -> ClassificationScores:
        net = self.evaluated.net
        if precision:
            self.set_precision(precision)
        dtype = input_dtype(precision) if precision else dtype_of(net)
        preprocess, kind = self.evaluated.preprocess(dtype), scores_of(net.classes)
        return evaluate(net, batches, preprocess, self.contexts, kind, found)

    def doubts(self) -> list[str]:
        said = of_one_class(self.evaluated.records)
        return [said] if said else []

    def about(self, precision: str) -> dict[str, Any]:
        """What a JSON file says before any number."""
        evaluated = self.evaluated
        return {
            "model": evaluated.net.name,
            "pretrained": as_utf8(self.source),
            "records": [*map(as_utf8, evaluated.records.paths)],
            "classes": evaluated.net.classes,
            "input_size": evaluated.preprocessing.input_size,
            "crop_ratio": evaluated.preprocessing.crop_ratio,
            "dtype": precision,
            "published": dataclasses.asdict(evaluated.published) if evaluated.published else None,
        }

    def result(self, scores: ClassificationScores, precision: str, seconds: float) -> dict[str, Any]:
        return {
            **self.about(precision),
            "top1": scores.top1,
            "top5": scores.top5,
            "loss": scores.loss,
            "images": scores.images,
            "undecodable": len(self.loader.undecodable),
            "top1_interval": wilson(scores.top1, scores.images),
            "top5_interval": wilson(scores.top5, scores.images),
            "images_per_second": scores.images / seconds,
            **self.class_values(scores.guesses),
        }

    def class_values(self, guesses: Guesses) -> dict[str, Any]:
        """What a JSON file says of the classes one by one."""
        return class_values(guesses, names_of(self.evaluated))

    def class_lines(self, guesses: Guesses) -> list[str]:
        """The same as it is printed."""
        return class_lines(guesses, names_of(self.evaluated))

    def headline(self, result: dict[str, Any]) -> str:
        """Which network, on how many of which images."""
        images = plural(result["images"], "image")
        return f"{result['model']} ({self.source}) on {images} of {in_words(result['records'])}"

    def lines(self, scores: ClassificationScores, result: dict[str, Any]) -> list[str]:
        told, theirs = [self.headline(result)], result["published"] or {}
        for kind in ("top1", "top5") if result["classes"] > 5 else ("top1",):
            low, high = result[f"{kind}_interval"]
            beside = f", published {theirs[kind]:.2f}%" if theirs.get(kind) is not None else ""
            told.append(f"top-{kind[3]} {result[kind]:.2%} (95 % interval {low:.2%} to {high:.2%}){beside}")
        told.append(
            f"loss {result['loss']:.4f}; {result['images_per_second']:.0f} images/s at {result['input_size']} px, "
            f"{result['dtype']}"
        )
        return told + self.class_lines(scores.guesses)
