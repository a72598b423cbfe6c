"""Classification as a task of the training loop: its records, its network, its loss, its scores."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import plural
from gluon_tricks.data.augment import Preprocess, coefficients
from gluon_tricks.data.base_loader import ReadOptions
from gluon_tricks.data.builtin import shapes
from gluon_tricks.data.class_names import in_words
from gluon_tricks.data.crop import training_crop
from gluon_tricks.data.loader import Batch, RecordLoader
from gluon_tricks.data.recipe_records import count_classes, find_records
from gluon_tricks.data.records import Records
from gluon_tricks.data.requirements import require_apart
from gluon_tricks.networks.load import Trained, check_start, open_classifier, require_same_normalisation
from gluon_tricks.networks.of_recipe import (
    initialised_network,
    input_dtype,
    require_images,
    restore_plain_layout,
    restored_classifier,
    untrained,
)
from gluon_tricks.ranks import distributed
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks import pictures
from gluon_tricks.tasks.classification.auxiliary import Outputs, OwnOutput, own, with_auxiliaries
from gluon_tricks.tasks.classification.classes import require_same_classes
from gluon_tricks.tasks.classification.evaluation import ClassificationScores, evaluate, probabilities, scores_of
from gluon_tricks.tasks.classification.evaluation_set import open_evaluation_set
from gluon_tricks.tasks.classification.prediction import classify
from gluon_tricks.tasks.classification.validation import ClassificationValidation
from gluon_tricks.tasks.multi_label.prediction import tag
from gluon_tricks.tasks.prediction import Prediction
from gluon_tricks.tasks.protocol import (
    ONE_AT_A_TIME,
    ScoringOptions,
    Shard,
    TaskLoss,
    handful,
    read_options,
    split_batch,
)
from gluon_tricks.tricks import StepContext


def cross_entropy(images, logits, target):
    """-sum_i q_i log p_i per image: (N, K), (N, K) -> (N,). Source: equation 3."""
    return -(logits.log_softmax(axis=1) * target).sum(axis=1)


class Classification:
    """See protocol.Task."""

    kind = Recipe
    noun, network_name, command = "classifier", "", "train"
    scores = ClassificationScores
    exported = True
    prediction_options: ClassVar[tuple[str, ...]] = ()
    evaluation_flags: ClassVar[tuple[str, ...]] = (
        "rec_val", "batch_size", "input_size", "crop_ratio", "form", "calibration", "calibration_batches", "places365",
        "submission",
    )  # fmt: skip
    image_loss = staticmethod(cross_entropy)
    architecture = staticmethod(untrained)
    restored = staticmethod(restored_classifier)

    @classmethod
    def scores_of(cls, recipe: Recipe) -> type[ClassificationScores]:
        """The top 5 of at most five classes are all of them."""
        return scores_of(recipe.classes) if recipe.classes else ClassificationScores

    @classmethod
    def find_data(cls, recipe: Recipe) -> tuple[Records, Records]:
        return find_records(recipe)

    @classmethod
    def drawn(cls, recipe: Recipe) -> Recipe:
        folder = shapes.ensure(name="few_shapes")
        files = {split: (str(folder / f"{split}.rec"),) for split in ("train", "val")}
        return recipe.set(data="records", **files, classes=None)

    @classmethod
    def class_names(cls, trained: Trained) -> Sequence[str] | None:
        return trained.net.preprocessing.classes

    @classmethod
    def look(cls, trained: Trained, names: Sequence[str], context: mx.Context) -> Callable[[np.ndarray], Prediction]:
        net, seen_as = trained.net, trained.net.preprocessing
        net.cast("float32")
        net.hybridize(static_alloc=True, static_shape=True)
        require_images(net, (1, seen_as.input_size, seen_as.input_size), context)
        if seen_as.probabilities == "sigmoid":  # an export of a tagger
            return functools.partial(tag, net, seen_as, names, context, 0.5)
        return functools.partial(classify, net, seen_as, names, context)

    @classmethod
    def open_validation(
        cls, source: str, contexts: Sequence[mx.Context], options: ScoringOptions, trained: Trained | None = None
    ) -> ClassificationValidation:
        evaluated = open_evaluation_set(
            source, contexts, model=options.model, classes=options.classes, rec_val=options.rec_val,
            input_size=options.input_size, crop_ratio=options.crop_ratio, trained=trained,
            batch_size=options.batch_size,
        )  # fmt: skip
        return ClassificationValidation(evaluated, source, contexts, options.batch_size, options.threads)

    def __init__(self, recipe: Recipe, contexts: Sequence[mx.Context], threads: int | None):
        train, val = find_records(recipe)
        require_apart(train, val)
        recipe = recipe.set(classes=count_classes(train, val, recipe.classes)).resolved()
        self.scores = scores_of(recipe.classes)
        self._begin(recipe, train, val, contexts, threads)

    def _begin(self, recipe: Recipe, train, val, contexts: Sequence[mx.Context], threads: int | None) -> None:
        """Everything of an object but its scores, once the recipe has what the data says."""
        self.recipe, self.contexts = recipe, list(contexts)
        batch_size, options = recipe.batch_size // distributed.ranks(), read_options(recipe, threads)
        self.train = self.loader_of(recipe, train, True, batch_size, options)
        self.val = self.loader_of(recipe, val, False, batch_size, options)
        self.network_input = Preprocess(input_dtype(recipe.dtype))
        if recipe.mode == "hybrid":
            self.network_input.hybridize(static_alloc=True, static_shape=True)

    @classmethod
    def loader_of(cls, recipe: Recipe, records, train: bool, batch_size: int, options: ReadOptions) -> RecordLoader:
        """The images of a resolved recipe as training takes them, or as validation after each epoch does."""
        crops = {"crop": training_crop(recipe)} if train else {"crop_ratio": recipe.crop_ratio}
        return RecordLoader(
            records, train=train, size=recipe.input_size, classes=recipe.classes, batch_size=batch_size,
            options=options, **crops,
        )  # fmt: skip

    @property
    def open_files(self) -> int:
        return len(self.train.records.paths) + len(self.val.records.paths)

    def network(self, restored: bool = False) -> mx.gluon.HybridBlock:
        recipe = self.recipe
        net = initialised_network(recipe.set(pretrained="") if restored else recipe, self.contexts)
        if recipe.pretrained and not restored:
            check_start(recipe, net)
        if not restored and distributed.rank() == 0:  # whose parameters the others get
            for trick in recipe.tricks:
                trick.from_images(net, self.sample, recipe.seed)
        net.cast(input_dtype(recipe.dtype))
        if recipe.mode == "hybrid":
            net.hybridize(static_alloc=True, static_shape=True)
        return net

    def sample(self, count: int) -> mx.nd.NDArray:
        """The first training images (count, 3, H, W) as the network sees them, the same on any number of ranks.

        Raises:
            Refused: there are not as many.
        """
        recipe, context = self.recipe, self.contexts[0]
        records = self.train.records
        if len(records) < count:
            raise Refused(f"the network starts from {count} images, and there are {len(records)}: set images to fewer")
        loader = self.loader_of(recipe, records, True, count, ReadOptions(recipe.seed, prefetch=1))
        with contextlib.closing(loader.epoch()) as batches:
            batch = next(batches)
        matrix, flip = coefficients(recipe.augment, recipe.seed, 0, batch.indices, recipe.mean, recipe.std)
        normalised, found = Preprocess("float32"), []
        for first in range(0, count, recipe.batch_size):
            some = slice(first, first + recipe.batch_size)
            found.append(normalised(*(_array(part[some], context) for part in (batch.images, matrix, flip))))
        return mx.nd.concat(*found, dim=0)

    def loss(self) -> TaskLoss:
        return with_auxiliaries(self.recipe.loss(self.image_loss, self._load_teacher), self.recipe.aux_weight)

    def _load_teacher(self, source: str) -> mx.gluon.Block:
        """A trained network that takes the recipe's images and knows its classes.

        Raises:
            Refused: there is none, or it was trained on other images than these or on other classes.
        """
        called, why = f"the teacher {source}", ": a teacher is a classifier"
        recipe, trained = self.recipe, open_classifier(source, ctx=self.contexts, called=called, why=why)
        teacher, wanted = trained.net, recipe.teacher_size or recipe.input_size
        if trained.recipe is not None and trained.recipe.probabilities != recipe.probabilities:
            raise Refused(
                f"{called} was trained on images of several classes each and has no softmax to learn from: name another"
            )
        seen = teacher.preprocessing.input_size if "input_size" in getattr(teacher, "stated", ()) else 0
        if seen not in (0, wanted):
            raise Refused(
                f"the teacher {source} was trained on images of {seen} px and these have {wanted} px: train one on "
                f"such images, or say that it is meant with --set teacher_size={seen}"
            )
        require_same_normalisation(recipe, trained, f"the teacher {source}")
        side = recipe.input_size
        try:
            shape = own(teacher(mx.nd.zeros((1, 3, side, side), ctx=self.contexts[0]))).shape
        except mx.MXNetError as error:
            why = str(error).splitlines()[-1]
            raise Refused(f"the teacher {source} does not take images of {side} px: {why}") from None
        if shape != (1, recipe.classes):
            raise Refused(
                f"the teacher {source} has {shape[-1]} classes and the data has {recipe.classes}: train it on this data"
            )
        require_same_classes(f"the teacher {source}", trained, self.train.records)
        return OwnOutput(teacher)

    def micro_batches(self, batch: Batch, step: StepContext) -> Iterator[list[Shard]]:
        """Of every device: its context, images (n, H, W, 3) uint8, colour matrices, flips, labels, and draw."""
        recipe = self.recipe
        matrix, flip = coefficients(recipe.augment, recipe.seed, step.epoch, batch.indices, recipe.mean, recipe.std)
        parts, devices = (batch.images, matrix, flip, batch.labels), len(self.contexts)
        rounds = recipe.rounds(devices * distributed.ranks())
        for k, shards in enumerate(split_batch(parts, rounds, self.contexts)):
            first = step.shard_index + k * devices
            yield [(*shard, dataclasses.replace(step, shard_index=first + d)) for d, shard in enumerate(shards)]

    def preprocess(self, shard: Shard) -> tuple[mx.nd.NDArray, mx.nd.NDArray]:
        """Images (n, 3, H, W) and target (n, K): augmented, mixed, smoothed. Source: section 2.1, Algorithm 1."""
        context, images, matrix, flip, labels, step = shard
        images = self.network_input(*(_array(part, context) for part in (images, matrix, flip)))
        target = self.target(_array(labels, context))
        for trick in self.recipe.tricks:
            images, target = trick.batch(images, target, step)
        return images, target

    def forward(self, net: mx.gluon.HybridBlock, X: mx.nd.NDArray) -> Outputs:
        """Logits (n, K) float32; of a network with auxiliary classifiers a list: its own, then theirs."""
        outputs = net(X)
        if isinstance(outputs, (list, tuple)):
            return [logits.astype("float32") for logits in outputs]
        return outputs.astype("float32")

    def target(self, labels: mx.nd.NDArray) -> mx.nd.NDArray:
        """What the loss compares logits with, before the tricks: labels (n,) -> (n, K)."""
        return mx.nd.one_hot(labels, self.recipe.classes)

    def evaluation_input(self, images: np.ndarray, context: mx.Context) -> mx.nd.NDArray:
        """Images (n, H, W, 3) uint8 as the network sees them: normalised, not augmented."""
        matrix, flip = coefficients("none", 0, 0, range(len(images)), self.recipe.mean, self.recipe.std)
        return self.network_input(*(_array(part, context) for part in (images, matrix, flip)))

    def evaluate(self, net: mx.gluon.HybridBlock, batches: Iterable) -> ClassificationScores:
        return evaluate(net, batches, self.evaluation_input, self.contexts, self.scores)

    def final_scores(self, net: mx.gluon.HybridBlock, batches: Iterable) -> dict[str, float]:
        return {}

    def draw(self, net: mx.gluon.HybridBlock, path: pathlib.Path) -> None:
        """A handful of images with the likeliest classes as bars, the right one's in green."""
        val, recipe = self.val, self.recipe
        each = val.batch_size // len(self.contexts)  # images of a device in evaluation; others would be a new graph
        one_by_one = self.loader_of(recipe, val.records, False, 1, ONE_AT_A_TIME)
        shown = list(handful(one_by_one, min(8, each)))
        images, labels, indices = (np.concatenate(column) for column in list(zip(*shown))[:3])
        padding = np.zeros((each - len(images), *images.shape[1:]), np.uint8)
        batch = Batch(np.concatenate([images, padding]), labels, indices, len(images))
        found = probabilities(net, [batch], self.evaluation_input, self.contexts[0])
        restore_plain_layout(net)
        names = in_words(self.train.records.classes or [f"class {k}" for k in range(recipe.classes)])
        drawn = [pictures.bars(image, names, of_it, truth=k) for image, of_it, k in zip(images, found, labels)]
        pictures.save_png(path, pictures.grid(drawn))

    def describe(self) -> str:
        recipe, images = self.recipe, plural(len(self.train.records), "image")
        return f"{recipe.model} on {images} of {plural(recipe.classes, 'class')} at {recipe.input_size} px"


def _array(part: np.ndarray, context: mx.Context) -> mx.nd.NDArray:
    return mx.nd.array(part, ctx=context, dtype=part.dtype)
