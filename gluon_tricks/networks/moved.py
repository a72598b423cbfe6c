"""Where a trained network lies, in a recipe whose run goes on: whether another place has the same network."""

from __future__ import annotations

import filecmp
import functools
import hashlib
import os
import pathlib

from gluon_tricks.core.reading import opened
from gluon_tricks.recipes.settings import Settings
from model_zoo import formats

# What of a recipe names a trained network: one to start from, or one to learn from.
STARTS = ("pretrained", "shallow", "base_params")
PLACES = (*STARTS, "distillation.teacher")
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


def may_be_run(place: str, folder: pathlib.Path) -> bool:
    """Whether a recipe's place may be a run that lay elsewhere: its last two names, of what it has, are the folder's.

    Args:
        place: of the run, or of its final parameters; of records that were collected it may be "final.params" alone.
        folder: of the run now, .../TABLE-COLUMN-ROW/seedK.
    """
    run, _ = _parts(pathlib.Path(place))
    last = run[-2:]
    return bool(place) and last == folder.parts[len(folder.parts) - len(last) :]


def digests_of_networks(recipe: Settings) -> dict[str, str]:
    """Of the files of the trained networks that a recipe names: which of PLACES -> digest; those that are here."""
    named = {place: getattr(recipe, place, "") for place in PLACES}
    named |= {f"{trick.label()}.teacher": trick.teacher for trick in recipe.tricks if hasattr(trick, "teacher")}
    files = {place: _file(formats.split(source)[0]) for place, source in named.items() if source}
    states = {place: (file, file.stat()) for place, file in files.items() if file.is_file()}
    return {place: _digest(file, state.st_size, state.st_mtime_ns) for place, (file, state) in states.items()}


@functools.lru_cache(maxsize=1000)
def _digest(file: pathlib.Path, size: int, time: int) -> str:
    """Of a file as it is now. Args: size, time: by which a change shows."""
    found = hashlib.sha256()
    with opened(file) as numbers:
        while piece := numbers.read(1 << 20):
            found.update(piece)
    return found.hexdigest()


def _file(place: pathlib.Path) -> pathlib.Path:
    """Of a run its final parameters."""
    return place / "final.params" if place.is_dir() else place


def _are_equal(one: pathlib.Path, other: pathlib.Path) -> bool:
    files = [_file(one), _file(other)]
    return all(file.is_file() for file in files) and filecmp.cmp(*files, shallow=False)


def _last_names(place: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those of the run, or of a file that is in none, and of what in the run is meant."""
    run, inside = _parts(pathlib.Path(os.path.abspath(place)))
    return run[-_KEPT:], inside


def _parts(path: pathlib.Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A path's names up to the run, or to a file that is in none, and those of what in the run is meant."""
    parts = path.parts
    inside = 2 if "checkpoints" in parts[-2:-1] else 1 if parts[-1:] and parts[-1].startswith("final.params") else 0
    run = len(parts) - inside
    return parts[:run], parts[run:]
