"""Sheets of small pictures with titles: filters, strong activations beside their patches, both over a training.

Every sheet is an (H, W, 3) uint8 RGB array, about 1300 pixels wide, that says above what it shows.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import plural
from gluon_tricks.inside.deconvolution import Pair, as_levels
from gluon_tricks.tasks.lettering import shortened, width, write

_WIDTH, _EDGE, _GAP = 1300, 20, 4  # px
_HEADING, _TEXT, _SMALL = 17, 11, 9  # px of a capital letter
_INK, _SOFT, _EMPTY, _LINE = (20, 20, 20), (95, 95, 95), (240, 240, 240), (205, 205, 205)
_TILE = 62  # px, of a patch and of a view
_MOST_FILTERS = 256


@dataclasses.dataclass(frozen=True)
class Moment:
    """What a network at one checkpoint shows. Args: called: such as "epoch 3"; pairs: of each channel; None: none."""

    called: str
    pairs: Sequence[Pair | None]


def filter_sheet(weights: np.ndarray, network: str, path: str) -> np.ndarray:
    """The filters of a first layer as pictures.

    Args:
        weights: (C, 3, h, w), in the order R, G, B.
        network, path: names of the network and the layer.

    Raises:
        Refused: weights that do not see three colours.
    """
    if weights.ndim != 4 or weights.shape[1] != 3:
        raise Refused(f"{path} of {network} has weights {weights.shape}: filters of colours are (C, 3, h, w)")
    count, height, wide = len(weights), *weights.shape[2:]
    shown = weights[:_MOST_FILTERS]
    columns = 16 if len(shown) > 64 else 12
    side = (_WIDTH - 2 * _EDGE) // columns - 3 * _GAP
    paper = _paper(math.ceil(len(shown) / columns) * (side + 3 * _SMALL), _WIDTH)
    for k, weight in enumerate(shown):
        y, x = k // columns * (side + 3 * _SMALL), _EDGE + k % columns * (side + 3 * _GAP)
        _put(paper, _enlarged(as_levels(weight.transpose(1, 2, 0)), side), y, x)
        write(paper, f"{k}", (x, y + side + 2 * _SMALL - 3), _SMALL, _SOFT)
    few = f", the first {len(shown)}" if len(shown) < count else ""
    return _titled(
        paper,
        f"{network}: the {count} filters of the first layer, {path}{few}",
        f"Each has {height} x {wide} weights for red, green and blue. Grey is 0; each filter is scaled to its own "
        "largest weight. Edges, colours and spots are what a trained network has here; noise says that a filter has "
        "learnt nothing.",
    )


def strongest_sheet(
    blocks: Mapping[str, Sequence[Pair]], network: str, layer: str, field: tuple[int, int], images: int
) -> np.ndarray:
    """The strongest activations of channels, gone back to pixels, beside the patches that they come from.

    Args:
        blocks: title of each channel -> its pairs, the strongest first; none: it never fires.
        network, layer: what the title says.
        field: px, the receptive field's side and the image's.
        images: over how many.
    """
    rows = math.ceil(max([1, *map(len, blocks.values())]) / 3)
    tall, wide = rows * (_TILE + _GAP), 6 * (_TILE + _GAP) + 2 * _GAP
    block_height, columns = tall + 4 * _TEXT + 2, 3
    step = (_WIDTH - 2 * _EDGE - wide) // (columns - 1)
    paper = _paper(math.ceil(len(blocks) / columns) * block_height, _WIDTH)
    for k, (title, found) in enumerate(blocks.items()):
        y, x = k // columns * block_height, _EDGE + k % columns * step
        said = f"{found[0].value:.3g} to {found[-1].value:.3g}" if found else "never fires"
        room = wide - width(said, _SMALL) - 8
        write(paper, shortened(title, _TEXT, room), (x, y + 2 * _TEXT), _TEXT, _INK)
        write(paper, said, (x + wide - width(said, _SMALL) - 2 * _GAP, y + 2 * _TEXT), _SMALL, _SOFT)
        for j in range(3 * rows):
            top, left = y + 3 * _TEXT + j // 3 * (_TILE + _GAP), x + j % 3 * (_TILE + _GAP)
            pair = found[j] if j < len(found) else None
            _put(paper, _tile(pair and pair.view), top, left)
            _put(paper, _tile(pair and pair.patch), top, left + 3 * (_TILE + _GAP) + _GAP)
    seen = (
        f"patches of {field[0]} x {field[0]} px, all that the layer sees"
        if field[0] < field[1]
        else f"images ({field[1]} px), all of which the layer sees"
    )
    return _titled(
        paper,
        f"{network}: what makes {layer} fire",
        f"Of each channel the 9 strongest activations over {plural(images, 'image')}, one an image. Left: the "
        "activation gone back to pixels (unpooling to where the maxima were, relu, transposed filters); grey is 0, "
        f"what stands out made the channel fire. Right: the {seen}. Above each: the channel and its activations.",
    )


def evolution_sheet(moments: Sequence[Moment], titles: Sequence[str], network: str, layer: str) -> np.ndarray:
    """How what makes channels fire changes in a training: a row a channel, a column a checkpoint.

    Args:
        moments: in order of time.
        titles: of the channels.
        network, layer: what the title says.
    """
    left = min(max(width(title, _TEXT) for title in titles) + 16, 220)
    side = min((_WIDTH - 2 * _EDGE - left) // len(moments) - 2 * _GAP, 140)
    row = 2 * side + 4 * _GAP
    paper = _paper(3 * _TEXT + len(titles) * row, _WIDTH)
    for column, moment in enumerate(moments):
        x = _EDGE + left + column * (side + 2 * _GAP)
        write(paper, shortened(moment.called, _SMALL, side), (x, 2 * _TEXT), _SMALL, _SOFT)
        for k, pair in enumerate(moment.pairs):
            y = 3 * _TEXT + k * row
            _put(paper, _tile(pair and pair.view, side), y, x)
            _put(paper, _tile(pair and pair.patch, side), y + side + _GAP, x)
    for k, title in enumerate(titles):
        y = 3 * _TEXT + k * row + 2 * _TEXT
        write(paper, shortened(title, _TEXT, left - 8), (_EDGE, y), _TEXT, _INK)
    return _titled(
        paper,
        f"{network}: how {layer} came to be",
        "A column is a checkpoint of the training, a row a channel: above, its strongest activation over all images "
        "gone back to pixels; below, the patch that it comes from. Where the patch jumps, another image makes the "
        "strongest activation.",
    )


def filter_evolution_sheet(filters: Sequence[tuple[str, np.ndarray]], network: str, path: str) -> np.ndarray:
    """The first filters of the first layer at each checkpoint: a row a checkpoint. Args: filters: (called, weights)."""
    left, columns = 100, 16
    side = (_WIDTH - 2 * _EDGE - left) // columns - 2 * _GAP
    paper = _paper(3 * _TEXT + len(filters) * (side + 2 * _GAP), _WIDTH)
    for row, (called, weights) in enumerate(filters):
        y = 3 * _TEXT + row * (side + 2 * _GAP)
        write(paper, shortened(called, _SMALL, left - 8), (_EDGE, y + side // 2), _SMALL, _SOFT)
        for k, weight in enumerate(weights[:columns]):
            x = _EDGE + left + k * (side + 2 * _GAP)
            _put(paper, _enlarged(as_levels(weight.transpose(1, 2, 0)), side), y, x)
            if row == 0:
                write(paper, f"{k}", (x, 2 * _TEXT), _SMALL, _SOFT)
    return _titled(
        paper,
        f"{network}: how the filters of the first layer, {path}, came to be",
        f"A row is a checkpoint of the training, a column one of the first {min(columns, len(filters[0][1]))} filters. "
        "Grey is 0; each is scaled to its own largest weight.",
    )


def _titled(body: np.ndarray, title: str, text: str) -> np.ndarray:
    """A sheet under its title and what it shows."""
    lines = wrapped(text, _TEXT, _WIDTH - 2 * _EDGE)
    head = _paper(3 * _HEADING + (2 * len(lines) + 1) * _TEXT, _WIDTH)
    write(head, shortened(title, _HEADING, _WIDTH - 2 * _EDGE), (_EDGE, 2 * _HEADING), _HEADING, _INK)
    for k, line in enumerate(lines):
        write(head, line, (_EDGE, 3 * _HEADING + (2 * k + 1) * _TEXT), _TEXT, _SOFT)
    return np.concatenate([head, body, _paper(_EDGE, _WIDTH)])


def wrapped(text: str, height: int, most: int) -> list[str]:
    """A text in lines of at most so many px. Args: height: of a capital letter, px."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if width(longer, height) <= most:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _tile(picture: np.ndarray | None, side: int = _TILE) -> np.ndarray:
    return _paper(side, side, _EMPTY) if picture is None else _enlarged(picture, side)


def _enlarged(picture: np.ndarray, side: int) -> np.ndarray:
    """A square picture of another size: of few pixels each stays a square, so that weights can be told."""
    small = len(picture) * 3 <= side
    method = cv2.INTER_NEAREST if small else cv2.INTER_AREA if len(picture) > side else cv2.INTER_CUBIC
    return cv2.resize(picture, (side, side), interpolation=method)


def _put(paper: np.ndarray, picture: np.ndarray, y: int, x: int) -> None:
    """With a line around it: a patch may be as white as the paper."""
    paper[max(y - 1, 0) : y + picture.shape[0] + 1, max(x - 1, 0) : x + picture.shape[1] + 1] = _LINE
    paper[y : y + picture.shape[0], x : x + picture.shape[1]] = picture


def _paper(height: int, wide: int, colour: tuple[int, int, int] = (255, 255, 255)) -> np.ndarray:
    return np.full((height, wide, 3), colour, np.uint8)
