"""A table of the paper with ours beside it: what was measured, over which seeds, and what of it exceeds the noise."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence

import numpy as np
import scipy.stats

from gluon_tricks.cells import Cell, Runs
from gluon_tricks.recipes import get_table
from gluon_tricks.table import Table

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Line:
    """One row of a shown table. Accuracies in percent.

    Args:
        label: as the paper prints it.
        paper: its (top-1, top-5).
        cells: of the seeds.
        above: the line that its differences are to: the row it builds on, else the one above; None for the first.
    """

    label: str
    paper: tuple[float, float]
    cells: tuple[Cell, ...]
    above: Line | None

    def top(self, k: int) -> dict[int, float]:
        """Seed -> top-1 (k = 0) or top-5 (k = 1) of the runs that are done."""
        scores = {cell.recipe.seed: cell.scores() for cell in self.cells}
        return {seed: 100 * score[k] for seed, score in scores.items() if score is not None}

    def ours(self, k: int) -> str:
        """mean +- standard deviation (number of seeds), or what there is instead."""
        values = list(self.top(k).values())
        if not values:
            states = [cell.state() for cell in self.cells]
            return max(states, key=lambda state: state != "not run") if states else "no proxy"
        spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
        return f"{np.mean(values):.2f}{spread} ({len(values)})"

    def paper_gain(self) -> str:
        return f"{self.paper[0] - self.above.paper[0]:+.2f}" if self.above else ""

    def gain(self) -> str:
        """The mean difference of top-1 over the seeds that both rows have; * if it exceeds its noise."""
        if self.above is None:
            return ""
        ours, theirs = self.top(0), self.above.top(0)
        pairs = [ours[seed] - theirs[seed] for seed in ours.keys() & theirs.keys()]
        return f"{np.mean(pairs):+.2f}{mark(pairs)}" if pairs else ""


def mark(differences: Sequence[float]) -> str:
    """* if the mean of paired differences is not 0 at the 5 % level (t-test), ~ if it may be noise, ? for one pair."""
    if len(differences) < 2:
        return " ?"
    spread = np.std(differences, ddof=1) / np.sqrt(len(differences))
    bound = scipy.stats.t.ppf((1 + CONFIDENCE) / 2, len(differences) - 1) * spread
    return " *" if abs(np.mean(differences)) > bound else " ~"


LEGEND = (
    "Top-1 / top-5 in percent on the validation images after the last epoch; ours: mean ± standard deviation (seeds). "
    "Differences are of top-1, to the row that a row builds on (the one above where it builds on none), paired by "
    "seed: `*` exceeds its noise (t-test, 95 %), `~` does not, `?` is a single pair."
)


def sections(
    table_name: str, runs: Runs, seeds: int, columns: Sequence[str] = (), rows: Sequence[str] = ()
) -> dict[str, list[Line]]:
    """Column -> its lines."""
    table, found = get_table(table_name), {}
    for column in columns or table.columns:
        lines: dict[str, Line] = {}
        for row in table.shown(column):
            if rows and row.key not in rows:
                continue
            cells = [runs.cell(f"{table.name}/{column}/{row.key}", seed) for seed in range(seeds)]
            above = lines.get(row.base) or (list(lines.values())[-1] if lines else None)
            lines[row.key] = Line(row.label, row.paper[column], tuple(c for c in cells if c is not None), above)
        if lines:
            found[column] = list(lines.values())
    return found


HEADER = ("Row", "Paper", "Ours top-1", "Ours top-5", "Paper's difference", "Our difference")


def cells_of(line: Line) -> tuple[str, ...]:
    paper = f"{line.paper[0]:.2f} / {line.paper[1]:.2f}"
    return (line.label, paper, line.ours(0), line.ours(1) if line.top(1) else "", line.paper_gain(), line.gain())


def title(table: Table, runs: Runs) -> str:
    proxy = f" ({runs.scale.title})" if runs.scale.title else ""
    return f"{table.name}: {table.title}{proxy}"


def columns_title(column: str, lines: Sequence[Line]) -> str:
    """The column, and what stands for it where it is a proxy."""
    models = sorted({f"{c.recipe.model} at {c.recipe.input_size} px" for line in lines for c in line.cells})
    return f"{column}: {', '.join(models)}" if models else f"{column}: no proxy at this scale"


def markdown(table_name: str, runs: Runs, seeds: int, columns: Sequence[str] = (), rows: Sequence[str] = ()) -> str:
    """The table in Markdown."""
    parts = [f"# {title(get_table(table_name), runs)}", LEGEND]
    for column, lines in sections(table_name, runs, seeds, columns, rows).items():
        body = [HEADER, ["---"] * len(HEADER), *(cells_of(line) for line in lines)]
        parts += [f"## {columns_title(column, lines)}", "\n".join(f"| {' | '.join(row)} |" for row in body)]
    return "\n\n".join(parts) + "\n"


def as_csv(table_name: str, runs: Runs, seeds: int, columns: Sequence[str] = (), rows: Sequence[str] = ()) -> str:
    """A line per run: what it is, the paper's numbers, and ours where it is done."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(("table", "column", "row", "model", "seed", "paper_top1", "paper_top5", "top1", "top5", "state"))
    for column, lines in sections(table_name, runs, seeds, columns, rows).items():
        for line in lines:
            for cell in line.cells:
                seed, recipe = cell.recipe.seed, cell.recipe
                ours = [line.top(k).get(seed, "") for k in (0, 1)]
                writer.writerow((table_name, column, line.label, recipe.model, seed, *line.paper, *ours, cell.state()))
    return out.getvalue()
