"""How every script reads its command line: a mistake is one sentence with a suggestion, and exit code 2.

A number that belongs to a recipe has its bounds at the recipe's field; those of the others are said at the flag.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from gluon_tricks.core.commands import output_fails
from gluon_tricks.core.errors import REFUSED
from gluon_tricks.core.wording import one_line, printable, quoted

MOST_THREADS = 1024
MOST_GPUS = 1024


def whole(least: int, most: int = 1_000_000_000) -> Callable[[str], int]:
    """The type of a flag that takes a whole number of [least, most]."""

    def read(text: str) -> int:
        return _bounded(_whole_number(text), least, most)

    return read


def real(least: float, most: float) -> Callable[[str], float]:
    """The type of a flag that takes any number of [least, most]."""

    def read(text: str) -> float:
        return _bounded(_number(text), least, most)

    return read


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # no number, or one of more digits than Python reads
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a whole number") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a number") from None


def _bounded(value, least, most):
    if not least <= value <= most:  # NaN is not
        raise argparse.ArgumentTypeError(f"{quoted(value)}, but it takes {least} to {most}")
    return value


class Parser(argparse.ArgumentParser):
    """argparse's, but for its errors: no usage, and a mistyped flag goes before what is missing because of it.

    Args:
        description: shown by --help as it is written.
        rest: as for argparse.ArgumentParser.
    """

    def __init__(self, description: str, **rest):
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter, **rest
        )  # unique beginnings of flags are taken, as GluonCV's scripts do
        self.register("type", int, _whole_number)  # for its sentence on a text that is none
        self.register("type", float, _number)

    def parse_args(self, args: Sequence[str] | None = None, namespace=None) -> argparse.Namespace:
        words = list(sys.argv[1:] if args is None else args)
        self._refuse_unknown_flags(words[: words.index("--")] if "--" in words else words)
        found, left = self.parse_known_args(words, namespace)
        if left:
            self.error(f"{quoted(left[0])} belongs to no flag: --help lists what this command takes")
        return found

    def require_alone(self, options: argparse.Namespace, flag: str, heeded: Sequence[str]) -> None:
        """Refuses what was given besides a flag that does a work of its own, and would be passed over.

        Args:
            flag: such as --check.
            heeded: the names in `options` that count beside it.
        """
        for action in self._actions:
            name = action.option_strings[-1] if action.option_strings else action.metavar or action.dest.upper()
            if action.dest not in heeded and getattr(options, action.dest, action.default) != action.default:
                self.error(f"{name} changes nothing beside {flag}: leave it out")

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{REFUSED}{one_line(message)}\n")

    def _print_message(self, message: str, file=None) -> None:
        """As argparse has it, which passes over an output that cannot be written, and over what is never flushed."""
        try:
            (file or sys.stderr).write(message)
            (file or sys.stderr).flush()
        except OSError as error:
            if file is sys.stdout:  # --help and --version
                sys.exit(output_fails(error))

    def _refuse_unknown_flags(self, words: Sequence[str]) -> None:
        flags = [flag for action in self._actions for flag in action.option_strings]
        for word in words:
            name = word.partition("=")[0]
            if not re.match(r"-[^\d.]", word) or " " in word:  # a number or a value, as argparse sees it
                continue
            meant = [name] if name in flags else [flag for flag in flags if flag.startswith(name)]
            if len(meant) > 1 and len({id(self._option_string_actions[flag]) for flag in meant}) > 1:
                self.error(f"{name} is the beginning of several flags: {', '.join(meant)}")
            if not meant and (name.startswith("--") or name[:2] not in flags):  # -j4 is -j 4
                self.error(f"there is no flag {printable(name, 80)}: {_suggestion(name, flags)}")


def _suggestion(name: str, flags: Sequence[str]) -> str:
    written = "--" + name[:80].lstrip("-").replace("_", "-").lower()
    near = [written] if written in flags else difflib.get_close_matches(written, flags, n=2, cutoff=0.7)
    return f"did you mean {' or '.join(near)}?" if near else "--help lists them"
