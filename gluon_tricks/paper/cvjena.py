"""Tables and figure of the ImageNet models with batch normalisation: errors in percent, and their way down.

Source: Simon et al., ImageNet pre-trained models with batch normalization (2016), table 1 and figure 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from gluon_tricks.core.wording import plural
from gluon_tricks.paper import paired
from gluon_tricks.paper.cells import Cell
from gluon_tricks.paper.line import Line, error_of
from gluon_tricks.paper.paired import Effect
from gluon_tricks.recipes.tables import cvjena_table1
from gluon_tricks.report.told import tell
from gluon_tricks.tasks.lettering import import_pyplot

LEGEND = (
    "Errors of one crop in percent, on the validation images after the last epoch; ours: mean ± standard deviation "
    f"(seeds). Differences are of the top-1 error, to the row in brackets, {paired.LEGEND}"
)


def errors(lines: Sequence[Line], effects: Mapping[str, Effect]) -> list[dict[str, str]]:
    """What is shown of each row: heading -> text. effects: of accuracies, so that errors have the other sign."""
    of_errors = {key: -effect for key, effect in effects.items()}
    return [_row(line, of_errors) for line in lines]


def _row(line: Line, effects: Mapping[str, Effect]) -> dict[str, str]:
    beside = f" ({line.above.label})" if line.above else ""
    return {
        "Network": line.label,
        "Document, top-1 / top-5 error": _both([*map(error_of, line.paper)]),
        "Ours, top-1 error": line.ours(0, error_of),
        "Ours, top-5 error": line.ours(1, error_of) if line.has_second_score() else "",
        **paired.shown(effects, line.key, "Difference", beside=beside),
    }


def errors_beside_originals(lines: Sequence[Line], effects: Mapping[str, Effect]) -> list[dict[str, str]]:
    """As errors, and what the document cites of the networks without batch normalisation."""
    rows = []
    for line, row in zip(lines, errors(lines, effects)):
        errors_of = cvjena_table1.ERRORS_OF_ORIGINALS.get(line.column, (math.nan,) * 2)
        beside = {"Original, top-1 / top-5 error": "" if line.key == "original" else _both(errors_of)}
        first, second, *rest = row.items()
        rows.append(dict([first, second, *beside.items(), *rest]))
    return rows


def _both(values: Sequence[float]) -> str:
    return " / ".join("-" if math.isnan(value) else f"{value:.1f}" for value in values)


def training_hours(cell: Cell) -> np.ndarray:
    """When each epoch had been trained, by the images of an epoch and the images per second that the run tells.

    Returns: (epochs,), hours of training alone; empty where the run has not kept how many images it had.
    """
    told = [event["steps_per_epoch"] for event in cell.events() if tell(event, "steps_per_epoch")]
    if not told:
        return np.zeros(0)
    rates = np.array([row["images_per_second"] for row in cell.metrics()])
    return np.cumsum(told[-1] * cell.recipe.batch_size / rates) / 3600


def curves(lines: Sequence[Line]):
    """Top-1 error against the time of training, bold, over the learning rate, grey; the mean of each row's seeds.

    Where a run has not kept its times, all are drawn against epochs.

    Returns: a matplotlib figure; None where nothing has been run.
    """
    shown = [(line, [cell for cell in line.cells if cell.is_done()]) for line in lines]
    shown = [(line, cells, [training_hours(cell) for cell in cells]) for line, cells in shown if cells]
    if not shown:
        return None
    timed = all(len(of_run) for *_, hours in shown for of_run in hours)
    figure, panel = import_pyplot().subplots(figsize=(9, 4.8), layout="constrained")
    rates = panel.twinx()
    for k, (line, cells, hours) in enumerate(shown):
        histories = [cell.metrics() for cell in cells]
        error = np.mean([[100 - 100 * row["val_top1"] for row in history] for history in histories], axis=0)
        at = np.mean(hours, axis=0) if timed else np.arange(1, len(error) + 1)
        label = f"{line.label} ({plural(len(cells), 'seed')}): {error[-1]:.2f} %"
        dashes = ("-", "--", ":")[k % 3]  # of a row's error and of its rate
        panel.plot(at, error, dashes, color=f"C{k}", linewidth=2.2, label=label)
        rate = np.mean([[row["lr"] for row in history] for history in histories], axis=0)
        rates.plot(at, rate, dashes, color="grey", linewidth=1.2)
    panel.set(xlabel="hours of training" if timed else "epoch", ylabel="validation top-1 error, %")
    rates.set(ylabel="learning rate at the epoch's end (grey)", ylim=(0, None))
    panel.set_zorder(rates.get_zorder() + 1)  # the errors lie above the rates
    panel.patch.set_visible(False)
    panel.grid(alpha=0.3)
    panel.legend(loc="upper right")
    return figure
