"""Which records a recipe's data set is: where each one lies, and what to do where it does not."""

from __future__ import annotations

import pathlib

import numpy as np

from gluon_tricks.data import shapes
from gluon_tricks.data.records import Records
from gluon_tricks.recipe import Recipe
from gluon_tricks.runtime import Refused

IMAGENET_FOLDER = pathlib.Path("~/.mxnet/datasets/imagenet/rec")  # GluonCV's default place
DATA_SETS = (*shapes.DATA_SETS, "imagenet", "records")


def imagenet_is_here() -> bool:
    """Whether packed ImageNet lies at GluonCV's default place."""
    return all((IMAGENET_FOLDER.expanduser() / name).is_file() for name in ("train.rec", "val.rec"))


def find_records(recipe: Recipe) -> tuple[Records, Records]:
    """The training and the validation records of a recipe; `shapes` is drawn on first use.

    Raises:
        Refused: a data set that is not there, damaged records, or labels that do not fit the recipe's classes.
    """
    if recipe.data not in DATA_SETS:
        raise Refused(f"data is {recipe.data!r}: choose one of {', '.join(DATA_SETS)}")
    if recipe.data == "records":
        if not recipe.train or not recipe.val:
            raise Refused("data is 'records': name the files for both train and val (--rec-train and --rec-val)")
        return Records(recipe.train), Records(recipe.val)
    drawn = recipe.data in shapes.DATA_SETS
    folder = shapes.ensure(name=recipe.data) if drawn else IMAGENET_FOLDER.expanduser()
    return Records(folder / "train.rec"), Records(folder / "val.rec")


def count_classes(train: Records, val: Records, expected: int | None) -> int:
    """K: as many as the recipe says, else the manifest, else the labels.

    Raises:
        Refused: labels outside [0, K), training and validation that name different classes, or records of one class.
    """
    if train.classes and val.classes and train.classes != val.classes:
        odd = sorted(set(train.classes) ^ set(val.classes))[:3]
        raise Refused(
            f"training has {len(train.classes)} classes and validation {len(val.classes)}, and they are not the same "
            f"({', '.join(odd)} ...): pack validation with the training classes"
        )
    names = train.classes or val.classes
    for records in (train, val):
        odd = np.flatnonzero(~(np.mod(records.labels(), 1) == 0) | (records.labels() < 0))
        if len(odd):
            raise Refused(
                f"image {odd[0]} of {records.paths[0]} has label {records.labels()[odd[0]]:g}: classification needs "
                "whole numbers from 0; see scripts/pack_records.py --check"
            )
    highest = int(max(train.labels().max(), val.labels().max()))
    if expected is None and names is None and highest >= len(train):  # or a damaged label decides the network's size
        raise Refused(
            f"the highest label is {highest}, and {len(train)} training images cannot show as many classes: "
            "give --set classes=..., or see scripts/pack_records.py --check"
        )
    found = len(names) if names else highest + 1
    classes = found if expected is None else expected
    if highest >= classes or (names and len(names) != classes):
        raise Refused(f"the records have {found} classes and the recipe {classes}: give --set classes={found}")
    for records, what in ((train, "training"), (val, "validation")):
        if len(records) > 1 and (records.labels() == records.labels()[0]).all():
            raise Refused(
                f"every {what} image has the same label: pack a folder that has one folder per class (for ImageNet's "
                "flat validation folder, --ground-truth)"
            )
    return classes
