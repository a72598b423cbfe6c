"""Reading lists: of images, of classes, of ground truth, the image sets of VOC and the lists of Places365."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Sequence

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import LIST_BYTES, read_bytes
from gluon_tricks.core.wording import composed, is_plain, printable, quoted

_BLANK = " \t"  # U+2028, U+0085, form feeds and other things that Python takes for white space are in real file names


def read_lines(path: str | os.PathLike) -> list[tuple[int, str]]:
    """The non-empty lines of a UTF-8 text file with their numbers, from 1; blanks and tabs at the end are dropped.

    Lines end at line feeds (a carriage return before one is dropped); those of a file without any end at carriage
    returns, as on old Macs. A byte order mark is passed over.

    Raises: Refused naming the first line that is not UTF-8, or when the file cannot be read.
    """
    try:
        content = read_bytes(path, LIST_BYTES)
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror}") from None
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise Refused(f"cannot read {path}: it is UTF-16: save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = content.count(_line_end(content), 0, error.start) + 1, content[error.start]
        raise Refused(f"cannot read {path}: line {line} is not UTF-8 (byte 0x{byte:02x}): save it as UTF-8") from None
    lines = [line.removesuffix("\r").rstrip(_BLANK) for line in text.split(_line_end(content).decode())]
    return [(number, line) for number, line in enumerate(lines, start=1) if line]


def _line_end(content: bytes) -> bytes:
    return b"\r" if b"\r" in content and b"\n" not in content else b"\n"


def words(line: str, also: str = "") -> list[str]:
    """The parts of a line between blanks, tabs and the characters of `also`."""
    return re.split(f"[{_BLANK}{also}]+", line.strip(_BLANK))


def require_distinct(classes: Sequence[str], source: str | os.PathLike) -> tuple[str, ...]:
    """The class names themselves. Raises Refused if there is none, naming one that comes twice or is not plain text."""
    if not classes:
        raise Refused(f"{source} names no class: check the file, or leave it out")
    places: dict[str, int] = {}
    for label, name in enumerate(classes):
        if not is_plain(name):
            raise Refused(
                f"{source}: the class of label {label}, {printable(name)}, has control characters or bytes that are no "
                "UTF-8 in its name: correct the name in the list, or rename the folder"
            )
        first = places.setdefault(composed(name), label)
        if first != label:
            forms = "" if classes[first] == name else ", written in two Unicode forms"
            raise Refused(
                f"{source} names the class {quoted(name)} twice, labels {first} and {label}{forms}: give it one label"
            )
    return tuple(classes)
