"""Results as pictures: the curves of a run."""

from __future__ import annotations

import pathlib

from gluon_tricks.checkpoint import Progress
from gluon_tricks.disk import write_atomically
from gluon_tricks.recipe import Recipe


def draw_curves(progress: Progress, steps_per_epoch: int, path: pathlib.Path, recipe: Recipe) -> None:
    """Loss, accuracy and learning rate over the epochs, as a PNG; dotted lines are where it was taken back to.

    Args:
        progress: with a row for each epoch.
        path: where the picture goes.
        recipe: what the title names.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    history = progress.history
    epochs = [row["epoch"] for row in history]
    figure, (losses, accuracies, rates) = pyplot.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    for panel, title, columns in (
        (losses, "cross-entropy, nats", {"training": "train_loss", "validation": "val_loss"}),
        (accuracies, "validation accuracy", {"top-1": "val_top1", "top-5": "val_top5"}),
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
    accuracies.yaxis.set_major_formatter(PercentFormatter(1.0))
    last = history[-1]
    back = f", taken back {len(progress.rollbacks)} times (dotted)" if progress.rollbacks else ""
    figure.suptitle(f"{recipe.name}: {recipe.model} at {recipe.input_size} px, top-1 {last['val_top1']:.2%}{back}")
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=110))
    pyplot.close(figure)
