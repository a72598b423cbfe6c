"""How every script reads its command line: a mistake is one sentence with a suggestion, and exit code 2."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from gluon_tricks.core.commands import output_fails
from gluon_tricks.core.wording import one_line


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

    def parse_args(self, args: Sequence[str] | None = None, namespace=None) -> argparse.Namespace:
        words = list(sys.argv[1:] if args is None else args)
        self._refuse_unknown_flags(words[: words.index("--")] if "--" in words else words)
        found, left = self.parse_known_args(words, namespace)
        if left:
            self.error(f"{left[0]!r} belongs to no flag: --help lists what this command takes")
        return found

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"refused: {one_line(message)}\n")

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
                self.error(f"there is no flag {name}: {_suggestion(name, flags)}")


def _suggestion(name: str, flags: Sequence[str]) -> str:
    written = "--" + name.lstrip("-").replace("_", "-").lower()
    near = [written] if written in flags else difflib.get_close_matches(written, flags, n=2, cutoff=0.7)
    return f"did you mean {' or '.join(near)}?" if near else "--help lists them"
