"""Numbers and names as messages say them: counts with their nouns, sizes in a unit that fits, columns of text."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence


def plural(count: int, noun: str) -> str:
    """A count and its noun: 1 epoch, 2 epochs, 1 class, 0 classes, 3 batches; of several words the last one changes."""
    if count == 1:
        return f"{count} {noun}"
    return f"{count} {noun}{'es' if noun.endswith(('ss', 'x', 'tch', 'sh')) else 's'}"


def byte_size(count: float) -> str:
    """A number of bytes with three digits, in the unit that fits: 512 bytes, 4.1 kB, 97.8 MB, 1.23 GB."""
    if count < 1000:
        return plural(int(count), "byte")
    power = next((k for k in range(1, 5) if count < 999.5 * 1000**k), 5)
    return f"{count / 1000**power:.3g} {('kB', 'MB', 'GB', 'TB', 'PB')[power - 1]}"


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


def shortened(text: str, most: int) -> str:
    """A text of at most so many letters: of a longer one the beginning and the end, where a message has its remedy."""
    if len(text) <= most:
        return text
    tail = most // 3
    return f"{text[: most - tail - 5]} ... {text[len(text) - tail :]}"


def without_password(text: str, url: str) -> str:
    """A text in which an address may occur, or a part of it, without the user and password of that address."""
    user = url.partition("://")[2].partition("/")[0].rpartition("@")[0]
    for secret in (f"{user}@", user, user.partition(":")[2]) if user else ():
        text = text.replace(secret, "" if secret.endswith("@") else "***") if secret else text
    return text


def print_any_letter() -> None:
    """A terminal of another encoding than UTF-8 gets \\u732b for what it does not have, and no program ends by that."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")


def columns(text: str) -> int:
    """How many columns of a terminal a text takes: two a Chinese, Japanese or Korean letter, none an accent."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def padded(text: str, width: int) -> str:
    """A text with spaces behind it, that it takes so many columns."""
    return text + " " * (width - columns(text))
