"""What an evaluation found image by image, kept in a run as validation.safetensors: what its report is made from.

The file holds arrays, and in its metadata the classes' names and which images they are of. Nothing in it is executed,
and a file of somebody else's is looked at before anything is drawn from it.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import safetensors
import safetensors.numpy

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import write_atomically
from gluon_tricks.core.json_text import parse_json
from gluon_tricks.core.reading import read_bytes
from gluon_tricks.core.wording import as_utf8, quoted
from gluon_tricks.page.skeleton import Section

FILE = "validation.safetensors"
RECALLS = 101  # of a precision-recall curve: 0, 0.01, ..., 1
_BYTES = 1 << 30  # that are read: ImageNet's 50,000 images have 1e6
_HEADER = "gluon_tricks"  # its place in the file's metadata
_MOST_CLASSES = 1 << 20

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Field:
    """What an array of the file must be.

    Args:
        dtype: its type.
        shape: a number for each axis, or a letter: K is the number of classes, "K+1" one more, others must agree among
            the arrays.
        least, most: bounds of its numbers; "K": below the number of classes. None: any.
        nan: whether it may hold NaN.
    """

    dtype: str
    shape: tuple[int | str, ...]
    least: float | None = None
    most: float | str | None = None
    nan: bool = False


@dataclasses.dataclass(frozen=True)
class Found:
    """What an evaluation found.

    Args:
        names: of the classes, in their order.
        digest: of the images.
        arrays: by name, as the task's report says.
    """

    names: Sequence[str]
    digest: str
    arrays: Mapping[str, np.ndarray]


class TaskReport(Protocol):
    """What the page of a run shows of an evaluation.

    Args of an object:
        found: with the arrays of `fields`.
        images: what was evaluated; None: they are not there, so there are no pictures.

    Attributes:
        fields: what the arrays are.
        names: of the classes, as they are shown.
    """

    names: Sequence[str]
    fields: ClassVar[Mapping[str, Field]]

    def __init__(self, found: Found, images: Any | None): ...

    def sections(self) -> list[Section]:
        """Scores of each class, what is confused, and pictures."""

    def per_class(self) -> tuple[str, np.ndarray]:
        """The score by which classes are compared, what it is called and of each class, (K,); NaN: it has none."""

    def intervals(self, final: Mapping[str, float]) -> dict[str, tuple[float, float]]:
        """The 95 % interval of those scores that are shares of the images. Args: final: column -> score."""

    def gains(self, other: TaskReport) -> dict[str, tuple[float, float, float]]:
        """Columns of metrics.csv -> what it gains over another on the same images, with its 95 % interval."""


def save_found(folder: pathlib.Path, found: Found) -> None:
    """Writes the file into a run. Raises CannotWrite."""
    metadata = {_HEADER: json.dumps({"names": [*map(as_utf8, found.names)], "digest": found.digest})}
    data = safetensors.numpy.save({name: np.ascontiguousarray(a) for name, a in found.arrays.items()}, metadata)
    write_atomically(folder / FILE, lambda temporary: temporary.write_bytes(data))


def read_found(folder: pathlib.Path, fields: Mapping[str, Field]) -> Found:
    """The file of a run.

    Args:
        fields: what the arrays must be, by name.

    Raises:
        Refused: it is not there, damaged, or not what an evaluation of this task writes.
    """
    path = folder / FILE
    data = read_bytes(path, _BYTES)
    try:
        arrays = safetensors.numpy.load(data)
        names, digest = _header(data)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, AttributeError, MemoryError) as error:
        raise Refused(_damaged(path, f"it cannot be read: {quoted(str(error), 120)}")) from None
    sizes: dict[str, int] = {"K": len(names), "K+1": len(names) + 1}
    for name, field in fields.items():
        wrong = _wrong(arrays.get(name), field, sizes)
        if wrong:
            raise Refused(_damaged(path, f"{name} {wrong}"))
    return Found(names, digest, {name: arrays[name] for name in fields})


def _damaged(path: pathlib.Path, wrong: str) -> str:
    return f"{path} is damaged ({wrong}): make it again by gluon-tricks report RUN --evaluate"


def _header(data: bytes) -> tuple[tuple[str, ...], str]:
    size = int.from_bytes(data[:8], "little")
    told = parse_json(parse_json(data[8 : 8 + size])["__metadata__"][_HEADER])
    names, digest = told["names"], told["digest"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or not isinstance(digest, str):
        raise ValueError("its names are no list of texts")
    if not 0 < len(names) <= _MOST_CLASSES:
        raise ValueError(f"it has {len(names)} classes")
    return tuple(names), digest


def _wrong(array: np.ndarray | None, field: Field, sizes: dict[str, int]) -> str:
    """What is wrong with an array; "": nothing. Notes the letters' sizes."""
    if array is None:
        return "is missing"
    if array.dtype != np.dtype(field.dtype) or array.ndim != len(field.shape):
        return f"is {array.dtype} of shape {array.shape}"
    for side, wanted in zip(array.shape, field.shape):
        expected = sizes.setdefault(wanted, side) if isinstance(wanted, str) else wanted
        if side != expected:
            return f"has the shape {array.shape}"
    known = array[~np.isnan(array)] if field.nan else array
    most = sizes["K"] - 1 if field.most == "K" else field.most
    low, high = (-np.inf if field.least is None else field.least), (np.inf if most is None else most)
    if known.size and not (low <= known.min() and known.max() <= high):  # not, so that NaN is refused
        return f"has numbers beyond [{low:g}, {high:g}]"
    return ""


def curve(scores: np.ndarray, right: np.ndarray, objects: int) -> np.ndarray:
    """The highest precision at each of RECALLS recalls or more, (RECALLS,) float32; NaN: there is nothing to find.

    Args:
        scores: (P,), the higher the surer.
        right: (P,) bool, those that are not to be counted left out.
        objects: how many there are to find.

    Source: as for average_precisions, whose curve this is.
    """
    if objects == 0:
        return np.full(RECALLS, np.nan, np.float32)
    found = np.cumsum(right[np.argsort(-scores, kind="stable")])
    precision = found / np.arange(1, len(found) + 1)
    precision = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    # Of the first detection that reaches the recall; recalls are compared as whole numbers.
    wanted = -(-np.arange(RECALLS) * objects // (RECALLS - 1))
    return precision[np.searchsorted(found, np.maximum(wanted, 1))].astype(np.float32)
