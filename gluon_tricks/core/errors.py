"""The exit code, the error and the check that every room knows."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from gluon_tricks.core.wording import one_line, quoted

_LONGEST_NAME = 100  # letters of one that others are compared with, which takes the square of its length
RESUMABLE = 75  # the exit code of a training that was asked to stop and has a checkpoint


class Told(Exception):
    """An error whose text is a sentence for people, which may quote names that somebody prepared: it is in print.

    Of one that a file has made very long the middle is left out.
    """

    def __str__(self) -> str:
        return one_line(super().__str__())


class Refused(Told, ValueError):
    """Input that cannot be worked with, found before any work is lost: one sentence with the remedy.

    Scripts print it and exit with code 2.
    """


REFUSED = "refused: "  # begins the last line that a process writes to stderr which has refused something


def refusal_of(told: str) -> Refused | None:
    """What another process has refused, by what it has written to stderr; None: it ended by something else."""
    last = told.rstrip().rpartition("\n")[2]
    return Refused(last[len(REFUSED) :]) if last.startswith(REFUSED) else None


def require_known(name: str, names: Sequence[str], what: str, where: str = "", otherwise: str = "") -> str:
    """The name itself, if it is one of the names (in small letters).

    Args:
        what, where: for the message: "model", or "argument" and the model's name.
        otherwise: the remedy where none is near; "": that all are listed.

    Raises:
        Refused: it is none of them; the near ones are listed, or what `otherwise` says.
    """
    if name not in names:
        alike = name[:_LONGEST_NAME].lower()
        near, place = difflib.get_close_matches(alike, names, n=3), f" in {where}" if where else ""
        remedy = f"did you mean {', '.join(near)}?" if near else otherwise or f"there are {', '.join(names)}"
        raise Refused(f"there is no {what} {quoted(name)}{place}: {remedy}")
    return name
