"""Segmentation as a task of the training loop: its images with masks, its network, its loss, its scores."""

from __future__ import annotations

import functools
import itertools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import plural
from gluon_tricks.data.annotations.annotated import require_apart, require_own_classes
from gluon_tricks.data.annotations.masks import MaskedImages, check_values, read_ade20k, read_masks, require_classes
from gluon_tricks.data.augment import normalised
from gluon_tricks.data.base_loader import ReadOptions
from gluon_tricks.data.builtin import scenes
from gluon_tricks.networks.load import Trained
from gluon_tricks.networks.of_recipe import input_dtype, restore_plain_layout
from gluon_tricks.ranks import distributed
from gluon_tricks.recipes.transfer import SegmentationRecipe
from gluon_tricks.tasks import pictures
from gluon_tricks.tasks.findings import Arrays
from gluon_tricks.tasks.on_base import DRAWN, OnBase
from gluon_tricks.tasks.prediction import Prediction
from gluon_tricks.tasks.protocol import ONE_AT_A_TIME, Shard, TaskLoss, handful, read_options, split_batch
from gluon_tricks.tasks.segmentation.evaluation import (
    MULTI_SCALE,
    class_probabilities,
    classify_pixels,
    evaluate_segmenter,
)
from gluon_tricks.tasks.segmentation.exported import exported_form
from gluon_tricks.tasks.segmentation.loader import SegmentationBatch, SegmentationLoader
from gluon_tricks.tasks.segmentation.loss import segmentation_loss
from gluon_tricks.tasks.segmentation.metrics import SegmentationScores
from gluon_tricks.tasks.segmentation.prediction import segment
from gluon_tricks.tasks.segmentation.report import SegmenterReport
from gluon_tricks.tasks.segmentation.segmenter import build_segmenter
from gluon_tricks.tricks import StepContext
from model_zoo import keywords
from model_zoo.classifier import Classifier
from model_zoo.whole_images import WholeImages

# Sums of real pixels that may be under way, each by a name of its own: of three steps, and of SAM's two passes of each.
_COUNTS = 6


class Segmentation(OnBase):
    """See protocol.Task."""

    kind = SegmentationRecipe
    noun, network_name, command = "segmenter", "FCN", "segment"
    scores = SegmentationScores
    prediction_options: ClassVar[tuple[str, ...]] = ("multi_scale",)
    evaluation_flags: ClassVar[tuple[str, ...]] = ("data", "multi_scale")
    report = SegmenterReport
    export_flags: ClassVar[tuple[str, ...]] = ("batch_size",)

    def __init__(self, recipe: SegmentationRecipe, contexts: Sequence[mx.Context], threads: int | None):
        train, val = self.find_data(recipe)
        self.contexts = list(contexts)
        self.recipe = recipe.set(classes=len(train.classes), class_names=train.classes).resolved()
        options = read_options(recipe, threads)
        sizes = dict(batch_size=recipe.batch_size // distributed.ranks(), crop=recipe.crop, base=recipe.base_size)
        self.train = SegmentationLoader(train, train=True, **sizes, options=options)
        self.val = SegmentationLoader(val, train=False, batch_size=1, options=options)
        self._counted = itertools.cycle(range(_COUNTS))

    @classmethod
    def find_data(cls, recipe: SegmentationRecipe) -> tuple[MaskedImages, MaskedImages]:
        train, val = find_masks(recipe)
        require_own_classes(recipe.classes, recipe.class_names, train.classes, recipe.dataset)
        require_apart(train, val)
        return train, val

    @classmethod
    def drawn(cls, recipe: SegmentationRecipe) -> SegmentationRecipe:
        return recipe.set(**DRAWN, void=255, mask_values=())

    @classmethod
    def validation_images(cls, recipe: SegmentationRecipe) -> MaskedImages:
        return find_masks(recipe, ("val",))[0]

    @classmethod
    def validation_loader(cls, recipe: SegmentationRecipe, batch_size: int, threads: int | None) -> SegmentationLoader:
        """It takes one image at a time."""
        records = cls.validation_images(recipe)
        return SegmentationLoader(records, train=False, batch_size=1, options=ReadOptions(threads=threads))

    @classmethod
    def score(
        cls, net: mx.gluon.HybridBlock, batches: Iterable, contexts: Sequence[mx.Context], records: MaskedImages,
        preprocess: Callable, found: Arrays | None = None, multi_scale: bool = False,
    ) -> SegmentationScores:  # fmt: skip
        scales = MULTI_SCALE if multi_scale else (1.0,)
        classes = len(records.classes)
        return evaluate_segmenter(net, batches, preprocess, contexts, classes, scales, multi_scale, found)

    @classmethod
    def look(
        cls, trained: Trained, names: Sequence[str], context: mx.Context, multi_scale: bool = False
    ) -> Callable[[np.ndarray], Prediction]:
        return functools.partial(segment, trained.net, trained.recipe, names, context, multi_scale)

    @classmethod
    def exported_form(cls, trained: Trained) -> tuple[mx.gluon.HybridBlock, WholeImages]:
        return exported_form(trained.net, trained.recipe)

    @staticmethod
    def base_traits(model: str) -> dict[str, bool]:
        if "dilated" not in keywords(model):
            raise Refused(
                f"{model} has no dilated form, which an FCN needs: use a ResNet v1b, v1c or v1d, a ResNeXt, "
                "SE-ResNeXt, MobileNet or DenseNet"
            )
        return {"dilated": True}

    @staticmethod
    def build(recipe: SegmentationRecipe, base: Classifier, norm_layers: dict) -> mx.gluon.HybridBlock:
        net = build_segmenter(base, recipe.classes or 1, aux=recipe.aux_weight > 0, **norm_layers)
        for head in net.heads:
            head.initialize(mx.init.Xavier(), ctx=next(iter(base.collect_params().values())).list_ctx())
            head.collect_params().setattr("lr_mult", recipe.head_lr)
        return net

    @staticmethod
    def outputs(classes: int) -> int:
        return classes

    def loss(self) -> TaskLoss:
        return lambda X, z, y: segmentation_loss(z, *y, aux_weight=self.recipe.aux_weight)

    def micro_batches(self, batch: SegmentationBatch, step: StepContext) -> Iterator[list[Shard]]:
        """Of every device: its context, images (n, H, W, 3), masks (n, H, W), and how many pixels are not void.

        That number, (1,), is the mean over the images of the global batch. It is not waited for: the loss needs it.
        """
        real = mx.nd.array([(batch.masks >= 0).sum()], ctx=self.contexts[0], dtype="float64")
        real = distributed.sum_(real, f"real_pixels.{next(self._counted)}") / self.recipe.batch_size
        rounds = self.recipe.rounds(len(self.contexts) * distributed.ranks())
        for shards in split_batch((batch.images, batch.masks), rounds, self.contexts):
            yield [(*shard, real) for shard in shards]

    def preprocess(self, shard: Shard) -> tuple[mx.nd.NDArray, tuple]:
        """Images (n, 3, H, W); masks (n, H, W), -1 where void, and how many pixels of an image are not."""
        context, images, masks, real = shard
        y = mx.nd.array(masks, ctx=context, dtype="float32"), real.as_in_context(context).astype("float32")
        return self.network_input(images, context), y

    def forward(self, net: mx.gluon.HybridBlock, X: mx.nd.NDArray) -> list[mx.nd.NDArray]:
        """Logits (n, K, H, W) of each head."""
        return net(X)

    def network_input(self, images: np.ndarray, context: mx.Context) -> mx.nd.NDArray:
        """Images (n, H, W, 3) uint8 as the network sees them."""
        recipe = self.recipe
        return normalised(images, context, recipe.mean, recipe.std).astype(input_dtype(recipe.dtype), copy=False)

    def evaluate(self, net: mx.gluon.HybridBlock, batches: Iterable) -> SegmentationScores:
        self.found = {}
        classes = self.recipe.classes
        return evaluate_segmenter(net, batches, self.network_input, self.contexts, classes, found=self.found)

    def final_scores(self, net: mx.gluon.HybridBlock, batches: Iterable) -> dict[str, float]:
        """pixAcc and mIoU at six scales and mirrored, if the recipe asks for them."""
        recipe = self.recipe
        if recipe.final_scales == "one":
            return {}
        several = dict(scales=MULTI_SCALE, flips=True)
        scores = evaluate_segmenter(net, batches, self.network_input, self.contexts, recipe.classes, **several)
        return {"pixAcc, multi-scale": scores.pix_acc, "mIoU, multi-scale": scores.miou}

    def draw(self, net: mx.gluon.HybridBlock, path: pathlib.Path) -> None:
        """A handful of images, under the annotated mask and under the one found."""
        names, drawn = self.recipe.class_names, []
        for batch in handful(SegmentationLoader(self.val.records, train=False, batch_size=1, options=ONE_AT_A_TIME)):
            found = classify_pixels(class_probabilities(net, self.network_input(batch.images, self.contexts[0])))
            drawn.append(pictures.overlay(batch.images[0], batch.masks[0], names))
            drawn.append(pictures.overlay(batch.images[0], found.asnumpy()[0], names))
        restore_plain_layout(net)
        pictures.save_png(path, pictures.grid(drawn, columns=4, titles=("annotated", "found") * 2))

    def describe(self) -> str:
        recipe, images = self.recipe, plural(len(self.train.records), "image")
        return f"FCN on {recipe.model}, {images} of {plural(recipe.classes, 'class')} in crops of {recipe.crop} px"


def find_masks(recipe: SegmentationRecipe, splits: Sequence[str] = scenes.SPLITS) -> tuple[MaskedImages, ...]:
    """The images of a recipe, "train" and "val" in the order of `splits`; `scenes` is drawn on first use.

    Raises:
        Refused: a data set that is not there, or with masks that do not fit their images or the classes.
    """
    if recipe.dataset in scenes.DATA_SETS:
        folder = scenes.ensure(name=recipe.dataset)
        return tuple(_read_scenes(folder, scenes.ADE20K_SPLITS[split]) for split in splits)
    if not recipe.data:
        raise Refused(f"the data set is {recipe.dataset}: name its folder with --data")
    read = {"ade20k": _read_ade20k, "masks": _read_folders}[recipe.dataset]
    found = tuple(read(recipe, split) for split in splits)
    for split, records in zip(splits, found):
        require_classes(records, check_values(records), train=split == "train")
    return found


def _read_scenes(folder: pathlib.Path, split: str) -> MaskedImages:
    places = (folder / "images" / split, folder / "annotations" / split)
    return read_masks(*places, scenes.MASK_CLASSES, void=(scenes.VOID,), values=range(1, len(scenes.MASK_CLASSES) + 1))


def _read_ade20k(recipe: SegmentationRecipe, split: str) -> MaskedImages:
    return read_ade20k(recipe.data, scenes.ADE20K_SPLITS[split])


def _read_folders(recipe: SegmentationRecipe, split: str) -> MaskedImages:
    classes = recipe.class_names or recipe.classes or len(recipe.mask_values)
    if not classes:
        raise Refused(
            "the data set is masks: say how many classes they have, --num-classes K, or their names, --classes"
        )
    folder, void = pathlib.Path(recipe.data), () if recipe.void in recipe.mask_values else (recipe.void,)
    places = folder / "images" / split, folder / "masks" / split
    return read_masks(*places, classes, void=void, values=recipe.mask_values)
