"""Named recipes: what `--recipe NAME` and the paper's tables start from."""

from __future__ import annotations

import os

from gluon_tricks.core.errors import Refused, require_known
from gluon_tricks.core.wording import described, quoted
from gluon_tricks.recipes.kinds import read_recipe
from gluon_tricks.recipes.named import (
    caffe,
    cifar,
    cvjena,
    detection_segmentation,
    ilsvrc,
    imagenet,
    multi_label,
    proxies,
)
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.recipes.tables import (
    base_networks,
    cvjena_bn,
    cvjena_figure1,
    cvjena_table1,
    degradation,
    magic_figure3,
    magic_figure4,
    magic_table1,
    magic_table2,
    magic_table3,
    modern,
    table1,
    table2,
    table3,
    table4,
    table5,
    table6,
    table7,
    table8,
    table9,
    transfer_learning,
)
from gluon_tricks.recipes.tables.rows import Table

_RECIPES: dict[str, Settings] = {
    recipe.name: recipe
    for recipe in (
        *imagenet.RECIPES,
        *ilsvrc.RECIPES,
        *cvjena.RECIPES,
        *proxies.RECIPES,
        *cifar.RECIPES,
        *detection_segmentation.RECIPES,
        *multi_label.RECIPES,
        *caffe.RECIPES,
    )  # fmt: skip
}
# Of equal cells the first table names the folder: new tables come last, so that runs which are there are found.
_MODULES = (
    table3,
    table4,
    table5,
    table6,
    table7,
    base_networks,
    table8,
    table9,
    table1,
    table2,
    magic_table1,
    magic_table2,
    magic_table3,
    magic_figure3,
    magic_figure4,
    degradation,
    transfer_learning,
    cvjena_table1,
    cvjena_figure1,
    cvjena_bn,
    modern,
)
TABLES: dict[str, Table] = {module.TABLE.name: module.TABLE for module in _MODULES}


def list_recipes(kind: type[Settings] = Settings) -> list[str]:
    """The names that get_recipe knows, of all tasks or of one kind of recipe; those of the tables' cells apart."""
    if not isinstance(kind, type) or not issubclass(kind, Settings):
        raise Refused(f"list_recipes takes a kind of recipe, such as DetectionRecipe, but got {described(kind)}")
    return [name for name, recipe in _RECIPES.items() if kind in (Settings, type(recipe))]


def get_table(name: str) -> Table:
    """The table of a name. Raises Refused for an unknown one, listing near names."""
    return TABLES[require_known(name, list(TABLES), "table")]


def get_recipe(name: str | os.PathLike) -> Settings:
    """The recipe of a name, of a table's cell such as table6/resnet50_v1d/mixup, or in a file.

    Raises:
        Refused: there is none of that name; near ones are listed.
    """
    if not isinstance(name, (str, os.PathLike)):
        raise Refused(f"a recipe has a name such as 'imagenette', or is in a file, but got {quoted(name)}")
    name = os.fspath(name)
    if is_file(name):
        return read_recipe(name)
    if name in _RECIPES:
        return _RECIPES[name]
    table, *rest = name.split("/")
    if table in TABLES and len(rest) == 2:
        return TABLES[table].recipe(*rest)
    if rest:  # of no table, or of fewer or more parts than a cell's
        forms = "a cell is TABLE/COLUMN/ROW, the file of a run RUN/recipe.json"
        require_known(name, _cells(), "recipe", otherwise=forms)
    return _RECIPES[require_known(name, list(_RECIPES), "recipe")]


def is_file(name: str) -> bool:
    """Whether it names a file with a recipe."""
    return name not in _RECIPES and (name.endswith(".json") or os.path.lexists(name) and not os.path.isdir(name))


def recipe_going_on(name: str, begun: Settings | None) -> Settings:
    """get_recipe(name), for the run that goes on: what may change in a run is as it has it, if the recipe is its own.

    A file says all of it itself.

    Args:
        begun: the recipe of the run; None: a new run.
    """
    recipe = get_recipe(name)
    own = type(begun) is type(recipe) and name == recipe.name == begun.name
    return recipe.with_free_fields_of(begun, "resume") if own else recipe


def is_cell(name: str) -> bool:
    """Whether it is the name of a table's cell."""
    return name in _cells()


def weights_of(recipe: Settings) -> str:
    """What a table's cell starts from that somebody has to name a file of (Row.weights); "": nothing."""
    table, *rest = recipe.name.split("/")
    return get_table(table).row(rest[1]).weights if is_cell(recipe.name) else ""


def _cells() -> list[str]:
    return [cell for table in TABLES.values() for cell in table.names()]
