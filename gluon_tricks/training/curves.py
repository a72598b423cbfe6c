"""Results as pictures: the curves of a run."""

from __future__ import annotations

import math
import pathlib

from gluon_tricks.core.files import write_atomically
from gluon_tricks.core.wording import plural, printable
from gluon_tricks.networks.checkpoint import Progress
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.tasks.lettering import import_pyplot
from gluon_tricks.tasks.protocol import Scores


def draw_curves(progress: Progress, steps_per_epoch: int, path: pathlib.Path, recipe: Settings, scores: Scores) -> None:
    """Losses, scores and learning rate over the epochs, as a PNG; dotted lines are where it was taken back to.

    Args:
        progress: with a row for each epoch.
        path: where the picture goes.
        recipe: what the title names.
        scores: of the last epoch.
    """
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    pyplot, history = import_pyplot(), progress.history
    epochs = [row["epoch"] for row in history]
    measured = {label: column for column, label in scores.labels.items() if column != "val_loss"}
    wrong = [row.get("train_error", math.nan) for row in history]  # earlier versions did not count them
    lost = {"training": "train_loss", **({"validation": "val_loss"} if "val_loss" in scores.labels else {})}
    margins = dict(left=0.065, right=0.99, bottom=0.135, top=0.82, wspace=0.27)  # a layout that is sought takes longer
    figure, (losses, metrics, rates) = pyplot.subplots(1, 3, figsize=(13, 3.8), gridspec_kw=margins)
    for panel, title, columns in (
        (losses, "loss per image", lost),
        (metrics, "validation", measured),
        (rates, "learning rate at the epoch's end", {"lr": "lr"}),
    ):
        for label, column in columns.items():
            panel.plot(epochs, [row[column] for row in history], label=label, marker="." if len(epochs) < 40 else "")
        for step in progress.rollbacks:
            panel.axvline(step / steps_per_epoch, color="0.4", linestyle=":")
        panel.set(title=title, xlabel="epoch")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(alpha=0.3)
        if len(columns) > 1:
            panel.legend()
    if not all(map(math.isnan, wrong)):
        first = scores.labels[scores.in_tables[0]]
        metrics.plot(epochs, [1 - error for error in wrong], "--", color="C0", label=f"{first}, training")
        metrics.set_title("validation, and training (dashed)")
        metrics.legend()
    metrics.yaxis.set_major_formatter(PercentFormatter(1.0))
    back = f", taken back {plural(len(progress.rollbacks), 'time')} (dotted)" if progress.rollbacks else ""
    name = printable(recipe.name).replace("$", r"\$")  # it is no formula
    figure.suptitle(f"{name}: {recipe.model}, {scores}{back}")
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=110))
    pyplot.close(figure)
