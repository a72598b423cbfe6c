"""What a SRC, as a user calls a trained network, means by its name alone: nothing is opened."""

from __future__ import annotations

import os

from gluon_tricks.core.reading import expanded
from model_zoo import formats, hub, is_model, published


def is_there(source: str | os.PathLike) -> bool:
    """Whether SRC is a run or a file of this machine."""
    return os.path.exists(formats.split(source)[0])  # False, where pathlib raises, of a name that is too long


def is_at_hub(source: str | os.PathLike) -> bool:
    """Whether SRC is a repository at a hub."""
    return hub.is_reference(source) and not is_there(source)


def means_published(source: str) -> bool:
    """Whether SRC, as open_with takes it, where no such file is, means one that GluonCV published or one at a hub."""
    if hub.is_reference(source):
        return True
    return is_model(source.partition("/")[0]) or published.is_tag(source.lower()) or source.lower() == "true"


def pinned(source: str, begun: str = "") -> str:
    """SRC as a recipe has it: of a repository at a hub with the commit that it means today.

    Args:
        begun: what a run that goes on has for it: of the same repository its commit stays, and no hub is asked.
    """
    if not is_at_hub(source):
        return source
    return begun if begun and may_have_meant(source, begun) else hub.pinned(source)


def as_kept(source: str, begun: str = "") -> str:
    """SRC as a recipe keeps it, to mean the same tomorrow and in another folder: pinned, or by its whole path.

    Args:
        begun: as of pinned.
    """
    return str(expanded(source).absolute()) if is_there(source) else pinned(source, begun)


def may_have_meant(source: str, begun: str) -> bool:
    """Whether SRC may be what a run began with, of which nothing but its name is looked at.

    It may be gone by now, as what the run began with then is, and a run or a repository at a hub may have moved on.
    What is there under another name is another; published files always are, as their names tell all.

    Args:
        begun: as starting_point or pinned gave it.
    """
    if is_at_hub(source):
        return hub.is_reference(begun) and hub.may_have_meant(source, begun)
    if not is_there(source):
        return not (is_there(begun) or means_published(source) or means_published(begun))
    (path, part), (before, part_before) = formats.split(source), formats.split(begun)
    path = path.absolute()
    return path in before.parents or path == before and part in ("", part_before)
