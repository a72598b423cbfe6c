"""The curves of a run, or of several together, as charts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from gluon_tricks.networks.averaged import AVERAGE, RAW
from gluon_tricks.page.charts import Line, Mark, chart
from gluon_tricks.report.run import Run

_MOST_STEPS = 240  # points of the loss of steps


def run_curves(run: Run) -> str:
    """Loss, scores and learning rate of one run, as HTML."""
    marks = [Mark("resumed", at, 0) for at in run.places("resume") if at > 0]
    marks += [Mark("taken back to here", at, 1) for at in run.places("rollback")]
    epochs = [row["epoch"] for row in run.rows]
    losses = [Line("training", epochs, _column(run.rows, "train_loss"))]
    if "val_loss" in run.scores.labels:
        losses.append(Line("validation", epochs, _column(run.rows, "val_loss"), 1))
    x, y = _steps(run)
    if len(x) > 1:
        losses.append(Line("training, step by step", x, y, 0, faint=True))
    measured = [
        Line(f"{label}, validation", epochs, _column(run.rows, column), k + 1)
        for k, (column, label) in enumerate(measured_of(run).items())
    ]
    for end, name in ((RAW, "of the trained weights"), (AVERAGE, "of their average")):
        if any(map(math.isfinite, both := _column(run.rows, f"{run.scores.compared}{end}"))):
            label = run.scores.labels[run.scores.compared]
            measured.append(Line(f"{label}, {name}", epochs, both, len(measured) + 1))
    wrong = _column(run.rows, "train_error")
    if any(map(math.isfinite, wrong)):
        first = run.scores.labels[run.scores.in_tables[0]]
        measured.append(Line(f"{first}, training", epochs, [1 - error for error in wrong], 0))
    charts = (
        chart("Loss per image", losses, "epoch", _unit(run), marks=marks),
        chart("Scores", measured, "epoch", "score", marks=marks, percent=True),
        chart("Learning rate at the epoch's end", [Line("learning rate", epochs, _column(run.rows, "lr"), 2)], "epoch",
              "rate", marks=marks),
    )  # fmt: skip
    return f'<div class="charts">{"".join(charts)}</div>'


def joint_curves(runs: Sequence[Run], names: Sequence[str]) -> str:
    """The same of several runs: of each thing a chart with a line for each run."""
    first = runs[0]
    columns = {"train_loss": "Training loss per image"}
    columns |= {"val_loss": "Validation loss per image"} if "val_loss" in first.scores.labels else {}
    charts = []
    for column, title in columns.items():
        charts.append(chart(title, _of_each(runs, names, column), "epoch", _unit(first)))
    for column, label in measured_of(first).items():
        charts.append(chart(f"{label}, validation", _of_each(runs, names, column), "epoch", "score", percent=True))
    charts.append(chart("Learning rate at the epoch's end", _of_each(runs, names, "lr"), "epoch", "rate"))
    return f'<div class="charts">{"".join(charts)}</div>'


def measured_of(run: Run) -> dict[str, str]:
    """Columns of metrics.csv that are scores, the losses left out -> what they are called."""
    return {column: label for column, label in run.scores.labels.items() if column != "val_loss"}


def _unit(run: Run) -> str:
    """Of a loss: where one is told in validation it is a cross-entropy; a detector's has boxes in it, too."""
    return "nats" if "val_loss" in run.scores.labels else "loss"


def _of_each(runs: Sequence[Run], names: Sequence[str], column: str) -> list[Line]:
    return [
        Line(name, [row["epoch"] for row in run.rows], _column(run.rows, column), k)
        for k, (run, name) in enumerate(zip(runs, names))
    ]


def _column(rows: Sequence[Mapping[str, float]], name: str) -> list[float]:
    return [row.get(name, math.nan) for row in rows]


def _steps(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """The loss of the steps as means of stretches: at which epochs they end, and the means."""
    each = run.steps_per_epoch()
    steps = sorted(step for step, loss in run.losses.items() if step > 0 and math.isfinite(loss))
    if not each or not steps:
        return np.zeros(0), np.zeros(0)
    parts = np.array_split(np.array(steps, np.float64), min(_MOST_STEPS, len(steps)))
    values = np.array_split(np.array([run.losses[step] for step in steps]), len(parts))
    return np.array([part[-1] for part in parts]) / each, np.array([part.mean() for part in values])
