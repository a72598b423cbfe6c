"""How a command ends: with an exit code and, where something is wrong, one sentence. And how another is started."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import sys
from collections.abc import Callable, Sequence

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import CannotWrite
from gluon_tricks.core.wording import print_any_letter, shortened


def command(main: Callable[[Sequence[str] | None], int]) -> Callable[[Sequence[str] | None], int]:
    """Decorates a command's main(argv): what a person or a disk can cause is told in one sentence, without a traceback.

    Exit codes: main's own; 2 for Refused; 1 for CannotWrite and other errors of the file system.
    """

    @functools.wraps(main)
    def told(argv: Sequence[str] | None = None) -> int:
        print_any_letter()
        try:
            code = main(argv)
            sys.stdout.flush()
            return code
        except Refused as error:
            print(f"refused: {error}", file=sys.stderr)
            return 2
        except CannotWrite as error:
            wrong = str(error)
        except MemoryError as error:
            wrong = f"the memory does not suffice ({shortened(str(error), 200) or 'Python said no more'}): take less"
        except BrokenPipeError:  # the program that reads the output, such as head, has ended
            wrong = ""
        except OSError as error:
            place = f"{error.filename}:" if error.filename else "the standard output cannot be written:"
            wrong = f"{place} {error.strerror or error}"
        _close_broken_output()
        if wrong:
            print(f"stopped: {wrong}", file=sys.stderr)
        return 1

    return told


def words_of(command: str) -> list[str]:
    """The words that start gluon-tricks COMMAND with this Python, from any folder and with nothing on the PATH."""
    return [sys.executable, str(pathlib.Path(__file__).parents[2] / "gluon_tricks_command.py"), command]


def _close_broken_output() -> None:
    """Python flushes the standard output when it ends, and would complain again."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError), open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
