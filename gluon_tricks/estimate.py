"""How long cells would take, from a short measurement of each kind of training step on this machine."""

from __future__ import annotations

from collections.abc import Sequence

import mxnet as mx

from gluon_tricks.benchmarks.contest import Contestant, measure
from gluon_tricks.cells import Cell
from gluon_tricks.comparison import IMAGENET_IMAGES
from gluon_tricks.data import shapes
from gluon_tricks.data.catalog import find_records
from gluon_tricks.devices import choose_precision
from gluon_tricks.runtime import Refused, usable_cores

FORWARD = 1 / 3  # of a training step: the backward pass computes two products where the forward has one
_STEPS = 2


def plan(todo: Sequence[Cell]) -> list[str]:
    """A line per cell and the sum. The steps are measured on drawn images, whatever the data."""
    if not todo:
        return ["nothing is missing"]
    rates = _rates({_kind(cell) for cell in (*todo, *(cell.teacher for cell in todo if cell.teacher))})
    lines, total = [], 0.0
    for cell in todo:
        train, val = _images(cell)
        step = 1 / rates[_kind(cell)]
        teacher = FORWARD / rates[_kind(cell.teacher)] if cell.teacher else 0.0
        epochs = cell.recipe.epochs - len(cell.metrics())
        hours = epochs * (train * (step + teacher) + val * step * FORWARD) / 3600
        total += hours
        lines.append(f"{cell.name}, seed {cell.recipe.seed}: {epochs} epochs of {train} images, about {hours:.2f} h")
    return [*lines, f"{len(todo)} cells, about {total:.1f} hours on this machine ({usable_cores()} cores)"]


def _kind(cell: Cell) -> tuple[str, int, int, str]:
    recipe = cell.recipe
    precision = choose_precision(recipe.dtype, [mx.cpu()])[0]
    return recipe.model, recipe.input_size, recipe.batch_size, precision


def _rates(kinds) -> dict[tuple, float]:
    """Kind of step -> images/s."""
    rec, found = str(shapes.ensure() / "train.rec"), {}
    for kind in sorted(kinds):
        model, size, batch_size, dtype = kind
        arguments = dict(
            rec=rec, model=model, size=size, batch_size=batch_size, threads=usable_cores(), steps=_STEPS, dtype=dtype
        )
        place = "gluon_tricks.benchmarks.train:fixed_batch"
        (found[kind],) = measure([Contestant(model, place, arguments)], rounds=1)[model]
    return found


def _images(cell: Cell) -> tuple[int, int]:
    """Training and validation images: those of the records, or ImageNet's where it is not here."""
    try:
        return tuple(len(records) for records in find_records(cell.recipe))
    except Refused:
        return IMAGENET_IMAGES, 50_000
