"""Numbers of many classes as bars in a table: the worst at hand, all of them behind a click."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gluon_tricks.core.wording import plural
from gluon_tricks.page.skeleton import folded, table, text

FEW = 30  # classes that are all shown at once


def bar(value: float, tint: str = "#cfe2f3") -> str:
    """A fraction as a bar with its number in percent. NaN: a dash."""
    if not math.isfinite(value):
        return '<div class="bar" style="--v:0%">–</div>'
    share = min(max(value, 0.0), 1.0)
    return f'<div class="bar" style="--v:{100 * share:.1f}%;--tint:{tint}">{100 * value:.1f}</div>'


def class_bars(
    names: Sequence[str], counted: str, counts: np.ndarray, columns: dict[str, np.ndarray], noun: str = "class"
) -> str:
    """A table of classes, the lowest of the last column first.

    Args:
        names: K, text.
        counted: what counts are of ("images").
        counts: (K,).
        columns: head -> fractions (K,); NaN where a class has none, which comes last.
    """
    last = [*columns.values()][-1]
    order = np.argsort(np.where(np.isnan(last), np.inf, last), kind="stable").tolist()
    tints = ("#cfe2f3", "#d7ead3", "#f6dfc0")
    heads = [text(noun), text(counted), *(f"{text(head)} %" for head in columns)]

    def rows(of: Sequence[int]) -> str:
        cells = [
            [text(names[k]), f"{int(counts[k]):,}", *(bar(values[k], t) for values, t in zip(columns.values(), tints))]
            for k in of
        ]
        return table(heads, cells, numbers=(1,))

    if len(order) <= FEW:
        return rows(order)
    all_of_them = folded(f"All {plural(len(order), noun)}", rows(order))
    return f"<p>The {FEW} lowest of {plural(len(order), noun)}.</p>{rows(order[:FEW])}{all_of_them}"
