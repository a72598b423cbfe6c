"""Whether a trained classifier and images have the same classes."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import first_difference
from gluon_tricks.data.recipe_records import find_records
from gluon_tricks.data.records import Records
from gluon_tricks.networks.load import Trained
from gluon_tricks.recipes.recipe import Recipe


def require_same_classes(source: str, trained: Trained, names: Sequence[str], place: str) -> None:
    """Refuses images of other classes than a network's, or in another order, as far as both have names.

    Args:
        source: the network in a message.
        names: of the images' classes; (): nobody says them.
        place: of the images, for a message: a file of records, or a folder of class folders.
    """
    names = list(names)
    if trained.published and all(re.fullmatch(r"n\d{8}", name) for name in names) and names != sorted(names):
        raise Refused(f"the classes of {place} are not in ImageNet's order, that of their ids: pack it again")
    told = getattr(trained.net, "preprocessing", None)  # an exported graph may not say it
    known = told and told.classes
    if known and names and (odd := first_difference(known, names)):
        remedy = "pack it with --classes and the training records' .json"
        if os.path.isdir(place):  # which training packs by itself
            remedy = "train it on these photos, or call the class folders as its classes"
        raise Refused(f"{source} was trained on other classes than {place} has ({odd}): {remedy}")


def training_records(recipe: Recipe) -> Records | None:
    """The records that a run was trained on; None if they are here no more."""
    try:
        return find_records(recipe)[0]
    except Refused:
        return None
