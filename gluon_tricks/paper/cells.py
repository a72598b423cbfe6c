"""The cells of the paper's tables: each a training run in its own directory; which there are, and which are missing."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import read_text
from gluon_tricks.core.wording import one_line, plural
from gluon_tricks.data.recipe_records import find_records
from gluon_tricks.networks.moved import PLACES, digests_of_networks, is_same_network, may_be_run
from gluon_tricks.paper.data_needed import are_others, digests_of_folder, require_data
from gluon_tricks.paper.given import starting_from
from gluon_tricks.paper.scales import AnyScale, family_of, scales_of
from gluon_tricks.recipes.kinds import read_recipe
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.registry import TABLES, get_table, is_cell
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.recipes.tables.rows import Row, Table
from gluon_tricks.report.told import networks_told, read_events, read_metrics, scored_at_end, sessions
from gluon_tricks.tasks.protocol import errors_of, with_final
from gluon_tricks.tasks.registry import task_of
from gluon_tricks.tricks import Distillation

_REASON_BYTES = 1 << 16


@dataclasses.dataclass(frozen=True)
class Cell:
    """One seed of one row in one column.

    Args:
        name: table/column/row; of equal recipes in several tables the first one's, so that they are run once.
        recipe: at its scale, with seed and data.
        folder: of the run.
        source: the cell whose network it learns from (a teacher) or starts from (a base network).
        digest, val_digest: of the records that a classifier is trained and validated on (Records.digest); "": not
            known.
    """

    name: str
    recipe: Settings
    folder: pathlib.Path
    source: Cell | None = None
    digest: str = ""
    val_digest: str = ""

    @property
    def failure(self) -> pathlib.Path:
        """The file that says why the last attempt failed."""
        return self.folder.with_name(self.folder.name + ".failed")

    def metrics(self) -> list[dict[str, float]]:
        """A row per finished epoch. Raises Refused for a damaged file."""
        try:
            return read_metrics(self.folder)
        except Refused as error:
            raise Refused(f"{error}: move {self.folder} away, and it is run again") from None

    def stored(self) -> Settings | None:
        """What it was trained by, of an older version's with today's defaults; None before it has begun."""
        path = self.folder / "recipe.json"
        return read_recipe(path) if os.path.lexists(path) else None

    def has_result(self) -> bool:
        """Whether its trained network is there, to be learnt from. Raises Refused as is_done does."""
        self.is_done()
        return (self.folder / "final.params").is_file()

    def is_done(self) -> bool:
        """Whether it has been trained to its end, by this recipe and on these images.

        Raises:
            Refused: the directory holds a run of another recipe, or on other images.
        """
        stored = self.stored()
        if stored is None:
            return False
        found = self.recipe.differences(stored, "cells")
        same = [name for name in PLACES if name in found and self._starts_alike(*found[name])]
        differences = [name for name in found if name not in same]
        if (
            "bn_batch" in differences
            and stored.bn_batch is None
            and all(seen == self.recipe.bn_batch for seen in self._seen_by_norms(stored))
        ):
            differences.remove("bn_batch")  # the devices that it was trained on came to the same
        if are_others(stored.data, self.recipe.data) and not self._told_of_folder():
            differences.append("data")
        differences += [*self._other_images(), *self._other_networks()]
        if differences:
            text = ", ".join(differences)
            raise Refused(f"{self.folder} holds a run of another recipe ({text}): move it away, or use --runs")
        ended = (self.folder / "final.params").is_file() or not (self.folder / "checkpoints").is_dir()
        return self._all_epochs(self.metrics()) and ended  # of some only the metrics have been kept

    def _starts_alike(self, old: str, new: str) -> bool:
        """Whether both places have one network: a cell's is that cell's, wherever it lies now."""
        return is_same_network(old, new) or (self.source is not None and may_be_run(old, self.source.folder))

    def _other_images(self) -> Iterator[str]:
        """What of the images is not as the run tells of its own, in words."""
        for split, field in enumerate(("records", "val_records")):
            told = next((event[field] for event in self.events() if field in event), "")
            digest = (self.digest, self.val_digest)[split]
            here = self._digest_of_part(split, digest) if digest else ""
            if told and self.recipe.reads_folder:
                here = digests_of_folder(self.recipe)[split]
            if told and here and here != told:
                yield "other images" if split == 0 else "other validation images"

    def _told_of_folder(self) -> bool:
        """Whether the run tells the digests of its folder's images, and those of here are known: they decide then."""
        told = any("records" in event for event in self.events())
        return told and self.recipe.reads_folder and all(digests_of_folder(self.recipe))

    def _other_networks(self) -> Iterator[str]:
        """What of the recipe names a trained network that has other numbers now than the run tells, in words."""
        told = self.told_networks()
        for place, digest in digests_of_networks(self.recipe).items() if told else ():
            if told.get(place, digest) != digest:
                yield f"{place} has other numbers now"

    def told_networks(self) -> dict[str, str]:
        """Place -> digest of the trained networks that its newest start named; {}: it does not tell."""
        return networks_told(self.events())

    def _digest_of_part(self, split: int, whole: str) -> str:
        """That of the training (0) or validation (1) records, or of what the recipe takes of them."""
        part = getattr(self.recipe, "only_classes", ()) or getattr(self.recipe, "per_class", 0)
        return find_records(self.recipe)[split].digest if part else whole

    def _all_epochs(self, rows: list[dict[str, float]]) -> bool:
        """Whether these are all, of a run that validation results may have ended earlier."""
        if not self.recipe.open_ended:
            return len(rows) == self.recipe.epochs
        return self.recipe.ends(errors_of(rows, task_of(self.recipe).scores))

    def _seen_by_norms(self, stored: Settings) -> list[int | None]:
        """How many images a batch normalisation saw at a time: as the run tells, or as its devices do."""
        return [
            event.get("bn_batch", stored.batch_size // (len(event["contexts"]) * event["ranks"] * stored.accumulate))
            for event in sessions(self.events())
        ]

    def precision(self) -> str:
        """What it was computed in, which the machine may have decided; "" before it has begun."""
        stored = self.stored()
        return stored.dtype if stored else ""

    def state(self) -> str:
        """In words: done, failed, some epochs, or not run."""
        epochs = len(self.metrics())
        if self.is_done():
            return "done"
        if os.path.lexists(self.failure):
            return "failed: " + one_line(read_text(self.failure, _REASON_BYTES, "backslashreplace").strip(), 500)
        most = "at most " if self.recipe.open_ended else ""
        return f"{epochs} of {most}{plural(self.recipe.epochs, 'epoch')}" if epochs else "not run"

    def events(self) -> Iterator[dict[str, Any]]:
        """What the run has told of itself; none where only its metrics have been kept."""
        return read_events(self.folder)

    def scores(self) -> tuple[float, float] | None:
        """Its two scores (Scores.in_tables) at the end, if it is done."""
        if not self.is_done():
            return None
        kind = task_of(self.recipe).scores
        last = with_final(self.metrics()[-1], kind, self.final_scores() if kind.at_end else {})
        return tuple(last[column] for column in kind.in_tables)

    def final_scores(self) -> dict[str, float]:
        """What was scored at its end alone, by its name (Task.final_scores); {}: nothing, as by older versions."""
        return scored_at_end(self.events()) if self.is_done() else {}


@dataclasses.dataclass(frozen=True)
class Runs:
    """All cells of a scale, below one folder.

    Args:
        root: where the runs lie: root/scale/table-column-row/seedK.
        scale: how large.
        train, val: packed images; () for the recipe's own data.
        data: of tables whose images are not packed (Table.reads_folder) their folder; "" for what is built in. train
            and val are those of the base networks then.
        digest, val_digest: of the training and the validation records (Records.digest); "": not known.
        networks: name -> the trained network that rows start from (Row.weights), as far as given; "" -> the one in the
            place of what the recipes start from (Recipe.pretrained).
    """

    root: pathlib.Path
    scale: AnyScale
    train: tuple[str, ...] = ()
    val: tuple[str, ...] = ()
    data: str = ""
    digest: str = ""
    val_digest: str = ""
    networks: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def bases(self) -> Runs:
        """The runs of the base networks that those of this scale start from."""
        return Runs(self.root, self.scale.bases, self.train, self.val, digest=self.digest, val_digest=self.val_digest)

    def cell(self, name: str, seed: int) -> Cell | None:
        """The cell of a name such as table6/resnet50_v1d/mixup.

        None if its network has no proxy at this scale, or starts from weights of which no file is given.
        """
        table, column, row = name.split("/")
        recipe = self.scale.recipe(get_table(table), column, row)
        named = get_table(table).row(row).weights
        if recipe is None or named and named not in self.networks:
            return None
        first = _first_names(self.scale.name, family_of(get_table(table)))[_kind(get_table(table), recipe)]
        recipe = recipe.set(name=first, seed=seed, rollbacks=0)  # at half its learning rate it would be another recipe
        recipe = recipe.starting_from(self.networks[named]) if named else recipe
        folder = self.root / self.scale.name / first.replace("/", "-") / f"seed{seed}"
        if recipe.based:
            if recipe.base_params and not named:
                base = self.bases.cell(recipe.base_params, 0)  # one network for all seeds
                return Cell(first, recipe.set(base_params=str(base.folder), data=self.data), folder, base)
        if recipe.reads_folder:
            return Cell(first, recipe.set(data=self.data) if self.data else recipe, folder)
        if self.train:
            recipe = recipe.set(data="records", train=self.train, val=self.val)
        recipe, source = self._started(recipe)
        for trick in recipe.tricks:
            if isinstance(trick, Distillation):
                source = self.cell(trick.teacher, 0)  # one network for all seeds
                recipe = recipe.add(dataclasses.replace(trick, teacher=str(source.folder)))
        return Cell(first, recipe, folder, source, self.digest, self.val_digest)

    def _started(self, recipe: Recipe) -> tuple[Recipe, Cell | None]:
        """The recipe that starts from the given network, or from that of the cell that it names, and this cell."""
        given = self.networks.get("")
        if recipe.pretrained and given:
            return starting_from(recipe, given), None
        if not is_cell(recipe.pretrained):
            return recipe, None
        source = self.cell(recipe.pretrained, 0)  # one network for all seeds
        return recipe.set(pretrained=str((source.folder / "final.params").absolute())), source

    def cells(self, table: str, columns: Sequence[str], rows: Sequence[str], seeds: int | None) -> list[Cell]:
        """The cells a table shows, seed by seed, so that whole tables appear early; teachers are not listed.

        Args:
            columns, rows: only these; () for all.
            seeds: of every row; None: at the paper's scale as many as the paper ran, at others one.
        """
        shown = [
            (column, row) for column in columns or get_table(table).columns for row in get_table(table).shown(column)
        ]
        wanted = [(*pair, seeds or self.repeats(table, *pair)) for pair in shown if not rows or pair[1].key in rows]
        most = max((count for *_, count in wanted), default=0)
        found = [
            self.cell(f"{table}/{column}/{row.key}", seed)
            for seed in range(most)
            for column, row, count in wanted
            if seed < count
        ]
        return [cell for cell in found if cell is not None]

    def repeats(self, table: str, column: str, row: Row) -> int:
        """How many seeds of a row are run where no number is asked for."""
        return 1 if self.scale.title else get_table(table).runs(column, row)

    def seeds(self, cells: Iterable[Cell]) -> int:
        """How many seeds, from 0 on, there are runs of beside these cells'."""
        found = [path.name for cell in cells for path in cell.folder.parent.glob("seed*")]
        return max((int(name[4:]) + 1 for name in found if name[4:].isdigit()), default=0)

    def begun(self, table: str) -> list[Cell]:
        """All cells of a table, of as many seeds as there are runs of."""
        return self.cells(table, (), (), max(self.seeds(self.cells(table, (), (), 1)), 1))

    def require_data(self, table: str) -> None:
        """See data_needed.require_data."""
        require_data(get_table(table), self.scale, self.train, self.data)


@functools.cache
def _first_names(scale: str, family: str) -> dict[str, str]:
    names: dict[str, str] = {}
    for table in TABLES.values():
        if family_of(table) == family:
            for name in table.names():
                recipe = scales_of(table)[scale].recipe(table, *name.split("/")[1:])
                if recipe is not None:
                    names.setdefault(_kind(table, recipe), name)
    return names


def _kind(table: Table, recipe: Settings) -> str:
    """Equal for cells that are one run: of one recipe, on the same images."""
    return json.dumps([table.photos, recipe.set(name="").to_json()], sort_keys=True)


def missing(cells: Iterable[Cell], networks: bool = False) -> list[Cell]:
    """What has to be run for these cells, in order: teachers and base networks come before those who need them.

    Args:
        networks: whether the trained networks are needed, and not their scores alone.
    """
    wanted: list[Cell] = []
    for cell in cells:
        if (cell.has_result() if networks else cell.is_done()) or cell in wanted:
            continue
        source = cell.source
        if source and source.source and not source.has_result():  # a base network with a teacher
            wanted += [other for other in missing([source.source], networks=True) if other not in wanted]
        if source and not source.has_result() and source not in wanted:
            wanted.append(source)
        wanted.append(cell)
    return wanted
