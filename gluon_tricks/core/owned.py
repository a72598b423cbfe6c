"""Files that belong to a run or to records, over which nothing else is written, whoever names them."""

from __future__ import annotations

import pathlib

from gluon_tricks.core.errors import Refused

_OF_A_RUN = ("recipe.json", "classes.json", "mean_image.json", "final.params", "validation.safetensors", "events.jsonl")
_OF_A_RUN += ("metrics.csv", "steps.csv", "log.txt")  # its pages, pictures and exports can be made again
_OF_RECORDS = (".rec", ".idx", ".files", ".labels", ".json")


def require_unowned(path: pathlib.Path, what: str) -> None:
    """Refuses a path, links followed, whose file a run or records could not be read without.

    Args:
        what: the flag that names it, for the message.
    """
    folder = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    if (path.name in _OF_A_RUN or folder != path.parent) and (folder / "recipe.json").is_file():
        raise Refused(f"{what} {path}: that is a file of the run {folder}, which would be lost: give another name")
    records = path.with_suffix(".rec")
    if path.suffix in _OF_RECORDS and records.is_file():
        raise Refused(f"{what} {path}: that is a file of the records {records}, which it spoils: give another name")
