"""Which commit this code is of, where it lies in a repository."""

from __future__ import annotations

import pathlib
import re

from gluon_tricks.core.reading import read_text

_MOST_BYTES = 1 << 24  # of a file of Git's that lists references
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def commit() -> str:
    """The commit that is checked out, in hex; "": the code is installed, or cannot be told. Git need not be there.

    Changes that are not committed are not seen.
    """
    top = pathlib.Path(__file__).parents[2]
    try:
        return _checked_out(top / ".git")
    except (OSError, ValueError):
        return ""


def _checked_out(place: pathlib.Path) -> str:
    if place.is_file():  # of a second work tree: "gitdir: FOLDER"
        place = place.parent / read_text(place, _MOST_BYTES).partition(":")[2].strip()
    head = read_text(place / "HEAD", _MOST_BYTES).strip()
    if not head.startswith("ref:"):
        return head if _COMMIT.fullmatch(head) else ""
    name, common = head[4:].strip(), place
    if (place / "commondir").is_file():
        common = place / read_text(place / "commondir", _MOST_BYTES).strip()
    if (common / name).is_file():
        found = read_text(common / name, _MOST_BYTES).strip()
        return found if _COMMIT.fullmatch(found) else ""
    lines = read_text(common / "packed-refs", _MOST_BYTES).splitlines()
    return next((line.split()[0] for line in lines if line.endswith(f" {name}")), "")
