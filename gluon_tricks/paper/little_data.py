"""Transfer learning from few images: accuracy against how many there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gluon_tricks.paper.line import Line
from gluon_tricks.tasks.lettering import import_pyplot

_METHODS = {"frozen": "features frozen", "tuned": "all trained"}  # how keys of rows begin -> label


def curves(lines: Sequence[Line]):
    """Top-1 against the images of each class: the mean over the seeds, and its spread from the least to the most.

    Returns: a matplotlib figure; None where nothing has been run.
    """
    pyplot = import_pyplot()
    figure, panel = pyplot.subplots(figsize=(11, 4.6), layout="constrained")
    counts = list(dict.fromkeys(line.key.partition("_")[2] for line in lines))  # 10, 50, all
    for method, label in _METHODS.items():
        found = {
            line.key.partition("_")[2]: list(line.top(0).values()) for line in lines if line.key.startswith(method)
        }
        places = [k for k, count in enumerate(counts) if found.get(count)]
        values = [found[counts[k]] for k in places]
        if not values:
            continue
        seeds = " to ".join(map(str, sorted({min(map(len, values)), max(map(len, values))})))
        panel.plot(places, [np.mean(v) for v in values], marker="o", label=f"{label} (seeds: {seeds})")
        panel.fill_between(places, [min(v) for v in values], [max(v) for v in values], alpha=0.2)
    if not panel.lines:
        pyplot.close(figure)
        return None
    panel.set_xticks(range(len(counts)), [_images_of(lines, count) for count in counts])
    panel.set(xlabel="training images of each class", ylabel="validation top-1, %")
    panel.grid(alpha=0.3)
    panel.legend()
    return figure


def _images_of(lines: Sequence[Line], count: str) -> str:
    """What the recipes have, which at a proxy's scale may be fewer."""
    recipes = [cell.recipe for line in lines if line.key.endswith(f"_{count}") for cell in line.cells]
    return str(recipes[0].per_class or "all") if recipes else count
