"""How long cells would take, from a short measurement of each kind of training on this machine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Optional

from gluon_tricks.core.environment import usable_cores
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import plural
from gluon_tricks.machine.devices import choose_contexts
from gluon_tricks.networks.checkpoint import list_checkpoints
from gluon_tricks.paper.cells import Cell
from gluon_tricks.paper.order import in_turns
from gluon_tricks.paper.speeds import LIMIT, Speeds, described, kind_of
from gluon_tricks.recipes.registry import get_table
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.tasks.registry import task_of
from gluon_tricks.tricks import Distillation

Images = Optional[tuple[int, int]]  # training and validation; None: not known
FORWARD = 1 / 3  # of a training step: the backward pass computes two products where the forward has one


def plan(todo: Sequence[Cell], jobs: int = 1, speeds: Speeds | None = None) -> list[str]:
    """A line per cell and the sum. The steps are measured on drawn pictures, whatever the data.

    Args:
        jobs: how many cells are trained at a time.
        speeds: where the speeds are from; None: what was measured before, or is measured now, told on stderr.
    """
    if not todo:
        return ["nothing is missing"]
    contexts = choose_contexts(None)
    devices = plural(len(contexts), "GPU") if contexts[0].device_type == "gpu" else plural(usable_cores(), "core")
    asked = [*(cell.recipe for cell in todo), *(_teaching(cell) for cell in todo if _learns(cell))]
    rates = _rates(asked, jobs, speeds or Speeds(lambda line: print(line, file=sys.stderr)))
    lines, lengths, counted = [], [], {}  # counted: of cells of the same images once
    for cell in todo:
        data = cell.recipe.task, cell.recipe.data, *_part(cell.recipe), cell.name.split("/")[0]
        counted[data] = images = counted.get(data) or _images(cell)
        hours = _hours(cell, images, rates)
        lengths.append(hours)
        most = "at most " if cell.recipe.open_ended else ""  # its validation results may end it earlier
        epochs = f"{most}{plural(_epochs_left(cell), 'epoch')}"
        lines.append(f"{cell.name}, seed {cell.recipe.seed}: {epochs} of {_told(cell, images, hours, rates)}")
    return [*lines, _total(todo, lengths, jobs, devices)]


def _told(cell: Cell, images: Images, hours: float | None, rates: dict[tuple, float | None]) -> str:
    """On how many images a cell is trained, and for how long."""
    if images is None:
        return f"{plural(cell.recipe.per_class, 'image')} of each class, whose number is not known without --data"
    unmeasured = f"{_unmeasured(cell, rates)} could not be measured on this machine now"
    about = "at most" if cell.recipe.open_ended else "about"
    return f"{plural(images[0], 'image')}, {unmeasured if hours is None else f'{about} {_time(hours)}'}"


def _total(todo: Sequence[Cell], lengths: Sequence[float | None], jobs: int, devices: str) -> str:
    unknown, count = lengths.count(None), plural(len(todo), "cell")
    if unknown == len(todo):
        return f"{count}, whose time is not known ({devices})"
    hours, _ = in_turns(todo, [hours or 0.0 for hours in lengths], jobs)
    beside = f", {jobs} cells at a time with one thread each" if jobs > 1 else ""
    more = f", without {plural(unknown, 'cell')} whose time is not known" if unknown else ""
    sooner = "; those with a plateau may end sooner, by results that nobody knows yet"
    said = sooner if any(cell.recipe.open_ended for cell in todo) else ""
    return f"{count}, about {_time(hours)} of training on this machine ({devices}){beside}{more}{said}"


def _hours(cell: Cell, images: Images, rates: dict[tuple, float | None]) -> float | None:
    """How long a cell takes; None: something of it could not be measured, or nobody knows on how many images."""
    if images is None or _unmeasured(cell, rates):
        return None
    train, val = images
    seconds = 1 / rates[kind_of(cell.recipe)]  # an image
    teacher = FORWARD / rates[kind_of(_teaching(cell))] if _learns(cell) else 0.0
    val *= 1 + any(trick.averages for trick in cell.recipe.tricks)  # the average is validated too
    pixels = cell.recipe.relative_pixels(_epochs_done(cell))  # of a training image, on which its time depends
    forward = 1 if cell.recipe.freeze else FORWARD  # frozen layers have no backward pass
    return _epochs_left(cell) * (train * pixels * (seconds + teacher) + val * seconds * forward) / 3600


def _unmeasured(cell: Cell, rates: dict[tuple, float | None]) -> str:
    """The network, its own or its teacher's, whose speed is not known; "": none."""
    parts = [cell.recipe, *([_teaching(cell)] if _learns(cell) else [])]
    return next((recipe.model for recipe in parts if rates[kind_of(recipe)] is None), "")


def work(todo: Sequence[Cell]) -> list[int]:
    """How many images each cell has still to be trained on, over all its epochs; 0: nobody knows."""
    return [_epochs_left(cell) * (_images(cell) or (0, 0))[0] for cell in todo]


def _epochs_left(cell: Cell) -> int:
    return cell.recipe.epochs - _epochs_done(cell)


def _epochs_done(cell: Cell) -> int:
    """How many epochs a training would not repeat: those of a record alone, without a checkpoint, it would."""
    return len(cell.metrics()) if list_checkpoints(cell.folder / "checkpoints") else 0


def replaced(todo: Sequence[Cell], shown: Sequence[Cell]) -> list[str]:
    """A line for each cell that is done and is trained anew, as its network is gone and others need it.

    And one for each that is done and tells that it began from a network that is trained anew.

    Args:
        shown: the cells of the table that is shown at the end.
    """
    anew = [
        f"{cell.name}, seed {cell.recipe.seed}, is done, but its network, {cell.folder / 'final.params'}, is gone: it "
        "is trained anew, and its record is replaced; to keep the record, put the network back or take other --runs"
        for cell in todo
        if cell.is_done()
    ]
    learners = [cell for cell in shown if cell.source in todo and cell not in todo and cell.told_networks()]
    return anew + [
        f"{cell.name}, seed {cell.recipe.seed}, is done, and began from {cell.source.name}, which is trained anew: "
        f"with other numbers there it will be refused; move {cell.folder} away, or put the old network back"
        for cell in learners
        if cell.is_done()
    ]


def amount(todo: Sequence[Cell]) -> str:
    """How many cells, and how many epochs are left of them."""
    epochs = sum(map(_epochs_left, todo))
    return f"{plural(len(todo), 'cell')}, {plural(epochs, 'epoch')} in all"


def _time(hours: float) -> str:
    if hours >= 1:
        return f"{hours:.1f} hours"
    return f"{60 * hours:.1f} minutes" if 60 * hours >= 1 else plural(round(3600 * hours), "second")


def _learns(cell: Cell) -> bool:
    return any(isinstance(trick, Distillation) for trick in cell.recipe.tricks)


def _teaching(cell: Cell) -> Settings:
    """The training of a cell's teacher whose forward pass is that of teaching: float32, on the student's images."""
    return cell.source.recipe.set(input_size=cell.recipe.input_size, dtype="float32")


def _part(recipe: Settings) -> tuple:
    """Which images it takes, of tasks that can take some."""
    return tuple(getattr(recipe, field, "") for field in ("train", "only_classes", "per_class"))


def _rates(recipes: Sequence[Settings], jobs: int, speeds: Speeds) -> dict[tuple, float | None]:
    """Kind of training -> images/s of one among `jobs`, of the first recipe of each kind; None: not measured."""
    kinds = {kind_of(recipe): recipe for recipe in reversed(recipes)}
    found = {}
    for number, (kind, recipe) in enumerate(reversed(kinds.items()), start=1):
        try:
            speed = speeds.of(recipe, jobs, place=f"{number} of {len(kinds)}")
            why = f"not even one step was over in {LIMIT:.0f} s; try again when the machine is idle"
        except RuntimeError as error:  # the training that was measured has died
            speed, why = None, str(error).strip().splitlines()[-1]
        if speed is None:
            speeds.say(f"{described(recipe)} cannot be measured: {why}")
        found[kind] = speed.images_per_second if speed else None
    return found


def _images(cell: Cell) -> Images:
    """Training and validation images: those of the records, or those of the paper where none are named and here.

    None: so many of each class, and nobody has said of how many classes.
    """
    try:
        return tuple(len(records) for records in task_of(cell.recipe).find_data(cell.recipe))
    except Refused:
        if getattr(cell.recipe, "train", ()):
            raise
        each = getattr(cell.recipe, "per_class", 0)
        return None if each else get_table(cell.name.split("/")[0]).images
