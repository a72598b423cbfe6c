"""The images of a multi-label recipe: records, a VOC folder, or drawn scenes."""

from __future__ import annotations

import os
from collections.abc import Sequence

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import first_difference, plural, quoted, some
from gluon_tricks.data.annotations.image_labels import read_voc_labels
from gluon_tricks.data.builtin import scenes
from gluon_tricks.data.label_vectors import LabelledImages, LabelledRecords, require_positives
from gluon_tricks.recipes.multi_label import DATA_SETS, MultiLabelRecipe


def find_images(recipe: MultiLabelRecipe, splits: Sequence[str] = scenes.SPLITS) -> tuple[LabelledImages, ...]:
    """The images of a recipe, "train" and "val" in the order of `splits`; `scenes` is drawn on first use.

    Raises:
        Refused: images that are not there, labels that contradict each other or the recipe's classes, or no image that
            shows any class.
    """
    found = tuple(_images(recipe, split) for split in splits)
    for records in found:
        _require_alike(recipe, found[0], records)
    for split, records in zip(splits, found):
        require_positives(records, names_of(recipe, records), train=split == "train")
    return found


def names_of(recipe: MultiLabelRecipe, records: LabelledImages) -> tuple[str, ...]:
    """The classes' names: those of the data, else those of the recipe, else numbers."""
    return records.classes or recipe.class_names or tuple(f"class {k}" for k in range(records.vectors.shape[1]))


def _images(recipe: MultiLabelRecipe, split: str) -> LabelledImages:
    data = recipe.data
    if data in scenes.DATA_SETS:
        return read_voc_labels(scenes.ensure(name=data), (f"2007_{scenes.VOC_SPLITS[split]}",), scenes.CLASSES)
    if data == "records":
        files = {"train": recipe.train, "val": recipe.val}[split]
        if not files:
            raise Refused(f"data is 'records': name the files to {_DONE[split]} with --rec-{split}")
        return LabelledRecords(files)
    if not data:
        raise Refused("no images are named: give --data VOCdevkit, or --rec-train and --rec-val, or --data scenes")
    if not os.path.isdir(data):
        raise Refused(f"data is {quoted(data)}: there is no such folder, nor is it one of {', '.join(DATA_SETS)}")
    return read_voc_labels(data, {"train": recipe.train_splits, "val": recipe.val_splits}[split], recipe.class_names)


_DONE = {"train": "train on", "val": "validate on"}


def _require_alike(recipe: MultiLabelRecipe, first: LabelledImages, other: LabelledImages) -> None:
    """Refuses images of other classes than the recipe's, or than the first ones'."""
    here, classes = first.paths[0], first.vectors.shape[1]
    odd = first_difference(first.classes, other.classes) if first.classes and other.classes else ""
    if odd or other.vectors.shape[1] != classes:
        raise Refused(
            f"training has {plural(classes, 'class')} and validation {other.vectors.shape[1]}, and they are not the "
            f"same{odd and f' ({odd})'}: pack validation with --classes and the training records' .json"
        )
    if recipe.classes not in (None, classes):
        raise Refused(
            f"{here} has {plural(classes, 'class')} and the recipe {recipe.classes}: give --set classes={classes}"
        )
    names = recipe.class_names
    if names and other.classes and first_difference(names, other.classes):
        told = f"the classes {some(other.classes)} and the recipe {some(names)}"
        raise Refused(f"{other.paths[0]} has {told}: leave class_names out")
