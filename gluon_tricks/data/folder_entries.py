"""What a folder holds, and what of it looks like an image or is none of a person's."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Sequence

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import opened
from gluon_tricks.data.headers import begins_like_image, is_dicom

# Folders that archivers, file managers, network drives and notebooks leave behind, in small letters. Hidden ones
# (.ipynb_checkpoints, .Trashes) are passed over anyway.
_LEAVINGS = {
    *("__macosx", "@eadir", "#recycle", "@recycle", "@recently-snapshot", "$recycle.bin", "recycler", "lost+found"),
    *("system volume information", "ipynb_checkpoints", "__pycache__"),
}
_ENDINGS = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff"),
    *(".gif", ".heic", ".avif", ".jp2", ".ppm", ".pgm", ".dcm"),  # cannot be packed, but their folder is a class
}
_RUN = ("recipe.json", "events.jsonl")  # in the folder of each run
_PREDICTIONS = ("predictions.csv", "index.html")  # in that of the predictions of several photos


class Listed:
    """Something in a folder, as os.DirEntry has it. A link that leads to itself is neither a folder nor a file."""

    __slots__ = ("name", "path", "_entry")

    def __init__(self, entry: os.DirEntry):
        self.name, self.path, self._entry = entry.name, entry.path, entry

    def is_dir(self) -> bool:
        with contextlib.suppress(OSError):
            return self._entry.is_dir()
        return False

    def is_file(self) -> bool:
        with contextlib.suppress(OSError):
            return self._entry.is_file()
        return False

    def stat(self) -> os.stat_result:
        return self._entry.stat()


def listed(folder: str | os.PathLike) -> list[Listed]:
    """What a folder holds, hidden entries apart, sorted by name."""
    try:
        found = (Listed(entry) for entry in os.scandir(folder) if not entry.name.startswith("."))
        return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise Refused(f"cannot read the folder {folder}: {error.strerror}") from None


def is_leaving(name: str) -> bool:
    """Whether a folder of this name is one that file managers and the like leave."""
    return name.lower() in _LEAVINGS


def is_output(folder: str | os.PathLike, levels: int = 3) -> bool:
    """Whether this program wrote a folder: a run, predictions of several photos, or a folder of nothing but these.

    Args:
        levels: of folders that are looked into.
    """
    if _has(folder, _RUN) or _has(folder, _PREDICTIONS):
        return True
    with contextlib.suppress(Refused):  # told by whoever looks for photos there
        inside = listed(folder) if levels else []
        within = [entry for entry in inside if entry.is_dir()]
        if within and all(is_output(entry.path, levels - 1) for entry in within):
            return not any(entry.is_file() and looks_like_image(entry.path) for entry in inside)
    return False


def _has(folder: str | os.PathLike, names: Sequence[str]) -> bool:
    return all(os.path.isfile(os.path.join(folder, name)) for name in names)


def looks_like_image(path: str | os.PathLike) -> bool:
    """Whether a file's ending or its first bytes are an image's, be it one that is not decoded here."""
    if pathlib.PurePath(path).suffix.lower() in _ENDINGS:
        return True
    try:
        with opened(path) as file:
            begin = file.read(132)
            return begins_like_image(begin) or is_dicom(begin)
    except OSError:
        return False  # packing tells that it cannot be read, if the folder is a class
