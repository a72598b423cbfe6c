"""Class folders FOLDER/<class>/* as a source of images; and what lies in such folders without being a class."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Sequence
from typing import NoReturn

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.given import require_names, require_path
from gluon_tricks.core.wording import composed, plural, some
from gluon_tricks.data.folder_entries import Listed, is_leaving, is_output, listed, looks_like_image
from gluon_tricks.data.sources import Entry, Source

CALLED = {  # what people call the parts of a data set, in small letters
    "train": ("train", "training", "train_set", "training_set"),
    "val": ("val", "valid", "validation", "val_set", "valid_set", "validation_set"),
    "test": ("test", "testing", "test_set", "testing_set"),
}
_OUTPUT = "results of gluon-tricks"


def class_folders(folder: str | os.PathLike, classes: Sequence[str] | None = None, deep: bool = False) -> Source:
    """The files FOLDER/<class>/*; labels 0 .. K-1 in the sorted order of the folder names, or that of `classes`.

    A folder with files of which none looks like an image is no class, nor is what file managers and the like leave, nor
    runs and predictions of this program.

    Args:
        deep: those of folders within a class folder are the class's too.

    Raises: Refused when there are no class folders, no files in them, a folder that is not in `classes`, or a level of
        folders too many.
    """
    children, classes = listed(require_path("folder", folder)), require_names("classes", classes or ())
    given = {*map(composed, classes)}
    why_none = {child: _why_no_class_folder(child, given) for child in children}
    left_out = [f"{child.path} ({why})" for child, why in why_none.items() if why]
    folders = [child for child, why in why_none.items() if not why]
    outputs = [child.name for child, why in why_none.items() if why == _OUTPUT]
    if outputs and not folders:
        raise Refused(f"no images found: {folder} holds {_OUTPUT} ({some(outputs)}): name the folder of the photos")
    _refuse_splits(folder, folders)
    inside = {child.name: _below(child.path) if deep else listed(child.path) for child in folders}
    named = [child for child in folders if composed(child.name) in given or may_be_class(inside[child.name])]
    if not named:
        _refuse_without_class(folder, folders, sum(not child.is_dir() for child in children))
    left_out += [f"{child.path} ({_why_no_class(child)})" for child in folders if child not in named]
    classes = classes or tuple(child.name for child in named)
    label_of = {composed(name): label for label, name in enumerate(classes)}
    unknown = [child.name for child in named if composed(child.name) not in label_of]
    if unknown:
        raise Refused(
            f"{some(unknown)} in {folder}: not among the {plural(len(classes), 'class')} given: check --classes"
        )
    entries: list[Entry] = []
    for child in named:
        label = label_of[composed(child.name)]
        for file in inside[child.name]:
            if file.is_file():
                entries.append(Entry(len(entries), label, file.path, file.stat().st_size))
            else:
                left_out.append(f"{file.path} ({_why_no_file(file)})")
    if not entries:
        raise Refused(f"no images found: the {len(named)} folders of {folder}, such as {named[0].name}, hold no files")
    return Source(entries, classes, left_out, str(folder))


def _why_no_class_folder(child: Listed, given: Collection[str]) -> str:
    """Why what lies in a folder is no class whatever it holds; "": it may be one. Args: given: names of classes."""
    if not child.is_dir():
        return "not in a class folder"
    if is_leaving(child.name):
        return "no class"
    return _OUTPUT if composed(child.name) not in given and is_output(child.path) else ""


def _below(folder: str | os.PathLike, above: tuple[str, ...] = ()) -> list[Listed]:
    """The files of a folder and of those in it, sorted by name; a link back to one that it lies in is not followed.

    What this program wrote comes as the folder that it is.
    """
    here, found = os.path.realpath(folder), []
    for entry in listed(folder) if here not in above else ():
        if not entry.is_dir() or is_output(entry.path):
            found.append(entry)
        elif not is_leaving(entry.name):
            found += _below(entry.path, (*above, here))
    return found


def _why_no_file(entry: Listed) -> str:
    if not entry.is_dir():
        return "no file"
    return _OUTPUT if is_output(entry.path) else "a folder within a class folder, which is not looked into"


def _why_no_class(folder: Listed) -> str:
    """Why a folder without an image is none; one of an image may lie deeper."""
    for below in listed(folder.path):
        with contextlib.suppress(Refused):  # one that cannot be read
            deeper = listed(below.path) if not _why_no_class_folder(below, ()) else ()
            image = next((file.path for file in deeper if file.is_file() and looks_like_image(file.path)), None)
            if image:
                return f"its images lie a folder deeper, such as {image}"
    return "no image in it"


def may_be_class(files: Sequence[Listed]) -> bool:
    """Whether one of a folder's files looks like an image, by its ending or by its content; or it is empty."""
    return not files or any(file.is_file() and looks_like_image(file.path) for file in files)


def _refuse_splits(folder: str | os.PathLike, folders: Sequence[Listed]) -> None:
    """Refuses the parent of train/ and val/."""
    splits = [child for child in folders if child.name.lower() in sum(CALLED.values(), ())]
    hold_folders = not any(may_be_class(listed(child.path)) for child in splits)
    if splits and (len(splits) == len(folders) or len(splits) > 1 and hold_folders):
        first = next((child.path for child in splits if child.name.lower().startswith("train")), splits[0].path)
        raise Refused(
            f"{folder} holds {some([child.name for child in splits])}, which are no classes: pack each by itself, "
            f"first {first}, the others with --classes and its .json"
        )


def _refuse_without_class(folder: str | os.PathLike, folders: Sequence[Listed], beside: int) -> NoReturn:
    """Refuses a folder without class folders, telling what it has instead."""
    inside = [entry for child in folders for entry in listed(child.path)]
    for below in inside:
        if below.is_dir() and (images := listed(below.path)) and may_be_class(images):
            raise Refused(
                f"no images found: those of {folder} lie a folder too deep, such as {images[0].path}: pack "
                f"{os.path.dirname(below.path)}"
            )
    files = [entry.path for entry in inside if entry.is_file()]
    if files:
        raise Refused(
            f"no images found: of {plural(len(files), 'file')} in the folders of {folder} none is an image; the first "
            f"is {files[0]}"
        )
    raise Refused(
        f"no images found: {folder} has {plural(beside, 'file')} and no class folders; "
        "for a flat folder give --list, or --ground-truth for ImageNet's validation images"
    )
