"""A table of the paper: rows that are differences, in columns that each start from a recipe of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from gluon_tricks.core.errors import require_known
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.tricks import Trick

IMAGENET_IMAGES = (1_281_167, 50_000)  # training, validation


@dataclasses.dataclass(frozen=True)
class Row:
    """One row: what it changes of the row it builds on.

    Args:
        key: in names such as table6/resnet50_v1d/mixup.
        label: as the paper prints it.
        set: recipe fields it changes.
        add: tricks it adds; one takes the place of another in the same slot.
        also: column -> tricks it adds in that column only.
        base: key of the row it builds on; "" for the column's recipe; None is for ladder() and variants() to fill in.
        paper: column -> the paper's two scores in percent, nan where it has none; columns in which the paper does not
            have the row may be left out.
        spread: column -> their standard deviations over the paper's runs, where it gives them.
        weights: what its networks start from: the name of trained parameters that a user has to give a file of; "":
            none. Without the file its cells are not run.
        gain: column -> the paper's difference of the first score, where it gives that and no scores. A row that has
            any is shown in these columns only.
    """

    key: str
    label: str
    set: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    add: tuple[Trick, ...] = ()
    also: Mapping[str, tuple[Trick, ...]] = dataclasses.field(default_factory=dict)
    base: str | None = None
    paper: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    spread: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    gain: Mapping[str, float] = dataclasses.field(default_factory=dict)
    weights: str = ""


def ladder(*rows: Row) -> tuple[Row, ...]:
    """Rows that stack: each builds on the one above, unless it names its base."""
    above = ("", *(row.key for row in rows))
    return tuple(dataclasses.replace(r, base=b) if r.base is None else r for r, b in zip(rows, above))


def variants(*rows: Row) -> tuple[Row, ...]:
    """Rows that stand side by side: each builds on the column's recipe, unless it names its base."""
    return tuple(dataclasses.replace(row, base="") if row.base is None else row for row in rows)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the paper.

    Args:
        name: "table6".
        title: what it shows.
        columns: key -> the recipe its rows start from. Of a column in which no row has the paper's numbers (a
            teacher's) only the rows are run that others need.
        rows: by ladder() or variants().
        proxy: recipe fields of its proxies at small scales, beyond what the scale itself sets.
        photos: what its columns' records are packed from, if they are not ImageNet.
        images: how many of them are for training and for validation.
        classes: how many they have; None: any number.
        scores: what the two numbers of a cell are called.
        repeats: how often the paper ran the cells that it gives a spread of.
        family: of tables that are run at the same scales and share equal cells (see paper.scales.FAMILIES); "": the
            paper's classifiers, or its transfers.
    """

    name: str
    title: str
    columns: Mapping[str, Settings]
    rows: tuple[Row, ...]
    proxy: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    photos: str = ""
    images: tuple[int, int] = IMAGENET_IMAGES
    classes: int | None = 1000
    scores: tuple[str, str] = ("top-1", "top-5")
    repeats: int = 1
    family: str = ""

    @property
    def weights(self) -> list[str]:
        """The trained parameters that its rows start from."""
        return list(dict.fromkeys(row.weights for row in self.rows if row.weights))

    def row(self, key: str) -> Row:
        return next(
            row for row in self.rows if row.key == require_known(key, [row.key for row in self.rows], "row", self.name)
        )

    def shown(self, column: str) -> list[Row]:
        """All rows but those of other columns alone, if one has the paper's numbers of this column; else none."""
        there = any(column in row.paper for row in self.rows)
        return [row for row in self.rows if there and (not row.gain or column in row.gain)]

    def runs(self, column: str, row: Row) -> int:
        """How many runs the paper's numbers of a cell are of."""
        return self.repeats if column in row.spread else 1

    @property
    def based(self) -> bool:
        """Whether its networks stand on base networks."""
        return next(iter(self.columns.values())).based

    @property
    def reads_folder(self) -> bool:
        """Whether its images are read from a folder as it is (Settings.reads_folder)."""
        return next(iter(self.columns.values())).reads_folder

    def recipe(self, column: str, key: str) -> Settings:
        """The recipe of a cell, called table/column/row."""
        require_known(column, list(self.columns), "column", self.name)
        row = self.row(key)
        base = self.recipe(column, row.base) if row.base else self.columns[column]
        base = base.starting_from(row.weights) if row.weights else base
        return base.set(name=f"{self.name}/{column}/{key}", **row.set).add(*row.add, *row.also.get(column, ()))

    def names(self) -> list[str]:
        """Of all its recipes."""
        return [f"{self.name}/{column}/{row.key}" for column in self.columns for row in self.rows]
