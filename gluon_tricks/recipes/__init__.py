"""Named recipes: what `--recipe NAME` and the paper's tables start from."""

from __future__ import annotations

import difflib

from gluon_tricks.recipe import Recipe
from gluon_tricks.recipes import imagenet, proxies
from gluon_tricks.runtime import Refused

_RECIPES = {recipe.name: recipe for recipe in (*imagenet.RECIPES, *proxies.RECIPES)}


def list_recipes() -> list[str]:
    """The names that get_recipe knows."""
    return list(_RECIPES)


def get_recipe(name: str) -> Recipe:
    """The recipe of a name. Raises Refused for an unknown one, listing near names."""
    if name not in _RECIPES:
        near = difflib.get_close_matches(name, _RECIPES, n=3) or list(_RECIPES)
        raise Refused(f"there is no recipe called {name!r}: did you mean {', '.join(near)}?")
    return _RECIPES[name]
