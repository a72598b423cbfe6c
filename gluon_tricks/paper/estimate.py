"""How long cells would take, from a short measurement of each kind of training on this machine."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import tempfile
from collections.abc import Callable, Sequence

from gluon_tricks.core.environment import usable_cores
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import plural
from gluon_tricks.machine.devices import choose_contexts
from gluon_tricks.paper.cells import Cell
from gluon_tricks.paper.contest import Contestant, measure
from gluon_tricks.recipes.kinds import recipe_from_json
from gluon_tricks.recipes.registry import get_table
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.tasks.registry import task_of
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_epoch
from gluon_tricks.training.prepare import prepare
from gluon_tricks.tricks import Distillation

FORWARD = 1 / 3  # of a training step: the backward pass computes two products where the forward has one
_STEPS = 2
_PIXELS = {"cpu": 16 * 224**2, "gpu": 128 * 224**2}  # of a device's part of a measured batch, at most


def plan(todo: Sequence[Cell]) -> list[str]:
    """A line per cell and the sum. The steps are measured on drawn pictures, whatever the data."""
    if not todo:
        return ["nothing is missing"]
    contexts = choose_contexts(None)
    devices = plural(len(contexts), "GPU") if contexts[0].device_type == "gpu" else plural(usable_cores(), "core")
    rates = _rates([*(cell.recipe for cell in todo), *(_teaching(cell) for cell in todo if _learns(cell))])
    lines, total, counted = [], 0.0, {}
    for cell in todo:
        data = cell.recipe.task, cell.recipe.data, *_part(cell.recipe), cell.name.split("/")[0]
        train, val = counted[data] = counted.get(data) or _images(cell)
        seconds = 1 / rates[_kind(cell.recipe)]  # an image
        teacher = FORWARD / rates[_kind(_teaching(cell))] if _learns(cell) else 0.0
        epochs = cell.recipe.epochs - len(cell.metrics())
        val *= 1 + any(trick.averages for trick in cell.recipe.tricks)  # the average is validated too
        hours = epochs * (train * (seconds + teacher) + val * seconds * FORWARD) / 3600
        total += hours
        most = "at most " if cell.recipe.open_ended else ""  # its validation results may end it earlier
        images = f"{most}{plural(epochs, 'epoch')} of {plural(train, 'image')}"
        lines.append(f"{cell.name}, seed {cell.recipe.seed}: {images}, {most or 'about '}{_time(hours)}")
    sooner = "; those with a plateau may end sooner, by results that nobody knows yet"
    said = sooner if any(cell.recipe.open_ended for cell in todo) else ""
    return [*lines, f"{plural(len(todo), 'cell')}, about {_time(total)} of training on this machine ({devices}){said}"]


def amount(todo: Sequence[Cell]) -> str:
    """How many cells, and how many epochs are left of them."""
    epochs = sum(cell.recipe.epochs - len(cell.metrics()) for cell in todo)
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


def _kind(recipe: Settings) -> tuple:
    passes = 1 + sum(trick.climbs for trick in recipe.tricks)
    network = recipe.task, recipe.model, str(recipe.net), recipe.sides
    return *network, recipe.batch_size, recipe.dtype, recipe.freeze, passes


def _part(recipe: Settings) -> tuple:
    """Which images it takes, of tasks that can take some."""
    return tuple(getattr(recipe, field, "") for field in ("train", "only_classes", "per_class"))


def _rates(recipes: Sequence[Settings]) -> dict[tuple, float]:
    """Kind of training -> images/s, of the first recipe of each kind."""
    found = {}
    for kind, recipe in {_kind(recipe): recipe for recipe in reversed(recipes)}.items():
        recipe = task_of(recipe).drawn(recipe).set(epochs=999)
        # What takes a network or images from elsewhere takes no time in a step that is measured.
        arguments = dict(recipe=recipe.without("distillation").without("data_dependent_init").to_json())
        contestant = Contestant(recipe.model, f"{__name__}:training", arguments)
        (found[kind],) = measure([contestant], rounds=1)[recipe.model]
    return found


def training(recipe: dict) -> Callable[[], float]:
    """A contestant: a few steps of a recipe in JSON, with batches that any machine has room for."""
    read, contexts = recipe_from_json(recipe), choose_contexts(None)
    if read.net.get("norm_layer") == "SyncBatchNorm":
        contexts = contexts[:1]  # a rank has one
    most = _PIXELS[contexts[0].device_type] // read.sides[0] ** 2
    images = max(min(read.batch_size // len(contexts), most), 1)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gluon_tricks_plan_"))  # below the contest's own, and gone with it
    options = Options(contexts=contexts, log_interval=10**9)
    job = prepare(read.set(batch_size=images * len(contexts), bn_batch=None), folder, options)
    job.task.train.steps_per_epoch = min(_STEPS, job.task.train.steps_per_epoch)
    job.plan, epochs = dataclasses.replace(job.plan, steps_per_epoch=job.task.train.steps_per_epoch), itertools.count()

    def play() -> float:
        job.progress.seconds = 0.0
        train_epoch(job, next(epochs))
        return job.plan.steps_per_epoch * job.recipe.batch_size / job.progress.seconds

    return play


def _images(cell: Cell) -> tuple[int, int]:
    """Training and validation images: those of the records, or those of the paper where they are not here."""
    try:
        return tuple(len(records) for records in task_of(cell.recipe).find_data(cell.recipe))
    except Refused:
        return get_table(cell.name.split("/")[0]).images
