"""What a SRC, as a user calls a trained network, means by its name alone: nothing is opened."""

from __future__ import annotations

import os

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import expanded
from model_zoo import as_listed, formats, hub, is_model, published


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


def require_there(source: str, model: str | None = None) -> None:
    """Refuses SRC where it is no run, no file and no repository at a hub, and GluonCV published none of this name.

    Args:
        source: as open_with takes it; "": nothing is named.
        model: as of open_with.
    """
    if source and not is_there(source) and not is_at_hub(source):
        published.lookup(*name_and_tag(source, model))


def name_and_tag(source: str, model: str | None) -> tuple[str, str | None]:
    """The published file that is meant: the network's name, and the tag, None for the default file."""
    name, _, tag = source.partition("/")
    name = as_listed(name) if is_model(name) else name
    if published.is_tag(tag.lower()) or (is_model(name) and not tag):
        if model not in (None, name):
            raise Refused(f"--model {model} contradicts {source}, which names a {name}: leave one out")
        return name, tag.lower() or None
    if is_model(name):
        raise Refused(
            f"there is no file {source}, and {tag!r} is no tag (8 hex digits); published tags of {name}: "
            f"{published.tags(name)}"
        )
    word = source.lower()
    if word != "true" and not published.is_tag(word):
        raise Refused(f"there is no run or file {source}, and no published network of this name (NAME or NAME/TAG)")
    if model is None:
        raise Refused(f"{source!r} alone does not say which network's published file it is: name it with --model")
    return model, None if word == "true" else word


def pinned(source: str, begun: str = "") -> str:
    """SRC as a recipe has it: a published file in small letters, a repository at a hub with its commit of today.

    Args:
        begun: what a run that goes on has for it: of the same repository its commit stays, and no hub is asked.
    """
    if not is_at_hub(source):
        return source.lower() if means_published(source) and not is_there(source) else source
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
