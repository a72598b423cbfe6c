"""What images a table needs at a scale, looked for before its first cell is run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import some
from gluon_tricks.data.builtin import shapes
from gluon_tricks.data.recipe_records import DATA_SETS, IMAGENET_FOLDER, imagenet_is_here
from gluon_tricks.data.records import Records
from gluon_tricks.paper.scales import AnyScale
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.recipes.tables.rows import Table
from gluon_tricks.tasks.registry import task_of

# What of a recipe says which images it reads.
_OF_IMAGES = ("task", "dataset", "data", "train_splits", "val_splits", "class_names", "mask_values", "void")
_digests: dict[tuple[Any, ...], tuple[str, str]] = {}


def require_data(table: Table, scale: AnyScale, train: Sequence[str], data: str) -> None:
    """Refuses in one sentence, before the first cell, what every one of them would fail for.

    Args:
        train: packed images that are named; (): none.
        data: the folder of those that are not packed; "": none.

    Raises:
        Refused: the table's images are not named and not here; says what to pack.
    """
    if train and not scale.bases:  # else they are those of the base networks
        require_classes(table, scale, Records(train).classes or (), train[0])
        return
    wanted, photos = scale.needs(table)
    if data:
        return
    if wanted == "records":
        raise Refused(f"{table.name} at the scale {scale.name} is trained on {photos}: name their folder with --data")
    if wanted == "imagenet" and not imagenet_is_here():
        raise Refused(
            f"{table.name} is trained on ImageNet, and there is no train.rec and val.rec in {IMAGENET_FOLDER}: pack it "
            "with gluon-tricks pack and name the folder with --data, or choose a smaller --scale"
        )


def require_classes(table: Table, scale: AnyScale, names: Sequence[str], place: object, flag: str = "--data") -> None:
    """Refuses images of another number of classes than the table's, whose numbers the document's scale is shown beside.

    A proxy takes what its recipes take; where these name classes, they must be there.

    Args:
        names: of the images' classes; (): not known.
        place: where the images lie, for the message.
        flag: that names them.
    """
    recipe = scale.recipe(table, *table.names()[0].split("/")[1:])
    wanted = recipe.classes or (None if scale.title else table.classes)
    if wanted and names and len(names) != wanted:
        raise Refused(
            f"{table.name} at the scale {scale.name} has {wanted} classes and {place} has "
            f"{len(names)}: name the paper's images with {flag}, or choose a smaller --scale"
        )
    shown = [scale.recipe(table, column, row.key) for column in table.columns for row in table.shown(column)]
    asked = dict.fromkeys(name for recipe in shown for name in getattr(recipe, "only_classes", ()))
    lacking = [name for name in asked if names and name not in names]
    if lacking:
        raise Refused(
            f"{table.name} at the scale {scale.name} takes images of the classes {some([*asked])}, and {place} has no "
            f"{some(lacking)}: name images of these with {flag}, or choose another --scale"
        )


def are_others(stored: str, wanted: str) -> bool:
    """Whether `data` means other images: drawn ones and no drawn ones, or another folder beside the old one."""
    if {stored, wanted} & {*DATA_SETS}:
        return stored != wanted and bool({stored, wanted} & {*shapes.DATA_SETS})
    folders = [os.path.realpath(folder) for folder in (stored, wanted) if folder]
    return len(folders) == 2 and folders[0] != folders[1] and all(map(os.path.exists, folders))


def digests_of_folder(recipe: Settings) -> tuple[str, str]:
    """Of the training and the validation images of a folder that is read as it is, once in a process.

    ("", ""): they are built in, or not here, or cannot be read.
    """
    if not os.path.isdir(recipe.data):
        return "", ""
    key = tuple(getattr(recipe, name, None) for name in _OF_IMAGES)
    if key not in _digests:
        try:
            train, val = task_of(recipe).find_data(recipe)
        except Refused:  # results can be shown without their images
            return "", ""
        _digests[key] = train.digest, val.digest
    return _digests[key]
