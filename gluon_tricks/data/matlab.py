"""The little of MATLAB's files that ImageNet's meta.mat needs: the numbers and texts of an array of structures.

scipy's reader is not used: a damaged file can end the process in it.
A list of the 1000 ids could not take its place: those in GluonCV and timm are sorted, and ILSVRC2012_IDs are not.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Iterator

import numpy as np

from gluon_tricks.core.reading import read_bytes

_LARGEST = 1 << 26  # bytes, unpacked too; ImageNet's have less than 1e6
_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_DTYPES = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8", 16: "u1"}
_STRUCT, _TEXT, _NUMBERS = 2, 4, range(6, 16)  # classes of matrices


def read_structures(path: str | os.PathLike, name: str) -> list[dict[str, float | str]]:
    """The structures of the array `name`; of their fields those that hold one number or a text.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, of another version of the format, or has no such array.

    Source: MathWorks, MAT-File Format (level 5, as MATLAB 5 to 7.2 write it).
    """
    data = read_bytes(path, _LARGEST)
    if data[124:128] != b"\0\x01IM":
        raise ValueError("it is no little-endian MAT-file of level 5")
    for kind, content in _elements(data[_HEADER:]):
        if kind == _COMPRESSED:
            kind, content = next(_elements(_unpacked(content)), (0, b""))
        if kind == _MATRIX:
            what, shape, ((_, found), *parts) = _matrix(content)
            if found == name.encode() and what == _STRUCT:
                return _structures(math.prod(shape), parts)
    raise ValueError(f"it has no array of structures called {name}")


def _unpacked(content: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(content, _LARGEST)
    except zlib.error as error:
        raise ValueError(str(error)) from None


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The (type, content) of the elements that data is a row of."""
    at = 0
    while at < len(data):
        kind, length, start = *struct.unpack("<II", data[at : at + 8].ljust(8, b"\0")), at + 8
        if kind >> 16:  # four bytes or less stand where the length would
            kind, length, start = kind & 0xFFFF, kind >> 16, at + 4
            if length > 4:
                raise ValueError(f"an element of {length} bytes is said to be short")
        if start + length > len(data):
            raise ValueError(f"an element of {length} bytes is cut off")
        yield kind, data[start : start + length]
        whole = start - at + length
        at += whole if kind == _COMPRESSED else whole + -whole % 8


def _matrix(content: bytes) -> tuple[int, list[int], list[tuple[int, bytes]]]:
    """The class and shape of an array, then the elements behind: its name, and what it holds."""
    elements = list(_elements(content))
    if len(elements) < 3 or not elements[0][1]:
        raise ValueError("an array has no head")
    return elements[0][1][0], _numbers(*elements[1]).astype(int).tolist(), elements[2:]


def _structures(count: int, parts: list[tuple[int, bytes]]) -> list[dict[str, float | str]]:
    """All structures have the same fields, whose names stand in places of one width; the fields' arrays follow."""
    if len(parts) < 2 or not _numbers(*parts[0]).size:
        raise ValueError("a structure has no fields")
    width, names = int(_numbers(*parts[0])[0]), parts[1][1]
    if width < 1 or len(names) < width or count * (len(names) // width) != len(parts) - 2:
        raise ValueError("its structures are not whole")
    fields = [names[at : at + width].split(b"\0")[0].decode("latin-1") for at in range(0, len(names), width)]
    values = iter(parts[2:])
    return [{field: value for field in fields if (value := _value(*next(values))) is not None} for _ in range(count)]


def _value(kind: int, content: bytes) -> float | str | None:
    """The number or text in an array; None of another."""
    if kind != _MATRIX or not content:
        return None
    what, _, (_, *values) = _matrix(content)
    if what not in (_TEXT, *_NUMBERS) or not values:
        return None
    numbers = _numbers(*values[0])
    if what == _TEXT:
        return "".join(map(chr, numbers.astype("u2").tolist()))
    return float(numbers[0]) if numbers.size == 1 else None


def _numbers(kind: int, content: bytes) -> np.ndarray:
    if kind not in _DTYPES:
        raise ValueError(f"an element is of the unknown type {kind}")
    return np.frombuffer(content, _DTYPES[kind])  # a ValueError if they do not come out even
