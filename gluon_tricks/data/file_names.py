"""What the packed files were called: PREFIX.files beside PREFIX.rec, so that a message can name the photo.

A line for each record, in the order of the .rec: id<tab>offset<tab>"name", the name as a JSON string (a file's name may
hold anything). The last line is sha256<tab>that of the .rec: names of other records are not believed. The file is no
part of the data's identity, and whatever is wrong with it costs the names only.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

from gluon_tricks.core.reading import LIST_BYTES, read_bytes
from gluon_tricks.core.wording import printable

ENDING = ".files"
_LAST = "sha256\t{}\n"


def name_line(id: int, offset: int, name: str) -> str:
    """The line of one record."""
    return f"{id}\t{offset}\t{json.dumps(name)}\n"


def last_line(sha256: str) -> str:
    """The line that says which .rec the names belong to."""
    return _LAST.format(sha256)


def read_names(rec: pathlib.Path, manifest: dict[str, Any]) -> bytes:
    """The lines that belong to a .rec; b"" if there are none. 60 bytes for a usual name: 77 MB for all of ImageNet."""
    try:
        content = read_bytes(rec.with_suffix(ENDING), LIST_BYTES)
    except OSError:
        return b""
    ours = last_line(manifest.get("rec", {}).get("sha256", "")).encode()
    return content if content.endswith(ours) else b""


def name_at(lines: bytes, offset: int) -> str:
    """The name, as `printable`, in the line of the record at a byte offset; "" if there is none."""
    mark = b"\t%d\t" % offset  # stands nowhere else: a name's own tabs are written as \t
    start = lines.find(mark)
    if start < 0:
        return ""
    try:
        name = json.loads(lines[start + len(mark) : lines.index(b"\n", start)])
    except (ValueError, RecursionError):
        return ""
    return printable(name) if isinstance(name, str) else ""
