"""Detection as a task of the training loop: its images with boxes, its network, its loss, its scores."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.keyed_random import generator
from gluon_tricks.core.wording import plural
from gluon_tricks.data.annotations.annotated import require_apart, require_own_classes
from gluon_tricks.data.annotations.boxes import VOC_CLASSES, BoxedImages, read_voc, report_classes
from gluon_tricks.data.annotations.coco import read_coco
from gluon_tricks.data.annotations.coco_files import find_coco
from gluon_tricks.data.augment import normalised
from gluon_tricks.data.base_loader import ReadOptions
from gluon_tricks.data.builtin import scenes
from gluon_tricks.networks.load import Trained
from gluon_tricks.networks.of_recipe import restore_plain_layout
from gluon_tricks.ranks import distributed
from gluon_tricks.recipes.transfer import DetectionRecipe
from gluon_tricks.tasks import pictures
from gluon_tricks.tasks.detection.build import build_detector
from gluon_tricks.tasks.detection.evaluation import evaluate_detector, image_sizes, predict
from gluon_tricks.tasks.detection.exported import exported_form
from gluon_tricks.tasks.detection.loader import DetectionBatch, DetectionLoader
from gluon_tricks.tasks.detection.loss import losses_of, with_targets
from gluon_tricks.tasks.detection.metrics import DetectionScores
from gluon_tricks.tasks.detection.prediction import detect
from gluon_tricks.tasks.detection.report import DetectorReport
from gluon_tricks.tasks.detection.settings import MOST_OBJECTS, ROI_SETTINGS
from gluon_tricks.tasks.findings import Arrays
from gluon_tricks.tasks.on_base import OnBase
from gluon_tricks.tasks.prediction import Prediction
from gluon_tricks.tasks.protocol import ONE_AT_A_TIME, Shard, TaskLoss, handful, read_options, split_batch
from gluon_tricks.tricks import StepContext
from model_zoo import keywords
from model_zoo.classifier import Classifier
from model_zoo.whole_images import WholeImages


class Detection(OnBase):
    """See protocol.Task."""

    kind = DetectionRecipe
    noun, network_name, command = "detector", "Faster-RCNN", "detect"
    scores = DetectionScores
    prediction_options: ClassVar[tuple[str, ...]] = ("threshold",)
    evaluation_flags: ClassVar[tuple[str, ...]] = ("data",)
    report = DetectorReport
    export_flags: ClassVar[tuple[str, ...]] = ()

    def __init__(self, recipe: DetectionRecipe, contexts: Sequence[mx.Context], threads: int | None):
        train, val = self.find_data(recipe)
        self.contexts = list(contexts)
        self.recipe = recipe.set(classes=len(train.classes), class_names=train.classes).resolved()
        common = dict(
            batch_size=recipe.batch_size // distributed.ranks(), short=recipe.short, long=recipe.long,
            options=read_options(recipe, threads),
        )  # fmt: skip
        self.train = DetectionLoader(train, train=True, **common)
        self.val = DetectionLoader(val, train=False, **{**common, "batch_size": len(self.contexts)})

    @classmethod
    def find_data(cls, recipe: DetectionRecipe) -> tuple[BoxedImages, BoxedImages]:
        train, val = find_boxes(recipe)
        require_own_classes(recipe.classes, recipe.class_names, train.classes, recipe.dataset)
        require_apart(train, val)
        require_trainable(train, val)
        return train, val

    @classmethod
    def place(cls, recipe: DetectionRecipe) -> str:
        return super().place(recipe) + (f" ({', '.join(recipe.val_splits)})" if recipe.data else "")

    @classmethod
    def validation_images(cls, recipe: DetectionRecipe) -> BoxedImages:
        return find_boxes(recipe, ("val",))[0]

    @classmethod
    def validation_loader(cls, recipe: DetectionRecipe, batch_size: int, threads: int | None) -> DetectionLoader:
        records = cls.validation_images(recipe)
        require_objects(records)
        sizes = dict(batch_size=batch_size, short=recipe.short, long=recipe.long)
        return DetectionLoader(records, train=False, **sizes, options=ReadOptions(threads=threads))

    @classmethod
    def score(
        cls, net: mx.gluon.HybridBlock, batches: Iterable, contexts: Sequence[mx.Context], records: BoxedImages,
        preprocess: Callable, found: Arrays | None = None,
    ) -> DetectionScores:  # fmt: skip
        return evaluate_detector(net, batches, contexts, records, preprocess, found)

    @classmethod
    def look(
        cls, trained: Trained, names: Sequence[str], context: mx.Context, threshold: float = 0.5
    ) -> Callable[[np.ndarray], Prediction]:
        return functools.partial(detect, trained.net, trained.recipe, names, context, threshold)

    @classmethod
    def exported_form(cls, trained: Trained) -> tuple[mx.gluon.HybridBlock, WholeImages]:
        return exported_form(trained.net, trained.recipe)

    @staticmethod
    def base_traits(model: str) -> dict[str, bool]:
        """Running statistics, of which VGG has none: a batch of so few images has no statistics to speak of."""
        return {"use_global_stats": True} if "use_global_stats" in keywords(model) else {}

    @staticmethod
    def build(recipe: DetectionRecipe, base: Classifier, norm_layers: dict) -> mx.gluon.HybridBlock:
        settings = dataclasses.replace(ROI_SETTINGS[recipe.roi], short=recipe.short, longest=recipe.long)
        names = recipe.class_names or ("thing",)
        return build_detector(base, names, settings, recipe.frozen_stages, recipe.dense_side)

    @staticmethod
    def outputs(classes: int) -> int:
        return classes + 1  # the background

    def network(self, restored: bool = False) -> mx.gluon.HybridBlock:
        net = self._net = super().network(restored)
        self.recipe = self.recipe.set(dense_side=net.dense_side)  # for whom will not have the base's parameters
        return net

    def loss(self) -> TaskLoss:
        return lambda X, z, y: sum(losses_of(z, y))

    def micro_batches(self, batch: DetectionBatch, step: StepContext) -> Iterator[list[Shard]]:
        """Of every device: its context, images (n, H, W, 3), boxes (n, M, 5), sizes (n, 2), numbers for the sample."""
        rng = generator(self.recipe.seed, "anchors", step.step, distributed.rank())
        parts = (batch.images, batch.boxes, image_sizes(batch, self.train.records))
        rounds = self.recipe.rounds(len(self.contexts) * distributed.ranks())
        for shards in split_batch(parts, rounds, self.contexts):
            yield [(*shard, rng) for shard in shards]

    def preprocess(self, shard: Shard) -> tuple[tuple, tuple]:
        """Images and objects for the network, which samples regions by them, and the targets of its anchors."""
        context, images, boxes, sizes, rng = shard
        return with_targets(self._net, self.network_input(images, context), boxes, rng, sizes)

    def forward(self, net: mx.gluon.HybridBlock, X: tuple) -> list[mx.nd.NDArray]:
        return net(*X)

    def network_input(self, images: np.ndarray, context: mx.Context) -> mx.nd.NDArray:
        """Images (n, H, W, 3) uint8 as the network sees them."""
        return normalised(images, context, self.recipe.mean, self.recipe.std)

    def evaluate(self, net: mx.gluon.HybridBlock, batches: Iterable) -> DetectionScores:
        self.found = {}
        return evaluate_detector(net, batches, self.contexts, self.val.records, self.network_input, self.found)

    def final_scores(self, net: mx.gluon.HybridBlock, batches: Iterable) -> dict[str, float]:
        return {}

    def draw(self, net: mx.gluon.HybridBlock, path: pathlib.Path) -> None:
        """A handful of images, with the annotated boxes and with those found that have a score of 0.5 or more."""
        recipe, names, drawn = self.recipe, self.recipe.class_names, []
        one_by_one = DetectionLoader(
            self.val.records, train=False, batch_size=1, short=recipe.short, long=recipe.long, options=ONE_AT_A_TIME
        )
        for batch in handful(one_by_one):
            found = predict(net, self.network_input(batch.images, self.contexts[0]))
            ids, scores, boxes = (part.asnumpy()[0] for part in found)
            drawn.append(pictures.boxes(batch.images[0], batch.boxes[0], names))
            drawn.append(pictures.boxes(batch.images[0], np.column_stack([boxes, ids]), names, scores))
        restore_plain_layout(net)
        pictures.save_png(path, pictures.grid(drawn, columns=4, titles=("annotated", "found (0.5 or more)") * 2))

    def describe(self) -> str:
        recipe, images = self.recipe, plural(len(self.train.records), "image")
        return f"Faster-RCNN on {recipe.model}, {images} of {plural(recipe.classes, 'class')} at {recipe.short} px"


def require_trainable(train: BoxedImages, val: BoxedImages) -> None:
    """Refuses now what the network or the scores would refuse in the middle of a run."""
    crowded = [path for path, boxes in zip(train.paths, train.boxes) if len(boxes) > MOST_OBJECTS]
    if crowded:
        raise Refused(
            f"{crowded[0]} has more than {MOST_OBJECTS} objects ({len(crowded)} such images in all), which training "
            "does not take: leave them out of the list"
        )
    if not any(len(boxes) for boxes in train.boxes):
        raise Refused(f"no training image (of {len(train)}) has a box: check the lists and annotations")
    require_objects(val)


def require_objects(val: BoxedImages) -> None:
    """Refuses images on which nothing can be scored."""
    if not any((boxes[:, 5] == 0).any() for boxes in val.boxes):
        raise Refused(
            f"no validation image (of {len(val)}) has an object that is not difficult: check the lists and annotations"
        )


def find_boxes(recipe: DetectionRecipe, splits: Sequence[str] = scenes.SPLITS) -> tuple[BoxedImages, ...]:
    """The images of a recipe, "train" and "val" in the order of `splits`; `scenes` is drawn on first use.

    Raises:
        Refused: a data set that is not there, or with annotations that contradict themselves or the images.
    """
    if recipe.dataset in scenes.DATA_SETS:
        folder = scenes.ensure(name=recipe.dataset)
        return tuple(read_voc(folder, (f"2007_{scenes.VOC_SPLITS[split]}",), scenes.CLASSES) for split in splits)
    if not recipe.data:
        raise Refused(_NO_DATA[recipe.dataset])
    found: list[BoxedImages] = []
    for split in splits:
        names = found[0].classes if found else recipe.class_names  # those of training, wherever it is read
        found.append(_READERS[recipe.dataset](recipe, split, names))
        report_classes(found[-1], recipe.data, train=split == "train")
    return tuple(found)


_NO_DATA = {
    "voc": "the data set is voc: name the folder of its VOCdevkit with --data",
    "coco": "the data set is coco: name the folder of your images with annotations in COCO's format with --data; "
    "GluonCV's networks for COCO itself (800 px, COCO's AP, pyramids) are not there",
}


def _lists(recipe: DetectionRecipe, split: str) -> tuple[str, ...]:
    return {"train": recipe.train_splits, "val": recipe.val_splits}[split]


def _voc(recipe: DetectionRecipe, split: str, names: Sequence[str]) -> BoxedImages:
    return read_voc(recipe.data, _lists(recipe, split), names or VOC_CLASSES)


def _coco(recipe: DetectionRecipe, split: str, names: Sequence[str]) -> BoxedImages:
    lists = _lists(recipe, split)
    if len(lists) != 1:
        raise Refused(f"{split}_splits are {', '.join(lists) or 'none'}: of coco it takes one file of annotations")
    return read_coco(*find_coco(recipe.data, lists[0]), names, train=split == "train")


_READERS = {"voc": _voc, "coco": _coco}
