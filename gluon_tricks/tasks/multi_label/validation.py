"""The scores of a trained tagger on validation images, those of its run or others."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import as_utf8, first_difference, plural
from gluon_tricks.data.augment import normalised
from gluon_tricks.data.base_loader import ReadOptions
from gluon_tricks.data.label_vectors import LabelledImages
from gluon_tricks.data.shards import in_words
from gluon_tricks.networks.load import Trained, require_classifier
from gluon_tricks.networks.of_recipe import dtype_of, input_dtype, require_images
from gluon_tricks.recipes.multi_label import MultiLabelRecipe
from gluon_tricks.tasks.annotated_validation import values
from gluon_tricks.tasks.findings import Arrays
from gluon_tricks.tasks.multi_label.evaluation import evaluate_tags
from gluon_tricks.tasks.multi_label.images import find_images, names_of
from gluon_tricks.tasks.multi_label.loader import TagLoader, loader_of_crops
from gluon_tricks.tasks.multi_label.metrics import MultiLabelScores
from gluon_tricks.tasks.other_data import of_a_run
from gluon_tricks.tasks.protocol import ScoringOptions


@dataclasses.dataclass(frozen=True)
class TagValidation:
    """See protocol.Validation.

    Args:
        recipe: of the run, with what was asked for instead.
        source: what the run is called.
        place: where the images come from, in words.
    """

    net: mx.gluon.HybridBlock
    recipe: MultiLabelRecipe
    source: str
    place: str
    records: LabelledImages
    loader: TagLoader
    contexts: Sequence[mx.Context]

    @property
    def names(self) -> tuple[str, ...]:
        return names_of(self.recipe, self.records)

    def score(self, batches: Iterable, precision: str | None = None, found: Arrays | None = None) -> MultiLabelScores:
        dtype = input_dtype(precision) if precision else dtype_of(self.net)
        if precision:
            self.net.cast(dtype)
            self.net.hybridize(static_alloc=True, static_shape=True)
        seen = self.records, self.names
        return evaluate_tags(self.net, batches, self._preprocess(dtype), self.contexts, *seen, found)

    def _preprocess(self, dtype: str) -> Callable[[np.ndarray, mx.Context], mx.nd.NDArray]:
        mean, std, whole = self.recipe.mean, self.recipe.std, self.net.preprocessing.mean_image
        return lambda images, context: normalised(images, context, mean, std, whole).astype(dtype, copy=False)

    def doubts(self) -> list[str]:
        return []  # reading the labels has told of all

    def result(self, scores: MultiLabelScores, precision: str, seconds: float) -> dict[str, Any]:
        return {
            "model": self.recipe.model,
            "task": self.recipe.task,
            "pretrained": as_utf8(self.source),
            "data": as_utf8(self.place),
            "input_size": self.recipe.input_size,
            "test_crops": self.recipe.test_crops,
            "dtype": precision,
            **values(scores, self.names),
            "undecodable": len(self.loader.undecodable),
            "images_per_second": scores.images / seconds,
        }

    def lines(self, scores: MultiLabelScores, result: dict[str, Any]) -> list[str]:
        crops = self.loader.crops
        over = f"the mean logits of {crops} random crops" if crops > 1 else "the centre crop"
        return [
            f"{self.recipe.model} ({self.source}) on {plural(scores.images, 'image')} of {self.place}, by {over}",
            f"{scores}",
            scores.per_class_table(),
            f"{result['images_per_second']:.1f} images/s at {self.recipe.input_size} px, {result['dtype']}",
        ]


def open_validation(
    source: str, contexts: Sequence[mx.Context], options: ScoringOptions, trained: Trained
) -> TagValidation:
    """A tagger with images to score it on. Args and Raises: as for Task.open_validation."""
    require_classifier(trained, source)
    recipe = trained.recipe or _recipe_of(trained.net)
    if not trained.recipe and not options.rec_val and not options.data:
        raise Refused(f"{source} is no run, which would name its images: name some with --rec-val or --data")
    if options.rec_val and options.data:
        raise Refused("--rec-val and --data name two sets of images: give one of them")
    asked = {"input_size": options.input_size, "crop_ratio": options.crop_ratio, "test_crops": options.test_crops}
    if options.rec_val:
        asked |= {"data": "records", "val": tuple(map(str, options.rec_val))}
    elif options.data:
        if not recipe.of_folder:
            raise Refused(
                f"--data {options.data}: {source} was not trained on a VOC folder; name records with --rec-val"
            )
        asked["data"] = options.data
    recipe = recipe.set(**{name: value for name, value in asked.items() if value is not None})
    with of_a_run(source, recipe):
        (records,) = find_images(recipe, ("val",))
    own = recipe.class_names
    if own and records.classes and (odd := first_difference(own, records.classes)):
        raise Refused(f"{source} was trained on other classes than {records.paths[0]} has ({odd})")
    loader = loader_of_crops(
        recipe, records, options.batch_size * len(contexts), len(contexts), ReadOptions(threads=options.threads)
    )
    side = recipe.input_size
    require_images(trained.net, (loader.batch_size * loader.crops // len(contexts), side, side), contexts[0])
    place = in_words(records.paths) if recipe.data == "records" else recipe.data
    if recipe.of_folder:
        place += f" ({', '.join(recipe.val_splits)})"
    return TagValidation(trained.net, recipe, source, place, records, loader, contexts)


def _recipe_of(net: mx.gluon.HybridBlock) -> MultiLabelRecipe:
    """What is known of a parameter file of no run: the images that its network takes, and the classes."""
    seen_as = net.preprocessing
    return MultiLabelRecipe(
        model=net.name, input_size=seen_as.input_size, crop_ratio=seen_as.crop_ratio, mean=seen_as.mean,
        std=seen_as.std, classes=net.classes, class_names=seen_as.classes or (), test_crops=0,
    )  # fmt: skip
