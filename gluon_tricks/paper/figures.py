"""Figures 3 and 4: schedules and what they lead to; what label smoothing does to logits. (1 and 2: diagrams.py)"""

from __future__ import annotations

import functools
import pathlib
import textwrap
from collections.abc import Iterator, Sequence

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import no_empty_folders, write_atomically, writing
from gluon_tricks.core.wording import plural
from gluon_tricks.paper import diagrams
from gluon_tricks.paper.cells import Cell, Runs
from gluon_tricks.paper.change_rates import magic_figure1
from gluon_tricks.paper.neighbours import magic_figure2
from gluon_tricks.recipes.registry import get_recipe
from gluon_tricks.recipes.tables.rows import IMAGENET_IMAGES
from gluon_tricks.tasks.classification.evaluation import collect_logits
from gluon_tricks.tasks.classification.evaluation_set import open_evaluation_set
from gluon_tricks.tasks.lettering import import_pyplot

SMOOTHING = {"without label smoothing": "cosine", "with label smoothing": "smooth"}
SCHEDULES = {"step decay": "efficient", "cosine decay": "cosine"}  # rows of table 6


def _panel(**texts):
    figure, panel = import_pyplot().subplots(figsize=(6.4, 4.2), layout="constrained")
    panel.set(**texts)
    panel.grid(alpha=0.3)
    return figure, panel


def figure3a():
    """Learning rate against epoch: warm-up, then step or cosine decay, at batch 1024. Source: figure 3a."""
    figure, panel = _panel(xlabel="epoch", ylabel="learning rate", title="schedules, batch 1024")
    for label, row in SCHEDULES.items():
        recipe = get_recipe(f"table6/resnet50_v1d/{row}")
        steps = IMAGENET_IMAGES[0] // recipe.batch_size
        lr_at, plan = recipe.schedule(steps)
        at = np.arange(0, plan.steps, steps // 20)
        panel.plot(at / steps, [lr_at(int(step)) for step in at], label=label)
    panel.legend()
    return figure


def figure3b(runs: Runs, seeds: int):
    """Validation top-1 against epoch under both schedules, from the runs of table 6. Source: figure 3b.

    Raises:
        Refused: one of the two has not been run.
    """
    figure, panel = _panel(xlabel="epoch", ylabel="top-1, %", title=_title("validation accuracy", runs))
    for label, row in SCHEDULES.items():
        histories = [cell.metrics() for cell in done(runs, f"table6/resnet50_v1d/{row}", seeds)]
        top1 = 100 * np.array([[epoch["val_top1"] for epoch in history] for history in histories])  # (seeds, epochs)
        epochs = np.arange(1, top1.shape[1] + 1)
        panel.plot(epochs, top1.mean(axis=0), marker=".", label=f"{label} ({plural(len(histories), 'seed')})")
        if len(top1) > 1:
            panel.fill_between(epochs, top1.min(axis=0), top1.max(axis=0), alpha=0.2)
    panel.xaxis.get_major_locator().set_params(integer=True)
    panel.legend()
    return figure


def figure4a(classes: int = 1000):
    """The gap between the true logit and the others at the optimum, log((K - 1)(1 - eps)/eps), against eps.

    Source: equation 5 and figure 4a.
    """
    eps = np.linspace(1e-4, 0.99, 500)
    figure, panel = _panel(xlabel="eps", ylabel="gap", title=f"theoretical gap of the logits, K = {classes}")
    panel.plot(eps, np.log((classes - 1) * (1 - eps) / eps))
    chosen = np.log((classes - 1) * 0.9 / 0.1)
    panel.annotate(f"eps 0.1: {chosen:.2f}", (0.1, chosen), (0.2, chosen + 3), arrowprops=dict(arrowstyle="-|>"))
    return figure


def figure4b(runs: Runs, seeds: int):
    """Histograms of the largest logit minus the mean of the others, over the validation images. Source: figure 4b.

    Raises:
        Refused: of one of the two there is no network.
    """
    gaps = {}
    for label, row in SMOOTHING.items():
        cells = with_network(runs, f"table6/resnet50_v1d/{row}", seeds)
        gaps[f"{label} ({plural(len(cells), 'seed')})"] = np.concatenate([logit_gaps(_logits(cell)) for cell in cells])
    texts = dict(xlabel="largest logit minus the mean of the others", ylabel="fraction of images")
    figure, panel = _panel(**texts, title=_title("logits with and without label smoothing", runs))
    edges = np.linspace(0, max(values.max() for values in gaps.values()), 60)
    for label, values in gaps.items():
        weights = np.full(len(values), 1 / len(values))
        panel.hist(values, edges, weights=weights, alpha=0.55, label=f"{label}: mean {values.mean():.2f}")
    panel.legend()
    return figure


def _logits(cell: Cell) -> np.ndarray:
    """(N, K) of the cell's network on its validation images."""
    evaluated = open_evaluation_set(str(cell.folder), [mx.cpu()], rec_val=cell.recipe.val)
    batches = evaluated.loader(64).epoch()
    logits = collect_logits(evaluated.net, batches, evaluated.preprocess("float32"), mx.cpu())[0]
    if not np.isfinite(logits).all():
        raise Refused(f"the network of {cell.folder} has diverged: its logits are not all finite")
    return logits


def logit_gaps(logits: np.ndarray) -> np.ndarray:
    """(N, K) -> (N,): the largest of each row minus the mean of the others."""
    largest, total = logits.max(axis=1), logits.sum(axis=1)
    return largest - (total - largest) / (logits.shape[1] - 1)


def done(runs: Runs, name: str, seeds: int) -> Sequence[Cell]:
    """The cells of a row that are done.

    Raises:
        Refused: none is.
    """
    cells = [cell for seed in range(seeds) if (cell := runs.cell(name, seed)) and cell.is_done()]
    if not cells:
        raise Refused(
            f"this figure is drawn from runs of {name}, and there is none at the scale {runs.scale.name}: "
            f"run gluon-tricks reproduce {name.split('/')[0]} --rows {name.split('/')[2]} "
            f"--scale {runs.scale.name} first"
        )
    return cells


def with_network(runs: Runs, name: str, seeds: int) -> Sequence[Cell]:
    """Those of `done` whose network is there: of some only the scores have been kept.

    Raises:
        Refused: there is none.
    """
    cells = [cell for cell in done(runs, name, seeds) if cell.has_result()]
    if not cells:
        raise Refused(
            f"this figure is drawn from networks, and of {name} only the scores have been kept at the scale "
            f"{runs.scale.name}: run gluon-tricks reproduce figure4 --scale {runs.scale.name} without --show"
        )
    return cells


def _title(what: str, runs: Runs) -> str:
    return "\n".join([what, *textwrap.wrap(f"({runs.scale.title})", 62)]) if runs.scale.title else what


ROWS = {"figure3": list(SCHEDULES.values()), "figure4": list(SMOOTHING.values())}  # of table 6, that are drawn from

DIAGRAMS = ("figure1", "figure2")  # of networks

# name -> panel -> how it is drawn; of figures that are drawn from a table of their own see pictures.py
FIGURES = {
    "figure1": {"": lambda runs, seeds: diagrams.figure1()},
    "figure2": {"": lambda runs, seeds: diagrams.figure2()},
    "figure3": {"a": lambda runs, seeds: figure3a(), "b": figure3b},
    "figure4": {"a": lambda runs, seeds: figure4a(), "b": figure4b},
    "magic_figure1": {"": magic_figure1},
    "magic_figure2": {"": magic_figure2},
}


UNTRAINED = tuple(name for name in FIGURES if name not in ROWS)  # drawn without a training: nothing of them is kept

TABLE_OF = {"magic_figure2": "magic_figure3"}  # figure -> the table whose scales and images it has; others: table6


def draw(name: str, runs: Runs, seeds: int, **more: Sequence[str]) -> Iterator[pathlib.Path]:
    """Draws a figure's panels as PNGs beside the runs, and says where they are one by one.

    Args:
        more: further arguments of the figure.
    """
    pyplot = import_pyplot()
    folder = runs.root / runs.scale.name
    for panel, make in FIGURES[name].items():
        figure = make(runs, seeds, **more)
        path = folder / f"{name}{panel}.png"
        with no_empty_folders(folder):
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, functools.partial(figure.savefig, format="png", dpi=110))
        pyplot.close(figure)
        yield path
