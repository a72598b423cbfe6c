"""The cells of a table, trained one after the other: what is refused before the first, and what is said of each."""

from __future__ import annotations

from collections.abc import Sequence

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import no_empty_folders
from gluon_tricks.machine.devices import choose_contexts
from gluon_tricks.paper import estimate, run_cells
from gluon_tricks.paper.cells import Cell, Runs
from gluon_tricks.recipes.tables.rows import Table
from gluon_tricks.tasks.registry import task_of
from gluon_tricks.training.prepare import require_splittable


def train_cells(todo: Sequence[Cell], runs: Runs, table: Table, launcher: Sequence[str]) -> int:
    """Runs the cells one after the other; returns how many failed."""
    if todo:
        require_data(todo, runs, table)
        if not launcher:
            _require_splittable(todo)
        _announce(todo, runs, launcher)
    failed, sources = 0, [cell.source for cell in todo if cell.source]
    for k, cell in enumerate(todo, start=1):
        needed = ", which other cells need first" if cell in sources else ""
        print(f"--- {k} of {len(todo)}: {cell.name}, seed {cell.recipe.seed}{needed}", flush=True)
        words = run_cells.trainer(cell, launcher)
        with no_empty_folders(cell.folder.parent):
            failed += not run_cells.run(cell, words, lambda line: print(line, flush=True))
    return failed


def require_data(todo: Sequence[Cell], runs: Runs, table: Table) -> None:
    """Refuses, before the first cell, data that one of them would be refused for."""
    runs.require_data(table.name)
    for recipe in {c.recipe.task: c.recipe for c in reversed(todo) if c.recipe.reads_folder}.values():
        task_of(recipe).find_data(recipe)
    bases = [cell for cell in todo if not cell.recipe.reads_folder]
    if runs.scale.bases and bases:
        try:
            runs.bases.require_data(next(cell.name for cell in bases if cell.source is None).split("/")[0])
        except Refused as refused:
            raise Refused(f"for the base networks, {refused}".replace("--data", "--base-data")) from None


def _require_splittable(todo: Sequence[Cell]) -> None:
    """Refuses, before the first cell, what the devices of one process could not train."""
    contexts = choose_contexts(None)
    for cell in todo:
        try:
            require_splittable(cell.recipe, contexts)
        except Refused as refused:
            raise Refused(f'{cell.name}: {refused} (--launch "horovodrun -np N")') from None


def _announce(todo: Sequence[Cell], runs: Runs, launcher: Sequence[str]) -> None:
    """Says, before the first cell, how much is going to be trained and roughly for how long."""
    amount = estimate.amount(todo)
    if launcher or runs.scale.name == "smoke":  # of other machines nothing is known; these take seconds
        print(f"to train: {amount}", flush=True)
        return
    print(f"to train: {amount}; measuring how long that takes on this machine", flush=True)
    try:
        print(estimate.plan(todo)[-1], flush=True)
    except RuntimeError as error:  # of the measurement alone
        print(f"the time cannot be estimated: {str(error).strip().splitlines()[-1]}", flush=True)
