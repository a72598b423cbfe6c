"""Loss against iterations, of training and of validation: figures 3 and 4 of Krähenbühl et al. (ICLR 2016)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import plural
from gluon_tricks.paper.cells import Cell
from gluon_tricks.paper.line import Line
from gluon_tricks.paper.metrics import mean_history
from gluon_tricks.report.told import read_step_losses
from gluon_tricks.tasks.lettering import import_pyplot

_FIRST = (10_000, 100_000)  # iterations that the document's upper rows show
_SMOOTHED = 20  # steps, of the unsmoothed loss


@dataclasses.dataclass(frozen=True)
class Curve:
    """What a row's runs have told.

    Args:
        label: of the row.
        losses: of each step, the mean over the seeds, (steps,).
        per_epoch: steps.
        validation: loss after each epoch, the mean over the seeds, (epochs,).
        seeds: of how many runs.
        classes: of the images.
    """

    label: str
    losses: np.ndarray
    per_epoch: int
    validation: np.ndarray
    seeds: int
    classes: int


def training_curves(lines: Sequence[Line]):
    """A panel of the training loss beside one of the validation loss, for each length of the document's that was run.

    The training loss is that of the network's own classifier. Over the first 10,000 iterations it is drawn as it is,
    below its mean over 20 steps (a fifth of all, of a short run); over more it is the mean over an epoch.

    Returns: a matplotlib figure; None where nothing has been run.

    Raises:
        Refused: a run does not have the loss of every step.

    Source: figures 3 and 4 of Krähenbühl et al.
    Differs: the validation loss is computed after each epoch, and in the document every 2000 iterations, of GoogLeNet
        every 4000.
    """
    done = {line.label: [cell for cell in line.cells if cell.is_done()] for line in lines}
    curves = [_curve(label, cells) for label, cells in done.items() if cells]
    if not curves:
        return None
    longest = max(len(curve.losses) for curve in curves)
    ends = [*(end for end in _FIRST if end < longest), longest]
    size = (11, 1 + 3.6 * len(ends))
    figure, rows = import_pyplot().subplots(len(ends), 2, figsize=size, layout="constrained", squeeze=False)
    for end, (training, validation) in zip(ends, rows):
        for k, curve in enumerate(curves):
            _draw_training(training, curve, end, f"C{k}")
            at = curve.per_epoch * np.arange(1, len(curve.validation) + 1)
            there = at <= end
            seen = f" ({plural(curve.seeds, 'seed')})" if curve.seeds > 1 else ""
            label = f"{curve.label}{seen}"
            validation.plot(at[there], curve.validation[there], marker="o", markersize=4, color=f"C{k}", label=label)
        for panel, what in ((training, "training"), (validation, "validation")):
            panel.set(
                title=f"{what} loss, {end:,} iterations", xlabel="iteration", ylabel="loss, nats", xlim=(0, 1.02 * end)
            )
            panel.axhline(math.log(curves[0].classes), color="grey", linestyle=":", linewidth=1, label="chance")
            panel.set_ylim(0, 1.4 * math.log(curves[0].classes))
            panel.grid(alpha=0.3)
        validation.legend(fontsize=9)
    return figure


def _draw_training(panel, curve: Curve, end: int, color: str) -> None:
    early = end <= _FIRST[0]
    window = max(min(_SMOOTHED if early else curve.per_epoch, len(curve.losses) // 5), 1)
    steps = np.arange(1, len(curve.losses) + 1)[:end]
    if early:
        panel.plot(steps, curve.losses[:end], color=color, alpha=0.25, linewidth=0.7)
    panel.plot(steps[window - 1 :], smoothed(curve.losses[:end], window), color=color, linewidth=1.6)


def smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """The mean over so many values that end at each: (N,) -> (N - window + 1,)."""
    return np.convolve(values, np.ones(window) / window, mode="valid")


def _curve(label: str, cells: Sequence[Cell]) -> Curve:
    losses = [_losses(cell) for cell in cells]
    shortest = min(map(len, losses))
    validation = mean_history([[epoch["val_loss"] for epoch in cell.metrics()] for cell in cells])
    return Curve(
        label, np.mean([of_run[:shortest] for of_run in losses], axis=0), shortest // len(validation),
        validation, len(cells), cells[0].stored().classes,
    )  # fmt: skip


def _losses(cell: Cell) -> np.ndarray:
    """Of each step from the first to the last. Raises Refused: steps are missing."""
    found = read_step_losses(cell.folder)
    if sorted(found) != [*range(1, len(found) + 1)] or not found:
        raise Refused(
            f"{cell.folder}/steps.csv does not have the loss of every step, as that of an older version: move the run "
            "away, and it is run again"
        )
    return np.array([found[step] for step in sorted(found)])
