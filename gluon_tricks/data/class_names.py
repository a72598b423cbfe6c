"""What the classes of a network are called."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from gluon_tricks.core.foreign import import_gluoncv
from gluon_tricks.core.reading import expanded
from gluon_tricks.core.wording import one_line
from gluon_tricks.data import sources
from gluon_tricks.data.builtin import shapes
from gluon_tricks.data.recipe_records import IMAGENET_FOLDER, records_are_here
from gluon_tricks.data.shards import record_paths
from gluon_tricks.recipes.recipe import Recipe

log = logging.getLogger("gluon_tricks.data")


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
    found = record_paths([expanded(path) for path in records]) if records_are_here(recipe) else records
    manifests = [expanded(path).with_suffix(".json") for path in found]
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
