"""What lies in a folder of a person's own photos: class folders, or train/ and val/ of them."""

from __future__ import annotations

import collections
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import composed, plural, printable, some
from gluon_tricks.data.folder_entries import Listed, is_leaving, is_output, listed, looks_like_image
from gluon_tricks.data.folders import CALLED, class_folders, may_be_class
from gluon_tricks.data.lists import require_distinct
from gluon_tricks.data.sources import Source


def is_part(name: str) -> bool:
    """Whether a folder is called as one of those for training, validation and testing."""
    return name.lower() in sum(CALLED.values(), ())


class PhotoFolder(NamedTuple):
    """The photos of a folder.

    Attributes:
        train: those to train on, or all; names are told relative to the folder.
        val: those to validate on; None: there is no folder of them.
        said: what a person should know about the folder, in lines.
    """

    train: Source
    val: Source | None
    said: tuple[str, ...]


def look_into(folder: pathlib.Path, flag: str) -> PhotoFolder:
    """Finds the photos of a folder; files within folders of a class folder are the class's too.

    Args:
        flag: that names the folder, for messages.

    Raises:
        Refused: it cannot be read, holds no class folders or only one, or its val has classes that its train lacks.
    """
    named = f"{flag} {printable(folder)}"
    children = listed(folder)
    folders = [child for child in children if child.is_dir() and not is_leaving(child.name)]
    if not folders:
        raise Refused(
            f"{named} has {plural(len(children), 'file')} and no class folders: put the photos of each class into a "
            f"folder of its own, {printable(folder)}/CLASS/photo.jpg"
        )
    photos = [child for child in folders if not is_output(child.path)]
    splits = _splits(photos, named)
    if not splits:
        _require_not_too_deep(photos, named)
        return PhotoFolder(_of_classes(folder, folder, named), None, tuple(_said_of_common_folders(photos)))
    train = _of_classes(folder, splits["train"], named)
    said = _not_looked_at(folders, splits)
    if "val" not in splits:
        return PhotoFolder(train, None, tuple(said))
    val = _validation(folder, splits["val"], train.classes, named)
    missing = [name for k, name in enumerate(train.classes) if all(entry.label != k for entry in val.entries)]
    if missing:
        said.append(f"{printable(splits['val'])} has no photo of {some(missing)}: of these there will be no score")
    return PhotoFolder(train, val, tuple(said))


def _splits(folders: Sequence[Listed], named: str) -> dict[str, pathlib.Path]:
    """The folders train, val and test; {} where what is called so are classes.

    Raises:
        Refused: there is a val or a test and no train, two of one kind, or one without class folders; or one of them
            has class folders beside folders of photos, where it may be either.
    """
    found: dict[str, list[Listed]] = {}
    for kind, names in CALLED.items():
        found[kind] = [child for child in folders if child.name.lower() in names]
    inside = {child.path: listed(child.path) for child in folders}
    split = [child for children in found.values() for child in children]
    others = [child for child in folders if child not in split and inside[child.path]]
    classes = [child for child in others if may_be_class(inside[child.path])]
    flat = [child for child in split if not _holds_folders(inside[child.path])]
    if not split or classes and len(split) - len(flat) < 2:
        _require_flat(split, classes, named)
        return {}  # such as vehicles/train beside vehicles/bus
    for kind, children in found.items():
        if len(children) > 1:
            raise Refused(f"{named} has {some([child.name for child in children])}, which say the same: keep one")
        if children and children[0] in flat and kind != "test":
            raise Refused(
                f"{named}: its {children[0].name} holds no class folders: put the photos of each class into a folder "
                f"of its own, {printable(children[0].path)}/CLASS/photo.jpg"
            )
    if not found["train"]:
        raise Refused(f"{named} has {some([child.name for child in split])} and no train: name the class folders")
    return {kind: pathlib.Path(children[0].path) for kind, children in found.items() if children}


def _holds_folders(inside: Sequence[Listed]) -> bool:
    return any(entry.is_dir() and not is_leaving(entry.name) for entry in inside)


def _require_flat(split: Sequence[Listed], classes: Sequence[Listed], named: str) -> None:
    """Refuses a train of folders alone beside folders of photos: it may be a class, or hold the classes."""
    for child in split if classes else ():
        inside = listed(child.path)
        if _holds_folders(inside) and not may_be_class(inside):
            raise Refused(
                f"{named} has {child.name} with folders in it beside {some([beside.name for beside in classes])} with "
                f"photos in it: if {child.name} is a class, give it another name; if it is not, put all class folders "
                "into train (and val) and move the rest away"
            )


def _not_looked_at(folders: Sequence[Listed], splits: Mapping[str, pathlib.Path]) -> list[str]:
    """Lines on what lies beside train and val."""
    said = []
    if "test" in splits:
        said.append(f"{printable(splits['test'])} is not looked at: it is for testing what has been trained")
    beside = [child for child in folders if pathlib.Path(child.path) not in splits.values()]
    if named := [printable(child.path) for child in beside if listed(child.path)]:
        said.append(f"{some(named)} {'is' if len(named) == 1 else 'are'} not looked at: only train and val are")
    return said


def _require_not_too_deep(folders: Sequence[Listed], named: str) -> None:
    """Refuses the folder around the one with the class folders, which unpacking an archive leaves."""
    inside = listed(folders[0].path) if len(folders) == 1 else []
    if inside and not any(entry.is_file() for entry in inside) and any(entry.is_dir() for entry in inside):
        raise Refused(f"{named} has one folder, which holds others: name {printable(folders[0].path)}")


def _said_of_common_folders(folders: Sequence[Listed]) -> list[str]:
    """A line on folders without photos beside their folders, where two of these have the same names in several.

    They may be classes whose photos lie in folders alike (cat/2021, cat/2022, dog/2021, dog/2022), or hold the classes.
    """
    inside = {child.name: listed(child.path) for child in folders}
    if any(entry.is_file() and looks_like_image(entry.path) for entries in inside.values() for entry in entries):
        return []
    below = {top: [entry.name for entry in entries if entry.is_dir()] for top, entries in inside.items()}
    times = collections.Counter(name for names in below.values() for name in names)
    common = sorted(name for name, count in times.items() if count > 1)
    if len(common) < 2:
        return []
    tops = [child for child in folders if not {*below[child.name]}.isdisjoint(common)]
    return [
        f"{printable(some([child.name for child in tops]))} are taken for classes, and have the same folders in them "
        f"({printable(some(common))}): if these are the classes, they lie a folder too deep: name "
        f"{printable(tops[0].path)} or another alone, or put the photos of each class into one folder"
    ]


def _of_classes(folder: pathlib.Path, place: pathlib.Path, named: str) -> Source:
    """The class folders of a place, with their files' names relative to the folder."""
    source = _found_in(folder, place)
    if len(source.classes) < 2:
        raise Refused(
            f"{named} has photos of one class alone, {printable(source.classes[0])}: a classifier needs two or more, a "
            "folder for each"
        )
    return source


def _validation(folder: pathlib.Path, place: pathlib.Path, classes: tuple[str, ...], named: str) -> Source:
    """The class folders of val, with the labels of train's."""
    source = _found_in(folder, place)
    known = {*map(composed, classes)}
    unknown = [name for name in source.classes if composed(name) not in known]
    if unknown:
        raise Refused(
            f"{named}: {printable(place)} has {some(unknown)}, which train lacks: a class is trained on photos of "
            "train, so add some there or take the folder away"
        )
    return _relabelled(source, classes)


def _found_in(folder: pathlib.Path, place: pathlib.Path) -> Source:
    """The class folders of a place that have files; an empty one is left out."""
    source = class_folders(place, deep=True)
    require_distinct(source.classes, printable(place))
    full = {entry.label for entry in source.entries}
    kept = tuple(name for k, name in enumerate(source.classes) if k in full)
    empty = [f"{place / name} (no file in it, so no class)" for name in source.classes if name not in kept]
    return _relabelled(source, kept)._replace(folder=str(folder), left_out=source.left_out + empty)


def _relabelled(source: Source, classes: tuple[str, ...]) -> Source:
    """The source with the labels that its classes have among others."""
    label_of = {composed(name): label for label, name in enumerate(classes)}
    entries = [entry._replace(label=label_of[composed(source.classes[entry.label])]) for entry in source.entries]
    return source._replace(entries=entries, classes=classes)
