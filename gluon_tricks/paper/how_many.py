"""How many cells are trained at a time where nobody has said it: measured, and told."""

from __future__ import annotations

import time
from collections.abc import Sequence

from gluon_tricks.core.environment import threads
from gluon_tricks.core.memory import available_memory
from gluon_tricks.core.wording import byte_size
from gluon_tricks.machine.devices import choose_contexts
from gluon_tricks.paper import estimate
from gluon_tricks.paper.cells import Cell
from gluon_tricks.paper.order import in_turns
from gluon_tricks.paper.run_cells import begun_with
from gluon_tricks.paper.speeds import LIMIT, Speed, Speeds, described, kept
from gluon_tricks.recipes.settings import Settings

_ONE = "the cells are trained one after the other"


def cells_at_a_time(todo: Sequence[Cell], speeds: Speeds) -> int:
    """As many as end soonest: one with all threads, or several of one thread each, on cores of their own.

    OMP_NUM_THREADS limits how many, and so does the memory. Cells that have begun go on with as many threads as they
    had, and decide for all.

    Args:
        todo: in the order of cells.missing.
        speeds: measure the first cell's kind alone and beside others, and tell of it.
    """
    most = min(threads(), in_turns(todo, [1.0] * len(todo), threads())[1])
    if most < 2 or choose_contexts(None, say=lambda line: None)[0].device_type == "gpu":
        return 1
    begun = {begun_with(cell) for cell in todo} - {0}
    if begun - {1}:
        speeds.say(f"{_ONE}, as they were begun")
        return 1
    if not begun:
        speeds.say(f"measuring whether cells side by side are faster (at most {LIMIT:.0f} s)")
    try:
        return _as_begun(todo, most, speeds) if begun else _faster(todo, most, speeds)
    except RuntimeError as error:  # of the measurement alone
        speeds.say(f"that cannot be measured ({str(error).strip().splitlines()[-1]}): {_ONE}")
        return 1


def _as_begun(todo: Sequence[Cell], most: int, speeds: Speeds) -> int:
    """As many as the memory holds up to `most`, of cells that were begun with one thread each. Raises: as _faster."""
    first = todo[0].recipe
    jobs = _room(first, speeds.of(first, 1, LIMIT), most, speeds)
    if jobs > 1:
        speeds.say(f"{jobs} cells at a time with one thread each, as they were begun")
    return jobs


def _faster(todo: Sequence[Cell], most: int, speeds: Speeds) -> int:
    """1, or as many as the memory holds up to `most`. Raises RuntimeError: a training that was measured has died."""
    first, since = todo[0].recipe, time.monotonic()
    before = [kept(first, jobs) for jobs in (1, most)]
    now = any(speed is None or speed.doubts() for speed in before)  # else each would be of another state of the machine
    alone = speeds.of(first, 1, LIMIT, now=now)
    jobs = _room(first, alone, most, speeds)
    if jobs < 2:
        return 1
    beside = speeds.of(first, jobs, max(LIMIT - (time.monotonic() - since), 1), now=now)
    if beside is None:
        speeds.say(f"{jobs} side by side could not be measured in what was left of {LIMIT:.0f} s: {_ONE}")
        return 1
    gain = jobs * beside.images_per_second / alone.images_per_second
    images = estimate.work(todo)
    together, _ = in_turns(todo, [count / beside.images_per_second for count in images], jobs)
    sooner = together < sum(images) / alone.images_per_second
    told = f"{jobs} cells side by side, one thread each: {gain:.2f} times the images/s of one after the other"
    late = ", but as one is left alone at the end, these cells end no sooner" if gain > 1 and not sooner else ""
    speeds.say(told + late + ("" if sooner else f": {_ONE}"))
    return jobs if sooner else 1


def _room(first: Settings, alone: Speed | None, most: int, speeds: Speeds) -> int:
    """How many cells the memory holds, up to `most`; 1, and why: it holds no two, or that is not known.

    Args:
        first, alone: a cell's recipe, and the speed of its training alone.
    """
    if alone is None:
        speeds.say(f"{described(first)} could not be measured in {LIMIT:.0f} s on this machine now: {_ONE}")
        return 1
    room = available_memory()
    jobs = min(most, int(room // max(alone.memory, 1)))
    if jobs < 2:
        needed = byte_size(2 * alone.memory)
        speeds.say(f"two cells at a time take about {needed} of memory, and {byte_size(room)} are available: {_ONE}")
        return 1
    return jobs
