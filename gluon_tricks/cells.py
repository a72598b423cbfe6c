"""The cells of the paper's tables: each a training run in its own directory; and running those that are missing."""

from __future__ import annotations

import csv
import dataclasses
import functools
import json
import pathlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence

from gluon_tricks.data.catalog import IMAGENET_FOLDER, imagenet_is_here
from gluon_tricks.recipe import read_recipe
from gluon_tricks.recipes import TABLES, get_table
from gluon_tricks.runtime import Refused, inherited_environment
from gluon_tricks.scales import Scale, TransferScale, scales_of
from gluon_tricks.settings import Settings
from gluon_tricks.table import Table
from gluon_tricks.transfer import TransferRecipe
from gluon_tricks.tricks import Distillation

INTERRUPTED = 75  # the exit code of a training that was asked to stop


@dataclasses.dataclass(frozen=True)
class Cell:
    """One seed of one row in one column.

    Args:
        name: table/column/row; of equal recipes in several tables the first one's, so that they are run once.
        recipe: at its scale, with seed and data.
        folder: of the run.
        source: the cell whose network it learns from (a teacher) or starts from (a base network).
    """

    name: str
    recipe: Settings
    folder: pathlib.Path
    source: Cell | None = None

    @property
    def failure(self) -> pathlib.Path:
        """The file that says why the last attempt failed."""
        return self.folder.with_name(self.folder.name + ".failed")

    def metrics(self) -> list[dict[str, float]]:
        """A row per finished epoch."""
        path = self.folder / "metrics.csv"
        if not path.is_file():
            return []
        with open(path, newline="", encoding="utf-8") as file:
            return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]

    def has_result(self) -> bool:
        """Whether its trained network is there, to be learnt from. Raises Refused as is_done does."""
        self.is_done()
        return (self.folder / "final.params").is_file()

    def is_done(self) -> bool:
        """Whether all its epochs are there, and were trained by this recipe.

        Raises:
            Refused: the directory holds a run of another recipe.
        """
        path = self.folder / "recipe.json"
        if not path.is_file():
            return False
        # Read as a recipe: of an older version's it may lack fields, which then have the value they had there.
        differences = _differences(read_recipe(path), self.recipe)
        if differences:
            raise Refused(f"{self.folder} holds a run of another recipe ({differences}): move it away, or use --runs")
        return len(self.metrics()) == self.recipe.epochs

    def precision(self) -> str:
        """What it was computed in, which the machine may have decided; "" before it has begun."""
        path = self.folder / "recipe.json"
        return json.loads(path.read_text(encoding="utf-8"))["dtype"] if path.is_file() else ""

    def state(self) -> str:
        """In words: done, failed, some epochs, or not run."""
        epochs = len(self.metrics())
        if self.is_done():
            return "done"
        if self.failure.is_file():
            return "failed: " + self.failure.read_text(encoding="utf-8").strip()
        return f"{epochs} of {self.recipe.epochs} epochs" if epochs else "not run"

    def images_per_epoch(self) -> int | None:
        """How many it trains on, as the run itself told; None: it has left no record of its events."""
        path = self.folder / "events.jsonl"
        if not path.is_file():
            return None
        with open(path, encoding="utf-8") as file:
            steps = (json.loads(line).get("steps_per_epoch") for line in file)
            return next((count * self.recipe.batch_size for count in steps if count), None)

    def scores(self) -> tuple[float, float] | None:
        """The last epoch's two scores (COLUMNS), if it is done."""
        if not self.is_done():
            return None
        last = self.metrics()[-1]
        return tuple(last[column] for column in COLUMNS[self.recipe.task])


COLUMNS = {  # of metrics.csv, by task
    "classification": ("val_top1", "val_top5"),
    "detection": ("val_map07", "val_map"),
    "segmentation": ("val_pix_acc", "val_miou"),
}
_DECISIVE = ("model", "net", "input_size", "min_area", "augment", "epochs", "batch_size", "lr", "momentum", "wd")
_DECISIVE += ("optimizer", "init", "seed", "dataset", "train_splits", "val_splits", "short", "long", "roi")
_DECISIVE += ("frozen_stages", "crop", "base_size", "aux_weight", "head_lr")


def _differences(stored: Settings, wanted: Settings) -> str:
    stored, wanted = stored.to_json(), wanted.to_json()
    names = [name for name in _DECISIVE if name in wanted and stored.get(name) != wanted[name]]
    files = ("data",) if "base_params" in wanted else ("train", "val")
    names += [name for name in files if _are_others(stored.get(name), wanted[name])]
    tricks = [[{**trick, "teacher": ""} for trick in side["tricks"]] for side in (stored, wanted)]
    return ", ".join(names + (["tricks"] if tricks[0] != tricks[1] else []))


def _are_others(stored: str | Sequence[str] | None, wanted: str | Sequence[str] | None) -> bool:
    """Whether files that a run was trained on are still there and are not those wanted now."""
    if not stored or not wanted:
        return False
    sides = [[paths] if isinstance(paths, str) else paths for paths in (stored, wanted)]
    old, new = ([pathlib.Path(path).resolve() for path in paths] for paths in sides)
    return old != new and all(path.exists() for path in old)


@dataclasses.dataclass(frozen=True)
class Runs:
    """All cells of a scale, below one folder.

    Args:
        root: where the runs lie: root/scale/table-column-row/seedK.
        scale: how large.
        train, val: packed images; () for the recipe's own data.
        data: tables 8 and 9: the folder of their images; "" for what is built in. train and val are the bases'.
    """

    root: pathlib.Path
    scale: Scale | TransferScale
    train: tuple[str, ...] = ()
    val: tuple[str, ...] = ()
    data: str = ""

    @property
    def bases(self) -> Runs:
        """The runs of the base networks that those of this scale start from."""
        return Runs(self.root, self.scale.bases, self.train, self.val)

    def cell(self, name: str, seed: int) -> Cell | None:
        """The cell of a name such as table6/resnet50_v1d/mixup; None if its network has no proxy at this scale."""
        table, column, row = name.split("/")
        recipe = self.scale.recipe(get_table(table), column, row)
        if recipe is None:
            return None
        first = _first_names(self.scale.name, isinstance(recipe, TransferRecipe))[_digest(recipe)]
        recipe = recipe.set(name=first, seed=seed)
        folder = self.root / self.scale.name / first.replace("/", "-") / f"seed{seed}"
        if isinstance(recipe, TransferRecipe):
            base = self.bases.cell(recipe.base_params, 0)  # one network for all seeds, as in the paper
            return Cell(first, recipe.set(base_params=str(base.folder), data=self.data), folder, base)
        if self.train:
            recipe = recipe.set(data="records", train=self.train, val=self.val)
        teacher = None
        for trick in recipe.tricks:
            if isinstance(trick, Distillation):
                teacher = self.cell(trick.teacher, 0)  # one network for all seeds, as in the paper
                recipe = recipe.add(dataclasses.replace(trick, teacher=str(teacher.folder)))
        return Cell(first, recipe, folder, teacher)

    def cells(self, table: str, columns: Sequence[str], rows: Sequence[str], seeds: int) -> list[Cell]:
        """The cells a table shows, seed by seed, so that whole tables appear early; teachers are not listed.

        Args:
            columns, rows: only these; () for all.
        """
        found = []
        for seed in range(seeds):
            for column in columns or get_table(table).columns:
                for row in get_table(table).shown(column):
                    if not rows or row.key in rows:
                        found.append(self.cell(f"{table}/{column}/{row.key}", seed))
        return [cell for cell in found if cell is not None]

    def require_data(self, table: str) -> None:
        """Refuses in one sentence, before the first cell, what every one of them would fail for.

        Raises:
            Refused: the table's images are not named and not here; says what to pack.
        """
        if isinstance(self.scale, TransferScale):
            self._require_transfer_data(get_table(table))
            return
        if self.train:
            return
        data = self.scale.set.get("data") or next(iter(get_table(table).columns.values())).data
        if data == "records":
            photos = self.scale.photos or get_table(table).photos
            raise Refused(
                f"{table} at the scale {self.scale.name} is trained on {photos}: name their folder with --data"
            )
        if data == "imagenet" and not imagenet_is_here():
            raise Refused(
                f"{table} is trained on ImageNet, and there is no train.rec and val.rec in {IMAGENET_FOLDER}: pack it "
                "with scripts/pack_records.py and name the folder with --data, or choose a smaller --scale"
            )

    def _require_transfer_data(self, table: Table) -> None:
        built_in = "dataset" in self.scale.set.get(table.task, {}) and table.task not in self.scale.photos
        if not self.data and not built_in:
            photos = self.scale.photos.get(table.task, table.photos)
            raise Refused(
                f"{table.name} at the scale {self.scale.name} is trained on {photos}: name its folder with --data"
            )


@functools.cache
def _first_names(scale: str, transfer: bool) -> dict[str, str]:
    names: dict[str, str] = {}
    for table in TABLES.values():
        if (table.task != "classification") == transfer:
            for name in table.names():
                recipe = scales_of(table)[scale].recipe(table, *name.split("/")[1:])
                if recipe is not None:
                    names.setdefault(_digest(recipe), name)
    return names


def _digest(recipe: Settings) -> str:
    return json.dumps(recipe.set(name="").to_json(), sort_keys=True)


def missing(cells: Iterable[Cell]) -> list[Cell]:
    """What has to be run for these cells, in order: teachers and base networks come before those who need them."""
    wanted: list[Cell] = []
    for cell in cells:
        if cell.is_done() or cell in wanted:
            continue
        source = cell.source
        if source and source.source and not source.has_result():  # a base network with a teacher
            wanted += [other for other in missing([source.source]) if other not in wanted]
        if source and not source.has_result() and source not in wanted:
            wanted.append(source)
        wanted.append(cell)
    return wanted


def run(cell: Cell, train: Sequence[str], say: Callable[[str], None]) -> bool:
    """Trains a cell to its end, from its newest checkpoint if it has one; returns whether it got there.

    An interruption is passed on to the training, once, which then writes a checkpoint.

    Args:
        train: the words of the command that trains, such as python scripts/train_imagenet.py.
        say: takes every line of its output.

    Raises:
        KeyboardInterrupt: the training was asked to stop.
    """
    cell.folder.parent.mkdir(parents=True, exist_ok=True)
    cell.failure.unlink(missing_ok=True)
    if cell.source and not cell.source.has_result():
        what = "base network" if isinstance(cell.recipe, TransferRecipe) else "teacher"
        return _failed(cell, f"its {what} {cell.source.name} has no result ({cell.source.state()})", say)
    recipe = cell.folder.with_name(cell.folder.name + ".json")
    recipe.write_text(json.dumps(cell.recipe.to_json(), indent=2) + "\n", encoding="utf-8")
    words = [*train, "--recipe", str(recipe), "--save-dir", str(cell.folder), "--resume", "auto"]
    pipes, last = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True), ""
    # In a session of its own a Ctrl-C does not reach it beside us: a second signal would end it at once.
    with subprocess.Popen(words, env=inherited_environment(), start_new_session=True, **pipes) as process:
        try:
            for line in process.stdout:
                say(line.rstrip())
                last = line.strip() or last
        except KeyboardInterrupt:
            process.terminate()
            for line in process.stdout:
                say(line.rstrip())
            raise
    code = process.returncode
    if code == INTERRUPTED or code in (-signal.SIGINT, -signal.SIGTERM):
        raise KeyboardInterrupt
    if code < 0:  # what it said last is then no reason
        last = f"killed by {signal.Signals(-code).name}; the same command goes on"
    return code == 0 or _failed(cell, last or f"exit code {code}", say)


def _failed(cell: Cell, reason: str, say: Callable[[str], None]) -> bool:
    cell.failure.write_text(reason + "\n", encoding="utf-8")
    say(f"failed: {reason}")
    return False


_SCRIPTS = {"classification": "train_imagenet", "detection": "train_faster_rcnn", "segmentation": "train_fcn"}


def trainer(cell: Cell, scripts: pathlib.Path, launcher: Sequence[str] = ()) -> list[str]:
    """The words that start a cell's training: launcher such as horovodrun -np 8, this Python, its task's script."""
    return [*launcher, sys.executable, str(scripts / f"{_SCRIPTS[cell.recipe.task]}.py")]
