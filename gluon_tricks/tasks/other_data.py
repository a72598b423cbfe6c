"""Data that a trained network is to be evaluated on, and that are not as those of its run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import some
from gluon_tricks.data.annotations.annotated import OtherData
from gluon_tricks.recipes.multi_label import MultiLabelRecipe
from gluon_tricks.recipes.transfer import TransferRecipe


@contextlib.contextmanager
def of_a_run(source: str, recipe: TransferRecipe | MultiLabelRecipe) -> Iterator[None]:
    """Says what a run takes, where a training would say by which flags it takes others: an evaluation has none of them.

    Args:
        source: what the run is called.
        recipe: its own.

    Raises:
        Refused: in place of OtherData.
    """
    try:
        yield
    except OtherData as error:
        masks = getattr(recipe, "dataset", "") == "masks"
        taken = [] if masks else [f"the validation list {some(recipe.val_splits)}"]
        taken += [f"the classes {some(recipe.class_names, 10)}"] if recipe.class_names else []
        those = f", with {' and '.join(taken)}" if taken else ""
        raise Refused(f"{error.text}: {source} takes data like its own{those}") from None
