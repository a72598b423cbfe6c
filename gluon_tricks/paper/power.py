"""Counting before running: which difference a number of seeds could tell, by the noise of the pairs measured so far."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Sequence

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import plural
from gluon_tricks.paper import paired
from gluon_tricks.paper.cells import Runs
from gluon_tricks.paper.comparison import lines_of
from gluon_tricks.paper.line import Line
from gluon_tricks.paper.paired import Effect
from gluon_tricks.paper.scales import AnyScale, scales_of
from gluon_tricks.recipes.registry import get_table
from gluon_tricks.recipes.tables.rows import Table

RECORDS = pathlib.Path(__file__).resolve().parents[2] / "results" / "tables"  # of a checkout: what was measured for it

Measured = tuple[str, dict[str, dict[str, Effect]]]  # in words where, and column -> row -> effect


def plan(
    table_name: str, runs: Runs, seeds: int | None, columns: Sequence[str] = (), rows: Sequence[str] = ()
) -> list[str]:
    """A line for each difference of a table that would be run: what the seeds could tell, and the paper's difference.

    The noise is that of the same two rows' pairs, else of all pairs of the column, else of all of the table: in the
    folder of the runs, else in the records of a checkout; a proxy on photos may take that of another such proxy.

    Args:
        seeds: of every row; None: as many as the table is run with where no number is asked for.
        columns, rows: only these; () for all.
    """
    table, told = get_table(table_name), {}
    measured = _measured(table, runs)
    for column in columns or table.columns:
        for line in lines_of(table_name, column, runs, 1):
            if line.cells and line.above and line.above.cells and (not rows or line.key in rows):
                count = seeds or runs.repeats(table_name, column, table.row(line.key))
                name, above = f"{table_name}/{column}/{line.key}", line.above.key
                pairs = count if not rows or above in rows else _done(runs, f"{table_name}/{column}/{above}", count)
                if pairs < count:
                    told[name] = f"there will be {plural(pairs, 'pair')}, as {above} is not run: add it to --rows"
                else:
                    told[name] = _line(line, measured, count)
    if not told:
        return []
    if not any(told.values()):
        return ["what a number of seeds could tell is not known: no pairs of seeds have been measured"]
    said = [f"{name}: {line or _UNKNOWN}" for name, line in told.items()]
    return [f"by the noise of the pairs measured so far ({_POWER}):", *said]


def _done(runs: Runs, name: str, seeds: int) -> int:
    """How many seeds of a cell have a result."""
    return sum(cell.is_done() for seed in range(seeds) if (cell := runs.cell(name, seed)))


_UNKNOWN = "not known, no pairs of seeds have been measured"
_POWER = f"{100 * paired.POWER:.0f} % power, p {paired.LEVEL:g} of one test"


def _line(line: Line, measured: Sequence[Measured], seeds: int) -> str:
    """What seeds could tell of a line's difference; "" where nothing is known."""
    effects, whose = _nearest(line, measured)
    if not effects:
        return ""
    spread, paper = paired.pooled(effects), line.paper_difference()
    what = "1 seed can tell nothing"
    if seeds > 1:
        what = f"{seeds} seeds could tell {paired.could_tell(spread, seeds):.2f} points"
    if paper and not math.isnan(paper):
        enough = paired.seeds_needed(spread, paper)
        what += f"; the paper's {paper:+.2f} takes {plural(enough, 'seed') if enough else _TOO_MANY}"
    pairs = sum(len(effect.pairs) for effect in effects)
    return f"{what} (standard deviation {spread:.2f} of {plural(pairs, 'pair')}{whose})"


_TOO_MANY = f"more than {paired.MOST_SEEDS} seeds"


def _measured(table: Table, runs: Runs) -> list[Measured]:
    """Where pairs may have been measured, the nearest first: in words where, and column -> row -> effect."""
    others = [scale for scale in scales_of(table).values() if scale != runs.scale and _on_photos(scale)]
    found = []
    for scale in (runs.scale, *(others if _on_photos(runs.scale) else ())):
        for root in dict.fromkeys((runs.root.resolve(), RECORDS)):
            place = Runs(root, scale, networks=runs.networks)
            at = "" if root == runs.root.resolve() else " of results/tables"
            at += "" if scale == runs.scale else f" at the scale {scale.name}"
            found.append((at, {column: _effects(table, column, place) for column in table.columns}))
    return found


def _effects(table: Table, column: str, runs: Runs) -> dict[str, Effect]:
    """Row -> its effect, of those whose noise is known."""
    try:
        seeds = runs.seeds(runs.cells(table.name, [column], (), 1))
        found = paired.tested({line.key: line.pairs() for line in lines_of(table.name, column, runs, seeds)})
    except Refused:  # runs of another recipe, which say nothing of this one's noise
        return {}
    return {key: effect for key, effect in found.items() if not math.isnan(effect.spread)}


def _on_photos(scale: AnyScale) -> bool:
    return bool(scale.title and scale.photos)


def _nearest(line: Line, measured: Sequence[Measured]) -> tuple[list[Effect], str]:
    """Effects for a line, and in words whose they are, where they are not its own; [] if there are none."""
    for at, columns in measured:
        own = columns[line.column]
        if line.key in own:
            return [own[line.key]], at
        if own:
            return [*own.values()], f" of this column{at}"
        if any(columns.values()):
            return [effect for effects in columns.values() for effect in effects.values()], f" of other columns{at}"
    return [], ""
