"""One row of a shown table: the paper's scores, ours over the seeds, and whether they differ from the row above."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import scipy.stats

from gluon_tricks.paper.cells import Cell
from gluon_tricks.tasks.registry import task_of

LEVEL = 0.05  # of significance


@dataclasses.dataclass(frozen=True)
class Line:
    """One row of a shown table. Accuracies in percent.

    Args:
        key, label: the row's name in recipes, and as the paper prints it.
        column: which of the table's columns it is in.
        paper: the paper's two scores, nan where it has none.
        spread: their standard deviations, nan where it has none.
        cells: of the seeds.
        above: the line that its differences are to: the row it builds on, else the one above; None for the first.
        given: the difference that the paper names where it has no scores, else nan.
        weights: what its runs start from and nobody has named a file of; "": nothing is missing.
    """

    key: str
    label: str
    column: str
    paper: tuple[float, float]
    spread: tuple[float, float]
    cells: tuple[Cell, ...]
    above: Line | None
    given: float = math.nan
    weights: str = ""

    def top(self, k: int) -> dict[int, float]:
        """Seed -> the first (k = 0) or second (k = 1) score of the runs that are done."""
        scores = {cell.recipe.seed: cell.scores() for cell in self.cells}
        return {seed: 100 * score[k] for seed, score in scores.items() if score is not None and np.isfinite(score[k])}

    def ours(self, k: int) -> str:
        """mean ± standard deviation (number of seeds), or what there is instead; seeds that failed, with the reason."""
        values = list(self.top(k).values())
        if not self.cells:
            return f"not run (needs --weights {self.weights}=FILE)" if self.weights else "no proxy"
        if not values:
            begun = [(f"seed {c.recipe.seed} ", c.state()) for c in self.cells if c.state() != "not run"]
            told = [(seed if len(self.cells) > 1 else "") + state for seed, state in begun]
            return "; ".join(told).replace("done", "done, without a score") or "not run"
        failed = [f"; seed {c.recipe.seed} {c.state()}" for c in self.cells if c.state().startswith("failed")]
        computed = sorted(self.precisions())
        mixed = f" in {' and '.join(computed)}" if len(computed) > 1 else ""
        return mean_of(values) + mixed + "".join(failed if k == 0 else ())

    def has_second_score(self) -> bool:
        """Whether there is one that says something: the top 5 of at most five classes are all of them."""
        stored = [cell.stored() for cell in self.cells if cell.is_done()]
        told = [task_of(recipe).scores_of(recipe) for recipe in stored if recipe]
        return bool(self.top(1)) and all(scores.in_tables[1] in scores.labels for scores in told)

    def precisions(self) -> set[str]:
        """What its finished runs were computed in."""
        return {cell.precision() for cell in self.cells if cell.is_done()}

    def base(self) -> float | None:
        """Top-1 of the base network that all seeds start from, once one of them is done."""
        transferred = self.top(0) and self.cells[0].recipe.based and self.cells[0].source
        scores = self.cells[0].source.scores() if transferred else None
        return None if scores is None else 100 * scores[0]

    def paper_gain(self) -> str:
        if self.above is None:
            return ""
        gain = self.paper[0] - self.above.paper[0] if math.isnan(self.given) else self.given
        return "-" if np.isnan(gain) else f"{gain:+.2f}"

    def gain(self) -> str:
        """The mean difference of the first score over the seeds that both rows have, marked by `mark`."""
        if self.above is None:
            return ""
        ours, theirs = self.top(0), self.above.top(0)
        pairs = [ours[seed] - theirs[seed] for seed in ours.keys() & theirs.keys()]
        return f"{np.mean(pairs):+.2f} {mark(pairs)}" if pairs else ""


def mean_of(values: Sequence[float]) -> str:
    """12.34 ± 0.56 (3): mean, standard deviation and how many."""
    spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{np.mean(values):.2f}{spread} ({len(values)})"


def mark(differences: Sequence[float]) -> str:
    """* if the mean of paired differences is not 0 at the 5 % level (t-test), ~ if it may be noise, each with its p.

    "?": unknown. One pair says nothing about noise, and a few equal ones, as few images give them, hardly more.
    """
    if np.ptp(differences) < 1e-9:
        return "?"
    p = scipy.stats.ttest_1samp(differences, 0).pvalue
    return f"{'*' if p < LEVEL else '~'} (p {p:.3f})"
