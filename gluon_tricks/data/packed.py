"""Photos in class folders, and CIFAR's files, as records: packed once, and again when they change."""

from __future__ import annotations

import hashlib
import os
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import CannotWrite, writing
from gluon_tricks.core.reading import why_unseen
from gluon_tricks.core.scratch import CACHE, make_whole
from gluon_tricks.data.cifar import cifar_sources, is_cifar
from gluon_tricks.data.folders import class_folders
from gluon_tricks.data.pack import RecordWriter, left_out_lines, pack
from gluon_tricks.data.shards import packed_as
from gluon_tricks.data.sources import Source

SPLITS = ("train", "val")
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")
Paths = tuple[tuple[str, ...], tuple[str, ...]]  # of the training and of the validation records


def packed_photos(
    data: pathlib.Path, cache: pathlib.Path, flag: str, packing: bool = True,
    look: Callable[[Sequence[str], object], None] = lambda names, place: None,
) -> Paths:  # fmt: skip
    """Training and validation records of a folder that has both (own_photos.py is for others too).

    Args:
        data: with records (records_in), with class folders train/CLASS and val/CLASS, or with CIFAR's binary files.
        cache: where class folders are packed, below a name that stands for what is in them now.
        flag: that named the folder.
        packing: whether to pack what has not been packed; else there are none of it.
        look: refuses, by the classes' names and the folder that has them, what need not be packed.

    Raises:
        Refused: the folder has neither, its records are not whole, or its photos cannot be packed.
        CannotWrite: the disk is full or read-only.
    """
    require_folder(data, flag)
    if there := records_in(data):
        return there
    lacking = () if is_cifar(data) else [split for split in SPLITS if not os.path.isdir(data / split)]
    if lacking:
        split = min(lacking, key=lambda split: len(packed_as(data / split)))
        raise Refused(
            f"{flag} {data}: it has neither {split}.rec (or its shards) nor a folder {split} of class folders"
        )
    sources = cifar_sources(data) if is_cifar(data) else _class_folders(data)
    place = cache / fingerprint(data, sources)[:8]
    if packing and not records_in(place):
        look(sources["train"].classes, data)
        pack_splits(sources, place)
    return records_in(place) or ((), ())


def _class_folders(data: pathlib.Path) -> dict[str, Source]:
    train = class_folders(data / "train", deep=True)
    return {"train": train, "val": class_folders(data / "val", train.classes, deep=True)}


def require_folder(data: pathlib.Path, flag: str) -> None:
    """Refuses what is no folder. Args: flag: that named it."""
    if not os.path.exists(data):
        raise Refused(f"{flag} {data}: there is no such folder{why_unseen(data)}")
    if not os.path.isdir(data):
        remedies = {".rec": "name records with --rec-train and --rec-val"}
        remedies |= dict.fromkeys(_ARCHIVES, "unpack the archive first")
        remedy = remedies.get(data.suffix.lower(), "name the folder in which the class folders lie")
        raise Refused(f"{flag} {data}: it is a file, not a folder of photos: {remedy}")


def records_in(folder: pathlib.Path) -> Paths | None:
    """train.rec and val.rec of a folder, or the shards of each; None: it does not have both.

    Raises:
        Refused: some of the shards are missing, or records of one name are there twice.
    """
    train, val = (tuple(map(str, packed_as(folder.absolute() / split))) for split in SPLITS)
    return (train, val) if train and val else None


def fingerprint(folder: pathlib.Path, sources: Mapping[str, Source], *more: Any) -> str:
    """Of the files to pack as they are now: names, sizes and times of writing, wherever they lie; 64 hex digits.

    Args:
        more: what else decides what is packed.

    Raises:
        Refused: a file is not there any more, or nobody may look at it.
    """
    if any(source.stored for source in sources.values()):  # many images in a file
        files = [path for path in folder.iterdir() if path.is_file()]
    else:
        files = [pathlib.Path(entry.path) for source in sources.values() for entry in source.entries]
    states = [(os.path.relpath(file, folder), *_state(file)) for file in sorted(files)]
    return hashlib.sha256(repr((states, *more) if more else states).encode("utf-8", "surrogateescape")).hexdigest()


def _state(file: pathlib.Path) -> tuple[int, int]:
    try:
        state = file.stat()
    except OSError as error:
        raise Refused(f"cannot read {file}: {error.strerror}") from None
    return state.st_size, state.st_mtime_ns


def pack_splits(
    sources: Mapping[str, Source], place: pathlib.Path, finish: Callable[[pathlib.Path], None] = lambda folder: None,
    **how: Any,
) -> dict[str, list[str]]:  # fmt: skip
    """Packs sources into PLACE/SPLIT.rec, all of them or none, and tells what is left out.

    Args:
        finish: is given the folder when the records are in it and it is not yet in its place.
        how: as of pack.

    Returns: split -> what was left out and why.

    Raises:
        Refused, CannotWrite: as pack does.
    """
    left_out: dict[str, list[str]] = {}

    def pack_into(folder: pathlib.Path) -> None:
        for split, source in sources.items():
            _, left_out[split] = pack(source, folder / split, **how)
        finish(folder)

    try:
        with writing(place):
            make_whole(place, pack_into, instead=place.exists(), scratch_name="packing")
    except CannotWrite as error:
        raise CannotWrite(f"{error}; {CACHE}=FOLDER puts what is packed by itself elsewhere") from None
    for split, lines in left_out.items():
        for line in left_out_lines(lines, place / split):
            print(line, file=sys.stderr, flush=True)
    return left_out


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
