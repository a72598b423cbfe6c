"""One row of a shown table: the paper's scores, ours over the seeds, and how they differ from the row above."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from gluon_tricks.paper.cells import Cell
from gluon_tricks.tasks.registry import task_of


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

    def ours(self, k: int, told: Callable[[float], float] = float) -> str:
        """mean ± standard deviation (number of seeds), or what there is instead; seeds that failed, with the reason.

        Args:
            told: score -> what is shown of it, such as an error, both in percent.
        """
        values = [told(score) for score in self.top(k).values()]
        if not self.cells:
            return f"not run (needs --network {self.weights}=SRC)" if self.weights else "no proxy"
        if not values:
            begun = [(f"seed {c.recipe.seed} ", c.state()) for c in self.cells if c.state() != "not run"]
            states = [(seed if len(self.cells) > 1 else "") + state for seed, state in begun]
            return "; ".join(states).replace("done", "done, without a score") or "not run"
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

    def paper_difference(self) -> float:
        """Of the first score; nan where there is no row above, or the paper has no numbers."""
        if self.above is None:
            return math.nan
        return self.paper[0] - self.above.paper[0] if math.isnan(self.given) else self.given

    def pairs(self) -> tuple[float, ...]:
        """The differences of the first score, one for each seed that both rows have."""
        return tuple(self.paired().values())

    def paired(self) -> dict[int, float]:
        """Seed -> the difference of the first score."""
        ours, theirs = self.top(0), self.above.top(0) if self.above else {}
        return {seed: ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())}


def error_of(score: float) -> float:
    """Both in percent."""
    return 100 - score


def mean_of(values: Sequence[float]) -> str:
    """12.34 ± 0.56 (3): mean, standard deviation and how many."""
    spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{np.mean(values):.2f}{spread} ({len(values)})"
