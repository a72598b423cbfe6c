"""Recipes of section 6: detectors and segmenters, whose base network is a classifier that has been trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from gluon_tricks.core.bounds import within
from gluon_tricks.core.wording import is_plain, plural, some
from gluon_tricks.recipes.recipe import INITS
from gluon_tricks.recipes.settings import Settings, free
from gluon_tricks.tricks import PolyDecay, StepDecay, Trick, Warmup
from model_zoo import gluoncv_table
from model_zoo.preprocessing import LARGEST_INPUT

VOC_IMAGES = {("2007_trainval", "2012_trainval"): 16_551, ("2007_trainval",): 5_011}  # lists -> their images
VOC_STEPS = 16_551 // 4  # of an epoch of the first, by four


@dataclasses.dataclass(frozen=True)
class TransferRecipe(Settings):
    """What both have in common: a base network and a data set.

    Args: as for Settings, and
        base_params: what the base network starts from: a run, a parameter file, NAME/TAG of one that GluonCV
            published; "": random numbers.
        init, init_sd: where the base starts, of base_params "": as of Recipe; "": where its layers bring no numbers,
            uniform ones of up to 0.07.
        dataset: what kind of data set it is.
        data: the folder it lies in; "" for one that is built in.
        class_names: of the data set's classes, of "voc", "coco" and "masks" any; (): VOC's, all of the annotations of
            "coco", or of "masks" their numbers.
    """

    based = True
    reads_folder = True
    choices = {**Settings.choices, "init": ("", *INITS)}

    optimizer: str = "sgd"
    base_params: str = free("ranks", default="")  # all start with rank 0's parameters
    init: str = ""
    init_sd: float = within(1e-6, 10, default=0.01)
    dataset: str = "scenes"
    data: str = free("cells", "resume", "ranks", default="")  # what lies there has a digest
    class_names: tuple[str, ...] = free(default=(), found=True)

    def starting_from(self, weights: str) -> TransferRecipe:
        return self.set(base_params=weights, init="")

    def constraints(self) -> Iterator[tuple[bool, str]]:
        yield from super().constraints()
        yield self.model not in gluoncv_table.FAMILY_OF, gluoncv_table.no_stages(self.model)
        yield self.classes is None or self.classes <= 2**16, f"classes is {self.classes}: masks have at most {2**16}"
        yield (
            self.classes is None or len(self.class_names) in (0, self.classes),
            f"class_names has {plural(len(self.class_names), 'name')} and classes is {self.classes}: give as many "
            "names as classes",
        )
        yield (
            all(map(is_plain, self.class_names)),
            "a class has control characters or bytes that are no UTF-8 in its name: correct it",
        )
        yield (
            len({*self.class_names}) == len(self.class_names) and all(name.strip() for name in self.class_names),
            f"class_names are {some(self.class_names)}: give each class a name of its own",
        )
        yield (
            self.start_epoch == 0,
            f"start_epoch is {self.start_epoch}: use --resume auto, which goes on with everything",
        )
        yield (
            not self.data or not self.dataset.endswith("scenes"),
            f"data is {self.data!r}: {self.dataset} is built in; name the kind of your data with dataset",
        )
        yield (
            not (self.init and self.base_params),
            f"init is {self.init}, for a base that starts anew, and base_params {self.base_params}: leave one out",
        )
        starts = [trick.label() for trick in self.tricks if trick.replaces_weights]
        yield (
            not (self.base_params and starts),
            f"base_params {self.base_params} and {', '.join(starts)}, which sets all weights anew: leave one out, or "
            "set within=false, which keeps what the network computes",
        )
        for trick in self.tricks:
            hooks = ("batch", "image_size", "label_weights", "criterion", "loss", "net_kwargs")
            yield (
                not any(trick.has(hook) for hook in hooks),
                f"{trick.label()} is for training classifiers, such as the base network: leave it out",
            )


@dataclasses.dataclass(frozen=True)
class DetectionRecipe(TransferRecipe):
    """The training of a Faster-RCNN. The defaults are the paper's for Pascal VOC, and GluonCV's where it says nothing.

    Args: as for TransferRecipe, and
        dataset: "voc" (a VOCdevkit at `data`), "coco" (images at `data` with annotations in COCO's format), "scenes" or
            "few_scenes" (built in).
        train_splits, val_splits: of VOC, as year_list: ImageSets/Main/list.txt of VOCyear; where `data` itself has
            JPEGImages: list. Of "coco": a JSON file there, or a word such as train (see annotations.coco_files).
        short, long: images are scaled to this shorter side, px, or less, so that the longer is at most `long`.
        roi: named RoI settings of detection.settings: "paper" or "small".
        frozen_stages: the stem and so many stages of the base are not trained; BN statistics never are.
        dense_side: of a base with hidden dense layers (VGG, AlexNet) the side of the map that they take, which a run
            finds in base_params; None: not known yet.

    Source: section 6.1; GluonCV's recipe for its numbers. The warm-up is Detectron's, whose "linear warmup" the paper
        names without a length: 500 steps from a third of the rate.
    Differs: GluonCV has no warm-up for VOC: see GLUONCV in recipes.named.detection_segmentation.
    """

    task = "detection"
    least_classes = 1  # beside the background
    choices = {
        **TransferRecipe.choices,
        "dataset": ("voc", "coco", "scenes", "few_scenes"),
        "roi": ("paper", "small"),
        "dtype": ("float32", "bfloat16"),  # a box needs more than float16's 11 bits
    }

    name: str = "faster_rcnn"
    model: str = "resnet50_v1b"
    dataset: str = "voc"
    train_splits: tuple[str, ...] = ("2007_trainval", "2012_trainval")
    val_splits: tuple[str, ...] = ("2007_test",)
    short: int = within(1, LARGEST_INPUT, default=600)
    long: int = within(1, 2 * LARGEST_INPUT, default=1000)
    roi: str = "paper"
    frozen_stages: int = 1
    dense_side: int | None = free(default=None, found=True, within=(1, LARGEST_INPUT))
    epochs: int = 20
    batch_size: int = 4
    lr: float | None = 1e-3
    wd: float = 5e-4
    tricks: tuple[Trick, ...] = (Warmup(epochs=500 / VOC_STEPS, start_factor=1 / 3), StepDecay((14, 20)))

    def constraints(self) -> Iterator[tuple[bool, str]]:
        yield from super().constraints()
        yield (
            self.short <= self.long,
            f"short {self.short} and long {self.long}: pixels, the shorter side being the smaller number",
        )
        yield (
            self.bn_batch is None,
            f"bn_batch is {self.bn_batch}: a detector's batch normalisation keeps its base's statistics; leave it out",
        )
        yield 0 <= self.frozen_stages <= 4, f"frozen_stages is {self.frozen_stages}: it takes 0 to 4"

    @property
    def sides(self) -> tuple[int, int]:
        """The shorter and the longer side of what the network is trained on, px."""
        return self.short, self.long


@dataclasses.dataclass(frozen=True)
class SegmentationRecipe(TransferRecipe):
    """The training of an FCN. The defaults are the paper's and GluonCV's for ADE20K.

    Args: as for TransferRecipe, and
        dataset: "ade20k" (ADE20K's folders at `data`), "masks" (images/{train,val} and masks/{train,val} at `data`),
            "scenes" or "few_scenes" (built in).
        void: of "masks": the value in the masks that is no class, unless it is one of mask_values.
        mask_values: of "masks": the value in the masks of each class; (): 0, 1, 2, ...
        crop: side of a training crop, px.
        base_size: what an image's longer side is scaled to, times a random factor of 0.5 to 2, before the crop.
        aux_weight: of the auxiliary head's loss.
        head_lr: factor on the rate of both heads, which start from random numbers.
        final_scales: what the trained network is scored at: "one" scale, as after every epoch, or "several" as well,
            which are GluonCV's six and their mirror images.

    Source: section 6.2; Zhang et al., Context encoding (CVPR 2018), and its code, for what it calls "the practice in
        Zhang": lr 0.01 acts on the gradient of the mean loss of 16 images.
    Differs: GluonCV's script divides that gradient by the images of a device once more, which halves its step on 8
        GPUs: see GLUONCV in recipes.named.detection_segmentation.
    """

    task = "segmentation"
    choices = {
        **TransferRecipe.choices,
        "dataset": ("ade20k", "masks", "scenes", "few_scenes"),
        "final_scales": ("one", "several"),
    }

    name: str = "fcn"
    model: str = "resnet50_v1b"
    net: dict[str, Any] = dataclasses.field(default_factory=lambda: {"norm_layer": "SyncBatchNorm"})
    dataset: str = "ade20k"
    void: int = within(0, 65535, default=255)
    mask_values: tuple[int, ...] = within(0, 65535, default=())
    crop: int = within(1, LARGEST_INPUT, default=480)
    base_size: int = within(1, 2 * LARGEST_INPUT, default=520)  # training scales to twice as much
    aux_weight: float = within(0, 1e4, default=0.5)  # 0: no auxiliary head
    head_lr: float = within(0, 1e4, default=10.0)
    final_scales: str = free("cells", "resume", default="one")  # it changes no other score
    epochs: int = 120
    batch_size: int = 16
    lr: float | None = 0.01
    tricks: tuple[Trick, ...] = (PolyDecay(power=0.9),)

    def constraints(self) -> Iterator[tuple[bool, str]]:
        yield from super().constraints()
        yield (
            self.dataset == "masks" or self.void == 255,
            f"void is {self.void}: it goes with the data set masks, {self.dataset} has its own",
        )
        yield (
            not self.mask_values or self.dataset == "masks",
            f"mask_values go with the data set masks: {self.dataset} has its own",
        )
        yield (
            not self.mask_values or (self.classes or len(self.mask_values)) == len(self.mask_values) >= 2,
            f"mask_values are {some(self.mask_values, 10)} and classes is {self.classes}: give one value "
            "for each class, at least two",
        )
        yield self.head_lr > 0, f"head_lr is {self.head_lr}: it takes a factor above 0"

    @property
    def sides(self) -> tuple[int, int]:
        """The sides of what the network is trained on, px."""
        return self.crop, self.crop
