"""The kinds of recipe, one a task, and reading one back from JSON, of whatever kind it is."""

from __future__ import annotations

from typing import Any

from gluon_tricks.core.errors import Refused, require_known
from gluon_tricks.core.json_text import parse_json
from gluon_tricks.core.reading import RECIPE_BYTES, read_bytes
from gluon_tricks.recipes.multi_label import MultiLabelRecipe
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.recipes.transfer import DetectionRecipe, SegmentationRecipe

KINDS: dict[str, type[Settings]] = {
    kind.task: kind for kind in (Recipe, DetectionRecipe, SegmentationRecipe, MultiLabelRecipe)
}


def recipe_from_json(values: Any) -> Settings:
    """The recipe, of whatever task, that a JSON object describes.

    Raises:
        Refused: it is no object, or names an unknown task, field or trick, or a value out of its range.
    """
    if not isinstance(values, dict):
        raise Refused(f"a recipe is a JSON object, but got {type(values).__name__}")
    task = str(values.get("task", Recipe.task))  # recipes of before there were others do not say it
    return KINDS[require_known(task, list(KINDS), "task")].from_json(values)


def read_recipe(path) -> Settings:
    """The recipe in a JSON file.

    Raises:
        Refused: the file cannot be read, is not JSON, or describes no recipe (see recipe_from_json).
    """
    try:
        values = parse_json(read_bytes(path, RECIPE_BYTES))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise Refused(f"{path} cannot be read as a recipe: {reason}") from error
    return recipe_from_json(values)
