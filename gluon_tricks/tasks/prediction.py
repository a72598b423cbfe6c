"""What a network says of a photo: in words, in numbers and as a picture."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from gluon_tricks.core.errors import Refused

TOP = 5  # of the things that are there to say, so many are said


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a network says of one image.

    Args:
        words: in a line.
        values: for a JSON file.
        picture: (H, W, 3) uint8 RGB.
        mask: (H, W) uint8 or uint16, class indices, the largest number for none; of a segmenter only.
        note: what else there is to know; "": nothing.
        table: column -> value, row by row, for a table of many images: at least one row, and the same columns of each.
        confidence: how sure the network is of what it said first, in [0, 1]; None: it says nothing of the kind.
        named: the class that the image was taken for; "": none in particular.
        truth: the class that it is known to be of; "": it is not known.
        right: whether they are the same; None: it is not known.
        file: the photo's; None: it was given as pixels.
    """

    words: str
    values: dict[str, Any]
    picture: np.ndarray
    mask: np.ndarray | None = None
    note: str = ""
    table: Sequence[Sequence[tuple[str, Any]]] = ()
    confidence: float | None = None
    named: str = ""
    truth: str = ""
    right: bool | None = None
    file: pathlib.Path | None = None


def percentages(pairs: Sequence[tuple[str, float]]) -> str:
    """tench 93.1 %, goldfish 2.0 % and 3 more"""
    said = ", ".join(f"{name} {100 * fraction:.1f} %" for name, fraction in pairs[:TOP])
    return said + (f" and {len(pairs) - TOP} more" if len(pairs) > TOP else "")


def require_finite(found: np.ndarray) -> None:
    """Refuses what a network gives whose training has diverged."""
    if not np.isfinite(found).all():
        raise Refused("the network gives no numbers (NaN): its parameters are those of a training that diverged")
