"""Packing the images of a source into RecordIO, shuffled, and telling of what is left out."""

from __future__ import annotations

import functools
import os
import pathlib
import shutil
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import no_empty_folders, write_text
from gluon_tricks.core.given import require_function, require_kind, require_path, require_whole
from gluon_tricks.core.keyed_random import generator
from gluon_tricks.core.wording import byte_size, plural, printable, quoted
from gluon_tricks.data.encoding import NoImage, encoded, none_is_an_image
from gluon_tricks.data.parallel import in_order, silent_codecs
from gluon_tricks.data.record_writer import LEFT_OUT, RecordWriter, full_disk_told
from gluon_tricks.data.shard_writer import ShardWriter
from gluon_tricks.data.sources import Entry, Source

_RECORD_OVERHEAD = 64  # bytes per image, at most: mark, header, padding and the line of the .idx
_SHOWN = 10  # files left out that are told one by one


def pack(
    source: Source,
    prefix: str | os.PathLike,
    *,
    resize: int | None = None,
    quality: int | None = None,
    seed: int = 0,
    jobs: int | None = None,
    overwrite: bool = False,
    verify: bool = True,
    at_most: int | None = None,
    look: Callable[[Entry, bytes, np.ndarray], None] | None = None,
    about: dict | None = None,
    shards: int | None = None,
    shard_bytes: int | None = None,
) -> tuple[dict, list[str]]:
    """Packs the images of a source, globally shuffled, into PREFIX.rec, .idx, .json and .files.

    Without `resize` the files' own bytes are stored, untouched. With it the shorter edge becomes
    `resize` px: images are turned as their EXIF says, made smaller or larger (as MXNet's im2rec does) and stored as
    JPEG; one that has this size already, or would be too long for a JPEG, is stored untouched. What is no image is
    left out; if that is many files, PREFIX.left_out.txt lists them.

    Args:
        source: the images and classes: one of the functions of sources.py makes it.
        prefix: the files' common name.
        resize: px of the shorter edge, >= 1, or None.
        quality: of the JPEGs that are made, 1 to 100; default 95. Only with resize.
        seed: of the shuffle.
        jobs: threads; default: all cores.
        overwrite: replace files that are there.
        verify: decode every image, to leave out what is broken; else only the first bytes are looked at.
        at_most: px that the shorter edge of an image may have: of a larger one a JPEG is made. Not with resize.
        look: is shown each image, on one of several threads: its entry, the file's bytes, and the pixels stored
            (H, W, 3) uint8, BGR.
        about: further entries of the manifest.
        shards: write so many files of about as many images each, PREFIX-00000-of-01000.rec and so on, and PREFIX.json.
        shard_bytes: the same with as many files as have at most so many bytes each.

    Returns: (manifest, what was left out and why).

    Raises:
        Refused: there is nothing to pack, the disk is too small, the files exist, or an argument is wrong.
        CannotWrite: the disk is full or read-only; nothing was packed.

    Differs: im2rec shrinks by bilinear sampling, which aliases; here pixels are averaged (cv2.INTER_AREA).
    """
    _require_source(source)
    require_path("prefix", prefix, "the files' common name")
    require_kind("about", about, (dict, type(None)), "a dict")
    require_whole("seed", seed, 0, 2**64 - 1)
    if look is not None:
        require_function("look", look, "a function (entry, bytes, pixels)")
    counts = dict(resize=resize, quality=quality, jobs=jobs, at_most=at_most, shards=shards, shard_bytes=shard_bytes)
    for name, count in counts.items():
        if count is not None:
            require_whole(name, count, 1)
    quality = _quality(resize or at_most, quality)
    if resize and source.stored:
        raise Refused(f"--resize {resize}: the images of {source.folder} are stored as they are; leave it out")
    if resize is None and at_most is None:
        _require_space(source.entries, pathlib.Path(prefix).parent)
    how = {"resize": resize, **({"at_most": at_most} if at_most else {}), "quality": quality, "seed": seed}
    attempt = source.stored or functools.partial(
        _attempt, resize=resize, quality=quality, verify=verify, at_most=at_most, look=look
    )
    writer = _writer(source, prefix, overwrite, {**how, **(about or {})}, shards, shard_bytes)
    with no_empty_folders(pathlib.Path(prefix).parent), writer, silent_codecs():
        broken = _write_shuffled(source, writer, attempt, seed, jobs)
        writer.finish()
        manifest = writer.manifest()
        if manifest["count"] == 0:
            raise Refused(none_is_an_image(len(source.entries), min(broken)))
        left_out = [printable(line, 5000) for line in (*sorted(broken), *sorted(source.left_out))]
        _list_left_out(prefix, left_out)
    return manifest, left_out


def _require_source(source: object) -> None:
    """Refuses the name of a folder, in which the images are yet to be found, and all else that is no source."""
    if isinstance(source, (str, os.PathLike)):
        folder = quoted(os.fspath(source))
        raise Refused(f"source is the name {folder}: find its images first, with class_folders({folder})")
    require_kind("source", source, Source, "what class_folders(FOLDER) finds")


def _writer(
    source: Source, prefix: str | os.PathLike, overwrite: bool, about: dict, shards: int | None, most_bytes: int | None
) -> RecordWriter | ShardWriter:
    if shards is None and most_bytes is None:
        return RecordWriter(prefix, source.classes, overwrite=overwrite, about=about)
    if (shards or 1) > len(source.entries):
        raise Refused(f"{shards} shards of {plural(len(source.entries), 'image')}: give fewer shards")
    return ShardWriter(prefix, source.classes, shards=shards, most_bytes=most_bytes, overwrite=overwrite, about=about)


def _write_shuffled(
    source: Source,
    writer: RecordWriter | ShardWriter,
    attempt: Callable[[Entry], bytes | NoImage],
    seed: int,
    jobs: int | None,
) -> list[str]:
    """Writes the images; returns which files are none, and why."""
    shuffled = [source.entries[i] for i in generator(seed, "pack").permutation(len(source.entries))]
    broken, folder = [], os.path.join(source.folder, "")
    cv2.setNumThreads(0)  # the images are what runs in parallel
    shards, images = getattr(writer, "shards", None), in_order(attempt, shuffled, jobs=jobs, what="packing")
    for k, (entry, image) in enumerate(zip(shuffled, images)):
        if shards:
            writer.turn_to(k * shards // len(shuffled))
        if isinstance(image, NoImage):
            broken.append(f"{entry.path} ({image})")
        else:
            writer.add(entry.label, entry.id, image, entry.path.removeprefix(folder))
    return broken


def _attempt(entry: Entry, look: Callable | None, **how) -> bytes | NoImage:
    """An image as it is stored, or why it is none: returned, as an exception would end the packing of all."""
    try:
        return encoded(entry.path, look=look and functools.partial(look, entry), **how)
    except NoImage as why:
        return why


def _quality(resize: int | None, quality: int | None) -> int | None:
    """Of the JPEGs that are made; None: none are. Raises Refused where the two do not go together."""
    if resize is None and quality is not None:
        raise Refused("--quality is for images made anew: give --resize too; without it files are stored as they are")
    if not (resize is None or resize >= 1) or not 1 <= (quality or 95) <= 100:
        raise Refused(f"--resize must be at least 1 and --quality 1 to 100, not {resize} and {quality}")
    return None if resize is None else quality or 95


def _list_left_out(prefix: str | os.PathLike, left_out: Sequence[str]) -> None:
    """Writes what does not fit on a screen to a file beside the records; removes that of an earlier packing."""
    path = pathlib.Path(f"{prefix}{LEFT_OUT}")
    with full_disk_told(path.parent):
        path.unlink(missing_ok=True)
    if len(left_out) > _SHOWN:
        write_text(path, "".join(f"{line}\n" for line in left_out))


def left_out_lines(left_out: Sequence[str], prefix: str | os.PathLike, verbose: bool = False) -> list[str]:
    """What packing left out, in words: how much, the first few of it, and where the rest is listed."""
    shown = left_out if verbose else left_out[:_SHOWN]
    lines = [f"left out: {line}" for line in shown]
    if len(left_out) > 1:
        rest = f"; {prefix}{LEFT_OUT} lists all" if len(left_out) > _SHOWN else ""
        lines.append(f"left out: {len(left_out)} files and folders in all{rest}")
    return lines


def _require_space(entries: Sequence[Entry], folder: pathlib.Path) -> None:
    while not folder.exists():
        folder = folder.parent
    needed, free = sum(entry.size + _RECORD_OVERHEAD for entry in entries), shutil.disk_usage(folder).free
    if needed > free:
        raise Refused(
            f"packing needs {byte_size(needed)} and {folder} has {byte_size(free)} free: "
            "free some space, choose another disk, or give --resize"
        )
