"""A part of photos for validation, taken by the content of each file.

A file's place on the line from 0 to 1 is the beginning of the SHA-256 of its bytes; below the fraction that is asked
for it validates. So copies of a file fall on one side, whatever they are called and in whichever class they lie, and
photos that are added or renamed move none of the others. Each class then gets about that fraction: of 100 photos and
0.2 it is 20 +- 4.
"""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import IMAGE_BYTES, opened
from gluon_tricks.core.wording import printable, some
from gluon_tricks.data.encoding import NoImage, encoded, none_is_an_image
from gluon_tricks.data.headers import begins_like_image, image_header
from gluon_tricks.data.parallel import in_order
from gluon_tricks.data.sources import Entry, Source

_PIECE = 1 << 20  # bytes


class Split(NamedTuple):
    """Photos in two parts.

    Attributes:
        train, val: the parts.
        alone: names of classes without a photo to validate on: they have but one, or copies of one, or
            other classes need theirs to train on.
        unreadable: names of classes of which no file is an image that is read.
    """

    train: Source
    val: Source
    alone: tuple[str, ...]
    unreadable: tuple[str, ...]


def split_by_content(source: Source, fraction: float) -> Split:
    """Takes photos of every class for validation.

    The exception to the rule above are classes of few photos: one that would have none to validate on gives the photo
    of the lowest place, one that would have none to train on keeps that of the highest. Where classes share copies,
    no photo is given that another of them alone has to train on.

    Args:
        fraction: of each class's photos, in (0, 1).

    Raises:
        Refused: a file cannot be read, none is an image, or no class has two different photos.
    """
    contents = dict(zip(source.entries, in_order(_content, source.entries, what="reading")))
    of_class: dict[int, set[bytes]] = collections.defaultdict(set)
    for entry, content in contents.items():
        if content:  # None: no image, which packing leaves out and tells
            of_class[entry.label].add(content)
    if not of_class:
        raise Refused(none_is_an_image(len(contents), _why_none(min(source.entries, key=lambda entry: entry.path))))
    unreadable = tuple(name for k, name in enumerate(source.classes) if k not in of_class)
    chosen = _chosen(of_class, fraction)
    if not chosen:
        raise Refused(
            f"no class of {source.folder} has two different photos, one to train on and one to validate on"
            f"{said_of_unreadable(unreadable)}: add photos"
        )
    parts = [], []
    for entry, content in contents.items():
        parts[content in chosen].append(entry)
    train, val = (source._replace(entries=part) for part in parts)
    alone = [source.classes[k] for k, inside in sorted(of_class.items()) if not inside & chosen]
    return Split(train, val._replace(left_out=[]), tuple(alone), unreadable)


def said_of_unreadable(names: Sequence[str]) -> str:
    """What a refusal says of classes without an image that is read: ", and bee has no readable image"; "": none."""
    return f", and {printable(some(names))} {'has' if len(names) == 1 else 'have'} no readable image" if names else ""


def _why_none(entry: Entry) -> str:
    """A file that is no image and why, as packing tells it."""
    try:
        encoded(entry.path, None, None, verify=True)
    except NoImage as why:
        return f"{entry.path} ({why})"
    return entry.path  # it has become one meanwhile


def _chosen(of_class: dict[int, set[bytes]], fraction: float) -> set[bytes]:
    """The contents to validate on."""
    chosen = {content for inside in of_class.values() for content in inside if _place(content) < fraction}
    for _, inside in sorted(of_class.items()):
        if len(inside) > 1 and not inside & chosen:
            chosen.add(min(inside))
    for _, inside in sorted(of_class.items()):
        if inside <= chosen:
            chosen.remove(max(inside))
    for _, inside in sorted(of_class.items()):  # whose only one to validate on another class has kept to train on
        if len(inside) > 1 and not inside & chosen:
            chosen |= {*sorted(inside - _last_to_train_on(of_class, chosen))[:1]}
    return chosen


def _last_to_train_on(of_class: dict[int, set[bytes]], chosen: set[bytes]) -> set[bytes]:
    """The contents without which a class would have none to train on."""
    left = [inside - chosen for inside in of_class.values()]
    return {content for rest in left if len(rest) == 1 for content in rest}


def _place(content: bytes) -> float:
    return int.from_bytes(content[:8], "big") / 2**64


def _content(entry: Entry) -> bytes | None:
    """The SHA-256 of a file; None of one that does not begin as an image, is too large or a camera's raw file."""
    digest = hashlib.sha256()
    try:
        with opened(entry.path) as file:
            piece = file.read(_PIECE)
            if not begins_like_image(piece) or entry.size > IMAGE_BYTES or image_header(piece).pages < 1:
                return None
            while piece:
                digest.update(piece)
                piece = file.read(_PIECE)
    except OSError as error:
        raise Refused(f"cannot read {entry.path}: {error.strerror}") from None
    return digest.digest()
