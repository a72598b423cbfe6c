"""MIT Places365-Standard: its official lists as a source of images, and the test server's file of predictions.

Source: the Places365 development kit: categories_places365.txt ("/a/airfield 0"), places365_train_standard.txt
("/a/airfield/00000001.jpg 0"), places365_val.txt ("Places365_val_00000001.jpg 165"), places365_test.txt (names only).
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from gluon_tricks.data.sources import Source, listed_entries, read_lines
from gluon_tricks.runtime import Refused


def categories(path: str | os.PathLike) -> tuple[str, ...]:
    """The class names in the order of their ids, without the leading slash: a/airfield, a/airplane_cabin, ...

    Raises: Refused when a line is not "name id" or the ids are not 0, 1, 2, ...
    """
    pairs = {}
    for number, line in read_lines(path):
        name, _, label = line.rpartition(" ")
        if not name or not label.isdigit() or int(label) in pairs:
            raise Refused(f'{path} line {number} is {line!r}: it should be "name id", every id once')
        pairs[int(label)] = name.strip("/")
    if sorted(pairs) != list(range(len(pairs))) or not pairs:
        raise Refused(f"{path} has {len(pairs)} ids, which are not 0 to {len(pairs) - 1}: get the file again")
    return tuple(pairs[label] for label in range(len(pairs)))


def places365(folder: str | os.PathLike, listing: str | os.PathLike, classes: Sequence[str]) -> Source:
    """The images of one of the official lists.

    Args:
        folder: what the names of the list are relative to: data_256 or data_large for training, val_256, test_256 ...
        listing: lines "name label", or "name" alone for the test images, which are all given label 0.
        classes: categories().

    Raises: Refused naming the line with a wrong form or an unknown class, or a missing file.
    """
    rows = []
    for number, line in read_lines(listing):
        name, _, label = line.rpartition(" ") if " " in line else (line, "", "0")
        if not label.isdigit() or int(label) >= len(classes):
            raise Refused(
                f'{listing} line {number} is {line!r}: it should be "name label", labels 0 to {len(classes) - 1}'
            )
        rows.append((len(rows), int(label), name.lstrip("/")))
    if not rows:
        raise Refused(f"no images found: {listing} is empty")
    return Source(listed_entries(folder, rows, str(listing)), tuple(classes), [])


def write_submission(path: str | os.PathLike, names: Sequence[str], logits: np.ndarray) -> None:
    """The test server's file: a line per image in the order of the names, "name l1 l2 l3 l4 l5", surest first.

    Args:
        names: file names of the images.
        logits: (N, K), K at least 5, in the order of the names.
    """
    best = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    lines = sorted(f"{os.path.basename(name)} {' '.join(map(str, row))}\n" for name, row in zip(names, best))
    pathlib.Path(path).write_text("".join(lines), encoding="ascii")
