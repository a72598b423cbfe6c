"""Where the images to pack come from: a list file, ImageNet's validation folder; see folders.py and cifar.py too.

Whatever the source, label k is the k-th class name, and without other orders the names are sorted: a training and a
validation set packed from the same classes have the same labels.
"""

from __future__ import annotations

import collections
import contextlib
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.json_text import parse_json
from gluon_tricks.core.reading import JSON_BYTES, read_bytes
from gluon_tricks.core.wording import plural, printable, quoted, some
from gluon_tricks.data.annotations.image_labels import read_voc_labels
from gluon_tricks.data.folder_entries import listed, looks_like_image
from gluon_tricks.data.label_vectors import require_vector
from gluon_tricks.data.lists import read_lines, require_distinct, words
from gluon_tricks.data.manifest import read_manifest
from gluon_tricks.data.matlab import read_structures
from gluon_tricks.data.records import MOST_CLASSES

_CLASSES_ARE_IN = "give the .json that gluon-tricks pack wrote, a run's classes.json, or a .txt with one name a line"


class Entry(NamedTuple):
    """One file to pack: its id (unique), label or a label for each class, path and size in bytes."""

    id: int
    label: int | tuple[int, ...]
    path: str
    size: int


class Source(NamedTuple):
    """What there is to pack.

    Attributes:
        entries: the files to pack, in any order: packing shuffles them.
        classes: the class names in label order.
        left_out: what was seen and is not packed, each as "path (reason)".
        folder: what the names of the files are told relative to.
        stored: entry -> the bytes to store, where several images are in one file; None: each is a file.
    """

    entries: list[Entry]
    classes: tuple[str, ...]
    left_out: list[str]
    folder: str
    stored: Callable[[Entry], bytes] | None = None


def read_classes(path: str | os.PathLike) -> tuple[str, ...]:
    """Class names in label order: a manifest's, those of a run's classes.json, or of a text file, one name a line.

    Raises: Refused when the file has no name or cannot be read, or names no class or one twice.
    """
    if not str(path).strip():
        raise Refused("the file of the classes' names has no name: perhaps a variable of a script is empty; name it")
    if not str(path).endswith(".json"):
        return require_distinct([line.strip(" \t") for _, line in read_lines(path)], path)
    if not os.path.lexists(path):  # a name that was typed, so "delete it" would not help
        raise Refused(f"cannot read {path}: No such file or directory")
    names = _json_list(path)
    if names is None:
        manifest, _ = read_manifest(pathlib.Path(path), _CLASSES_ARE_IN)
        if "classes" not in manifest:
            raise Refused(f'{path} is no manifest: it has no "classes"; {_CLASSES_ARE_IN}')
        names = manifest["classes"]
    return require_distinct(names, path)


def _json_list(path: str | os.PathLike) -> list[str] | None:
    """The names that a JSON file lists, as a run's does; None: it is something else."""
    with contextlib.suppress(OSError, ValueError):  # told as of a manifest
        names = parse_json(read_bytes(path, JSON_BYTES))
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return names
    return None


def list_file(folder: str | os.PathLike, path: str | os.PathLike, classes: Sequence[str] | None = None) -> Source:
    """The files of an im2rec list: lines "index<tab>label<tab>path", paths relative to FOLDER.

    Without `classes` there are as many as the highest label says. They take the names of the files' folders if every
    label has a folder of its own, else their numbers. Lines with several labels are of multi-label images: the k-th
    label says whether class k is present (1), absent (0) or does not count (-1).

    Raises: Refused naming the line with a wrong form, a label that is no class, other labels than the first line has, a
    path that leaves FOLDER, a missing file, a file with two labels or an index that comes twice.
    """
    rows, labels_of = [], None
    for number, line in read_lines(path):
        if (columns := line.count("\t") + 1) > MOST_CLASSES + 2:  # each of which takes fifty times its letters
            raise Refused(f"{path} line {number} has {columns} columns: {MOST_CLASSES} labels are the most")
        fields = line.split("\t")
        try:
            index, *labels, name = int(fields[0]), *map(float, fields[1:-1]), fields[-1]
            label = labels[0]
        except (ValueError, IndexError):
            raise Refused(
                f'{path} line {number} is {quoted(line)}: it should be "index<tab>label<tab>path", or have several '
                "labels with tabs between them"
            ) from None
        labels_of = labels_of or _labels_of(len(labels), f"{path} line {number}", classes)
        if not 0 <= index < 1 << 64:
            raise Refused(f"{path} line {number} has the index {index}: a record's id lies in [0, 2**64)")
        if len(labels) != labels_of:
            raise Refused(f"{path} line {number} has {plural(len(labels), 'label')}, the lines before it {labels_of}")
        if labels_of > 1:
            rows.append((index, require_vector(labels, f"{path} line {number}"), name))
            continue
        if not label.is_integer() or not 0 <= label < (len(classes) if classes else MOST_CLASSES):
            known = f"0 to {len(classes) - 1}" if classes else "whole numbers from 0"
            raise Refused(f"{path} line {number} has the unknown class {printable(fields[1], 60)}: labels are {known}")
        rows.append((index, int(label), name))
    twice = [str(index) for index, times in collections.Counter(row[0] for row in rows).items() if times > 1]
    if twice:
        raise Refused(f"{path} has the index {some(twice)} more than once: give each image an index of its own")
    if not rows:
        raise Refused(f"no images found: {path} is empty")
    if not classes:
        classes = _names(rows) if labels_of == 1 else tuple(str(k) for k in range(labels_of))
    classes = tuple(classes)
    return Source(listed_entries(folder, rows, str(path)), classes, [], str(folder))


def _labels_of(count: int, where: str, classes: Sequence[str] | None) -> int:
    """How many labels a line has. Raises Refused where that is neither one nor one for each class."""
    if count > 1 and classes and len(classes) != count:
        raise Refused(
            f"{where} has {count} labels, and there are {plural(len(classes), 'class')}: a line has the number of one "
            "class, or a label for each"
        )
    return count


def voc_labels(folder: str | os.PathLike, splits: Sequence[str], classes: Sequence[str] | None = None) -> Source:
    """The images of lists of a VOC folder with a label for each class. Args and Raises: as for read_voc_labels."""
    images, entries = read_voc_labels(folder, splits, classes or ()), []
    for index, (path, labels) in enumerate(zip(images.paths, images.vectors.tolist())):
        entries.append(Entry(index, tuple(labels), str(path), path.stat().st_size))
    return Source(entries, images.classes, [], str(folder))


def imagenet_validation(
    folder: str | os.PathLike,
    ground_truth: str | os.PathLike,
    meta: str | os.PathLike | None = None,
    classes: Sequence[str] | None = None,
) -> Source:
    """ImageNet's flat validation folder; labels are those of the training folders, the positions in the sorted wnids.

    Args:
        folder: holds ILSVRC2012_val_00000001.JPEG and so on.
        ground_truth: the development kit's ILSVRC2012_validation_ground_truth.txt (line k: the ILSVRC2012_ID of image
            k, whose order is *not* that of the sorted wnids), or lines "image wnid" or "image,wnid ..." (Kaggle's
            LOC_val_solution.csv), or "image label" (Caffe's val.txt, labels from 0 in the order of the sorted wnids).
        meta: for the development kit's form: its meta.mat, or a text file of lines "ILSVRC2012_ID wnid".
        classes: the wnids in label order; default: all those of meta or ground_truth, sorted.

    Raises: Refused when the files do not fit together; see the texts.
    """
    rows = [(number, words(line, also=",")) for number, line in read_lines(ground_truth)]
    rows = [(number, fields) for number, fields in rows if fields[0] != "ImageId"]  # Kaggle's heading
    if all(len(fields) == 1 for _, fields in rows):
        wnid_of = _read_meta(meta)
        classes = tuple(classes) if classes else tuple(sorted(wnid_of.values()))
        rows = [
            (number, [f"ILSVRC2012_val_{number:08d}", wnid_of.get(id, f"ILSVRC2012_ID {id}")]) for number, (id,) in rows
        ]
    short = [number for number, fields in rows if len(fields) < 2]
    if short or not rows:
        raise Refused(f'{ground_truth} line {short[0] if short else 1} should be "image wnid" or "image label"')
    given = [fields[1] for _, fields in rows]
    if all(re.fullmatch("[0-9]{1,9}", name) for name in given):
        labels = [int(name) for name in given]
        if min(labels) == 1 and max(labels) in (1000, len(classes or ())):
            raise Refused(
                f"the labels of {ground_truth} run from 1 to {max(labels)}: these are ILSVRC2012_IDs, not "
                "positions in the sorted wnids; give one number a line, in the images' order, and --meta"
            )
        if max(labels) >= MOST_CLASSES:
            raise Refused(
                f"{ground_truth} has label {max(labels)}: labels are positions in the sorted wnids, counted from 0"
            )
        classes = tuple(classes) if classes else tuple(str(label) for label in range(max(labels) + 1))
    else:
        classes = tuple(classes) if classes else tuple(sorted(set(given)))
        label_of = {wnid: label for label, wnid in enumerate(classes)}
        unknown = sorted(set(given) - set(classes))
        if unknown:
            raise Refused(
                f"{ground_truth} names {some(unknown)}, unknown among the {len(classes)} classes: check --classes"
            )
        labels = [label_of[wnid] for wnid in given]
    if max(labels) >= len(classes):
        raise Refused(f"{ground_truth} has label {max(labels)}, and there are {len(classes)} classes: check --classes")
    return _matched(folder, str(ground_truth), [fields[0] for _, fields in rows], labels, classes)


def _matched(
    folder: str | os.PathLike, listing: str, images: Sequence[str], labels: Sequence[int], classes: tuple[str, ...]
) -> Source:
    """Brings the files of a flat folder and the labels of a listing together, by the names with or without ending."""
    of_stem: dict[str, list[str]] = collections.defaultdict(list)
    for file in listed(folder):
        if file.is_file():
            of_stem[pathlib.Path(file.name).stem].append(file.name)
    files = [_files_of(folder, image, of_stem) for image in images]
    missing = [pathlib.Path(image).stem for image, found in zip(images, files) if not found]
    if missing:
        raise Refused(f"{folder} lacks {some(missing)} of the {len(files)} images in {listing}: compare the two")
    several = next((found for found in files if len(found) > 1), ())
    if several:
        raise Refused(f"{folder} has {some(several)}, and {listing} does not say which: name the file with its ending")
    names = [name for (name,) in files]
    if len(known := set(names)) < len(names):
        twice = [pathlib.Path(name).stem for name, times in collections.Counter(names).items() if times > 1]
        raise Refused(f"{listing} names {some(twice)} more than once: every image has one label")
    left_out = [f"{name} (not in {listing})" for found in of_stem.values() for name in found if name not in known]
    rows = [(index, label, name) for index, (name, label) in enumerate(zip(names, labels))]
    return Source(listed_entries(folder, rows, listing), classes, left_out, str(folder))


def _files_of(folder: str | os.PathLike, image: str, of_stem: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """The files that a listing may mean by a name: the one of that name, else those with the same name but the ending.

    Of several these are the ones that look like an image: 0001.jpg, and not the 0001.xml beside it.
    """
    name = pathlib.PurePath(image)
    found = of_stem.get(name.stem, ())
    if name.name in found:
        return (name.name,)
    return found if len(found) < 2 else [file for file in found if looks_like_image(os.path.join(folder, file))]


def _read_meta(path: str | os.PathLike | None) -> dict[str, str]:
    """ILSVRC2012_ID -> wnid of the classes, from meta.mat or from lines "id wnid"."""
    if path is None:
        raise Refused(
            "the ground truth holds ILSVRC2012_IDs, whose order is not that of the wnids: give --meta meta.mat"
        )
    if not str(path).endswith(".mat"):
        pairs = [words(line)[:2] for _, line in read_lines(path)]
        if not all(len(pair) == 2 and pair[0].isdecimal() for pair in pairs):
            raise Refused(f'{path} should hold lines "ILSVRC2012_ID wnid"')
        return dict(pairs)
    try:
        synsets = read_structures(path, "synsets")
        # Behind the 1000 classes meta.mat lists the groups they belong to, which have children.
        return {str(int(s["ILSVRC2012_ID"])): str(s["WNID"]) for s in synsets if s["num_children"] == 0}
    except (OSError, ValueError, KeyError, OverflowError) as error:
        raise Refused(f"cannot read the synsets of {path} ({error}): give the development kit's meta.mat") from None


def listed_entries(
    folder: str | os.PathLike, rows: Iterable[tuple[int, int | tuple, str]], listing: str
) -> list[Entry]:
    """The files of a list, rows being (index, label, path).

    Raises: Refused for missing ones, paths that lead out, and a file with two labels.
    """
    entries, missing, label_of = [], [], {}
    for index, label, name in rows:
        if os.path.isabs(name) or os.path.normpath(name).split(os.sep)[0] == os.pardir:
            raise Refused(
                f"{listing} names {quoted(name)}, which lies outside {folder}: paths are relative to the folder"
            )
        first = label_of.setdefault(os.path.normpath(name), label)
        if first != label:
            raise Refused(f"{listing} names {os.path.normpath(name)} with two labels, {first} and {label}: give it one")
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            entries.append(Entry(index, label, path, os.path.getsize(path)))
        else:
            missing.append(name)
    if missing:
        raise Refused(f"{folder} lacks {some(missing)} of the images in {listing}: compare the two")
    return entries


def _names(rows: Iterable[tuple[int, int, str]]) -> tuple[str, ...]:
    """Class names for the labels of a list: the folders' names where they stand one for one, else the numbers."""
    pairs = {(label, os.path.basename(os.path.dirname(name))) for _, label, name in rows}
    count, names = 1 + max(label for label, _ in pairs), {name for _, name in pairs}
    if len(pairs) == len(names) == count and "" not in names:
        return tuple(name for _, name in sorted(pairs))
    return tuple(str(label) for label in range(count))
