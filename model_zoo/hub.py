"""Parameters at the Hugging Face hub, by what timm calls them: hf-hub:OWNER/NAME or hf-hub:OWNER/NAME@REVISION."""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import PARAMETER_BYTES
from gluon_tricks.core.wording import plural
from model_zoo import described, formats, timm_config
from model_zoo.preprocessing import Preprocessing
from model_zoo.repository import PREFIXES, Repository, cache

log = logging.getLogger("model_zoo")

_SHARDS = ("model.safetensors.index.json", "pytorch_model.bin.index.json")


def is_reference(source: object) -> bool:
    """Whether SRC names a repository at the hub."""
    return isinstance(source, (str, os.PathLike)) and os.fspath(source).startswith(PREFIXES)


def fetch(reference: str, model: str = "") -> pathlib.Path:
    """The parameter file of a repository: of the cache, else downloaded; its config.json lies beside it.

    What it is, and from where, is said in one line.

    Args:
        model: the zoo's network that it must be of; "": any.

    Raises:
        Refused: there is no such repository, it cannot be downloaded, or it holds no network of the zoo.
        CannotWrite: the cache cannot be written.
    """
    repository = Repository.named(reference)
    config = _config(repository)
    if config and model not in ("", config.model):
        raise Refused(
            f"{repository} holds a {config.architecture}, which is {config.model} here, not {model}: ask for "
            f"{config.model}, or leave the network's name out"
        )
    path = _weights(repository)
    said = f"{config.model} with {plural(config.classes, 'class')}" if config else "without a config.json"
    notes = "".join(f"; {note}" for note in config.notes) if config else ""
    log.warning("%s@%s, %s, %s%s", repository, _commit(path)[:12], said, repository.whence(), notes)
    return path


def cached(reference: str) -> bool:
    """Whether the cache has a repository's parameters and config.json, without the hub being asked."""
    repository = Repository.named(reference)
    repository.online = False
    with contextlib.suppress(Refused):
        return repository.file(timm_config.NAME, timm_config.CONFIG_BYTES) is not None and bool(_weights(repository))
    return False


def model_in(reference: str) -> str | None:
    """The network that a repository says it holds; None: it does not say. Raises: as fetch does."""
    repository = Repository.named(reference)
    config = _config(repository)
    return config.model if config else described.model_in(_weights(repository))


def preprocessing_in(reference: str, usual: Preprocessing) -> Preprocessing:
    """What a repository says of the images of its network. Args: usual: what it does not say. Raises: as fetch does."""
    repository = Repository.named(reference)
    if config := _config(repository):
        return config.preprocessing
    path = _weights(repository)
    found = described.described(path, formats.read(path), usual)
    return found[0] if found else usual


def pinned(reference: str) -> str:
    """The reference with the commit that it means today, so that it means the same tomorrow. Raises: as fetch does."""
    repository = Repository.named(reference)
    path = repository.file(timm_config.NAME, timm_config.CONFIG_BYTES) or _weights(repository)
    return f"{repository}@{_commit(path)}"


def may_have_meant(reference: str, pinned: str) -> bool:
    """Whether a reference may have meant a pinned one at its time: of the same repository, and of no other commit."""
    named, before = Repository.named(reference), Repository.named(pinned)
    return named.name == before.name and (named.revision == before.revision or not named.is_pinned)


def _config(repository: Repository) -> timm_config.TimmConfig | None:
    path = repository.file(timm_config.NAME, timm_config.CONFIG_BYTES)
    return None if path is None else timm_config.read(path, repository)


def _weights(repository: Repository) -> pathlib.Path:
    for name in timm_config.WEIGHTS:
        path = repository.file(name, PARAMETER_BYTES)
        if path is not None:
            return path
    names = " nor ".join(timm_config.WEIGHTS)
    if repository.silence:
        raise Refused(f"{repository.silence}, and the cache {cache()} has neither {names}: try again later")
    if not repository.online:
        raise Refused(
            f"the cache {cache()} has neither {names} of {repository}, and the hub is not asked (HF_HUB_OFFLINE): "
            "download it where there is a network, or unset the variable"
        )
    if any(repository.file(name, timm_config.CONFIG_BYTES) for name in _SHARDS):
        raise Refused(
            f"{repository} holds its parameters in several files, which are not read: every network of the zoo fits "
            "one, so name another repository"
        )
    raise Refused(f"{repository} has neither {names}: name another repository")


def _commit(path: pathlib.Path) -> str:
    return path.parent.name  # .../snapshots/COMMIT/FILE
