"""Classification as a task of the training loop: its records, its network, its loss, its scores."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import plural
from gluon_tricks.data.base_loader import ReadOptions, too_few
from gluon_tricks.data.builtin import shapes
from gluon_tricks.data.class_counts import ClassCounts
from gluon_tricks.data.class_names import in_words, kept_names
from gluon_tricks.data.handles import open_at_once
from gluon_tricks.data.kept_images import room_for_images
from gluon_tricks.data.loader import Batch, RecordLoader
from gluon_tricks.data.own_photos import record_of_run
from gluon_tricks.data.recipe_crop import training_crop
from gluon_tricks.data.recipe_records import classes_known, count_classes, find_records, records_are_here, with_found
from gluon_tricks.data.records import Records
from gluon_tricks.data.requirements import require_apart, require_start
from gluon_tricks.networks.checkpoint import network_digest
from gluon_tricks.networks.load import Trained, check_start
from gluon_tricks.networks.normalisation import MEAN_IMAGE
from gluon_tricks.networks.of_recipe import (
    initialised_network,
    input_dtype,
    outlined_network,
    restore_plain_layout,
    restored_classifier,
    untrained,
)
from gluon_tricks.networks.shallow import start_from_shallow
from gluon_tricks.networks.source import require_there
from gluon_tricks.ranks import distributed
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks import pictures
from gluon_tricks.tasks.classification.auxiliary import Outputs, with_auxiliaries, without_auxiliaries
from gluon_tricks.tasks.classification.balance import Balance, require_targets
from gluon_tricks.tasks.classification.class_scores import confusion_matrix
from gluon_tricks.tasks.classification.confusion_picture import MOST_COUNTED, confusion_picture
from gluon_tricks.tasks.classification.evaluation import (
    ClassificationScores,
    count_wrong,
    evaluate,
    probabilities,
    scores_of,
)
from gluon_tricks.tasks.classification.inputs import Inputs
from gluon_tricks.tasks.classification.prediction import classify, open_looking
from gluon_tricks.tasks.classification.report import ClassifierReport
from gluon_tricks.tasks.classification.teacher import load_teacher
from gluon_tricks.tasks.classification.validation import ClassificationValidation
from gluon_tricks.tasks.classification.view_validation import ViewValidation, open_set, open_view_validation
from gluon_tricks.tasks.classification.views import Views
from gluon_tricks.tasks.findings import Arrays, TaskReport
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
from gluon_tricks.tasks.training_mean import with_own_mean
from gluon_tricks.tricks import Distillation, StepContext
from model_zoo.classifier import Classifier
from model_zoo.preprocessing import Preprocessing


def cross_entropy(images, logits, target):
    """-sum_i q_i log p_i per image: (N, K), (N, K) -> (N,). Source: equation 3."""
    return -(logits.log_softmax(axis=1) * target).sum(axis=1)


class Classification:
    """See protocol.Task."""

    kind = Recipe
    noun, network_name, command = "classifier", "", "train"
    scores = ClassificationScores
    train_error = staticmethod(count_wrong)
    exported = True
    prediction_options: ClassVar[tuple[str, ...]] = ("crops", "scales", "dense", "members")
    evaluation_flags: ClassVar[tuple[str, ...]] = (
        "rec_val", "batch_size", "input_size", "crop_ratio", "form", "calibration", "calibration_batches", "places365",
        "submission", "crops", "scales", "dense", "members", "errors",
    )  # fmt: skip
    report: ClassVar[type[TaskReport]] = ClassifierReport
    found: Arrays = {}  # of no evaluation yet
    learnt_from = ""
    export_flags: ClassVar[tuple[str, ...]] = (
        "input_size", "batch_size", "crop_ratio", "rgb_mean", "rgb_std", "class_names",
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
        train, val = find_records(recipe)
        require_apart(train, val)
        return train, val

    @classmethod
    def validation_images(cls, recipe: Recipe) -> Records:
        return find_records(recipe)[1]

    @classmethod
    def told_of(cls, recipe: Recipe) -> Sequence[str]:
        if not records_are_here(recipe):
            if known := classes_known(recipe):
                require_targets(recipe.set(classes=known))
            return []
        train, val = cls.find_data(recipe)
        if len(train) < recipe.batch_size:
            raise too_few(len(train), recipe.batch_size, 1)
        require_start(recipe.start_images, len(train))
        recipe = recipe.set(classes=count_classes(train, val, recipe.classes))
        balance = Balance(recipe, ClassCounts.of(train, recipe.classes))
        balance.warn()
        return balance.lines()

    @classmethod
    def drawn(cls, recipe: Recipe) -> Recipe:
        folder = shapes.ensure(name="few_shapes")
        files = {split: (str(folder / f"{split}.rec"),) for split in ("train", "val")}
        of_its_own = dict(photos={}, classes=None, only_classes=(), per_class=0, sampling="plain", pretrained="")
        drawn = recipe.set(data="records", **files, **of_its_own, train_size=None)  # `sides` are what is measured
        drawn = drawn.without("class_weights").without("resizing")
        try:
            require_targets(drawn.set(classes=len(shapes.CLASSES)))
        except Refused:  # of as many classes; smoothing hardly costs time
            drawn = drawn.without("label_smoothing")
        return drawn

    @classmethod
    def outline(cls, recipe: Recipe) -> mx.gluon.HybridBlock:
        net = outlined_network(recipe)
        require_there(recipe.pretrained, recipe.model)
        teachers = (trick.teacher for trick in recipe.tricks if isinstance(trick, Distillation))
        here = recipe.shallow if distributed.rank() == 0 else ""  # which reads it for all
        for source in (here, *teachers):
            require_there(source)
        return net

    @classmethod
    def exported_form(cls, trained: Trained) -> tuple[mx.gluon.HybridBlock, Preprocessing | None]:
        net = trained.net
        return without_auxiliaries(net) if isinstance(net, Classifier) else net, getattr(net, "preprocessing", None)

    @classmethod
    def class_names(cls, trained: Trained) -> Sequence[str] | None:
        return trained.net.preprocessing.classes

    @classmethod
    def names_one(cls, trained: Trained) -> bool:
        return True

    @classmethod
    def look(
        cls, trained: Trained, names: Sequence[str], context: mx.Context, crops: str = "1", scales: Sequence[int] = (),
        dense: bool = False, members: Sequence[tuple[str, Trained]] = (),
    ) -> Callable[..., Prediction]:  # fmt: skip
        """See protocol.Task. Args: crops, scales, dense, members: as of ScoringOptions."""
        views = Views(crops, scales, dense)
        networks = [(trained.net.name, trained), *members]
        return functools.partial(classify, open_looking(networks, views, context), names)

    @classmethod
    def open_validation(
        cls, source: str, contexts: Sequence[mx.Context], options: ScoringOptions, trained: Trained | None = None
    ) -> ClassificationValidation | ViewValidation:
        views = Views(options.crops, options.scales, options.dense)
        if options.members or not views.plain:
            return open_view_validation(source, contexts, options, views, trained)
        evaluated = open_set(source, contexts, options, trained)
        return ClassificationValidation(evaluated, source, contexts, options.batch_size, options.threads)

    def __init__(self, recipe: Recipe, contexts: Sequence[mx.Context], threads: int | None):
        train, val = self.find_data(recipe)
        recipe = with_found(recipe, train, val).set(classes=count_classes(train, val, recipe.classes)).resolved()
        self.scores = scores_of(recipe.classes)
        self._balance = Balance(recipe, ClassCounts.of(train, recipe.classes))
        self._balance.warn()
        self._begin(recipe, train, val, contexts, threads)

    def _begin(self, recipe: Recipe, train, val, contexts: Sequence[mx.Context], threads: int | None) -> None:
        """Everything of an object but its scores, once the recipe has what the data says."""
        require_start(recipe.start_images, len(train))  # before a pass over all images for their mean
        recipe, self._mean_image = with_own_mean(recipe, train, self.loader_of, threads)
        self.recipe, self.contexts, self._inputs = recipe, list(contexts), Inputs(recipe, self._mean_image)
        batch_size, options = recipe.batch_size // distributed.ranks(), read_options(recipe, threads)
        keep = room_for_images() if recipe.decode == "once" else 0
        self.train = self.loader_of(recipe, train, True, batch_size, options, keep)
        self.val = self.loader_of(recipe, val, False, batch_size, options, keep)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.train.records.classes or (f"class {k}" for k in range(self.recipe.classes)))

    @property
    def told(self) -> Sequence[str]:
        return self._balance.lines()

    @property
    def recorded(self) -> Mapping[str, Any]:
        return self._balance.recorded()

    @property
    def run_files(self) -> dict[str, str]:
        files = {**record_of_run(self.recipe, self.train.records), **kept_names(self.train.records.classes or ())}
        return {**files, MEAN_IMAGE: json.dumps(self._mean_image.to_json())} if self._mean_image else files

    @classmethod
    def loader_of(
        cls, recipe: Recipe, records, train: bool, batch_size: int, options: ReadOptions, keep: int = 0
    ) -> RecordLoader:
        """The images of a resolved recipe as training takes them, or as validation after each epoch does.

        Args:
            keep: bytes for decoded images, of a loader whose images come more than once.
        """
        crops = {"crop": training_crop(recipe)} if train else {"crop_ratio": recipe.crop_ratio}
        return RecordLoader(
            records, train=train, size=recipe.own_size if train else recipe.input_size, classes=recipe.classes,
            batch_size=batch_size, balanced=train and recipe.sampling == "balanced", options=options, **crops,
            copies=recipe.aug_repeats, size_of_epoch=recipe.size_at, reduced=recipe.decode == "reduced",
            keep=keep,
        )  # fmt: skip

    @property
    def final_val(self) -> RecordLoader:
        return self.val

    @property
    def open_files(self) -> int:
        return open_at_once(len(self.train.records.paths) + len(self.val.records.paths))

    def network(self, restored: bool = False) -> mx.gluon.HybridBlock:
        recipe = self.recipe
        net = initialised_network(recipe.set(pretrained="") if restored else recipe, self.contexts)
        if recipe.pretrained and not restored:
            check_start(recipe, net)
        if not restored and distributed.rank() == 0:  # whose parameters the others get
            if recipe.shallow:
                start_from_shallow(net, recipe, self.contexts)
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
        records, options = self.train.records, ReadOptions(self.recipe.seed, prefetch=1)
        require_start(count, len(records))
        return self._inputs.sample(self.loader_of(self.recipe, records, True, count, options), self.contexts[0])

    def loss(self) -> TaskLoss:
        return with_auxiliaries(self.recipe.loss(self.image_loss, self._load_teacher), self.recipe.aux_weight)

    def _load_teacher(self, source: str) -> mx.gluon.Block:
        records = self.train.records
        place = self.recipe.photos.get("folder") or str(records.paths[0])
        teacher = load_teacher(source, self.recipe, self.contexts, records.classes or (), place)
        self.learnt_from = network_digest(teacher)
        return teacher

    def micro_batches(self, batch: Batch, step: StepContext) -> Iterator[list[Shard]]:
        """Of every device: its context, images (n, H, W, 3) uint8, colour matrices, flips, labels, and draw."""
        parts, devices = (batch.images, *self._inputs.drawn(batch), batch.labels), len(self.contexts)
        rounds = self.recipe.rounds(devices * distributed.ranks())
        step = dataclasses.replace(step, mean=self.recipe.mean, std=self.recipe.std)
        for k, shards in enumerate(split_batch(parts, rounds, self.contexts)):
            first = step.shard_index + k * devices
            yield [(*shard, dataclasses.replace(step, shard_index=first + d)) for d, shard in enumerate(shards)]

    def preprocess(self, shard: Shard) -> tuple[mx.nd.NDArray, mx.nd.NDArray]:
        """Images (n, 3, H, W) and target (n, K): augmented, mixed, smoothed. Source: section 2.1, Algorithm 1."""
        context, images, matrix, flip, labels, step = shard
        images = self._inputs.of_training(images, matrix, flip, context)
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
        """What the loss compares logits with, before the tricks change it: labels (n,) -> (n, K)."""
        return self._balance.target(labels)

    def evaluation_input(self, images: np.ndarray, context: mx.Context) -> mx.nd.NDArray:
        """Images (n, H, W, 3) uint8 as the network sees them: normalised, not augmented."""
        return self._inputs.of_evaluation(images, context)

    def evaluate(self, net: mx.gluon.HybridBlock, batches: Iterable) -> ClassificationScores:
        self.found = {}
        return evaluate(net, batches, self.evaluation_input, self.contexts, self.scores, self.found)

    def score_pictures(self) -> dict[str, np.ndarray]:
        if "guess" not in self.found or self.recipe.classes > MOST_COUNTED:
            return {}
        named = self.found["guess"] >= 0
        matrix = confusion_matrix(self.found["truth"][named], self.found["guess"][named], self.recipe.classes)
        return {"confusion matrix": confusion_picture(matrix, in_words(self.names))}

    def final_scores(self, net: mx.gluon.HybridBlock, batches: Iterable) -> dict[str, float]:
        return {}

    def draw(self, net: mx.gluon.HybridBlock, path: pathlib.Path) -> None:
        """A handful of images with the likeliest classes as bars, the right one's in green."""
        batch = self._drawn_batch()
        found = probabilities(net, [batch], self.evaluation_input, self.contexts[0])
        restore_plain_layout(net)
        names = in_words(self.names)
        drawn = [pictures.bars(image, names, p, truth=k) for image, p, k in zip(batch.images, found, batch.labels)]
        pictures.save_png(path, pictures.grid(drawn))

    def _drawn_batch(self) -> Batch:
        """A handful of validation images in a batch as long as a device has in evaluation: another is a new graph."""
        each = self.val.batch_size // len(self.contexts)
        one_by_one = self.loader_of(self.recipe, self.val.records, False, 1, ONE_AT_A_TIME)
        shown = list(handful(one_by_one, min(8, each)))
        images, labels, indices = (np.concatenate(column) for column in list(zip(*shown))[:3])
        padding = np.zeros((each - len(images), *images.shape[1:]), np.uint8)
        return Batch(np.concatenate([images, padding]), labels, indices, len(images), np.zeros_like(indices))

    def describe(self) -> str:
        recipe, images = self.recipe, plural(len(self.train.records), "image")
        return f"{recipe.model} on {images} of {plural(recipe.classes, 'class')} at {recipe.sizes_in_short()}"


def _array(part: np.ndarray, context: mx.Context) -> mx.nd.NDArray:
    return mx.nd.array(part, ctx=context, dtype=part.dtype)
