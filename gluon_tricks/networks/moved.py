"""Where a trained network lies, in a recipe whose run goes on: whether another place has the same network."""

from __future__ import annotations

import filecmp
import os
import pathlib

from model_zoo import formats

# What of a recipe names a trained network.
PLACES = ("pretrained", "shallow", "base_params", "distillation.teacher")
_KEPT = 3  # names at the end of a run's path that a move keeps: of a table's cell SCALE/TABLE-COLUMN-ROW/seedK


def is_same_network(old: str, new: str) -> bool:
    """Whether two places have one network: a path in two spellings, equal files, or one that was moved since.

    Of runs the files are their final parameters. What is not there any more was moved if the last three names of its
    path have stayed, of a file in a run those of the run.
    """
    if not (old and new):  # "" is none
        return old == new
    (before, part), (now, other_part) = formats.split(old), formats.split(new)
    if os.path.lexists(before) and os.path.abspath(before) != os.path.abspath(now):
        return part == other_part and _are_equal(before, now)
    return _last_names(old) == _last_names(new)


def _are_equal(one: pathlib.Path, other: pathlib.Path) -> bool:
    files = [place / "final.params" if place.is_dir() else place for place in (one, other)]
    return all(file.is_file() for file in files) and filecmp.cmp(*files, shallow=False)


def _last_names(place: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those of the run, or of a file that is in none, and of what in the run is meant."""
    parts = pathlib.Path(os.path.abspath(place)).parts
    inside = 2 if "checkpoints" in parts[-2:-1] else 1 if parts[-1].startswith("final.params") else 0
    run = len(parts) - inside
    return parts[:run][-_KEPT:], parts[run:]
