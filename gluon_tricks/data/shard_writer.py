"""Writing packed records as shards: PREFIX-00000-of-01000.rec and so on, and PREFIX.json for all of them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
from collections.abc import Sequence

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import require_name, write_text
from gluon_tricks.core.scratch import scratch_folder
from gluon_tricks.core.wording import plural
from gluon_tricks.data.lists import require_distinct
from gluon_tricks.data.manifest import classes_of, to_text
from gluon_tricks.data.record_writer import (
    ENDINGS,
    FORMAT,
    RecordWriter,
    alone,
    full_disk_told,
    packed_under,
    require_none,
)
from gluon_tricks.data.shards import shard_name

MOST_SHARDS = 99_999
_OVERHEAD = 64  # bytes of a record besides its image, at most


class ShardWriter:
    """Writes images as shards, each a .rec with what belongs to it; a context manager with the methods of RecordWriter.

    The shards grow in a folder beside the target (PREFIX.shards.*) and are moved to their places when all of them are
    whole, PREFIX.json last: it names the classes, which the shards' manifests refer to. An error removes the folder.

    Args:
        prefix: the files' common name, without the shard's number.
        classes: class names in label order.
        shards: how many, 1 to 99,999; `turn_to` begins each. None: as many as `most_bytes` makes.
        most_bytes: of a .rec; a larger image has one of its own.
        overwrite: replace what is there: shards of this name of any number, and PREFIX.rec.
        about: further entries of the manifests.

    Raises: Refused when files exist and overwrite is False, another process is writing them, or a shard is empty.
    """

    def __init__(
        self, prefix: str | os.PathLike, classes: Sequence[str], *, shards: int | None = None,
        most_bytes: int | None = None, overwrite: bool = False, about: dict | None = None,
    ):  # fmt: skip
        if (shards is None) == (most_bytes is None):
            raise Refused("shards are so many, or of so many bytes: give one of the two")
        if not 1 <= (shards or 1) <= MOST_SHARDS:
            raise Refused(f"{shards} shards: choose 1 to {MOST_SHARDS}")
        RecordWriter(prefix, classes, overwrite=True)  # refuses names that cannot be
        self.prefix, self.classes = pathlib.Path(prefix), require_distinct(classes, f"{prefix}.rec")
        require_name(shard_name(str(prefix), 0, 1, ".labels.partial"), "the name of the packed files")
        self.shards, self.most_bytes, self.about = shards, most_bytes, dict(about or {})
        if not overwrite:
            require_none(packed_under(self.prefix))
        self._done: list[tuple[int, int, str]] = []  # of each shard: images, bytes, sha256
        self._per_class = [0] * len(self.classes)
        self._writer: RecordWriter | None = None

    def __enter__(self) -> ShardWriter:
        self._stack = contextlib.ExitStack()
        with full_disk_told(self.prefix.parent), contextlib.ExitStack() as begun:
            self.prefix.parent.mkdir(parents=True, exist_ok=True)
            begun.enter_context(alone(self.prefix))
            self._scratch = begun.enter_context(scratch_folder(self.prefix.parent, f"{self.prefix.name}.shards"))
            self._stack = begun.pop_all()
        return self

    def turn_to(self, shard: int) -> None:
        """From the next image on, images belong to this shard, one of the `shards`: the same again, or the next.

        Raises: Refused where a shard stays without an image.
        """
        if shard > len(self._done) and self._writer is None:
            raise Refused(
                f"shard {len(self._done)} of {self.shards} would have no image, those that belong to it being broken: "
                "give fewer shards"
            )
        if shard > len(self._done):
            self._close()

    def add(self, label: int | Sequence[int], id: int, image: bytes, name: str = "") -> None:
        """As RecordWriter.add, to the shard in turn."""
        if self.most_bytes and self._writer and self._writer.size + len(image) + _OVERHEAD > self.most_bytes:
            self._close()
        if self._writer is None:
            if len(self._done) == MOST_SHARDS:
                raise Refused(f"more than {MOST_SHARDS} shards of {self.most_bytes} bytes: make them larger")
            writer = _Shard(self._scratch / f"{len(self._done):05d}", self.classes, about=self.about)
            writer.all = f"{self.prefix.name}.json"
            self._writer = writer.__enter__()
        self._writer.add(label, id, image, name)

    def _close(self) -> None:
        writer, self._writer = self._writer, None
        told = writer.told()
        self._done.append((told["count"], told["rec"]["bytes"], told["rec"]["sha256"]))
        self._per_class = [sum(counts) for counts in zip(self._per_class, told["images_per_class"])]
        writer.__exit__(None, None, None)

    def finish(self) -> None:
        """Ends the last shard. Raises: Refused where there are fewer than `shards`."""
        if self._writer:
            self._close()
        if self._done and self.shards not in (None, len(self._done)):
            raise Refused(
                f"the images make {plural(len(self._done), 'shard')}, not {self.shards}, as those of the last are "
                "broken: give fewer shards"
            )

    def manifest(self) -> dict:
        """What goes into PREFIX.json, of the shards that are finished: as RecordWriter's, but of all together."""
        digest = hashlib.sha256("".join(sha256 for _, _, sha256 in self._done).encode()).hexdigest()
        return {
            "format": FORMAT,
            "count": sum(count for count, _, _ in self._done),
            **self.about,
            "shards": len(self._done),
            "rec": {"bytes": sum(size for _, size, _ in self._done), "sha256": digest},  # of the shards' sha256
            "classes": list(self.classes),
            "images_per_class": self._per_class,
        }

    def __exit__(self, kind, error, trace) -> None:
        with self._stack:  # removes the folder at the end
            if error is not None:
                if self._writer:
                    self._writer.__exit__(kind, error, trace)
                return
            self.finish()
            with full_disk_told(self.prefix.parent):
                self._move()

    def _move(self) -> None:
        # PREFIX.json goes first and comes last: shards without it are refused, also if the power fails here.
        for path in packed_under(self.prefix):
            path.unlink()
        of = len(self._done)
        for k in range(of):
            for ending in ENDINGS:
                part = self._scratch / f"{k:05d}{ending}"
                if part.exists():
                    part.rename(self.prefix.with_name(shard_name(self.prefix.name, k, of, ending)))
        write_text(self.prefix.with_name(f"{self.prefix.name}.json"), to_text(self.manifest()).decode())


class _Shard(RecordWriter):
    """One shard: its manifest refers to that of all for the classes, so that a thousand hold them once."""

    all: str  # name of the manifest of all shards

    def _there(self) -> list[pathlib.Path]:
        return []  # in a folder that is new; to list it for every shard would take the square of their number

    def told(self) -> dict:
        """What a manifest of its own would say."""
        return super().manifest()

    def manifest(self) -> dict:
        told = super().manifest()
        for key in ("classes", "images_per_class"):
            del told[key]
        return {**told, "classes_of": classes_of(self.all, self.classes)}
