"""A repository at the Hugging Face hub: its files, downloaded into the hub's cache by huggingface_hub and checked.

huggingface_hub reads HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE once, when it is imported; here they are read at every
call, so that a notebook can set them. HF_TOKEN and proxies are left to it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import os
import pathlib
import re
import time
import urllib.request
from collections.abc import Iterator

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import CannotWrite
from gluon_tricks.core.reading import opened
from gluon_tricks.core.wording import byte_size, quoted, shortened, without_password

log = logging.getLogger("model_zoo")

PREFIXES = ("hf-hub:", "hf_hub:")  # of equal length
_NAME = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9._-]{1,96}")
_REVISION = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")  # it becomes a part of a path in the cache
_COMMIT = re.compile("[0-9a-f]{40}")  # what it means never changes
_TIMEOUT = 10.0  # seconds without an answer
_WAITS = (1.0, 3.0)  # seconds before a hub that answers with an error of its own is asked again
_BUSY = (408, 429, 500, 502, 503, 504)


@dataclasses.dataclass
class Repository:
    """A repository at one revision.

    Args:
        name: OWNER/NAME.
        endpoint: the hub's address.
        online: the hub may be asked; not any more once it did not answer.
        asked: it was.
        silence: how it did not answer; "": it did, or was not asked.
    """

    name: str
    revision: str
    endpoint: str
    online: bool
    asked: bool = False
    silence: str = ""

    @classmethod
    def named(cls, reference: str | os.PathLike) -> Repository:
        """The one that a reference means. Raises Refused: it is none."""
        name, at, revision = os.fspath(reference)[len(PREFIXES[0]) :].partition("@")
        if not _NAME.fullmatch(name) or (at and not _REVISION.fullmatch(revision)):
            raise Refused(
                f"{quoted(reference)} names no repository: write hf-hub:OWNER/NAME or hf-hub:OWNER/NAME@REVISION, such "
                "as hf-hub:timm/resnet50d.ra2_in1k"
            )
        endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
        offline = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
        online = offline.upper() not in ("1", "ON", "YES", "TRUE")  # as huggingface_hub takes them
        return cls(name, revision or "main", endpoint.rstrip("/"), online)

    def __str__(self) -> str:
        return f"{PREFIXES[0]}{self.name}"

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a commit, which always means the same."""
        return bool(_COMMIT.fullmatch(self.revision))

    def whence(self) -> str:
        """Where its files come from, for a sentence."""
        if self.asked and self.online:
            return f"from {self._shown(self.endpoint)}"
        return f"from the cache {cache()}, the hub {'silent' if self.silence else 'not asked'}"

    def file(self, name: str, most: int) -> pathlib.Path | None:
        """One of its files, with its digest checked; None: it has none of this name, or the cache where that counts.

        Where the hub is not asked or does not answer, the cache has the last word, if it has anything of the revision.

        Args:
            most: bytes that it may have.

        Raises:
            Refused: the hub does not give it, or the digest is wrong.
            CannotWrite: the cache cannot be written.
        """
        if not self.online:
            return self._cached(name)
        if self.is_pinned:
            with contextlib.suppress(_Damaged):  # then it is downloaded again
                if path := self._cached(name):
                    return path
        self.asked = True
        try:
            size = self._asked(name)
        except _Unreachable as error:
            if not self._in_cache():
                raise Refused(f"{error}, and the cache {cache()} does not have its {name}: try again later") from None
            log.warning("%s: what the cache has of it is taken", error)
            self.online, self.silence = False, str(error)
            return self._cached(name)
        if size is not None and size > most:
            raise Refused(
                f"{self}: its {name} has {byte_size(size)}, and {byte_size(most)} are the most: name another repository"
            )
        return None if size is None else self._downloaded(name)

    def _asked(self, name: str) -> int | None:
        """How many bytes a file has, 0 if the hub does not say; None: there is none.

        huggingface_hub by itself would wait minutes for a hub that does not answer.

        Raises:
            _Unreachable: the hub does not answer, or with an error of its own.
            Refused: there is no such repository, or none that may be read.
        """
        hub, errors = _import()
        url = hub.hf_hub_url(self.name, name, revision=self.revision, endpoint=self.endpoint)
        waits = list(_WAITS)
        while True:
            try:
                return hub.get_hf_file_metadata(url, timeout=_TIMEOUT).size or 0
            except Exception as error:  # of httpx or of requests, as the version of huggingface_hub has it
                others = (errors.RepositoryNotFoundError, errors.RevisionNotFoundError)
                if _status(error) == 404 and not isinstance(error, others):
                    return None
                if _status(error) not in _BUSY or not waits:
                    raise self._failure(error) from None
            time.sleep(waits.pop(0))

    def _cached(self, name: str) -> pathlib.Path | None:
        hub, errors = _import()
        words = dict(revision=self.revision, cache_dir=cache(), local_files_only=True)
        try:
            path = pathlib.Path(hub.hf_hub_download(self.name, name, **words))
        except errors.LocalEntryNotFoundError:
            return None
        if wrong := _wrong_digest(path):
            raise _Damaged(f"{path} is damaged ({wrong}): delete it and {path.resolve()}, and get it again")
        return path

    def _in_cache(self) -> bool:
        """Whether the cache has any file of the revision."""
        hub, errors = _import()
        words = dict(revision=self.revision, cache_dir=cache(), local_files_only=True)
        with contextlib.suppress(errors.LocalEntryNotFoundError):
            return any(pathlib.Path(hub.snapshot_download(self.name, **words)).iterdir())
        return False

    def _downloaded(self, name: str) -> pathlib.Path:
        """The file of the cache, downloaded if it is not there or its digest is not the one that the hub names."""
        for again in (False, True):
            path = self._download(name, again)
            wrong = _wrong_digest(path)
            if not wrong:
                return path
        with contextlib.suppress(OSError):  # or others would find it
            path.resolve().unlink()
            path.unlink()
        raise Refused(f"{self}: what came twice as {name} is not what the hub has ({wrong}): try again later")

    def _download(self, name: str, again: bool) -> pathlib.Path:
        """The file of the cache. Args: again: downloaded whether it is there or not."""
        hub, _ = _import()
        words = dict(revision=self.revision, endpoint=self.endpoint, cache_dir=cache(), etag_timeout=_TIMEOUT)
        waits = list(_WAITS[:1])  # huggingface_hub continues what breaks off, but not in all versions
        while True:
            try:
                with self._failures_told():
                    return pathlib.Path(hub.hf_hub_download(self.name, name, force_download=again, **words))
            except _Unreachable:
                if not waits:
                    raise
            time.sleep(waits.pop(0))

    @contextlib.contextmanager
    def _failures_told(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            number = None if isinstance(error, ConnectionError) or _status(error) else getattr(error, "errno", None)
            if number is None:
                raise self._failure(error) from None
            raise CannotWrite(
                f"the hub's cache {cache()} cannot be written: {os.strerror(number)}; make room, or set HF_HOME to "
                "another folder"
            ) from None

    def _failure(self, error: Exception) -> Refused:
        """What a library says went wrong between here and the hub, in one sentence."""
        _, errors = _import()
        status, where = _status(error), self._shown(self.endpoint)
        if isinstance(error, errors.GatedRepoError):
            return Refused(f"{self} is gated: ask for access at {where}/{self.name}, and set HF_TOKEN to your token")
        if isinstance(error, errors.RevisionNotFoundError):
            return Refused(f"{self} has no revision {quoted(self.revision)} at {where}: name another, or none")
        if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 403, 404, 410):
            return Refused(
                f"there is no {self} at {where}, or you may not read it (HTTP {status}): check the name, and set "
                "HF_TOKEN to your token if the repository is private"
            )
        reason = f"HTTP {status}" if status else f"{type(error).__name__}: {self._shown(error)}"
        return _Unreachable(f"{self} cannot be fetched from {where} ({reason})")

    def _shown(self, text: object) -> str:
        """What a library says, on one line, without the password of the hub's address or of a proxy."""
        line = next((line for line in str(text).splitlines() if line.strip()), "no reason is given")
        return shortened(without_password(line, self.endpoint, *urllib.request.getproxies().values()), 300)


class _Damaged(Refused):
    """A file of the cache is not what it was."""


class _Unreachable(Refused):
    """The hub does not answer, or not as a hub does: what the cache has will do."""


def cache() -> str:
    """The folder of downloaded files, as huggingface_hub has it."""
    folder = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    home = os.environ.get("HF_HOME") or os.path.join(caches, "huggingface")
    return os.path.expandvars(os.path.expanduser(folder or os.path.join(home, "hub")))


def _wrong_digest(path: pathlib.Path) -> str:
    """In what a file differs from what the cache calls it, which for large files is the sha256; "": in nothing."""
    wanted = pathlib.Path(os.readlink(path)).name if path.is_symlink() else ""
    if not re.fullmatch("[0-9a-f]{64}", wanted):
        return ""
    digest = hashlib.sha256()
    with opened(path) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return "" if digest.hexdigest() == wanted else f"its sha256 is {digest.hexdigest()}, not {wanted}"


def _status(error: Exception) -> int | None:
    """The HTTP status that an error of huggingface_hub is about."""
    return getattr(getattr(error, "response", None), "status_code", None)


def _import():
    """huggingface_hub and its errors."""
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError:
        raise Refused("what lies at the Hugging Face hub needs huggingface_hub: pip install huggingface_hub") from None
    return huggingface_hub, errors
