"""How a command ends: with an exit code and, where something is wrong, one sentence. And how another is started."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import sys
from collections.abc import Callable, Sequence

from gluon_tricks.core.errors import REFUSED, Refused
from gluon_tricks.core.files import CannotWrite
from gluon_tricks.core.wording import harmless_output, one_line


def command(main: Callable[[Sequence[str] | None], int]) -> Callable[[Sequence[str] | None], int]:
    """Decorates a command's main(argv): what a person or a disk can cause is told in one sentence, without a traceback.

    Exit codes: main's own; 2 for Refused; 1 for CannotWrite and other errors of the file system.
    """

    @functools.wraps(main)
    def told(argv: Sequence[str] | None = None) -> int:
        with harmless_output():
            try:
                code = main(argv)
                sys.stdout.flush()
                return code
            except Refused as error:
                print(f"{REFUSED}{one_line(error)}", file=sys.stderr)
                return 2
            except (CannotWrite, OSError) as error:
                return output_fails(error)
            except MemoryError as error:
                reason = one_line(error, 200) or "Python said no more"
                print(f"stopped: the memory does not suffice ({reason}): take less", file=sys.stderr)
                return 1

    return told


def output_fails(error: CannotWrite | OSError) -> int:
    """Says that a file or the standard output cannot be written; returns the exit code."""
    reader_has_ended = isinstance(error, BrokenPipeError)  # such as head
    _close_broken_output()
    if not reader_has_ended:
        print(f"stopped: {one_line(why_stopped(error))}", file=sys.stderr)
    return 1


def why_stopped(error: CannotWrite | OSError) -> str:
    """What a disk has refused, in words."""
    if isinstance(error, CannotWrite):
        return str(error)
    place = f"{error.filename}:" if error.filename else "the standard output cannot be written:"
    return f"{place} {error.strerror or error}"


def words_of(command: str) -> list[str]:
    """The words that start gluon-tricks COMMAND with this Python, from any folder and with nothing on the PATH."""
    return [sys.executable, str(pathlib.Path(__file__).parents[2] / "gluon_tricks_command.py"), command]


def _close_broken_output() -> None:
    """Python flushes the standard output when it ends, and would complain again."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError):
            output_to_nowhere(sys.stdout.fileno())


def output_to_nowhere(*descriptors: int) -> None:
    """From now on what is written to these, such as 1 and 2, is lost and is no error."""
    with open(os.devnull, "w") as nowhere:
        for descriptor in descriptors:
            os.dup2(nowhere.fileno(), descriptor)
