"""Pictures within a page."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

from gluon_tricks.page.skeleton import text

_QUALITY = 85  # of JPEGs


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture with what is said of it.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        title: its alternative text.
        caption: HTML.
    """

    pixels: np.ndarray
    title: str
    caption: str


def jpeg(pixels: np.ndarray, longest: int, quality: int = _QUALITY) -> str:
    """A picture (H, W, 3) uint8 RGB as an address of its own bytes, made smaller where a side is longer."""
    return _inline(_small(pixels, longest), ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality])


def png(pixels: np.ndarray) -> str:
    """A drawing (H, W, 3) uint8 RGB as an address of its own bytes, without loss."""
    return _inline(pixels, ".png", [cv2.IMWRITE_PNG_COMPRESSION, 9])


def gallery(pictures: Sequence[Picture], longest: int = 260, large: bool = False) -> str:
    """Pictures in rows, or a line if there is none. Args: longest: px of a side; large: two a row, not four."""
    if not pictures:
        return '<p class="soft">None of the images can be shown.</p>'
    figures = "\n".join(
        f'<figure><img src="{jpeg(one.pixels, longest)}" alt="{text(one.title)}">'
        f"<figcaption>{one.caption}</figcaption></figure>"
        for one in pictures
    )
    return f'<div class="pictures{" large" if large else ""}">{figures}</div>'


def _small(pixels: np.ndarray, longest: int) -> np.ndarray:
    scale = longest / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    sides = [max(round(side * scale), 1) for side in pixels.shape[1::-1]]
    return cv2.resize(pixels, sides, interpolation=cv2.INTER_AREA)


def _inline(pixels: np.ndarray, ending: str, options: Sequence[int]) -> str:
    data = cv2.imencode(ending, pixels[:, :, ::-1], options)[1].tobytes()
    return f"data:image/{ending[1:].replace('jpg', 'jpeg')};base64,{base64.b64encode(data).decode('ascii')}"
