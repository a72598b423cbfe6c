"""Recipes: everything that decides what a run learns, as one frozen record that is written beside every result."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from gluon_tricks import tricks
from gluon_tricks.core.bounds import within
from gluon_tricks.core.errors import Refused, require_known
from gluon_tricks.core.json_text import json_or_text
from gluon_tricks.core.wording import composed, is_plain, quoted, some
from gluon_tricks.recipes.policies import policy_of
from gluon_tricks.recipes.settings import Settings, free, usual_preprocessing
from gluon_tricks.recipes.sizes import ImageSizes
from gluon_tricks.recipes.values import trick_from_json, trick_named
from gluon_tricks.tricks import ClassWeights, Loss
from gluon_tricks.tricks.mixing import Mixing
from model_zoo.mean_image import LARGEST_SIDE
from model_zoo.preprocessing import LARGEST_INPUT, LARGEST_RESIZED

INITS = ("paper", "gluoncv", "gaussian", "plain", "kaiming", "kaiming_out", "kaiming_conv")  # see networks.start
OWN_MEANS = {"channels": "of every channel", "pixels": "at every pixel"}
SAMPLINGS = ("plain", "balanced")  # see data.sampling
DECODINGS = ("whole", "reduced", "once")  # see Recipe
CROPS = ("area", "side", "square", "pad", "centre")  # see data.crop
_LARGEST_BATCH = 1 << 36  # pixels over all devices: 65,536 images of 1024 px


@dataclasses.dataclass(frozen=True)
class Recipe(ImageSizes, Settings):
    """The training of a classifier, to the last number that decides its result.

    Args: as for Settings, and
        pretrained: where to start from: a parameter file, a tag of GluonCV's, "true" for its default file; "": random.
        shallow: a trained network, shallower and of the same kind, that the first and the last layers are taken from;
            "": none.
        data: "shapes" or "few_shapes" (built in), "imagenet" (GluonCV's default place), "records" with train and val.
        train, val: RecordIO files; several act as one.
        photos: where train and val were packed from (see data.own_photos): {"folder", "val_split": of each class to
            validate on (None: the folder says it), "at_most": px of a stored photo's shorter edge, "classes": their
            names, "digests" of the two}; {}: from elsewhere. Records that are gone are packed again.
        only_classes: of these the images of some classes alone, which get the labels 0, 1, ... in this order; (): all.
        per_class: so many training images of each class, drawn by the seed, those of a smaller number being among those
            of a larger one (see data.selection); 0: all.
        sampling: "plain", or "balanced": an epoch, of as many images, draws every class equally often (see
            data.sampling).
        new_head: the head starts from random numbers, where `pretrained` has one of as many classes too.
        input_size: side of the network's input, pixels, in validation and in use; None: the network's own.
        train_size: side of the training images, px; None: input_size. A larger input_size is to test at a larger size.
        aug_repeats: an epoch, of as many images, has each of fewer so many times in one batch, each time augmented
            anew (see data.sampling).
        teacher_size: side of the images that a teacher was trained on; None: train_size, or input_size.
        crop_ratio: validation crops input_size from images of shorter edge ceil(input_size / crop_ratio); None: the
            network's own.
        crop: of a training image (see data.crop): "area" (a random part, resized), "side" (a random square, the shorter
            side being resized), "square" (the same out of the middle square), "pad" (a random square of the image with
            a border), "centre" (as in validation).
        decode: "whole", or "reduced": a JPEG of training is decoded 2, 4 or 8 times smaller where its crop is made so
            much smaller anyway, which takes less time and leaves less of what would alias; validation decodes whole.
            Not with autoaugment, which changes the whole image. "once": as whole, and what is decoded stays in memory
            as far as there is room (see data.kept_images): the same training in less time.
        min_area: an area crop covers a fraction of the image uniform in [min_area, 1].
        aspect: its width / height is log-uniform in [low, high].
        side: of a side or square crop, what the shorter side becomes: uniform among the whole numbers of [low, high].
        pad: width of a pad crop's border, px.
        pad_colour: of that border: "mean", which is 0 once normalised, or "black".
        augment: "paper" (flip, PCA noise, brightness, saturation, hue), "gluoncv" (flip, PCA noise, brightness,
            contrast, saturation), "alexnet" (flip, PCA noise), "flip" or "none".
        auto_augment: "autoaugment": before the crop one of its policies changes the image (see data.auto_augment);
            "trivial" (TrivialAugment), "rand" or with numbers "rand-m9-n2" (RandAugment): operations that are drawn
            change the crop (see data.random_policies); "": none. True and False of recipes before 0.9.0 are
            "autoaugment" and "".
        mean_of: "channels" or "pixels": what is subtracted is the training images' own mean, of every channel or at
            every pixel, which a run finds before its first step; mean is then set to it, or to its channels'. "": it is
            mean.
        init: of the weights (see networks.start): "paper" (Xavier uniform), "gluoncv" (MSRA), "gaussian" (of the
            deviation init_sd), "plain" (the same, without biases), "kaiming" (by fan-in), "kaiming_out" (by fan-out) or
            "kaiming_conv" (by fan-in, and "plain" in dense layers).
        init_sd: the deviation of Gaussians.
        aux_weight: of the loss of each auxiliary classifier, in networks that have them (googlenet_2014_aux).

    Attributes:
        probabilities: what makes them of the logits, see model_zoo.preprocessing.
    """

    task = "classification"
    probabilities: ClassVar[str] = "softmax"
    choices = {
        **Settings.choices,
        "init": INITS,
        "sampling": SAMPLINGS,
        "crop": CROPS,
        "decode": DECODINGS,
        "pad_colour": ("mean", "black"),
        "augment": ("paper", "gluoncv", "alexnet", "flip", "none"),
        "mean_of": ("", *OWN_MEANS),
    }

    name: str = "imagenet"
    model: str = "resnet50_v1"
    pretrained: str = free("ranks", default="")  # all start with rank 0's parameters
    shallow: str = free("ranks", default="")
    data: str = free("cells", "resume", "ranks", default="imagenet")  # what lies there has a digest
    train: tuple[str, ...] = free("cells", "resume", "ranks", default=())
    val: tuple[str, ...] = free("cells", "resume", "ranks", default=())
    photos: dict[str, Any] = dataclasses.field(default_factory=dict, metadata={"free": ("cells", "resume", "ranks")})
    only_classes: tuple[str, ...] = ()
    per_class: int = within(0, 1 << 30, default=0)
    sampling: str = "plain"
    new_head: bool = False
    input_size: int | None = within(1, LARGEST_INPUT, default=None)
    train_size: int | None = within(1, LARGEST_INPUT, default=None)
    aug_repeats: int = within(1, 1024, default=1)
    teacher_size: int | None = within(1, LARGEST_INPUT, default=None)
    crop_ratio: float | None = None
    crop: str = "area"
    decode: str = "whole"
    min_area: float = 0.08
    aspect: tuple[float, ...] = within(1 / 64, 64, default=(3 / 4, 4 / 3))
    side: tuple[int, ...] = within(1, LARGEST_RESIZED, default=(256, 256))
    pad: int = within(0, LARGEST_INPUT, default=4)
    pad_colour: str = "mean"
    augment: str = "paper"
    auto_augment: str = ""
    mean_of: str = ""
    init: str = "paper"
    init_sd: float = within(1e-6, 10, default=0.01)
    aux_weight: float = within(0, 1e4, default=0.3)

    def __post_init__(self) -> None:
        if isinstance(self.auto_augment, bool):
            object.__setattr__(self, "auto_augment", "autoaugment" if self.auto_augment else "")
        super().__post_init__()

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Settings:
        """As of Settings. Beside autoaugment earlier versions decoded whole, whatever `decode` said."""
        both = isinstance(values, dict) and values.get("auto_augment") == "autoaugment"
        return super().from_json({**values, "decode": "whole"} if both else values)

    def constraints(self) -> Iterator[tuple[bool, str]]:
        yield from super().constraints()
        policy_of(self.auto_augment)  # which refuses what is none
        yield from self._constraints_of_sizes()
        if self.own_size:
            self.size_at(self.start_epoch)  # a trick refuses what it cannot make of it
        yield from self._constraints_of_weights()
        yield from self._constraints_of_classes()
        yield from self._constraints_of_crop()

    def _constraints_of_sizes(self) -> Iterator[tuple[bool, str]]:
        yield (
            self.crop_ratio is None or 0 < self.crop_ratio <= 1,
            f"crop_ratio is {self.crop_ratio}: it must lie in (0, 1]",
        )
        resized = (self.input_size or 1) / (self.crop_ratio or 1)
        yield (
            resized <= LARGEST_RESIZED,
            f"input_size {self.input_size} over crop_ratio {self.crop_ratio}: images would be resized to {resized:.3g} "
            f"px, and {LARGEST_RESIZED} are the most",
        )
        largest = max(self.input_size or 1, self.train_size or 1)
        pixels = self.batch_size * largest**2
        yield (
            pixels <= _LARGEST_BATCH,
            f"batch_size {self.batch_size} and input_size {largest}: a batch would have {pixels:.3g} pixels, "
            f"and {_LARGEST_BATCH:.3g} are the most",
        )
        yield (
            self.aug_repeats <= self.batch_size,
            f"aug_repeats is {self.aug_repeats} and batch_size {self.batch_size}: an image comes so many times in one "
            "batch, so make it smaller",
        )
        yield (
            self.mean_of != "pixels" or (self.input_size or 1) <= LARGEST_SIDE,
            f"input_size is {self.input_size} and mean_of pixels: a mean image has at most {LARGEST_SIDE} px a side, "
            "so set mean_of to channels",
        )

    def _constraints_of_weights(self) -> Iterator[tuple[bool, str]]:
        starts = [trick.label() for trick in self.tricks if trick.replaces_weights]
        yield (
            not self.shallow or not (self.pretrained or starts),
            f"shallow {self.shallow} and {self.pretrained or ', '.join(starts)}: each sets the first and the last "
            "layers; leave one out",
        )
        yield (
            not (self.pretrained and starts),
            f"pretrained {self.pretrained} and {', '.join(starts)}, which sets all weights anew: leave one out, or set "
            "within=false, which keeps what the network computes",
        )

    def _constraints_of_classes(self) -> Iterator[tuple[bool, str]]:
        kinds = {"folder": str, "val_split": (float, type(None)), "at_most": int, "classes": list, "digests": list}
        yield (
            not self.photos
            or self.photos.keys() == kinds.keys()
            and all(isinstance(self.photos[key], kind) for key, kind in kinds.items()),
            f"photos is {quoted(self.photos)}: it takes {', '.join(kinds)}, as --data PHOTOS writes them",
        )
        names = self.only_classes
        yield (
            all(map(is_plain, names)) and len(names) != 1 and len({*map(composed, names)}) == len(names),
            f"only_classes are {some(names)}: name two classes or more, each once, without control characters",
        )
        yield (
            not names or self.classes in (None, len(names)),
            f"classes is {self.classes} and only_classes are {len(names)}: leave one out",
        )
        yield (
            self.sampling == "plain"
            or not any(isinstance(trick, ClassWeights) and trick.balanced for trick in self.tricks),
            "sampling balanced and class_weights balanced each make the classes count equally: leave one out",
        )

    def _constraints_of_crop(self) -> Iterator[tuple[bool, str]]:
        yield 0 < self.min_area <= 1, f"min_area is {self.min_area}: it must lie in (0, 1]"
        for field in ("aspect", "side"):
            values = getattr(self, field)
            yield (
                len(values) == 2 and values[0] <= values[1],
                f"{field} is {list(values)}: it takes two numbers, the lower one first",
            )
        yield (
            self.decode != "reduced" or self.auto_augment != "autoaugment",
            f"decode is {self.decode} and auto_augment autoaugment, which changes the whole image before the crop: "
            "leave one out",
        )
        size = "train_size" if self.train_size else "input_size"
        yield (
            self.crop not in ("side", "square") or (self.own_size or 1) <= self.side[0],
            f"{size} is {self.own_size} and side {list(self.side)}: a crop is no larger than the image, so set side "
            f"to {self.own_size} or more, or {size} to {self.side[0]} or less",
        )

    def deciding(self, situation: str) -> dict[str, Any]:
        """As of Settings; a mean that follows from the images, which have a digest, decides nothing by itself.

        Nor does how often an image is decoded.
        """
        values = super().deciding(situation)
        values["decode"] = {"once": "whole"}.get(self.decode, self.decode)
        return {name: value for name, value in values.items() if name != "mean" or not self.mean_of}

    def starting_from(self, weights: str) -> Recipe:
        return self.set(pretrained=weights)

    def unusual_images(self) -> str:
        """In which of size, mean and deviation the images differ from the network's own, in words; "": in none."""
        own, told = usual_preprocessing(self.model), []
        for field, words in (("input_size", "a side of {} px"), ("mean", "mean {}"), ("std", "deviation {}")):
            wanted, usual = getattr(self, field), getattr(own, field)
            if field == "mean" and self.mean_of:
                told.append(f"their own mean {OWN_MEANS[self.mean_of]} in place of {list(usual)}")
            elif wanted is not None and wanted != usual:
                shown = [list(value) if isinstance(value, tuple) else value for value in (wanted, usual)]
                told.append(f"{words.format(shown[0])} in place of {shown[1]}")
        return f"the images differ from those that {self.model} usually takes: {', '.join(told)}" if told else ""

    def loss(self, loss: Loss, load_network: Callable) -> Loss:
        """The loss per image with every trick's change (see Trick.criterion and Trick.loss)."""
        for trick in self.tricks:
            loss = trick.criterion(loss)
        for trick in self.tricks:
            loss = trick.loss(loss, load_network)
        return loss


def apply_setting(recipe: Settings, setting: str) -> Settings:
    """One `--set key=value`.

    `epochs=10` sets a field, `net.final_drop=0.2` a keyword of the network, `mixup.alpha=0.4` a number of a trick
    (added if it is not there), `mixup=on` adds one, and leaves one that is there as it is, `mixup=off` removes it. What
    is added takes the place of what does the same work: of a decay always, of what mixes images by `on` alone. Values
    are JSON, else text.

    Raises:
        Refused: it is not of this form, there is no such field, trick or number, the value is not one it takes, or it
            is a number of mixup while the recipe has CutMix, or the like.
    """
    key, equals, text = setting.partition("=")
    if not equals:
        raise Refused(f"--set takes key=value, but got {quoted(setting)}")
    value = json_or_text(text)
    value = tuple(value) if isinstance(value, list) else value
    head, dot, field = key.partition(".")
    if head == "net" and dot:
        return recipe.set(net={**recipe.net, field: value})
    labels = [trick.label() for trick in tricks.TRICKS]
    fields = [f.name for f in dataclasses.fields(recipe) if f.name != "tricks"]
    if head not in labels:
        require_known(head if dot else key, [*fields, *labels], "recipe field or trick")
        return recipe.set(**{key: value})
    if not dot and value == "off":
        return recipe.without(head)
    if not dot and value == "on":
        there = any(trick.label() == head for trick in recipe.tricks)
        return recipe if there else recipe.add(trick_named(head)())
    if not dot:
        raise Refused(f"{head} is a trick: set it on or off, or one of its numbers such as {head}.NAME=VALUE")
    present = next((trick for trick in recipe.tricks if trick.slot() == trick_named(head).slot()), None)
    other = present.label() if present else head
    if other != head and present.slot() == Mixing.slot():
        raise Refused(
            f"--set {key}: the recipe has {other}: set {other}.NAME, or {head}=on before it, which takes its place"
        )
    numbers = dataclasses.asdict(present) if present and other == head else {}
    return recipe.add(trick_from_json({"trick": head, **numbers, field: value}))
