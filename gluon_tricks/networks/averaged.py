"""Of a run that averages its weights: which of the two networks is the run's, the trained one or the average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gluon_tricks.recipes.settings import Settings
from gluon_tricks.tricks import Trick

RAW, AVERAGE = "_raw", "_average"  # how columns of metrics.csv end that have the score of one of them


def averaging(recipe: Settings) -> Trick | None:
    """The trick of a recipe that averages; None: it has none."""
    return next((trick for trick in recipe.tricks if trick.averages), None)


def keeps_average(recipe: Settings, rows: Sequence[Mapping[str, float]]) -> bool:
    """Whether a run's network is the average. Args: rows: of metrics.csv, so far."""
    trick = averaging(recipe)
    if trick is None:
        return False
    scored = {column[-len(end) :]: value for column, value in (rows[-1] if rows else {}).items()
              for end in (RAW, AVERAGE) if column.endswith(end)}  # fmt: skip
    return trick.keeps_average(scored.get(RAW, 0.0), scored.get(AVERAGE, 0.0))
