"""In which order cells are trained side by side, and how long all of them then take."""

from __future__ import annotations

from collections.abc import Sequence

from gluon_tricks.paper.cells import Cell


def next_cell(waiting: Sequence[Cell], running: Sequence[Cell]) -> Cell | None:
    """The cell to start next: whose source is not still to come, those that others wait for first; None: none yet."""
    unfinished = [*waiting, *running]
    ready = [cell for cell in waiting if cell.source not in unfinished]
    needed = [cell for cell in ready if any(other.source == cell for other in waiting)]
    return next(iter([*needed, *ready]), None)


def in_turns(cells: Sequence[Cell], lengths: Sequence[float], jobs: int) -> tuple[float, int]:
    """How long cells take side by side, in the unit of lengths, and how many of them run at the same time at most.

    Args:
        cells: in the order of cells.missing.
        lengths: how long each takes, beside others.
        jobs: how many may run at the same time.
    """
    long, waiting = dict(zip(map(id, cells), lengths)), list(cells)
    now, most, running = 0.0, 0, []  # running: (end, cell)
    while waiting or running:
        while len(running) < jobs and (cell := next_cell(waiting, [cell for _, cell in running])):
            waiting.remove(cell)
            running.append((now + long[id(cell)], cell))
        most = max(most, len(running))
        first = min(running, key=lambda run: run[0])
        now = first[0]
        running.remove(first)
    return now, most
