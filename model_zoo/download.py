"""A file downloaded from a server that may be busy, break off or hang; and the one member of a zip file."""

from __future__ import annotations

import http.client
import pathlib
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Sequence
from typing import BinaryIO

import tqdm

from gluon_tricks.core.files import CannotWrite, writing
from gluon_tricks.core.moves import moved

_TIMEOUT = 10.0  # seconds without a byte


class Unusable(Exception):
    """Why what a server has is of no use."""


def unpack(archive: pathlib.Path, name: str, target: pathlib.Path, most: int) -> None:
    """Writes the one member that is wanted to target; no name in the archive is used as a path."""
    try:
        with zipfile.ZipFile(archive) as members:
            member = members.getinfo(name)
            if member.compress_type not in (
                zipfile.ZIP_STORED,
                zipfile.ZIP_DEFLATED,
            ):  # LZMA takes up to 4 GB to unpack
                raise Unusable("what is there is compressed in a way in which none was published")
            with members.open(member) as source, open(target, "wb") as file:
                _copy(source, file, most)
    except CannotWrite:
        raise
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, zlib.error, EOFError) as error:
        raise Unusable(f"what is there is no zip file with {name} in it: {error}") from None


def _copy(source: BinaryIO, file: BinaryIO, most: int, bar: tqdm.tqdm | None = None) -> None:
    while chunk := source.read(1 << 18):
        if file.tell() + len(chunk) > most:
            raise Unusable(f"it has more than {most} bytes, as no parameter file of the table")
        with writing(file.name):
            file.write(chunk)
            file.flush()
        moved()
        if bar is not None:
            bar.update(len(chunk))


class Download:
    """What is at url, written to path: tried again after each wait, from where it broke off if the server can.

    Args:
        waits: seconds before the second, third, ... try.
        most: bytes that it may have.
        patient: tried again too where not one byte came.
    """

    def __init__(self, url: str, path: pathlib.Path, waits: Sequence[float], most: int, patient: bool):
        self.url, self.path, self.waits, self.most, self.patient = url, path, waits, most, patient
        self.version = ""  # the server's mark of the version that path holds a part of

    def run(self) -> None:
        for wait in self.waits:
            try:
                return self._try()
            except urllib.error.HTTPError as error:
                if error.code < 500 and error.code not in (408, 429):  # asking again will not help
                    raise
            except (OSError, http.client.HTTPException):
                if not self.patient and not self.version:  # it does not answer
                    raise
            time.sleep(wait)
        return self._try()

    def _try(self) -> None:
        done = self.path.stat().st_size if self.version else 0
        headers = {"Range": f"bytes={done}-", "If-Range": self.version} if done else {}
        request = urllib.request.Request(self.url, headers=headers)
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
            resumed = done > 0 and response.status == 206
            done = done if resumed else 0
            mark = response.headers.get("ETag", "")
            self.version = "" if mark.startswith("W/") else mark  # a weak mark promises no equal bytes
            length = response.headers.get("Content-Length")
            total = done + int(length) if length else None
            with open(self.path, "ab" if resumed else "wb") as file, self._bar(done, total) as bar:
                _copy(response, file, self.most, bar)
                if total is not None and file.tell() < total:
                    raise OSError(f"it broke off after {file.tell()} of {total} bytes")

    def _bar(self, done: int, total: int | None) -> tqdm.tqdm:
        name = self.url.rpartition("/")[2]
        return tqdm.tqdm(desc=name, initial=done, total=total, unit="B", unit_scale=True, disable=None)
