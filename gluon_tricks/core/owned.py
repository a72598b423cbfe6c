"""Files that belong to a run or to records, over which nothing else is written, whoever names them."""

from __future__ import annotations

import pathlib

from gluon_tricks.core.errors import Refused

_OF_A_RUN = ("recipe.json", "classes.json", "mean_image.json", "final.params", "validation.safetensors", "events.jsonl")
_OF_A_RUN += ("metrics.csv", "steps.csv", "log.txt")  # its pages, pictures and exports can be made again
_OF_RECORDS = (".rec", ".idx", ".files", ".labels", ".json")


def require_unowned(path: pathlib.Path, what: str, run: pathlib.Path | None = None) -> None:
    """Refuses a path, links followed, whose file a run or records could not be read without.

    Args:
        what: the flag that names it, for the message.
        run: a folder that will be a run's, links followed.
    """
    folder = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    is_run = folder == run or (folder / "recipe.json").is_file()
    if is_run and (path.name in _OF_A_RUN or folder != path.parent):
        raise Refused(f"{what} {path}: the run {folder} has a file of its own under that name: give another")
    records = path.with_suffix(".rec")
    if path.suffix in _OF_RECORDS and records.is_file():
        raise Refused(f"{what} {path}: the records {records} have a file of their own under that name: give another")
