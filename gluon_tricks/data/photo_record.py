"""What is worth knowing of photos that were packed to train on: seen while they are packed, and told in lines."""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gluon_tricks.core.wording import as_utf8, plural, printable, some
from gluon_tricks.data.decoding import used_bits
from gluon_tricks.data.headers import image_header
from gluon_tricks.data.near_copies import Look, look_of, near_copies
from gluon_tricks.data.sources import Entry, Source

_COMPARED = 100_000  # photos, at most, among which near-copies are looked for: it takes a minute
_LISTED = 10_000  # pairs, at most; all are counted
_MOST_CLASSES = 10  # that are told one by one
_PNG, _PNG_COLOUR_TYPE = b"\x89PNG\r\n\x1a\n", 25  # how such a file begins, and where that byte stands
_PNG_KINDS = {3: ["a palette"], **dict.fromkeys((4, 6), ["transparency, which is dropped"])}  # colour type -> in words


class Seen:
    """What packing sees of each photo: pack's `look`.

    Args:
        count: how many photos there will be.
        at_most: px of the shorter edge of what is stored, at most; None: all are stored as they are.

    Attributes:
        compared: whether they are few enough to look for near-copies.
        kinds: photo -> how it is stored, where that is another way than RGB of 8 bits.
        looks, contents: photo -> how it looks, and the SHA-256 of its bytes.
        smaller: those that were made smaller.
    """

    def __init__(self, count: int, at_most: int | None):
        self.compared, self._at_most = count <= _COMPARED, at_most
        self.kinds: dict[Entry, list[str]] = {}
        self.looks: dict[Entry, Look] = {}
        self.contents: dict[Entry, bytes] = {}
        self.smaller: set[Entry] = set()

    def __call__(self, photo: Entry, data: bytes, pixels: np.ndarray) -> None:
        header = image_header(data)
        self.contents[photo] = hashlib.sha256(data).digest()
        kinds = [f"{header.depth} bits a channel, of which {used_bits(data)} are used"] if header.depth == 16 else []
        kinds += {1: ["one channel"], 4: ["CMYK"]}.get(header.components, [])
        kinds += _PNG_KINDS.get(data[_PNG_COLOUR_TYPE] if data.startswith(_PNG) else 0, [])
        if kinds:
            self.kinds[photo] = kinds
        if self.compared:
            self.looks[photo] = look_of(pixels)
        # Made smaller is what has the edge asked for now and had more pixels; of a TIFF header.pixels may be a tile's.
        if min(pixels.shape[:2]) == self._at_most and header.pixels > pixels.shape[0] * pixels.shape[1]:
            self.smaller.add(photo)


def record_of(
    sources: Mapping[str, Source], folder: str, fraction: float | None, counts: Mapping[str, list[int]], seen: Seen,
    about: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """What photos.json says.

    Args:
        sources: the photos of train and val.
        folder: where they lie.
        fraction: of each class to validate on; None: the folder says it.
        counts: name of a class -> its photos to train and to validate on.
        seen: of all photos.
        about: further entries.
    """

    def named(pairs: Sequence[tuple[Entry, Entry]]) -> list[list[str]]:
        return [[as_utf8(photo.path.removeprefix(f"{folder}/")) for photo in pair] for pair in pairs[:_LISTED]]

    pairs = {"labelled_twice": _labelled_twice(seen), "near_copies": _near_copies(sources, seen)}
    taken = collections.Counter(kind for kinds in seen.kinds.values() for kind in kinds)
    record = {
        "folder": as_utf8(folder),
        "val_split": fraction,
        "by": "the SHA-256 of each file's bytes" if fraction else "the folder",
        "classes": counts,
        **about,
        "taken_as_rgb": dict(sorted(taken.items())),
        "made_smaller": len(seen.smaller),
        **{kind: named(found) for kind, found in pairs.items()},
        "pairs": {kind: len(found) for kind, found in pairs.items()},
        "compared": seen.compared,
    }
    return {**record, "said": lines_of(record)}


def _near_copies(sources: Mapping[str, Source], seen: Seen) -> list[tuple[Entry, Entry]]:
    """Pairs of a validation photo and the training photo that is most like it, of those that are nearly alike."""
    ones, others = ([e for e in sources[split].entries if e in seen.looks] for split in ("val", "train"))
    pairs = near_copies([seen.looks[photo] for photo in ones], [seen.looks[photo] for photo in others])
    return [(ones[i], others[j]) for i, j in pairs]


def _labelled_twice(seen: Seen) -> list[tuple[Entry, Entry]]:
    """Pairs of files of one content in two classes."""
    first: dict[bytes, Entry] = {}
    by_path = sorted(seen.contents, key=lambda photo: photo.path)
    pairs = [(first.setdefault(seen.contents[photo], photo), photo) for photo in by_path]
    return [(one, other) for one, other in pairs if one.label != other.label]


def lines_of(record: Mapping[str, Any]) -> list[str]:
    """A record in lines for people."""
    classes = record["classes"]
    train, val = (sum(counts[k] for counts in classes.values()) for k in (0, 1))
    edge = f", of a shorter edge of at most {record['at_most']} px" if record["made_smaller"] else ""
    lines = [
        f"{printable(record['folder'])}: {plural(train, 'photo')} of {plural(len(classes), 'class')} to train on and "
        f"{val} to validate on{edge}"
    ]
    if record["val_split"]:
        lines.append(f"validation: about {record['val_split']:g} of each class, by the files' content{_each(classes)}")
    lost = [name for name, counts in classes.items() if not any(counts)]
    if lost:
        lines.append(f"classes of which no photo can be read, so that the network cannot learn them: {some(lost)}")
    if record["val_split"]:
        lines += _lines_of_alone(classes)
    if record["taken_as_rgb"]:
        kinds = ", ".join(f"{count} with {kind}" for kind, count in record["taken_as_rgb"].items())
        lines.append(f"taken as RGB of 8 bits: {kinds}")
    used = [kind for kind in record["taken_as_rgb"] if "used" in kind]
    if len(used) > 1:
        lines.append(
            "photos with 16 bits a channel are made lighter by the bits that each uses, and these differ: if all are "
            "of one device, save them with 8 bits (docs/photos.md)"
        )
    return lines + _lines_of_copies(record)


def _lines_of_alone(classes: Mapping[str, Sequence[int]]) -> list[str]:
    """The classes of a split that have no photo to validate on, by the reason."""
    alone = {name: train for name, (train, val) in classes.items() if train and not val}
    of_reason = {
        "there is but one": [name for name, train in alone.items() if train == 1],
        "the others are copies or cannot be read": [name for name, train in alone.items() if train > 1],
    }
    return [f"no photo to validate on, because {why}: {some(names)}" for why, names in of_reason.items() if names]


def _each(classes: Mapping[str, list[int]]) -> str:
    if len(classes) > _MOST_CLASSES:
        return ""
    return ": " + ", ".join(f"{printable(name)} {val} of {train + val}" for name, (train, val) in classes.items())


def _lines_of_copies(record: Mapping[str, Any]) -> list[str]:
    lines, counts = [], record["pairs"]
    if twice := counts["labelled_twice"]:
        said = _pairs(record["labelled_twice"], twice)
        lines.append(f"the same file in two classes, so one label is wrong: {said}")
    if near := counts["near_copies"]:
        lines.append(
            f"{plural(near, 'validation photo')} nearly the same as a training photo, so the scores are too high: "
            f"{_pairs(record['near_copies'], near)}"
        )
    if not record["compared"]:
        lines.append(f"near-copies of validation photos were not looked for: there are more than {_COMPARED} photos")
    return lines


def _pairs(pairs: list[list[str]], count: int) -> str:
    """The first three of several pairs. Args: count: of all, of which `pairs` may be the first ones."""
    said = "; ".join(f"{printable(one)} and {printable(other)}" for one, other in pairs[:3])
    return said + (f"; and {count - 3} more (photos.json)" if count > 3 else "")
