"""The bytes of RecordIO: one record, and the walk over all records of a file.

A .rec is a row of records, each starting at a multiple of 4 bytes:

    mark 0xced7230a | kind (3 bits), length (29 bits) | payload, padded to 4 bytes

A payload that itself holds the mark at a multiple of 4 is cut there (the mark is left out), and its parts are of
kind 1 (first), 2 (middle) and 3 (last) instead of 0 (whole), so that every aligned mark in a file starts a record.
The payload of an image is a header (flag, label, id, id2), `flag` float32 labels, and the encoded image.

Source: dmlc-core's recordio.h and MXNet's mx.recordio, whose files are read and written here without MXNet.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator, Sequence

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import opened
from gluon_tricks.core.wording import byte_size

MARK = struct.pack("<I", 0xCED7230A)
PART = struct.Struct("<4sI")  # mark, kind and length
MAX_LENGTH = (1 << 29) - 1
_HEADER = struct.Struct("<IfQQ")  # flag, label, id, id2


def encode_record(label: float | Sequence[float], id: int, image: bytes) -> bytes:
    """The bytes of one record, as they stand in a .rec.

    Args:
        label: one number in the header, or several behind it.

    Raises: Refused when the image has 512 MB or more, which the format cannot hold.
    """
    if isinstance(label, Sequence):
        payload = _HEADER.pack(len(label), 0, id, 0) + struct.pack(f"<{len(label)}f", *label) + image
    else:
        payload = _HEADER.pack(0, label, id, 0) + image
    if len(payload) > MAX_LENGTH:
        raise Refused(f"image {id} has {byte_size(len(image))}, and a record can hold 512 MB at most: leave it out")
    cuts, at = [], payload.find(MARK)
    while at >= 0:
        if at % 4 == 0:
            cuts.append(at)
        at = payload.find(MARK, at + 1)
    starts, ends = [0, *(cut + 4 for cut in cuts)], [*cuts, len(payload)]
    kinds = [1, *[2] * (len(cuts) - 1), 3] if cuts else [0]
    parts = [
        PART.pack(MARK, kind << 29 | end - start) + payload[start:end] for kind, start, end in zip(kinds, starts, ends)
    ]
    return b"".join(parts) + bytes(-len(payload) % 4)


def decode_record(record: bytes) -> tuple[float, int, bytes]:
    """The (label, id, encoded image) of one record; label is nan if it holds several.

    Raises: ValueError when the bytes are no whole record.
    """
    payload = _payload(record)
    flag, label, id, _ = _HEADER.unpack_from(payload)
    if flag == 1:
        label = struct.unpack_from("<f", payload, _HEADER.size)[0]
    return (label if flag <= 1 else math.nan), id, payload[_HEADER.size + 4 * flag :]


def decode_labels(record: bytes) -> tuple[float, ...]:
    """All labels of one record, those of a header alone too.

    Raises: ValueError when the bytes are no whole record, or end within the labels.
    """
    payload = _payload(record)
    flag, label, _, _ = _HEADER.unpack_from(payload)
    if len(payload) < _HEADER.size + 4 * flag:
        raise ValueError("the record is cut off")
    return struct.unpack_from(f"<{flag}f", payload, _HEADER.size) if flag else (label,)


def _payload(record: bytes) -> bytes:
    """What a record holds: header, further labels and image, its parts put together."""
    parts, at, kind = [], 0, 1
    while kind in (1, 2):
        if len(record) < at + PART.size:
            raise ValueError("the record is cut off")
        mark, word = PART.unpack_from(record, at)
        kind, length = word >> 29, word & MAX_LENGTH
        start, at = at + PART.size, at + PART.size + length + -length % 4
        if mark != MARK:
            raise ValueError("no RecordIO mark")
        if start + length > len(record):
            raise ValueError("the record is cut off")
        parts.append(record[start : start + length])
    payload = parts[0] if len(parts) == 1 else MARK.join(parts)
    if len(payload) < _HEADER.size:
        raise ValueError("the record has no image header")
    return payload


def walk(path: str | os.PathLike) -> Iterator[tuple[int, int]]:
    """The (offset, id) of every record of a .rec, found without its .idx.

    Raises: Refused where the file is no RecordIO or ends inside a record.
    """
    with opened(path) as file:
        size, at = os.fstat(file.fileno()).st_size, 0
        while at < size:
            start, kind, id = at, 1, None
            while kind in (1, 2):
                file.seek(at)
                head = file.read(PART.size + _HEADER.size)
                if len(head) < PART.size or head[:4] != MARK:
                    raise Refused(f"{path} is no RecordIO at byte {at} of {size}: the file is damaged, copy it again")
                word = PART.unpack_from(head)[1]
                kind, length = word >> 29, word & MAX_LENGTH
                if id is None:
                    id = _HEADER.unpack_from(head, PART.size)[2] if len(head) == PART.size + _HEADER.size else 0
                at += PART.size + length + -length % 4
            if at > size:
                raise Refused(f"{path} ends inside the record at byte {start}: the file is truncated, copy it again")
            yield start, id
