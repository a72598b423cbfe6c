"""A trained network by what a user calls it: the SRC of the scripts."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import mxnet as mx

from gluon_tricks.checkpoint import open_trained
from gluon_tricks.recipe import Recipe
from gluon_tricks.runtime import Refused
from model_zoo import get_model, list_models, published


@dataclasses.dataclass(frozen=True)
class Trained:
    """A network with its parameters.

    Args:
        recipe: of the run that it comes from; None: of no run.
        file: the parameter file that was read; None: a checkpoint or an exported symbol.
        published: what is known of the file, if GluonCV published it.
    """

    net: mx.gluon.HybridBlock
    recipe: Recipe | None = None
    file: pathlib.Path | None = None
    published: published.Published | None = None


def open_network(
    source: str | os.PathLike, *, model: str | None = None, classes: int | None = None,
    ctx: mx.Context | Sequence[mx.Context] | None = None,
) -> Trained:  # fmt: skip
    """The network that SRC means.

    Args:
        source: what open_trained takes (a run directory, a checkpoint, an exported symbol, a parameter file), else
            NAME or NAME/TAG, a file that GluonCV published; beside `model` a tag alone, or "true" for the default one.
        model, classes: of a parameter file that fits several networks; elsewhere they must agree with what is found.
        ctx: a context or a list of them; the CPU by default.

    Raises:
        Refused: there is no such thing, it does not say its network, or model or classes contradict it.
    """
    path, known = pathlib.Path(source).expanduser(), None
    if not path.exists():
        model, tag = _name_and_tag(str(source), model)
        get_model(model)  # refuses a misspelt name before anything is asked of a server
        known, path = published.lookup(model, tag), published.fetch(model, tag)
    return Trained(*open_trained(path, model=model or "", classes=classes, ctx=ctx), known)


def _name_and_tag(source: str, model: str | None) -> tuple[str, str | None]:
    """The published file that is meant: the network's name, and the tag, None for the default file."""
    name, _, tag = source.partition("/")
    if published.is_tag(tag.lower()) or (name in list_models() and not tag):
        if model not in (None, name):
            raise Refused(f"--model {model} contradicts {source}, which names a {name}: leave one away")
        return name, tag.lower() or None
    if name in list_models():
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
