"""Named recipes: what `--recipe NAME` and the paper's tables start from."""

from __future__ import annotations

from gluon_tricks.core.errors import require_known
from gluon_tricks.recipes.named import imagenet, proxies
from gluon_tricks.recipes.recipe import Recipe, read_recipe
from gluon_tricks.recipes.tables import (
    base_networks,
    table1,
    table2,
    table3,
    table4,
    table5,
    table6,
    table7,
    table8,
    table9,
)
from gluon_tricks.recipes.tables.rows import Table

_RECIPES = {recipe.name: recipe for recipe in (*imagenet.RECIPES, *proxies.RECIPES)}
# Of equal cells the first table names the folder: new tables come last, so that runs which are there are found.
_MODULES = (table3, table4, table5, table6, table7, base_networks, table8, table9, table1, table2)
TABLES: dict[str, Table] = {module.TABLE.name: module.TABLE for module in _MODULES}


def list_recipes() -> list[str]:
    """The names that get_recipe knows."""
    return list(_RECIPES)


def get_table(name: str) -> Table:
    """The table of a name. Raises Refused for an unknown one, listing near names."""
    return TABLES[require_known(name, list(TABLES), "table")]


def get_recipe(name: str) -> Recipe:
    """The recipe of a name, of a table's cell such as table6/resnet50_v1d/mixup, or in a .json file.

    Raises:
        Refused: there is none of that name; near ones are listed.
    """
    if name.endswith(".json"):
        return read_recipe(name)
    if name.count("/") == 2:
        table, column, row = name.split("/")
        return get_table(table).recipe(column, row)
    return _RECIPES[require_known(name, list(_RECIPES) if "/" not in name else _cells(), "recipe")]


def is_cell(name: str) -> bool:
    """Whether it is the name of a table's cell."""
    return name in _cells()


def _cells() -> list[str]:
    return [cell for table in TABLES.values() for cell in table.names()]
