"""A confusion matrix as a picture: of what is which class taken for what."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from gluon_tricks.core.wording import one_line
from gluon_tricks.tasks.lettering import shortened, width, write

MOST_SHOWN = 50  # classes whose names can be read beside each other
MOST_COUNTED = 1000  # of more the matrix would be too large to be counted after every epoch
_NUMBERS = 25  # of so many classes cells have their counts
_INK, _LINE, _RIGHT, _WRONG = (20, 20, 20), (225, 228, 232), (40, 150, 70), (200, 40, 30)
_TEXT, _LONGEST_NAME, _GAP = 10, 220, 12  # px: of a capital letter, of a name, between parts


def confusion_picture(matrix: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Rows are the true classes, columns the named ones; the darker, the larger the share of the row.

    What is right is green, what is wrong red. Of more than 50 classes those of the largest confusions are shown.

    Args:
        matrix: counts (K, K), row the true class, column the named one.
        names: of the K classes.

    Returns: (H, W, 3) uint8 RGB.
    """
    shown = most_confused(matrix, MOST_SHOWN)
    counts, total = matrix[np.ix_(shown, shown)], matrix.sum(axis=1)[shown]
    share = counts / np.maximum(total, 1)[:, None]
    cell = 44 if len(shown) <= _NUMBERS else 18
    labels = [shortened(one_line(names[k]), _TEXT, _LONGEST_NAME) for k in shown]
    room, side = max(width(label, _TEXT) for label in labels) + _GAP, cell * len(shown)
    title = _title(matrix, len(shown))
    left, top = room + 3 * _GAP, room + 6 * _GAP
    paper = np.full((top + side + _GAP, max(left + side, width(title, _TEXT) + _GAP) + _GAP, 3), 255, np.uint8)
    write(paper, title, (_GAP, 2 * _GAP), _TEXT, _INK)
    write(paper, "named: columns; true class: rows", (_GAP, 4 * _GAP), _TEXT, _INK)
    _write_labels(paper, labels, cell, left, top, room)
    for i in range(len(shown)):
        for j in range(len(shown)):
            place = (left + j * cell, top + i * cell)
            _fill(paper, place, cell, share[i, j], _RIGHT if i == j else _WRONG)
            if cell > 20 and counts[i, j]:
                _write_count(paper, place, cell, int(counts[i, j]), share[i, j])
    return paper


def most_confused(matrix: np.ndarray, most: int) -> np.ndarray:
    """So many classes at most, those of the largest confusions, in the order of the classes; few classes are all shown.

    Where fewer are confused, the first of the others fill up.
    """
    wrong, chosen = matrix - np.diag(matrix.diagonal()), dict.fromkeys(range(len(matrix) if len(matrix) <= most else 0))
    for place in np.argsort(-wrong, axis=None, kind="stable")[: most * most]:
        pair = divmod(int(place), len(matrix))
        if len({*chosen, *pair}) > most or not wrong[pair]:
            break
        chosen.update(dict.fromkeys(pair))
    others = (k for k in range(len(matrix)) if k not in chosen)
    return np.sort([*chosen, *itertools.islice(others, min(most, len(matrix)) - len(chosen))])


def _title(matrix: np.ndarray, shown: int) -> str:
    images, right = int(matrix.sum()), int(matrix.diagonal().sum())
    of = f"the {shown} most confused of {len(matrix)} classes" if shown < len(matrix) else f"{shown} classes"
    return f"{of}; {right} of all {images} images are right"


def _write_labels(paper: np.ndarray, labels: Sequence[str], cell: int, left: int, top: int, room: int) -> None:
    """Names of the rows from left to right, of the columns from the bottom to the top."""
    sideways = np.full((cell * len(labels), room, 3), 255, np.uint8)
    for k, label in enumerate(labels):
        line = k * cell + (cell + _TEXT) // 2
        write(paper, label, (left - _GAP // 2 - width(label, _TEXT), top + line), _TEXT, _INK)
        write(sideways, label, (_GAP // 2, line), _TEXT, _INK)
    paper[top - room : top, left : left + cell * len(labels)] = np.rot90(sideways)


def _fill(paper: np.ndarray, place: tuple[int, int], cell: int, share: float, colour: tuple[int, int, int]) -> None:
    """A cell with a line around it. The root of the share, so that a few in a hundred are seen."""
    x, y = place
    strength = np.sqrt(share)
    paper[y : y + cell, x : x + cell] = _LINE
    paper[y + 1 : y + cell, x + 1 : x + cell] = np.round(255 + strength * (np.array(colour) - 255.0))


def _write_count(paper: np.ndarray, place: tuple[int, int], cell: int, count: int, share: float) -> None:
    text = str(count)
    height = next((h for h in (_TEXT, 8, 6) if width(text, h) < cell - 2), 5)
    at = (place[0] + (cell - width(text, height)) // 2, place[1] + (cell + height) // 2)
    write(paper, text, at, height, (255, 255, 255) if share > 0.4 else _INK)
