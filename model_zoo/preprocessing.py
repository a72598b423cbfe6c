"""What is done to a photo before a network sees it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gluon_tricks.core.bounds import LARGEST_INPUT
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import quoted, shortened
from model_zoo.mean_image import MeanImage

IMAGENET = {"mean": (123.68, 116.779, 103.939), "std": (58.393, 57.12, 57.375), "crop_ratio": 0.875}
CAFFE = {"mean": IMAGENET["mean"], "std": (1.0, 1.0, 1.0)}  # the mean subtracted, and no more
RAW = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}  # pixels as they are
LARGEST_RESIZED = 8192  # px of the shorter edge of what the crop is taken from: 200 MB, of a long photo 1.6 GB
PROBABILITIES = ("softmax", "sigmoid")
CIFAR10 = {"mean": (125.307, 122.961, 113.8575), "std": (51.5865, 50.847, 51.255), "crop_ratio": 1.0}


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What turns a photo into the network's input; the default is that of ImageNet.

    Args:
        input_size: side of the input, px.
        crop_ratio: the crop's side / the shorter edge of the resized photo, in (0, 1].
        mean, std: of R, G and B on the 0..255 scale: input = (pixel - mean) / std.
        classes: the classes' names in the order of the logits, if they are known.
        probabilities: what makes them of the logits: "softmax" over the classes, of which one is right, or
            "sigmoid" of each class by itself.
        mean_image: what is subtracted pixel by pixel in place of the mean, whose channels' mean that is; None: nothing.

    Source: Bag of Tricks, section 2.1; for CIFAR-10 GluonCV's training script.
    """

    input_size: int
    crop_ratio: float = IMAGENET["crop_ratio"]
    mean: tuple[float, float, float] = IMAGENET["mean"]
    std: tuple[float, float, float] = IMAGENET["std"]
    classes: tuple[str, ...] | None = None
    probabilities: str = "softmax"
    mean_image: MeanImage | None = None

    def __post_init__(self):
        if self.probabilities not in PROBABILITIES:
            raise Refused(f"probabilities is {quoted(self.probabilities)}: choose one of {', '.join(PROBABILITIES)}")
        if not 1 <= self.input_size <= LARGEST_INPUT or not 0 < self.crop_ratio <= 1 or min(self.std) <= 0:
            raise Refused(
                f"input_size {quoted(self.input_size)}, crop_ratio {self.crop_ratio}, std {self.std}: sizes take 1 to "
                f"{LARGEST_INPUT}, crop_ratio lies in (0, 1], std is positive"
            )
        if not all(map(math.isfinite, (*self.mean, *self.std))):
            raise Refused(f"mean {self.mean}, std {self.std}: all of them take finite numbers")
        if self.input_size / self.crop_ratio > LARGEST_RESIZED:
            raise Refused(
                f"input_size {self.input_size} over crop_ratio {self.crop_ratio}: images would be resized to "
                f"{self.input_size / self.crop_ratio:.3g} px, and {LARGEST_RESIZED} are the most"
            )

    @classmethod
    def from_json(cls, values: Any, usual: Preprocessing | None = None) -> tuple[Preprocessing, tuple[str, ...]]:
        """The opposite of to_json, and the names of the fields that values say.

        Args:
            usual: has the fields that they do not say; None: they must say all.

        Raises:
            Refused: they are not of this form.
        """
        try:
            said = {"input_size": values["crop"]["height"]} if "crop" in values else {}
            said |= {name: values[name] for name in FIELDS[1:] if name in values}
            if "crop" in values:  # the rest of an export of before there were others
                said = {"probabilities": "softmax", "mean_image": None, **said}
            for name in {"mean", "std"} & said.keys():
                r, g, b = map(float, said[name])
                said[name] = r, g, b
            if "mean_image" in values:
                image = values["mean_image"]
                said["mean_image"] = None if image is None else MeanImage.from_json(image)
            if said.get("classes") is not None:
                said["classes"] = tuple(said["classes"])
            if not all(type(name) is str for name in said.get("classes") or ()):
                raise ValueError("a class has no name")
            if type(said.get("input_size", 1)) is not int or isinstance(values.get("classes"), str):
                raise ValueError("the input's side is no whole number, or classes is no list")
            return (dataclasses.replace(usual, **said) if usual else cls(**said)), tuple(said)
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            raise Refused(
                f"this is no preprocessing of an export ({type(error).__name__}: {shortened(str(error), 200)})"
            ) from None

    draws, outputs_called = 1, "logits"  # see WholeImages

    @property
    def in_words(self) -> str:
        """The images that the network takes."""
        return f"{self.input_size}x{self.input_size} px"

    def input_shape(self, batch_size: int | None) -> tuple[int | None, int, int, int]:
        """(N, 3, H, W) as a file says it; None: any."""
        return batch_size, 3, self.input_size, self.input_size

    def examples(self, batch_size: int | None) -> list[tuple[int, int, int, int]]:
        """Shapes of images that a written network is compared on."""
        return [(batch_size or 2, *self.input_shape(None)[1:])]

    def doubt(self, outputs: Sequence[np.ndarray]) -> str:
        """Why these cannot be the network's outputs; "": they can."""
        if self.classes is None or len(self.classes) == outputs[0].shape[1]:
            return ""
        return f"{len(self.classes)} class names for a network with {outputs[0].shape[1]} logits"

    def to_json(self) -> dict:
        """A JSON object that says every step in order; docs/export.md says what its words mean."""
        return {
            "orientation": "as EXIF says",
            "colours": "RGB",
            "pixels": [0, 255],
            "longest_aspect": 8,
            "resize": {
                "shorter_edge": math.ceil(self.input_size / self.crop_ratio - 1e-9),  # 1e-9: 0.8 is less than 4/5
                "longer_edge": "rounded down",
                "interpolation": "bilinear",
                "antialias": False,
                "coordinates": "half_pixel",
                "arithmetic": "cv2.resize of uint8 with INTER_LINEAR",
            },
            "crop": {"place": "centre", "offset": "rounded down", "height": self.input_size, "width": self.input_size},
            "mean": list(self.mean),
            "std": list(self.std),
            "mean_image": self._mean_image_to_json(),
            "layout": "NCHW",
            "dtype": "float32",
            "crop_ratio": self.crop_ratio,
            "classes": None if self.classes is None else list(self.classes),
            "probabilities": self.probabilities,
        }

    def _mean_image_to_json(self) -> dict[str, Any] | None:
        """Of the size of the input."""
        image, side = self.mean_image, self.input_size
        return None if image is None else MeanImage.of(image.pixels(side, side)).to_json()


FIELDS = tuple(field.name for field in dataclasses.fields(Preprocessing))
