"""The labels of packed records beside them, PREFIX.labels: with it no .rec is read to learn its labels.

The bytes are "labels 1", the 32 bytes of the .rec's sha256, the number of records (8 bytes), and the class of each
record as 4 bytes, little endian, in the order of the .idx. Labels of other records are not believed: the .rec's digest
must be that of the manifest, and the .idx must be the manifest's. The file is no part of the data's identity, and
whatever is wrong with it costs time only: the labels are then gathered from the records.
"""

from __future__ import annotations

import pathlib
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from gluon_tricks.core.reading import read_bytes

ENDING = ".labels"
_HEAD = struct.Struct("<8s32sQ")
_KIND = b"labels 1"


def to_bytes(labels: Sequence[int], sha256: str) -> bytes:
    """The file for records of these classes. Args: sha256: of the .rec, in hex."""
    return _HEAD.pack(_KIND, bytes.fromhex(sha256), len(labels)) + np.asarray(labels, "<i4").tobytes()


def read_labels(rec: pathlib.Path, manifest: dict[str, Any], index_sha256: str, count: int) -> np.ndarray | None:
    """The classes (n,) int32 of the records of a .rec; None where no file beside it tells them.

    Args:
        manifest: of the .rec.
        index_sha256: of the .idx as it is, in hex.
        count: of the records.
    """
    if manifest.get("idx", {}).get("sha256") != index_sha256:
        return None
    try:
        content = read_bytes(rec.with_suffix(ENDING), _HEAD.size + 4 * count)
        expected = _HEAD.pack(_KIND, bytes.fromhex(manifest.get("rec", {}).get("sha256", "")), count)
    except (OSError, ValueError):
        return None
    if len(content) != _HEAD.size + 4 * count or content[: _HEAD.size] != expected:
        return None
    return np.frombuffer(content, "<i4", count, _HEAD.size)
