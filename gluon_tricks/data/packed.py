"""Photos in class folders, and CIFAR's files, as records: packed once, and again when they change."""

from __future__ import annotations

import hashlib
import pathlib
import sys

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.cifar import cifar_sources, is_cifar
from gluon_tricks.data.folders import class_folders
from gluon_tricks.data.pack import RecordWriter, left_out_lines, pack
from gluon_tricks.data.sources import Source

_SPLITS = ("train", "val")


def packed_photos(
    data: pathlib.Path, cache: pathlib.Path, flag: str, packing: bool = True
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Training and validation records of a folder.

    Args:
        data: with train.rec and val.rec, with class folders train/CLASS and val/CLASS, or with CIFAR's binary files.
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
    for split in () if is_cifar(data) else _SPLITS:
        if not (data / split).is_dir():
            raise Refused(f"{flag} {data}: it has neither {split}.rec nor a folder {split} of class folders")
    cache /= _fingerprint(data)
    if packing and not _packed_in(cache):
        for split, source in _sources(data).items():
            _, left_out = pack(source, cache / split, overwrite=True)  # what an interrupted one has left
            print(*left_out_lines(left_out, cache / split), sep="\n", end="\n" if left_out else "", file=sys.stderr)
    return _packed_in(cache) or ((), ())


def _sources(data: pathlib.Path) -> dict[str, Source]:
    if is_cifar(data):
        return cifar_sources(data)
    train = class_folders(data / "train")
    return {"train": train, "val": class_folders(data / "val", train.classes)}


def pack_cifar(
    data: pathlib.Path, folder: pathlib.Path, *, seed: int = 0, jobs: int | None = None, overwrite: bool = False
) -> dict[str, dict]:
    """Packs CIFAR's binary files into FOLDER/train.rec and FOLDER/val.rec; the manifest of each.

    Args:
        data: as of cifar_sources.
        folder: made if it is not there.
        seed, jobs, overwrite: as of pack.

    Raises:
        Refused: cifar_sources says why, or the records are there already.
        CannotWrite: the disk is full or read-only.
    """
    sources = cifar_sources(data)
    for split, source in sources.items():
        RecordWriter(folder / split, source.classes, overwrite=overwrite)  # both are looked at before one is written
    return {
        split: pack(source, folder / split, seed=seed, jobs=jobs, overwrite=overwrite)[0]
        for split, source in sources.items()
    }


def _packed_in(folder: pathlib.Path) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    paths = [(folder / f"{split}.rec").absolute() for split in _SPLITS]
    return ((str(paths[0]),), (str(paths[1]),)) if all(path.is_file() for path in paths) else None


def _fingerprint(data: pathlib.Path) -> str:
    """Of the photos as they are now: names, sizes and times of writing, wherever they lie."""
    found = data.iterdir() if is_cifar(data) else (path for split in _SPLITS for path in (data / split).rglob("*"))
    files = sorted(path for path in found if path.is_file())
    states = [(str(path.relative_to(data)), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr(states).encode()).hexdigest()[:8]
