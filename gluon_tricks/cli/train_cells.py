"""The cells of a table, trained one after the other or side by side: what is refused before the first, what is said."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from gluon_tricks.core.environment import inherited_environment, threads, usable_cores
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import no_empty_folders
from gluon_tricks.core.wording import plural
from gluon_tricks.machine.devices import choose_contexts
from gluon_tricks.paper import estimate, run_cells, side_by_side
from gluon_tricks.paper.board import Board
from gluon_tricks.paper.cells import Cell, Runs
from gluon_tricks.paper.how_many import cells_at_a_time
from gluon_tricks.paper.speeds import Speeds
from gluon_tricks.recipes.tables.rows import Table
from gluon_tricks.tasks.registry import task_of
from gluon_tricks.training.requirements import require_mixing, require_one_device, require_splittable


def require_jobs(jobs: int | None, launched: bool) -> None:
    """Refuses a number of cells at a time that this machine or a launcher does not allow. Args: jobs: None: not given.

    Raises:
        Refused: more than cores, or several cells where each would take several processes or all GPUs.
    """
    if jobs is None or jobs == 1:
        return
    cores = usable_cores()
    if jobs > cores:
        raise Refused(
            f"--jobs {jobs}: this process may use {plural(cores, 'core')}, and each cell takes one: give 1 to {cores}"
        )
    if launched:
        raise Refused(
            f"--jobs {jobs}: with --launch each cell takes several processes by itself; leave one of them out"
        )
    if choose_contexts(None, say=lambda line: None)[0].device_type == "gpu":
        raise Refused(f"--jobs {jobs}: the cells would share the GPUs of this machine; give --jobs 1")


def train_cells(
    todo: Sequence[Cell], runs: Runs, table: Table, launcher: Sequence[str], jobs: int | None = None,
    anew: bool = False,
) -> int:  # fmt: skip
    """Trains the cells; returns how many failed.

    Args:
        jobs: how many at a time; None: as at_a_time finds.
        anew: see told_speeds.
    """
    if todo:
        require_data(todo, runs, table)
        if not launcher:
            _require_splittable(todo)
        jobs = _announce(todo, runs, table, launcher, jobs, anew)
    if todo and jobs > 1:
        return side_by_side.train(todo, jobs, run_cells.trainer, Board(todo))
    failed, sources = 0, [cell.source for cell in todo if cell.source]
    for k, cell in enumerate(todo, start=1):
        needed = ", which other cells need first" if cell in sources else ""
        print(f"--- {k} of {len(todo)}: {cell.name}, seed {cell.recipe.seed}{needed}", flush=True)
        words = run_cells.trainer(cell, launcher)
        with no_empty_folders(cell.folder.parent):
            say = lambda line: print(line, flush=True)  # noqa: E731
            failed += not run_cells.run(cell, words, say, 0 if launcher else _kept_threads(cell))
    return failed


def _kept_threads(cell: Cell) -> int:
    """As many as a cell was begun with, unless that are too many or OMP_NUM_THREADS says otherwise; 0: as any."""
    begun, now = run_cells.begun_with(cell), threads()
    if begun in (0, now):
        return 0
    if "OMP_NUM_THREADS" in inherited_environment() or begun > now:
        print(f"begun with {plural(begun, 'thread')}, it goes on with {now}: the last bits of its result are others")
        return 0
    print(f"going on with {plural(begun, 'thread')}, as it was begun: with {now} the last bits would be others")
    return begun


def at_a_time(todo: Sequence[Cell], runs: Runs, jobs: int | None, speeds: Speeds) -> int:
    """How many cells are trained at a time: as asked for, else as a measurement finds; at the scale smoke one."""
    return jobs or (1 if runs.scale.name == "smoke" else cells_at_a_time(todo, speeds))


def told_speeds(anew: bool) -> Speeds:
    """Speeds that are told of on stderr. Args: anew: to measure again what was measured before."""
    return Speeds(lambda line: print(line, file=sys.stderr, flush=True), anew)


def require_data(todo: Sequence[Cell], runs: Runs, table: Table) -> None:
    """Refuses, before the first cell, data that one of them would be refused for."""
    runs.require_data(table.name)
    for recipe in {c.recipe.task: c.recipe for c in reversed(todo) if c.recipe.reads_folder}.values():
        task_of(recipe).find_data(recipe)
    require_parts(todo)
    bases = [cell for cell in todo if not cell.recipe.reads_folder]
    if runs.scale.bases and bases:
        try:
            runs.bases.require_data(bases[0].name.split("/")[0])  # all of them are trained on ImageNet
        except Refused as refused:
            raise Refused(f"for the base networks, {refused}".replace("--data", "--base-data")) from None


def require_parts(todo: Sequence[Cell]) -> None:
    """Refuses named records without the classes, or the images of each, that a cell takes of them."""
    parts = {}
    for cell in todo:
        part = getattr(cell.recipe, "only_classes", ()), getattr(cell.recipe, "per_class", 0)
        if any(part) and cell.recipe.train:
            parts.setdefault(part, cell)
    for cell in parts.values():
        try:
            task_of(cell.recipe).find_data(cell.recipe)
        except Refused as refused:
            reason = str(refused).partition(": set per_class")[0]  # which no flag of reproduce does
            raise Refused(f"{cell.name}: {reason}: name other images with --data, or other --rows") from None


def _require_splittable(todo: Sequence[Cell]) -> None:
    """Refuses, before the first cell, what the devices of one process could not train."""
    contexts = choose_contexts(None)
    for cell in todo:
        try:
            require_splittable(cell.recipe, contexts)
            require_one_device(cell.recipe, contexts)
        except Refused as refused:
            raise Refused(f'{cell.name}: {refused} (--launch "horovodrun -np N")') from None
        try:
            require_mixing(cell.recipe, len(contexts))
        except Refused as refused:
            raise Refused(f"{cell.name}: {refused}") from None


def _announce(
    todo: Sequence[Cell], runs: Runs, table: Table, launcher: Sequence[str], jobs: int | None, anew: bool
) -> int:
    """Says, before the first cell, how much is going to be trained and roughly for how long; returns at_a_time."""
    amount = estimate.amount(todo)
    print("".join(f"{line}\n" for line in estimate.replaced(todo, runs.begun(table.name))), end="", flush=True)
    if launcher or runs.scale.name == "smoke":  # of other machines nothing is known; these take seconds
        print(f"to train: {amount}", flush=True)
        return jobs or 1
    print(f"to train: {amount}; measuring how long that takes on this machine", flush=True)
    speeds = told_speeds(anew)
    jobs = at_a_time(todo, runs, jobs, speeds)
    print(estimate.plan(todo, jobs, speeds)[-1], flush=True)
    return jobs
