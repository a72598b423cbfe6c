"""What a network says, drawn: bars beside a photo, boxes and masks over it, and many pictures as one.

Every picture takes and gives uint8 RGB arrays. A photo's longer side is brought to between 400 and 1280 pixels, so that
text can be read on it.
"""

from __future__ import annotations

import itertools
import math
import pathlib
import re
from collections.abc import Sequence

import cv2
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import write_atomically
from gluon_tricks.tasks.lettering import shortened, write
from gluon_tricks.tasks.lettering import width as text_width

_BACKGROUND = re.compile("_*background_*", re.IGNORECASE)
LONGER_SIDE = (400, 1280)  # pixels, at least and at most
_SHORTER_SIDE = 120  # a strip of a photo is drawn on so much paper at least
_PAPER, _INK, _FAINT, _BAR, _TRUE = (255, 255, 255), (20, 20, 20), (225, 228, 232), (54, 112, 184), (40, 150, 70)


def colour(number: int) -> tuple[int, int, int]:
    """A class's colour: the same for ever, and unlike those of the classes before it."""
    hue = number * 0.618034 % 1  # the golden ratio's multiples are far apart but for every 21st: 0, 21, 42, ...
    saturation, value = ((230, 235), (255, 160), (120, 255))[(number + number // 21) % 3]
    pixel = np.array([[[round(hue * 179), saturation, value]]], np.uint8)
    return tuple(int(level) for level in cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0])


def bars(
    image: np.ndarray, names: Sequence[str], probabilities: np.ndarray, top: int = 5,
    truth: int | Sequence[int] | None = None,
) -> np.ndarray:  # fmt: skip
    """A photo and beside it the likeliest classes with their probabilities as bars.

    Args:
        image: (H, W, 3) uint8 RGB.
        names: of the K classes.
        probabilities: (K,) in [0, 1].
        top: how many.
        truth: the image's class or classes, which are named above them, and whose bars are green; None: not known.
    """
    photo, _ = _prepared(image)
    text = _text_height(photo)
    row, width, edge = 4 * text, 26 * text, 2 * text
    best = np.argsort(-np.nan_to_num(probabilities), kind="stable")[:top]
    lines = len(best) * row + (0 if truth is None else row)
    paper = _paper(max(len(photo), lines + edge), photo.shape[1] + width)
    start = (len(paper) - len(photo)) // 2
    paper[start : start + len(photo), : photo.shape[1]] = photo
    left, right = photo.shape[1] + edge, paper.shape[1] - edge
    y, right_ones = (len(paper) - lines) // 2, []
    if truth is not None:
        right_ones = [truth] if isinstance(truth, (int, np.integer)) else [*truth]
        said = ", ".join(names[k] for k in right_ones) or "none of them"
        write(paper, shortened(f"is: {said}", text, right - left), (left, y + 3 * text // 2), text, _TRUE)
        y += row
    for k in best:
        probability = float(np.clip(np.nan_to_num(probabilities[k]), 0, 1))
        percent, top_edge, bottom = f"{probability:.1%}", y + 2 * text, y + 3 * text
        end = right - text_width("100.0%", text) - text // 2  # of a full bar
        write(paper, shortened(names[k], text, right - left), (left, y + 3 * text // 2), text, _INK)
        paper[top_edge:bottom, left:end] = _FAINT
        paper[top_edge:bottom, left : left + round(probability * (end - left))] = _TRUE if k in right_ones else _BAR
        write(paper, percent, (right - text_width(percent, text), bottom), text, _INK)
        y += row
    return paper


def boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    names: Sequence[str],
    scores: np.ndarray | None = None,
    threshold: float = 0.5,
) -> np.ndarray:
    """A photo with boxes, each with its class's name in its class's colour.

    Names do not cover each other: one for which there is no room near its box is left out.

    Args:
        image: (H, W, 3) uint8 RGB.
        boxes: (M, 5): xmin, ymin, xmax, ymax in pixels of the image, class; a class below 0: no box.
        names: of the K classes.
        scores: (M,), written behind the names; None: boxes of an annotation, all drawn.
        threshold: the least score of a box that is drawn.
    """
    photo, scale = _prepared(image)
    text = _text_height(photo)
    boxes, line = np.asarray(boxes, np.float64).reshape(-1, 5), max(text // 6, 2)
    certain = np.ones(len(boxes)) if scores is None else np.nan_to_num(scores)
    drawn = [k for k in np.argsort(-certain, kind="stable") if boxes[k, 4] >= 0 and certain[k] >= threshold]
    bounds = np.array([photo.shape[1], photo.shape[0]] * 2) - 1
    corners = {k: np.clip(np.nan_to_num(boxes[k, :4]) * scale, 0, bounds).round().astype(int) for k in drawn}
    for k in reversed(drawn):  # the surest on top
        for shade, width in (((0, 0, 0), line + 2), (colour(int(boxes[k, 4])), line)):
            cv2.rectangle(photo, corners[k][:2].tolist(), corners[k][2:].tolist(), shade, width)
    taken: list[tuple[int, int, int, int]] = []
    for k in drawn:
        name = names[int(boxes[k, 4])] + ("" if scores is None else f" {certain[k]:.2f}")
        name = shortened(name, text, photo.shape[1] - text)
        place = _free_place(corners[k], (text_width(name, text) + text, 2 * text), photo.shape, taken)
        if place:
            taken.append(place)
            shade = colour(int(boxes[k, 4]))
            cv2.rectangle(photo, place[:2], (place[2] - 1, place[3] - 1), shade, cv2.FILLED)
            write(photo, name, (place[0] + text // 2, place[3] - text // 2), text, _ink_on(shade))
    return photo


def backgrounds(names: Sequence[str]) -> list[int]:
    """The classes that are no things to be seen, by their names: background, as GluonCV and VOC call it."""
    return [k for k, name in enumerate(names) if _BACKGROUND.fullmatch(name)]


def overlay(image: np.ndarray, mask: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """A photo under the colours of its pixels' classes, and below it whose they are, those of most pixels first.

    The background keeps the photo's colour, so that what is in front of it can be seen.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) class indices; pixels of another number, such as -1, show the photo.
        names: of the K classes.
    """
    if mask.shape != image.shape[:2]:
        raise Refused(f"a mask of shape {mask.shape} does not lie over an image of shape {image.shape}")
    known = (mask >= 0) & (mask < len(names)) & ~np.isin(mask, backgrounds(names))
    counts = np.bincount(mask[known].astype(np.int64), minlength=len(names))
    palette = np.array([colour(k) for k in range(len(names))], np.float32).reshape(-1, 3)
    photo, scale = _prepared(image)
    sides = _sides(image, scale)
    # Nearest: classes have no mean. As float32, which OpenCV resizes and which holds them exactly.
    classes = np.where(known, mask, -1).astype(np.float32)
    classes = cv2.resize(classes, sides, interpolation=cv2.INTER_NEAREST_EXACT).astype(np.int64)
    under, shown = photo[: sides[1], : sides[0]], classes >= 0
    under[shown] = (0.4 * under[shown] + 0.6 * palette[classes[shown]]).round()
    present = [k for k in np.argsort(-counts, kind="stable") if counts[k]]
    return np.concatenate([photo, _legend(present, names, photo.shape[1], _text_height(photo))])


def grid(images: Sequence[np.ndarray], columns: int | None = None, titles: Sequence[str] = ()) -> np.ndarray:
    """Pictures in rows, each as large as fits its cell.

    Args:
        images: (H, W, 3) uint8 RGB each, of any sizes; row by row.
        columns: 2 to have targets beside predictions; None: about as many as rows.
        titles: of the columns.
    """
    if not images:
        raise Refused("a grid of no pictures: give one at least")
    columns, gap, text = columns or math.ceil(math.sqrt(len(images))), 8, 12
    tiles = [_scaled(_checked(image), min(480 / max(image.shape[:2]), 1)) for image in images]
    height, width = (max(tile.shape[axis] for tile in tiles) for axis in (0, 1))
    width = max(width, _SHORTER_SIDE)
    top = gap + (2 * text if titles else 0)
    paper = _paper(top + math.ceil(len(tiles) / columns) * (height + gap), gap + columns * (width + gap))
    for k, title in enumerate(titles[:columns]):
        write(paper, shortened(title, text, width), (gap + k * (width + gap), gap + text), text, _INK)
    for k, tile in enumerate(tiles):
        y = top + k // columns * (height + gap) + (height - tile.shape[0]) // 2
        x = gap + k % columns * (width + gap) + (width - tile.shape[1]) // 2
        paper[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return paper


def as_png(image: np.ndarray) -> bytes:
    """An RGB picture as a PNG file has it."""
    return cv2.imencode(".png", _checked(image)[:, :, ::-1])[1].tobytes()


def save_png(path: pathlib.Path, image: np.ndarray) -> None:
    """Writes an RGB picture as PNG, whole or not at all."""
    write_atomically(path, lambda temporary: temporary.write_bytes(as_png(image)))


def _checked(image: np.ndarray) -> np.ndarray:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise Refused(f"a picture is uint8 of shape (H, W, 3), but this is {image.dtype} of shape {image.shape}")
    return image


def _sides(image: np.ndarray, scale: float) -> tuple[int, int]:
    """Width and height of the scaled image."""
    return tuple(max(round(side * scale), 1) for side in image.shape[1::-1])


def _scaled(image: np.ndarray, scale: float) -> np.ndarray:
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, _sides(image, scale), interpolation=interpolation)


def _prepared(image: np.ndarray) -> tuple[np.ndarray, float]:
    """A copy of the photo to draw on, on paper if it is a strip, and its pixels per pixel of the photo."""
    longer = max(_checked(image).shape[:2])
    scale = min(max(longer, LONGER_SIDE[0]), LONGER_SIDE[1]) / longer
    photo = _scaled(image, scale)
    paper = _paper(*(max(side, _SHORTER_SIDE) for side in photo.shape[:2]))
    paper[: photo.shape[0], : photo.shape[1]] = photo
    return paper, scale


def _paper(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), _PAPER, np.uint8)


def _text_height(photo: np.ndarray) -> int:
    """Pixels of a capital letter."""
    return max(round(max(photo.shape[:2]) / 60), 10)


def _ink_on(shade: tuple[int, int, int]) -> tuple[int, int, int]:
    """Black on light colours, white on dark ones."""
    return (0, 0, 0) if np.dot(shade, (0.299, 0.587, 0.114)) > 128 else (255, 255, 255)


def _free_place(box, size, shape, taken) -> tuple[int, int, int, int] | None:
    """Where a label of that size fits: above its box, in it, below it, or else as near as there is room below or above.

    Args:
        box: corners; shape: of the picture; taken: other labels' corners.
    """
    (width, height), (x0, y0, _, y1) = size, box
    x = int(np.clip(x0, 0, shape[1] - width))
    steps = (y0 + sign * k * height for k in range(1, 4) for sign in (1, -1))
    for y in itertools.chain((y0 - height, y0, y1), steps):
        place = (x, int(y), x + width, int(y) + height)
        inside = y >= 0 and place[3] <= shape[0]
        if inside and all(place[0] >= t[2] or place[2] <= t[0] or place[1] >= t[3] or place[3] <= t[1] for t in taken):
            return place
    return None


def _legend(classes: Sequence[int], names: Sequence[str], width: int, text: int) -> np.ndarray:
    """A strip with a square of each class's colour and its name, in as many columns as there is room for."""
    shown = [shortened(names[k], text, width - 4 * text) for k in classes]
    cell = max((text_width(name, text) for name in shown), default=0) + 4 * text
    columns = max(width // cell, 1)
    rows = math.ceil(len(shown) / columns)
    strip = _paper((2 * rows + 1) * text if shown else 0, width)
    for place, (k, name) in enumerate(zip(classes, shown)):
        x, y = text + place % columns * cell, text + 2 * text * (place // columns)
        cv2.rectangle(strip, (x, y), (x + text, y + text), colour(int(k)), cv2.FILLED)
        cv2.rectangle(strip, (x, y), (x + text, y + text), _INK, 1)
        write(strip, name, (x + 2 * text, y + text), text, _INK)
    return strip
