"""Whether images are normalised as a network takes them; and a run's mean image, which lies in its folder."""

from __future__ import annotations

import pathlib

import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.json_text import parse_json
from gluon_tricks.core.reading import MEAN_BYTES, file_of_run, read_bytes
from gluon_tricks.recipes.settings import Settings
from model_zoo.mean_image import MeanImage
from model_zoo.preprocessing import Preprocessing

MEAN_IMAGE = "mean_image.json"  # a run's file
_ROUNDING = 0.01  # of a deviation: of ImageNet's mean GluonCV has 116.779 where timm and torchvision have 0.456 * 255


def read_mean_image(path: pathlib.Path) -> MeanImage:
    """What a run subtracts from its images pixel by pixel. Args: path: of its parameters."""
    file = file_of_run(path, MEAN_IMAGE)
    try:
        return MeanImage.from_json(parse_json(read_bytes(file, MEAN_BYTES)))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)[:200]
        raise Refused(
            f"{path} is of a network that takes images less their mean image, and {file} cannot be read ({reason}): "
            "keep it in the run's folder"
        ) from None


def require_alike(recipe: Settings, seen: Settings | Preprocessing, source: str) -> None:
    """Refuses images of another mean or deviation than a network was trained on, those of a recipe.

    Args:
        seen: what the network was trained on.
        source: what it is called.
    """
    if not alike(seen, recipe):
        pixels = by_pixels(seen)
        raise Refused(
            f"{source} takes images of mean {list(seen.mean)}{' at every pixel' if pixels else ''} and deviation "
            f"{list(seen.std)}: {_remedy_of_pixels(recipe, seen) if pixels else _remedy_of_channels(recipe)}"
        )


def _remedy_of_pixels(recipe: Settings, seen: Settings | Preprocessing) -> str:
    """What to do where a network takes images less a mean image, which no flag can name."""
    if not hasattr(recipe, "mean_of"):
        return f"a {recipe.task} network takes images of any size and no mean image, so name a network without one"
    if by_pixels(recipe) and not np.allclose(seen.mean, recipe.mean):
        return f"the mean of these images is {list(recipe.mean)}, so name one of the same images, size and crop ratio"
    std = "" if np.allclose(seen.std, recipe.std) else " and --set std=[...]"
    return f"give --set mean_of=pixels{std}"


def _remedy_of_channels(recipe: Settings) -> str:
    own = " and --set mean_of=" if getattr(recipe, "mean_of", "") else ""
    return f"give both with --set mean=[...] and --set std=[...]{own}"


def alike(one: Settings | Preprocessing, other: Settings) -> bool:
    """Whether the means and deviations of two are the same but for rounding, and both are of channels or of pixels."""
    std = np.array(other.std)
    apart = [np.abs(np.subtract(one.mean, other.mean)), np.abs(np.subtract(one.std, std))]
    return bool((np.array(apart) <= _ROUNDING * std).all()) and by_pixels(one) == by_pixels(other)


def by_pixels(one: Settings | Preprocessing) -> bool:
    """Whether a mean image is subtracted."""
    if isinstance(one, Preprocessing):
        return one.mean_image is not None
    return getattr(one, "mean_of", "") == "pixels"
