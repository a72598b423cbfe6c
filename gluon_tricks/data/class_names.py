"""What the classes of a network are called."""

from __future__ import annotations

import json
import logging
import os
import pathlib
import re
from collections.abc import Sequence

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.foreign import import_gluoncv
from gluon_tricks.core.json_text import parse_json
from gluon_tricks.core.reading import JSON_BYTES, expanded, file_of_run, read_bytes
from gluon_tricks.core.wording import one_line
from gluon_tricks.data import sources
from gluon_tricks.data.builtin import shapes
from gluon_tricks.data.recipe_records import IMAGENET_FOLDER, records_are_here
from gluon_tricks.data.shards import record_paths
from gluon_tricks.recipes.recipe import Recipe

log = logging.getLogger("gluon_tricks.data")

CLASSES = "classes.json"  # a run's file: the names in their order, whatever becomes of the images


def kept_names(names: Sequence[str]) -> dict[str, str]:
    """A run's file of its classes' names: name -> text; none where they have none."""
    return {CLASSES: json.dumps([*names], indent=1) + "\n"} if names else {}


def names_of_run(parameters: pathlib.Path) -> tuple[str, ...] | None:
    """The names that a run has kept; None: it is of an older version, or its classes have none.

    Args:
        parameters: a file of it: its final parameters, or a checkpoint.

    Raises:
        Refused: the file is damaged.
    """
    path = file_of_run(parameters, CLASSES)
    if not os.path.lexists(path):
        return None
    try:
        names = parse_json(read_bytes(path, JSON_BYTES))
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("it is no list of names")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)[:200]
        raise Refused(f"{path} does not say the run's classes rightly ({reason}): delete it") from None
    return tuple(names)


def training_names(recipe: Recipe) -> tuple[str, ...] | None:
    """The classes that a recipe says, else those of the records that a classifier was trained on, if they are there.

    Raises:
        Refused: a manifest that is damaged.
    """
    named = getattr(recipe, "class_names", ()) or getattr(recipe, "only_classes", ())  # not of every kind
    if named:
        return named
    if getattr(recipe, "photos", {}):
        return tuple(map(str, recipe.photos["classes"]))
    if recipe.data in shapes.DATA_SETS:
        return tuple(shapes.CLASSES)
    records = [IMAGENET_FOLDER / "train.rec"] if recipe.data == "imagenet" else recipe.train
    first = [expanded(path) for path in records[:1]]  # each file names them all
    found = record_paths(first) if records_are_here(recipe) else first
    manifests = [path.with_suffix(".json") for path in found[:1]]
    return sources.read_classes(manifests[0]) if manifests and manifests[0].is_file() else None


def in_words(names: Sequence[str]) -> tuple[str, ...]:
    """ImageNet's ids (n01440764) as what they stand for (tench); other names as they are."""
    if not any(re.fullmatch(r"n\d{8}", name) for name in names):
        return tuple(names)
    try:
        words = imagenet_names()
    except Exception as error:  # of another package's import: names in words are worth no result
        log.warning(
            "ImageNet's ids are told as they are: GluonCV, which has the words, fails (%s)", one_line(error, 200)
        )
        return tuple(names)
    return tuple(words.get(name, name) for name in names)


def imagenet_names() -> dict[str, str]:
    """ImageNet's 1000 classes in the order of the published networks: id -> name, the first of its synonyms."""
    import_gluoncv()
    from gluoncv.data import ImageNet1kAttr

    listed = ImageNet1kAttr()
    return dict(zip(listed.synset, listed.classes))
