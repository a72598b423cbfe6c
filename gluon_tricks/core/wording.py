"""Numbers and names as messages say them: counts with their nouns, sizes in a unit that fits, columns of text."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TextIO


def plural(count: float, noun: str) -> str:
    """A count and its noun: 1 epoch, 2 epochs, 1 class, 0 classes, 3 batches; of several words the last one changes.

    Args:
        count: a whole number, or a float: 0.5 epochs, 1 epoch.
    """
    number = f"{count:g}" if isinstance(count, float) else count
    if count == 1:
        return f"{number} {noun}"
    return f"{number} {noun}{'es' if noun.endswith(('ss', 'x', 'tch', 'sh')) else 's'}"


def byte_size(count: float) -> str:
    """A number of bytes with three digits, in the unit that fits: 512 bytes, 4.1 kB, 97.8 MB, 1.23 GB."""
    if count < 1000:
        return plural(int(count), "byte")
    power = next((k for k in range(1, 5) if count < 999.5 * 1000**k), 5)
    return f"{count / 1000**power:.3g} {('kB', 'MB', 'GB', 'TB', 'PB')[power - 1]}"


def composed(name: str) -> str:
    """A name as it is compared: macOS writes é as two letters, others as one (Unicode's NFC)."""
    return unicodedata.normalize("NFC", name)


def some(names: Sequence[object], most: int = 5) -> str:
    """The first few of several names: a, b, c and 4 more; of a long one its beginning and end."""
    said = ", ".join(shortened(str(name), 200) for name in names[:most])
    return said + (f" and {len(names) - most} more" if len(names) > most else "")


def quoted(value: object, most: int = 80) -> str:
    """A value that a file or a person gave, as a message shows it: its repr, of a long one the beginning.

    Only the beginning of a long text or list is looked at: a name of 50 MB costs no more than a short one.
    """
    if isinstance(value, int) and value.bit_length() > 4 * most:  # Python refuses to write out the longest ones
        return f"a whole number of about {round(value.bit_length() * 0.30103)} digits"
    if isinstance(value, (str, bytes, list, tuple)) and len(value) > most:
        value = value[:most]
        return shortened(repr(value), most - 4) + " ..."
    return shortened(repr(value), most)


def described(value: object) -> str:
    """What a program gave in the place of something else, as a message shows it: a short value, or of which type."""
    if value is None or isinstance(value, (str, bytes, int, float, list, tuple, dict, os.PathLike)):
        return quoted(value)
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = type(value).__name__
    return f"{'an' if re.match('[aeio]|nd', name.lower()) else 'a'} {name}"


def first_difference(one: Sequence[str], other: Sequence[str]) -> str:
    """The first place where two lists of names differ, in words; "": they are the same, in whichever form of Unicode.

    Of the shorter one `nothing` may stand there.
    """
    for pair in itertools.zip_longest(one, other):
        if None in pair or composed(pair[0]) != composed(pair[1]):
            return "the first difference: " + " and ".join(shortened(name or "nothing", 200) for name in pair)
    return ""


def shortened(text: str, most: int) -> str:
    """A text of at most so many letters: of a longer one the beginning and the end, where a message has its remedy."""
    if len(text) <= most:
        return text
    tail = most // 3
    return f"{text[: most - tail - 5]} ... {text[len(text) - tail :]}"


def without_password(text: str, *urls: str) -> str:
    """A text in which addresses may occur, or parts of them, without their users, passwords and what follows a "?"."""
    for url in urls:
        rest, _, query = (url.partition("://")[2] or url).partition("?")  # an address of a proxy may have no http://
        host = rest.partition("/")[0]
        if "@" not in host and re.search(r":.*\D", host):  # no port: the beginning of a password with a / in it
            host = rest
        user = host.rpartition("@")[0]
        password = user.partition(":")[2]
        text = text.replace(f"?{query}", "?***") if query else text
        text = text.replace(f"{user}@", "") if user else text
        for secret in (user, password, password.partition("/")[0]):
            text = text.replace(secret, "***") if secret else text
    return text


def printable(name: object, most: int = 200) -> str:
    r"""A name of a file, a class or a photo on one line, with nothing in it that a terminal would obey.

    What cannot be printed comes as an escape: \n, \x1b, \u202e; \xe9 for a byte of a file's name that is no UTF-8.

    Args:
        name: text or a path.
        most: letters; of a longer one the middle is left out.
    """
    text = str(name)
    if len(text) > 4 * most:  # before every letter is looked at
        text = f"{text[: 2 * most]}{text[-2 * most :]}"
    return shortened(_escaped(text, _NOT_ON_A_LINE), most)


def one_line(text: object, most: int = 2000) -> str:
    """A message on one line, whatever it quotes; see `printable`. The longest of our own has half as many letters."""
    return printable(text, most)


def is_plain(name: str) -> bool:
    """Whether a name is text in UTF-8 without control characters, which is all that is asked of a new one."""
    return not _NO_NAME.search(name)


def as_utf8(name: object) -> str:
    r"""A name or path for JSON that other programs read: exact, but for bytes that are no UTF-8, which become \xe9."""
    return str(name).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


_CONTROLS = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # but for tabs and the ends of lines; a terminal obeys them
_BREAKS = r"\t\n\r\u2028\u2029"
_BYTES = r"\ud800-\udfff"  # by which Python stands for bytes that are no UTF-8
_TURNS = r"\u200e\u200f\u202a-\u202e\u2066-\u2069"  # the direction of what follows: photo_gpj.exe
_NOT_IN_A_TEXT = re.compile(f"[{_CONTROLS}{_BYTES}{_TURNS}]")
_NOT_ON_A_LINE = re.compile(f"[{_CONTROLS}{_BREAKS}{_BYTES}{_TURNS}]")
_NO_NAME = re.compile(f"[{_CONTROLS}{_BREAKS}{_BYTES}]")


def _escaped(text: str, which: re.Pattern) -> str:
    return which.sub(lambda found: _escape(found[0]), text)


def _escape(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode("ascii")


class Harmless:
    """A stream of text that gets control characters as escapes; line feeds, tabs and carriage returns pass."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(_escaped(text, _NOT_IN_A_TEXT))

    def __getattr__(self, name: str):
        return getattr(self._stream, name)


def control(stream: TextIO, sequence: str) -> None:
    """Writes a control sequence of our own to a terminal, which harmless_output would show as text."""
    (stream._stream if isinstance(stream, Harmless) else stream).write(sequence)


@contextlib.contextmanager
def harmless_output() -> Iterator[None]:
    r"""Whatever is printed, however a file or a class is called: no terminal obeys it, and no encoding fails at it.

    A terminal of another encoding than UTF-8 gets \\u732b for what it does not have. A stream that is closed (None)
    takes everything.
    """
    before = sys.stdout, sys.stderr
    with contextlib.ExitStack() as opened:
        streams = [stream or opened.enter_context(open(os.devnull, "w")) for stream in before]
        for stream in streams:
            stream.reconfigure(errors="backslashreplace")
        sys.stdout, sys.stderr = map(Harmless, streams)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


def columns(text: str) -> int:
    """How many columns of a terminal a text takes: two a Chinese, Japanese or Korean letter, none an accent."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def padded(text: str, width: int) -> str:
    """A text with spaces behind it, that it takes so many columns."""
    return text + " " * (width - columns(text))


def fitting(text: str, width: int) -> str:
    """The beginning of a text that takes at most so many columns of a terminal."""
    while columns(text) > width:
        text = text[: min(len(text) - 1, max(width, 0))]
    return text
