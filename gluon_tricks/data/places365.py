"""MIT Places365-Standard: its official lists as a source of images, and the test server's file of predictions.

Source: the Places365 development kit: categories_places365.txt ("/a/airfield 0"), places365_train_standard.txt
("/a/airfield/00000001.jpg 0"), places365_val.txt ("Places365_val_00000001.jpg 165"), places365_test.txt (names only).
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
from collections.abc import Iterator, Sequence

import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import write_text
from gluon_tricks.core.wording import quoted
from gluon_tricks.data.base_loader import UndecodableImages
from gluon_tricks.data.lists import read_lines, require_distinct
from gluon_tricks.data.loader import Batch, RecordLoader
from gluon_tricks.data.records import Records
from gluon_tricks.data.shards import in_words
from gluon_tricks.data.sources import Source, listed_entries


def categories(path: str | os.PathLike) -> tuple[str, ...]:
    """The class names in the order of their ids, without the leading slash: a/airfield, a/airplane_cabin, ...

    Raises: Refused when a line is not "name id" or the ids are not 0, 1, 2, ...
    """
    pairs = {}
    for number, line in read_lines(path):
        name, _, label = line.rpartition(" ")
        if not name or not re.fullmatch("[0-9]{1,9}", label) or int(label) in pairs:
            raise Refused(f'{path} line {number} is {quoted(line)}: it should be "name id", every id once')
        pairs[int(label)] = name.strip("/")
    if sorted(pairs) != list(range(len(pairs))) or not pairs:
        raise Refused(f"{path} has {len(pairs)} ids, which are not 0 to {len(pairs) - 1}: get the file again")
    return require_distinct([pairs[label] for label in range(len(pairs))], path)


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
        if not re.fullmatch("[0-9]{1,9}", label) or int(label) >= len(classes):
            raise Refused(
                f'{listing} line {number} is {quoted(line)}: it should be "name label", labels 0 to {len(classes) - 1}'
            )
        rows.append((len(rows), int(label), name.lstrip("/")))
    if not rows:
        raise Refused(f"no images found: {listing} is empty")
    return Source(listed_entries(folder, rows, str(listing)), tuple(classes), [], str(folder))


def image_names(listing: str | os.PathLike, records: Records) -> list[str]:
    """The file names of packed test images, in the order of the records.

    Args:
        listing: the list that they were packed by, places365_test.txt: the records' ids are the places in it.

    Raises: Refused when it is another list, or images of it are not in the records: every one needs a line.
    """
    lines = read_lines(listing)
    labelled = next((f"line {number} is {quoted(line)}" for number, line in lines if " " in line), "")
    if labelled or not lines:
        raise Refused(f"{listing} is not the list of the test images, a name in each line: {labelled or 'it is empty'}")
    names, ids = [line.lstrip("/") for _, line in lines], [records.read(i)[1] for i in range(len(records))]
    files = in_words(records.paths)
    if len(set(ids)) < len(ids) or not set(ids) <= set(range(len(names))):
        raise Refused(
            f"{files} with {len(ids)} images was not packed from {listing}, which names {len(names)}: give the packed "
            "test images with --rec-val, and the list they were packed from"
        )
    missing = sorted(set(range(len(names))) - set(ids))
    if missing:
        raise Refused(
            f"{files} lacks {len(missing)} of the images in {listing}, such as {names[missing[0]]}, and the server "
            "wants a line for every one: get these files again and pack anew"
        )
    return [names[id] for id in ids]


def complete(batches: Iterator[Batch], loader: RecordLoader, names: Sequence[str]) -> Iterator[Batch]:
    """The loader's batches as they are, up to the first image that cannot be decoded.

    Raises: Refused naming it: every one needs a line.
    """
    with contextlib.suppress(UndecodableImages):  # told below
        for batch in batches:
            if loader.undecodable:
                break
            yield batch
    if loader.undecodable:
        bad = ", ".join(names[image] for image in list(loader.undecodable)[:3])
        raise Refused(
            f"{bad} cannot be decoded, and the server wants a line for every image: get such files again and pack anew "
            "(gluon-tricks pack --check lists all of them)"
        )


def write_submission(path: str | os.PathLike, names: Sequence[str], logits: np.ndarray) -> None:
    """The test server's file: a line per image in the order of the names, "name l1 l2 l3 l4 l5", surest first.

    Args:
        names: file names of the images.
        logits: (N, K), K at least 5, in the order of the names.
    """
    best = (np.argsort(-row, kind="stable")[:5] for row in logits)
    lines = sorted(f"{os.path.basename(name)} {' '.join(map(str, row))}\n" for name, row in zip(names, best))
    write_text(pathlib.Path(path), "".join(lines), named=True)
