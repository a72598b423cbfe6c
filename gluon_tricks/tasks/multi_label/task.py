"""Multi-label classification as a task of the training loop: what of it is not as in classification."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import mxnet as mx
import numpy as np
import scipy.special

from gluon_tricks.core.wording import plural
from gluon_tricks.data.base_loader import ReadOptions
from gluon_tricks.data.handles import open_at_once
from gluon_tricks.data.label_vectors import PRESENT, LabelledImages
from gluon_tricks.data.recipe_crop import training_crop
from gluon_tricks.data.recipe_records import with_found
from gluon_tricks.data.requirements import require_apart
from gluon_tricks.networks.load import Trained
from gluon_tricks.networks.of_recipe import restore_plain_layout
from gluon_tricks.recipes.multi_label import MultiLabelRecipe
from gluon_tricks.tasks import pictures
from gluon_tricks.tasks.classification.evaluation import collect_logits
from gluon_tricks.tasks.classification.task import Classification
from gluon_tricks.tasks.multi_label.evaluation import evaluate_tags
from gluon_tricks.tasks.multi_label.images import find_images, names_of
from gluon_tricks.tasks.multi_label.loader import TagLoader, loader_of_crops
from gluon_tricks.tasks.multi_label.loss import sigmoid_cross_entropy, target_of
from gluon_tricks.tasks.multi_label.metrics import MultiLabelScores
from gluon_tricks.tasks.multi_label.prediction import open_tagging
from gluon_tricks.tasks.multi_label.report import TaggerReport
from gluon_tricks.tasks.multi_label.validation import TagValidation, open_validation
from gluon_tricks.tasks.prediction import Prediction
from gluon_tricks.tasks.protocol import ScoringOptions, read_options


class MultiLabel(Classification):
    """See protocol.Task."""

    kind = MultiLabelRecipe
    noun, command = "tagger", "tag"
    scores = MultiLabelScores
    train_error = None  # no class of an image is the right one
    prediction_options: ClassVar[tuple[str, ...]] = ("threshold",)
    evaluation_flags: ClassVar[tuple[str, ...]] = (
        "rec_val", "batch_size", "input_size", "crop_ratio", "data", "test_crops",
    )  # fmt: skip
    report = TaggerReport
    image_loss = staticmethod(sigmoid_cross_entropy)
    told: ClassVar[Sequence[str]] = ()  # several classes an image, of any number each
    recorded: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def scores_of(cls, recipe: MultiLabelRecipe) -> type[MultiLabelScores]:
        return cls.scores

    @classmethod
    def find_data(cls, recipe: MultiLabelRecipe) -> tuple[LabelledImages, LabelledImages]:
        train, val = find_images(recipe)
        require_apart(train, val)
        return train, val

    @classmethod
    def validation_images(cls, recipe: MultiLabelRecipe) -> LabelledImages:
        return find_images(recipe, ("val",))[0]

    @classmethod
    def told_of(cls, recipe: MultiLabelRecipe) -> Sequence[str]:
        return ()

    @classmethod
    def drawn(cls, recipe: MultiLabelRecipe) -> MultiLabelRecipe:
        """Of which there are fewer than an initialisation takes."""
        drawn = recipe.set(data="few_scenes", train=(), val=(), classes=None, class_names=(), train_size=None)
        return drawn.without("data_dependent_init").without("resizing")

    @classmethod
    def names_one(cls, trained: Trained) -> bool:
        return False

    @classmethod
    def look(
        cls, trained: Trained, names: Sequence[str], context: mx.Context, threshold: float = 0.5
    ) -> Callable[[np.ndarray], Prediction]:
        return open_tagging(trained.net, names, context, threshold)

    @classmethod
    def open_validation(
        cls, source: str, contexts: Sequence[mx.Context], options: ScoringOptions, trained: Trained | None = None
    ) -> TagValidation:
        return open_validation(source, contexts, options, trained)

    def __init__(self, recipe: MultiLabelRecipe, contexts: Sequence[mx.Context], threads: int | None):
        train, val = self.find_data(recipe)
        names = train.classes or val.classes or recipe.class_names
        recipe = with_found(recipe, train, val).set(classes=train.vectors.shape[1], class_names=tuple(names)).resolved()
        self._threads = threads
        self._begin(recipe, train, val, contexts, threads)

    @classmethod
    def loader_of(
        cls, recipe: MultiLabelRecipe, records: LabelledImages, train: bool, batch_size: int, options: ReadOptions,
        keep: int = 0,
    ) -> TagLoader:  # fmt: skip
        return TagLoader(
            records, train=train, size=recipe.own_size if train else recipe.input_size, batch_size=batch_size,
            crop=training_crop(recipe) if train else None, crop_ratio=recipe.crop_ratio, options=options,
            copies=recipe.aug_repeats, size_of_epoch=recipe.size_at, reduced=recipe.decode == "reduced",
            keep=keep,
        )  # fmt: skip

    @property
    def final_val(self) -> TagLoader:
        recipe, options = self.recipe, read_options(self.recipe, self._threads)
        return loader_of_crops(recipe, self.val.records, self.val.batch_size, len(self.contexts), options)

    @property
    def open_files(self) -> int:
        files = len(self.train.records.paths) + len(self.val.records.paths)
        return open_at_once(files) if self.recipe.data == "records" else 0

    @property
    def names(self) -> tuple[str, ...]:
        return names_of(self.recipe, self.train.records)

    def target(self, labels: mx.nd.NDArray) -> mx.nd.NDArray:
        return target_of(labels)

    def evaluate(self, net: mx.gluon.HybridBlock, batches: Iterable) -> MultiLabelScores:
        """By the centre crop: the test crops take as many times as long, and count at the end of the run."""
        self.found = {}
        seen = self.val.records, self.names
        return evaluate_tags(net, batches, self.evaluation_input, self.contexts, *seen, self.found)

    def final_scores(self, net: mx.gluon.HybridBlock, batches: Iterable) -> dict[str, float]:
        """By the mean of the test crops, unless that is the centre crop, by which the last epoch was scored."""
        if self.recipe.test_crops <= 1:
            return {}
        found = self.evaluate(net, batches)
        return {name: found.row()[column] for column, name in self.scores.at_end.items()}

    def draw(self, net: mx.gluon.HybridBlock, path: pathlib.Path) -> None:
        """A handful of images with the likeliest classes as bars, those that are there in green."""
        batch = self._drawn_batch()
        logits, _ = collect_logits(net, [batch], self.evaluation_input, self.contexts[0])
        restore_plain_layout(net)
        found = scipy.special.expit(logits.astype(np.float64))
        there = [np.flatnonzero(of_image == PRESENT).tolist() for of_image in batch.labels]
        drawn = [pictures.bars(image, self.names, p, truth=k) for image, p, k in zip(batch.images, found, there)]
        pictures.save_png(path, pictures.grid(drawn))

    def describe(self) -> str:
        recipe, images = self.recipe, plural(len(self.train.records), "image")
        several = f"{plural(recipe.classes, 'class')}, several an image"
        return f"{recipe.model} on {images} of {several}, at {recipe.sizes_in_short()}"
