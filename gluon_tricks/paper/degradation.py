"""The degradation problem: errors in training and in testing, as the rows of a table and as curves.

Source: He et al., Deep residual learning (CVPR 2016), section 4.2, figure 6; ILSVRC winners, "Degradation problem".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from gluon_tricks.core.wording import plural
from gluon_tricks.paper import paired
from gluon_tricks.paper.line import Line, error_of, mean_of
from gluon_tricks.paper.metrics import mean_history
from gluon_tricks.paper.paired import Effect
from gluon_tricks.tasks.lettering import import_pyplot

LEGEND = (
    "Errors in percent. Test: of the validation images after the last epoch. Training: of the images of the last epoch "
    "as the steps saw them, cropped and flipped, the network moving all the time, as in the document's curves. Ours: "
    f"mean ± standard deviation (seeds). Differences are to the row in brackets, {paired.LEGEND}"
)


def errors(lines: Sequence[Line], effects: Mapping[str, Effect]) -> list[dict[str, str]]:
    """What is shown of each row: heading -> text. effects: of accuracies, so that errors have the other sign."""
    test = {key: -effect for key, effect in effects.items()}
    in_training = paired.tested(
        {line.key: _pairs(training(line), training(line.above)) for line in lines if line.above}
    )
    return [_row(line, test, in_training) for line in lines]


def _row(line: Line, test: Mapping[str, Effect], in_training: Mapping[str, Effect]) -> dict[str, str]:
    beside = f" ({line.above.label})" if line.above else ""
    return {
        "Network": line.label,
        "Paper, test error": "-" if math.isnan(line.paper[0]) else f"{error_of(line.paper[0]):.2f}",
        "Ours, test error": line.ours(0, error_of),
        "Ours, training error": _told(training(line)),
        **paired.shown(test, line.key, "Difference, test error", "Test: ", beside),
        **paired.shown(in_training, line.key, "Difference, training error", "Training: ", beside),
    }


def training(line: Line) -> dict[int, float]:
    """Seed -> the training error of the last epoch, percent, of the runs that are done and have one."""
    done = {cell.recipe.seed: cell.metrics()[-1] for cell in line.cells if cell.is_done()}
    found = {seed: 100 * row.get("train_error", math.nan) for seed, row in done.items()}
    return {seed: error for seed, error in found.items() if not math.isnan(error)}


def _told(values: dict[int, float]) -> str:
    return mean_of(list(values.values())) if values else "-"


def _pairs(ours: dict[int, float], theirs: dict[int, float]) -> list[float]:
    return [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]


def curves(lines: Sequence[Line]):
    """Errors against epoch: plain networks on the left, residual ones on the right; dashed: training, bold: testing.

    Each is the mean over the seeds that are done.

    Returns: a matplotlib figure; None where nothing has been run.
    """
    from matplotlib.ticker import MaxNLocator

    pyplot = import_pyplot()
    figure, panels = pyplot.subplots(1, 2, figsize=(11, 4.6), sharey=True, layout="constrained")
    plain = [line for line in lines if line.key.startswith("plain")]
    others = [line for line in lines if line not in plain]
    for panel, title, shown in zip(panels, ("plain networks", "residual networks"), (plain, others)):
        for k, line in enumerate(shown):
            _draw(panel, line, f"C{k}")
        panel.set(title=title, xlabel="epoch")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(alpha=0.3)
        if panel.lines:
            panel.legend()
    panels[0].set_ylabel("error, %")
    if any(panel.lines for panel in panels):
        return figure
    pyplot.close(figure)
    return None


def _draw(panel, line: Line, colour: str) -> None:
    histories = [cell.metrics() for cell in line.cells if cell.is_done()]
    if not histories:
        return
    test = mean_history([[100 - 100 * row["val_top1"] for row in history] for history in histories])
    training = mean_history([[100 * row.get("train_error", math.nan) for row in history] for history in histories])
    epochs = range(1, len(test) + 1)
    label = f"{line.label} ({plural(len(histories), 'seed')})"
    panel.plot(epochs, test, color=colour, linewidth=2.4, label=f"{label}, test")
    if not np.isnan(training).all():
        panel.plot(epochs, training, "--", color=colour, linewidth=1.2, label=f"{label}, training")
