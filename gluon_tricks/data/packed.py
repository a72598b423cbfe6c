"""Photos in class folders as the records that a training reads: packed once, and again when they change."""

from __future__ import annotations

import hashlib
import pathlib
import sys

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.folders import class_folders
from gluon_tricks.data.pack import left_out_lines, pack

_SPLITS = ("train", "val")


def packed_photos(
    data: pathlib.Path, cache: pathlib.Path, flag: str, packing: bool = True
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Training and validation records of a folder.

    Args:
        data: with train.rec and val.rec, or with class folders train/CLASS and val/CLASS.
        cache: where class folders are packed, below a name that stands for what is in them now.
        flag: that named the folder.
        packing: whether to pack what has not been packed; else there are none of it.

    Raises:
        Refused: the folder has neither, or its photos cannot be packed.
    """
    if not data.is_dir():
        raise Refused(f"{flag} {data}: there is no such folder")
    if _packed_in(data):
        return _packed_in(data)
    for split in _SPLITS:
        if not (data / split).is_dir():
            raise Refused(f"{flag} {data}: it has neither {split}.rec nor a folder {split} of class folders")
    cache /= _fingerprint(data)
    if packing and not _packed_in(cache):
        train = class_folders(data / "train")
        for split, source in (("train", train), ("val", class_folders(data / "val", train.classes))):
            _, left_out = pack(source, cache / split, overwrite=True)  # what an interrupted one has left
            print(*left_out_lines(left_out, cache / split), sep="\n", end="\n" if left_out else "", file=sys.stderr)
    return _packed_in(cache) or ((), ())


def _packed_in(folder: pathlib.Path) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    paths = [(folder / f"{split}.rec").absolute() for split in _SPLITS]
    return ((str(paths[0]),), (str(paths[1]),)) if all(path.is_file() for path in paths) else None


def _fingerprint(data: pathlib.Path) -> str:
    """Of the photos as they are now: names, sizes and times of writing, wherever they lie."""
    files = sorted(path for split in _SPLITS for path in (data / split).rglob("*") if path.is_file())
    states = [(str(path.relative_to(data)), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr(states).encode()).hexdigest()[:8]
