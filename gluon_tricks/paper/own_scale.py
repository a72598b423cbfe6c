"""A scale of the tables of a document other than the paper: what it changes of each table or column."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from gluon_tricks.recipes.settings import Settings
from gluon_tricks.recipes.tables.rows import Table
from gluon_tricks.tricks import ExponentialDecay, Plateau, Trick


@dataclasses.dataclass(frozen=True)
class OwnScale:
    """What a scale changes of the tables of another document, each table or column by itself.

    Args:
        name, title: as of Scale.
        set: TABLE or TABLE/COLUMN -> recipe fields; a column's after its table's. Of `net` the keywords are added to
            the recipe's.
        tricks: name of a trick -> its numbers, in recipes that have it.
        epochs: factor on every number of epochs: the run's, the warm-up's, the decay's; `set` comes after it.
        photos: TABLE -> what its data is; a table that is not there has its own, or at a proxy one that is built in.
    """

    name: str
    title: str = ""
    set: Mapping[str, Mapping[str, object]] = dataclasses.field(default_factory=dict)
    tricks: Mapping[str, Mapping[str, object]] = dataclasses.field(default_factory=dict)
    epochs: float = 1.0
    photos: Mapping[str, str] = dataclasses.field(default_factory=dict)
    bases = None  # it has no base networks

    def recipe(self, table: Table, column: str, row: str) -> Settings | None:
        """The resolved recipe of a cell at this scale."""
        recipe = table.recipe(column, row)
        own = {**self.set.get(table.name, {}), **self.set.get(f"{table.name}/{column}", {})}
        changes = dict(
            epochs=max(round(recipe.epochs * self.epochs), 1),
            tricks=tuple(self._shrunk(trick) for trick in recipe.tricks),
        )
        return recipe.set(**{**changes, **own, "net": {**recipe.net, **own.get("net", {})}}).resolved()

    def _shrunk(self, trick: Trick) -> Trick:
        return dataclasses.replace(sooner(trick, self.epochs), **self.tricks.get(trick.label(), {}))

    def needs(self, table: Table) -> tuple[str, str]:
        """As of Scale; of images that are not built in it is "records" wherever they have to be named."""
        data = self.recipe(table, *table.names()[0].split("/")[1:]).data
        photos = self.photos.get(table.name, "" if self.title else table.photos)
        return "records" if photos else data, photos


def sooner(trick: Trick, factor: float) -> Trick:
    """The trick with its epochs (of a warm-up, of a decay, of a patience) times a factor."""
    if isinstance(trick, Plateau):
        return dataclasses.replace(trick, patience=max(round(trick.patience * factor), 1))
    if isinstance(trick, ExponentialDecay):
        return dataclasses.replace(trick, every=trick.every * factor)
    epochs = getattr(trick, "epochs", None)
    if isinstance(epochs, tuple):
        return dataclasses.replace(trick, epochs=tuple(epoch * factor for epoch in epochs))
    return trick if epochs is None else dataclasses.replace(trick, epochs=epochs * factor)
