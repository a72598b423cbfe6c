"""Random erasing."""

from __future__ import annotations

import dataclasses
import math

import mxnet as mx
import numpy as np

from gluon_tricks.core.bounds import within
from gluon_tricks.tricks.base import StepContext, Trick, require, require_array, require_step
from gluon_tricks.tricks.rectangles import inside, replaced
from model_zoo.preprocessing import IMAGENET

TRIES = 10  # at a rectangle that fits, before an image stays whole


@dataclasses.dataclass(frozen=True)
class RandomErasing(Trick):
    """Of some images a rectangle is replaced by the mean colour of all, or by noise about it.

    Its area is uniform in `area` of the image's, its height / width log-uniform in `aspect`, its place anywhere inside.
    The draws follow from the image's place in the global batch, so they are the same on any number of devices. Where it
    is added it comes before images are mixed, as torchvision has it.

    Args:
        probability: of an image's being erased, in [0, 1].
        area: (low, high), shares of the image, in (0, 1].
        aspect: (low, high), above 0.
        fill: "mean": what the network subtracts, which is 0 once normalised, or ImageNet's where it subtracts nothing;
            or "noise" about it: N(0, 1) of ImageNet's deviation in each channel of each pixel.

    Source: Zhong et al., Random erasing data augmentation (AAAI 2020), algorithm 1 (probability 0.5, area from 0.02 to
        0.4, aspect from 0.3). Defaults: torchvision's later range of areas, timm's 0.25.
    Differs: the paper draws the aspect uniformly, and fills with uniform noise; torchvision and timm draw its
        logarithm, as here, and normal noise. Rectangles of a batch show parts of one field of noise. Where it mixes
        images too, timm's usual loader erases the mixed ones.
    Avoid where: objects are small: a rectangle may hide all of one.
    """

    probability: float = within(0, 1, default=0.25)
    area: tuple[float, ...] = within(1e-6, 1, default=(0.02, 1 / 3))
    aspect: tuple[float, ...] = within(1e-3, 1e3, default=(0.3, 3.3))
    fill: str = "mean"

    before = "mixing"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.probability <= 1, self, "probability must lie in [0, 1]")
        for name in ("area", "aspect"):
            values = getattr(self, name)
            require(len(values) == 2 and values[0] <= values[1], self, f"{name} takes two numbers, the lower one first")
        require(self.fill in ("mean", "noise"), self, "fill must be 'mean' or 'noise'")

    def batch(self, images, target, step: StepContext):
        require_array("images", images)
        require_step(step)
        count, (height, width) = len(images), images.shape[2:]
        first = step.shard_index * count  # in the global batch, whose shards are of one size
        draws = step.generator("random_erasing").random((first + count, 1 + 4 * TRIES))[first:]
        boxes = np.stack([self.box(of_image, height, width) for of_image in draws])
        mask = inside(boxes, images)
        colour, deviation = fill_of(step)
        if self.fill == "mean" and not colour.any():
            return mx.nd.broadcast_mul(images, 1 - mask), target
        by = colour
        if self.fill == "noise":
            noise = step.generator("random_erasing noise").standard_normal((1, *images.shape[1:]), dtype=np.float32)
            by = colour + deviation * noise
        return replaced(images, mx.nd.array(by, ctx=images.context, dtype=images.dtype), mask), target

    def box(self, draws: np.ndarray, height: int, width: int) -> np.ndarray:
        """An image's rectangle (4,), as of rectangles.inside; without area if it stays whole.

        Args:
            draws: (1 + 4 TRIES,) uniform in [0, 1): whether, then for each try area, aspect, place in x, place in y.
        """
        if draws[0] >= self.probability:
            return np.zeros(4, np.int64)
        low, high = (math.log(value) for value in self.aspect)
        for u_area, u_aspect, u_x, u_y in draws[1:].reshape(TRIES, 4).tolist():
            pixels = (self.area[0] + u_area * (self.area[1] - self.area[0])) * height * width
            ratio = math.exp(low + u_aspect * (high - low))
            h, w = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
            if 1 <= h < height and 1 <= w < width:
                x, y = int(u_x * (width - w + 1)), int(u_y * (height - h + 1))
                return np.array([x, y, x + w, y + h])
        return np.zeros(4, np.int64)


def fill_of(step: StepContext) -> tuple[np.ndarray, np.ndarray]:
    """Mean colour and deviation of images as the network sees them: (1, 3, 1, 1) each, float32."""
    mean, std, usual_mean, usual_std = (
        np.float32(values).reshape(1, -1, 1, 1) for values in (step.mean, step.std, IMAGENET["mean"], IMAGENET["std"])
    )
    return (0 * mean if mean.any() else usual_mean / std), usual_std / std
