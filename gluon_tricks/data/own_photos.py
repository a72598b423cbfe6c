"""A person's own photos as records to train on: found in their folder, split, packed into the cache once."""

from __future__ import annotations

import contextlib
import functools
import glob
import json
import math
import os
import pathlib
import re
import sys
from collections.abc import Sequence

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import write_text
from gluon_tricks.core.json_text import parse_json
from gluon_tricks.core.reading import JSON_BYTES, expanded, read_bytes, read_text
from gluon_tricks.core.scratch import cache_folder
from gluon_tricks.core.wording import as_utf8, printable
from gluon_tricks.data.cifar import cifar_sources, is_cifar
from gluon_tricks.data.manifest import read_manifest, to_text
from gluon_tricks.data.packed import SPLITS, Paths, fingerprint, pack_splits, records_in, require_folder
from gluon_tricks.data.photo_folder import look_into
from gluon_tricks.data.photo_record import Seen, record_of
from gluon_tricks.data.records import Records
from gluon_tricks.data.shards import packed_as
from gluon_tricks.data.sources import Source
from gluon_tricks.data.split import said_of_unreadable, split_by_content
from gluon_tricks.recipes.recipe import Recipe

ABOUT = "photos.json"  # beside the records, and in each run on them: what was packed, how it was split, what was seen
FRACTION = 0.2  # of each class's photos to validate on
STORED = 512  # px of the shorter edge of a stored photo, at most: twice what an input of 224 px takes
_VERSION = 2  # another number for any change in what is packed of the same photos


def stored_edge(input_size: int, crop_ratio: float) -> int:
    """Px of the shorter edge of a stored photo, at most: twice what validation resizes it to, and STORED at least."""
    return max(STORED, 2 * math.ceil(input_size / crop_ratio))


class OwnPhotos:
    """The photos of a folder, packed or to be packed.

    Args:
        folder: of class folders, of train and val of them, with records (records_in), or with CIFAR's binary files.
        flag: that named it, for messages.
        fraction: of each class, to validate on; None: FRACTION, where the folder has no validation photos.
        at_most: px of the shorter edge of a stored photo.

    Attributes:
        folder: its absolute path.
        fraction: of the split; None: the folder has validation photos of its own.
        is_records: the folder holds records, which are taken as they are.
        place: where the records are, or will be.

    Raises:
        Refused: there is no such folder, nothing in it to train a classifier on, or a fraction that cannot be taken.
    """

    def __init__(self, folder: str | pathlib.Path, flag: str, fraction: float | None = None, at_most: int = STORED):
        given = expanded(folder)
        require_folder(given, flag)
        self.folder, self._flag, self._at_most, self._said = pathlib.Path(os.path.abspath(given)), flag, at_most, ()
        self._found: dict[str, Source] = {}
        self.is_records = records_in(self.folder) is not None
        if not self.is_records:
            self._found, self._said = self._look()
        own_val = self.is_records or "val" in self._found
        if own_val and fraction is not None:
            raise Refused(
                f"--val-split {fraction:g}: {flag} {printable(given)} has validation photos of its own: leave it out, "
                "or name the folder of the training photos alone"
            )
        self.fraction = None if own_val else FRACTION if fraction is None else fraction
        self.place = self.folder if self.is_records else cache_folder() / "photos" / self._name()

    def _look(self) -> tuple[dict[str, Source], tuple[str, ...]]:
        """The photos of train and, where the folder has some, of val; and lines."""
        if is_cifar(self.folder):
            return cifar_sources(self.folder), ()
        self._require_no_records()
        found = look_into(self.folder, self._flag)
        sources = {"train": found.train, "val": found.val}
        return {split: source for split, source in sources.items() if source}, found.said

    def _require_no_records(self) -> None:
        """Refuses a folder of files where one of train.rec and val.rec lies, or its shards, and not the other."""
        lacking = [split for split in SPLITS if not packed_as(self.folder / split)]
        if len(lacking) == 1 and not any(path.is_dir() for path in self.folder.iterdir()):
            raise Refused(
                f"{self._flag} {printable(self.folder)} has records, but neither {lacking[0]}.rec nor its shards: "
                "pack them with gluon-tricks pack, or name records of another place with --rec-train and --rec-val"
            )

    def _name(self, version: int = _VERSION) -> str:
        """Of the folder in the cache: that of the photos, for people, and what stands for all that decides about it."""
        classes = [source.classes for source in self._found.values()]
        how = classes, str(self.folder), self.fraction, self._at_most, version
        return f"{self._own_name}-{fingerprint(self.folder, self._found, how)[:16]}"

    def were_packed_in(self, place: pathlib.Path) -> bool:
        """Whether they, as they are, have that place, be it by an earlier version."""
        return not self.is_records and place.name in {self._name(version) for version in range(1, _VERSION + 1)}

    @property
    def _own_name(self) -> str:
        return re.sub(r"[^\w-]+", "_", as_utf8(self.folder.name)).strip("_")[:20] or "photos"

    @property
    def paths(self) -> Paths:
        """Of the training and the validation records, packed or not."""
        if self.is_records:
            return records_in(self.folder)
        return tuple((str(self.place / f"{split}.rec"),) for split in SPLITS)

    @property
    def is_packed(self) -> bool:
        names = () if self.is_records else (ABOUT, *(f"{split}.json" for split in SPLITS))
        return records_in(self.place) is not None and all((self.place / name).is_file() for name in names)

    @functools.cached_property
    def _sources(self) -> dict[str, Source]:
        if "val" in self._found:
            remedy = "put photos of the others there too"
            self._require_several_classes(
                self._found["val"], "its photos to validate on are all of one class, {}", remedy
            )
            return self._found
        split = split_by_content(self._found["train"], self.fraction)
        remedy = "add photos of the others, as a class needs one to train on and one to validate on"
        wrong = "of its classes {} alone has two different photos"
        self._require_several_classes(split.val, wrong, remedy, split.unreadable)
        return {"train": split.train, "val": split.val}

    def _require_several_classes(self, val: Source, wrong: str, remedy: str, unreadable: Sequence[str] = ()) -> None:
        """Refuses, before anything is packed, photos of which one class alone is validated on: any score is 100 %.

        Args:
            wrong: with a place for the class's name.
            unreadable: names of classes of which no file is an image. A single photo to validate on is let pass, unless
                these are all the others.
        """
        labels, several = {entry.label for entry in val.entries}, min(len(val.entries), len(val.classes)) > 1
        if len(labels) == 1 and (several or len(unreadable) == len(val.classes) - 1 > 0):
            wrong = wrong.format(printable(val.classes[labels.pop()])) + said_of_unreadable(unreadable)
            raise Refused(f"{self._flag} {printable(self.folder)}: {wrong}, and there are {len(val.classes)}: {remedy}")

    def counts(self) -> dict[str, list[int]]:
        """Name of a class -> its photos to train and to validate on; before packing with files that are no images."""
        if self.is_packed:
            return _counts(self.place)
        each = [[entry.label for entry in self._sources[split].entries] for split in SPLITS]
        classes = self._sources["train"].classes
        return {name: [labels.count(k) for labels in each] for k, name in enumerate(classes)}

    def digests(self) -> list[str]:
        """Of the training and of the validation records."""
        return [Records(paths).digest for paths in self.paths] if self.is_packed else []

    def said(self) -> list[str]:
        """What was packed, how it was split and what was seen, in lines."""
        if not self.is_packed or self.is_records:
            return list(self._said)
        with contextlib.suppress(OSError, ValueError):
            record = parse_json(read_bytes(self.place / ABOUT, JSON_BYTES))
            lines = record.get("said") if isinstance(record, dict) else None
            if isinstance(lines, list):
                return [*map(str, lines), *self._said, f"they are packed in {printable(self.place)}"]
        return list(self._said)  # somebody has written to the file: the records are whole

    def pack(self) -> None:
        """Packs what is not packed.

        Raises:
            Refused: a photo cannot be read, or the folder changes meanwhile.
            CannotWrite: the disk is full or read-only.
        """
        if self.is_packed:
            return
        again = "again, because it has changed or an older version packed it, " if self._packed_before() else ""
        try:
            _ = self._sources  # which may be refused
            print(f"packing {printable(self.folder)} {again}into {printable(self.place)}", file=sys.stderr, flush=True)
            self._pack()
        except Refused as error:
            self._require_unchanged(f" ({error})")
            raise

    def _pack(self) -> None:
        seen = Seen(sum(len(source.entries) for source in self._sources.values()), self._at_most)
        stored = any(source.stored for source in self._sources.values())
        how = {} if stored else {"at_most": self._at_most, "look": seen}

        def finish(folder: pathlib.Path) -> None:
            self._require_unchanged()
            about = {"at_most": how.get("at_most")}
            record = record_of(self._sources, str(self.folder), self.fraction, _counts(folder), seen, about)
            write_text(folder / ABOUT, json.dumps(record, indent=1))
            for split in SPLITS:
                _add_to_manifest(folder / f"{split}.json", record)

        pack_splits(self._sources, self.place, finish, **how)

    def _require_unchanged(self, why: str = "") -> None:
        place = None
        with contextlib.suppress(Refused):
            place = OwnPhotos(self.folder, self._flag, self.fraction, self._at_most).place
        if place != self.place:
            raise Refused(
                f"{self._flag} {printable(self.folder)} changed while it was packed{why}: start again when it is whole"
            )

    def _packed_before(self) -> bool:
        """Whether the cache has records of this folder, split and stored in the same way, as it was before."""
        for path in self.place.parent.glob(f"{glob.escape(self._own_name)}-*/train.json"):
            with contextlib.suppress(Refused):
                manifest = read_manifest(path)[0]
                split = manifest.get("split") if isinstance(manifest.get("split"), dict) else {}
                before = (manifest.get("folder"), split.get("val_split"), manifest.get("at_most"))
                if before == (as_utf8(self.folder), self.fraction, self._at_most):
                    return True
        return False


def _counts(place: pathlib.Path) -> dict[str, list[int]]:
    """Name of a class -> its images in the training and in the validation records; {}: they have no manifest."""
    if not all(os.path.lexists(place / f"{split}.json") for split in SPLITS):
        return {}
    train, val = (read_manifest(place / f"{split}.json")[0] for split in SPLITS)
    pairs = zip(train.get("images_per_class", []), val.get("images_per_class", []))
    return {name: list(counts) for name, counts in zip(train.get("classes", []), pairs)}


def _add_to_manifest(path: pathlib.Path, record: dict) -> None:
    """Says in a manifest where the photos lie and how they were split."""
    split = {key: record[key] for key in ("val_split", "by", "classes")}
    split["near_copies"] = record["pairs"]["near_copies"]
    write_text(path, to_text({**read_manifest(path)[0], "folder": record["folder"], "split": split}).decode())


def photos_of(recipe: Recipe) -> OwnPhotos:
    """The photos that a recipe's records were packed from. Raises Refused: they are gone too."""
    what = f"{printable(recipe.train[0])} is gone, and of its photos"
    return OwnPhotos(recipe.photos["folder"], what, recipe.photos["val_split"], recipe.photos["at_most"])


def require_same(photos: OwnPhotos, recipe: Recipe) -> None:
    """Refuses photos that were packed again and are not those that the recipe's records were packed from."""
    if photos.place.name != pathlib.Path(recipe.train[0]).parent.name and photos.digests() != recipe.photos["digests"]:
        raise Refused(
            f"{printable(recipe.train[0])} is gone, and {printable(photos.folder)} has other photos than were packed "
            "there: bring one of them back as it was, or train anew"
        )


def are_there(recipe: Recipe) -> bool:
    """Whether the records of a recipe are in their place."""
    return all(pathlib.Path(path).is_file() for path in (*recipe.train, *recipe.val))


def packed_again(recipe: Recipe) -> Paths:
    """The records of a recipe's photos, packed again where they are gone.

    Raises:
        Refused: the photos are gone too, or are others now.
        CannotWrite: the disk is full or read-only.
    """
    if are_there(recipe):
        return recipe.train, recipe.val
    photos = photos_of(recipe)
    photos.pack()
    require_same(photos, recipe)
    return photos.paths


def record_of_run(recipe: Recipe, records: Records) -> dict[str, str]:
    """The file photos.json for a run's folder: name -> text; none where a recipe has no photos."""
    if not recipe.photos:
        return {}
    with contextlib.suppress(OSError, UnicodeDecodeError):  # somebody has deleted it
        return {ABOUT: read_text(records.paths[0].parent / ABOUT, JSON_BYTES)}
    return {}
