"""Which records a recipe's data set is: where each one lies, and what to do where it does not."""

from __future__ import annotations

import pathlib
from typing import TypeVar

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import expanded
from gluon_tricks.core.wording import first_difference, plural, quoted
from gluon_tricks.data.builtin import shapes
from gluon_tricks.data.lists import require_distinct
from gluon_tricks.data.own_photos import packed_again
from gluon_tricks.data.packed import SPLITS, records_in
from gluon_tricks.data.records import Records
from gluon_tricks.data.requirements import class_labels, of_one_class
from gluon_tricks.data.selection import selected
from gluon_tricks.data.shards import means_several, packed_as, record_paths
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.settings import Settings

IMAGENET_FOLDER = pathlib.Path("~/.mxnet/datasets/imagenet/rec")  # GluonCV's default place
AnyRecipe = TypeVar("AnyRecipe", bound=Settings)
DATA_SETS = (*shapes.DATA_SETS, "imagenet", "records")


def imagenet_is_here() -> bool:
    """Whether packed ImageNet lies at GluonCV's default place."""
    return records_in(expanded(IMAGENET_FOLDER)) is not None


def records_are_here(recipe: Recipe) -> bool:
    """Whether the packed records that a recipe names are there, which pictures that are drawn on first use are not."""
    try:
        if recipe.data == "records":
            names = map(expanded, (*recipe.train, *recipe.val))
            return all(path.is_file() for name in names for path in record_paths(name))
        return recipe.data == "imagenet" and imagenet_is_here()
    except Refused:
        return False


def with_found(recipe: AnyRecipe, train: Records, val: Records) -> AnyRecipe:
    """The recipe with the files that its patterns, lists and folders mean now, so that it opens the same ones again."""
    found = {
        split: tuple(str(path.absolute()) for path in records.paths)
        for split, records in (("train", train), ("val", val))
        if any(map(means_several, getattr(recipe, split)))
    }
    return recipe.set(**found)


def find_records(recipe: Recipe) -> tuple[Records, Records]:
    """The training and the validation records of a recipe, or what it takes of them; `shapes` is drawn on first use.

    Raises:
        Refused: a data set that is not there, damaged records, or labels that do not fit the recipe's classes.
    """
    train, val = _all_records(recipe)
    training = selected(train, recipe.only_classes, recipe.per_class, recipe.seed)
    return training, selected(val, recipe.only_classes, least=0)


def _all_records(recipe: Recipe) -> tuple[Records, Records]:
    if recipe.data not in DATA_SETS:
        raise Refused(f"data is {quoted(recipe.data)}: choose one of {', '.join(DATA_SETS)}")
    if recipe.data == "records":
        if not recipe.train or not recipe.val:
            raise Refused("data is 'records': name the files for both train and val (--rec-train and --rec-val)")
        train, val = packed_again(recipe) if recipe.photos else (recipe.train, recipe.val)
        return Records(train), Records(val)
    drawn = recipe.data in shapes.DATA_SETS
    folder = shapes.ensure(name=recipe.data) if drawn else expanded(IMAGENET_FOLDER)
    train, val = (packed_as(folder / split) or folder / f"{split}.rec" for split in SPLITS)
    return Records(train), Records(val)


def classes_known(recipe: Recipe) -> int | None:
    """K, as far as a recipe says it before its records are there; None: it does not."""
    drawn = shapes.CLASSES if recipe.data in shapes.DATA_SETS else ()
    return recipe.classes or len(recipe.only_classes or recipe.photos.get("classes", ()) or drawn) or None


def count_classes(train: Records, val: Records, expected: int | None) -> int:
    """K: as many as the recipe says, else the manifest, else the labels.

    Raises:
        Refused: labels outside [0, K), training and validation that name different classes, or records of one class.
    """
    if train.classes and val.classes and (odd := first_difference(train.classes, val.classes)):
        raise Refused(
            f"training has {plural(len(train.classes), 'class')} and validation {len(val.classes)}, and they are not "
            f"the same ({odd}): pack validation with the training classes"
        )
    named = next((records for records in (train, val) if records.classes), None)
    known = len(require_distinct(named.classes, named.paths[0])) if named else None
    for records in (train, val):
        class_labels(records, known, str(named.paths[0]) if named else "")
    require_count(known, expected)
    highest = int(max(train.labels().max(), val.labels().max()))
    if expected is None and known is None and highest >= len(train):  # or a damaged label decides the network's size
        raise Refused(
            f"the highest label is {highest}, and {len(train)} training images cannot show as many classes: "
            "give --set classes=..., or see gluon-tricks pack --check"
        )
    if expected is not None and highest >= expected:
        raise Refused(
            f"the records have labels up to {highest} and the recipe {plural(expected, 'class')}: "
            f"give --set classes={highest + 1}"
        )
    for records in (train, val):
        if said := of_one_class(records):
            raise Refused(said)
    return expected or known or highest + 1


def require_count(known: int | None, expected: int | None) -> None:
    """Refuses another number of classes than the recipe's. Args: known, expected: None: nobody says it."""
    if None not in (known, expected) and known != expected:
        raise Refused(
            f"the records have {plural(known, 'class')} and the recipe {expected}: give --set classes={known}"
        )
