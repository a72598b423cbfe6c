"""Networks for image classification, by name: `get_model("resnet50_v1d", classes=10)`.

Networks only: no data and no training.
"""

from __future__ import annotations

import gluon_tricks.core.environment  # noqa: F401  first: it prepares the process for `import mxnet`
from gluon_tricks.core import errors, given
from gluon_tricks.core.wording import quoted

# isort: split
import contextlib
import functools
import inspect
import os
from collections.abc import Mapping

import numpy as np
from mxnet.gluon import HybridBlock

from model_zoo import (
    alexnet,
    built_with,
    cifar_resnet,
    cvjena,
    densenet,
    formats,
    gluoncv_networks,
    googlenet,
    hub,
    inception,
    mobilenet,
    naming,
    published,
    resnet,
    vgg,
    weights,
)
from model_zoo.contexts import contexts_of
from model_zoo.described import model_in
from model_zoo.gluoncv_table import refuse_what_is_no_classifier
from model_zoo.norm import KEYWORDS as NORM_KEYWORDS
from model_zoo.norm import Norm

__all__ = ["get_model", "is_model", "list_gluoncv_models", "list_models", "load_model", "recognise"]

_REGISTRY = {  # name -> constructor with explicit keywords; a family registers by a line
    **resnet.MODELS,
    **mobilenet.MODELS,
    **inception.MODELS,
    **densenet.MODELS,
    **googlenet.MODELS,
    **vgg.MODELS,
    **alexnet.MODELS,
    **cifar_resnet.MODELS,
    **cvjena.MODELS,
}


def list_models() -> list[str]:
    """The names of this zoo's own networks, which get_model knows, as it does those of list_gluoncv_models."""
    return list(_REGISTRY)


def list_gluoncv_models() -> list[str]:
    """The names of GluonCV's other networks: get_model gives GluonCV's own ones (see gluoncv_networks)."""
    return list(gluoncv_networks.MODELS)


def is_model(name: object) -> bool:
    """Whether get_model knows a network of this name."""
    return isinstance(name, str) and (name.lower() in _REGISTRY or name.lower() in gluoncv_networks.MODELS)


def as_listed(name: str) -> str:
    """A network's name as the lists have it, in small letters: as in GluonCV, one is named in capitals too.

    Raises:
        Refused: it is no text.
    """
    if not isinstance(name, str):
        raise errors.Refused(f"the name of a network is a text such as 'resnet50_v1d', but got {quoted(name)}")
    return name.lower()


def get_model(
    name: str, pretrained: bool | str | os.PathLike = False, ctx=None, *, any_classes: bool = False, **kwargs
) -> HybridBlock:
    """A network of the zoo.

    Args:
        name: one of list_models() or list_gluoncv_models(), in capitals or small letters.
        pretrained: where its parameters come from. True, 1 or "true": the file that GluonCV published as its default; a
            tag such as "117a384e": another of its files (published.PUBLISHED lists them); "hf-hub:OWNER/NAME": a
            repository at the Hugging Face hub (timm_files.FILES lists timm's); all are downloaded where this machine
            does not have them. Else the path of a file (see formats.read). False, 0, "false" or None: the network is
            returned uninitialised.
        ctx: context or list of contexts for the parameters of a file; the default is the CPU. It goes with
            pretrained: a network without parameters yet gets its contexts from net.initialize.
        any_classes: to train on: take all but the head of a file with another number of classes, and a file of the
            network without batch normalisation (batch_norm=False; vgg16 for vgg16_bn). net.head, or what normalises,
            is then uninitialised.
        kwargs: those that keywords(name) lists, such as classes=10: of the network's constructor, and for its norm
            those of norm.Norm. None is swallowed.

    Returns: the network: float images (N, 3, H, W) -> logits (N, classes).

    Raises:
        Refused: an unknown name or keyword, contexts that are none, a published file that cannot be downloaded, or
            a file that does not hold this network's parameters, or says that it holds another network.
    """
    name, pretrained = as_listed(name), _start(pretrained)
    for key in kwargs:
        errors.require_known(key, keywords(name), "argument", name)
    constructor, arguments = _constructor(name), _with_one_norm(kwargs)
    net = constructor(**arguments)
    net.keywords = kwargs
    if pretrained is False:
        return net
    contexts_of(ctx)
    path = _file(name, pretrained)
    values = formats.read(path)
    plain = _without_norms(name, arguments) if any_classes else None
    _require_said(path, name, getattr(plain, "name", name))
    built_with.require_alike(path, built_with.keywords_in(path, len(values)), net)
    return _filled(net, values, ctx, path, any_classes, plain)


def _without_norms(name: str, arguments: Mapping) -> HybridBlock | None:
    """The same network without batch normalisation; None: it has none, or there is no such network."""
    if arguments.get("batch_norm") is True:
        return _REGISTRY[name](**{**arguments, "batch_norm": False})
    plain = name.removesuffix("_bn")
    return _REGISTRY[plain](**{k: v for k, v in arguments.items() if k != "norm"}) if plain != name else None


def keywords(name: str) -> list[str]:
    """The keywords that get_model takes for a network. Raises Refused for an unknown name."""
    arguments = inspect.signature(_constructor(name)).parameters
    return [key for argument in arguments for key in (NORM_KEYWORDS if argument == "norm" else (argument,))]


def load_model(path: str | os.PathLike, name: str | None = None, classes: int | None = None, ctx=None) -> HybridBlock:
    """The network whose parameters a file holds, with them, built as the file says (see built_with).

    Args:
        path: the file, of a kind that formats.read knows; or a repository, hf-hub:OWNER/NAME.
        name: as of get_model; None: the name in the file's metadata (weights.save writes it into safetensors) or in
            timm's config.json beside it, else the only network of list_models() that has the names and shapes in the
            file.
        classes: number of logits; None: as many as the file has.
        ctx: context or list of contexts; the default is the CPU.

    Raises:
        Refused: the file is missing or damaged, does not hold that network, or fits several; or contexts that are none.
    """
    given.require_path("path", path, "the name of a parameter file")
    contexts_of(ctx)
    name = name and as_listed(name)
    if hub.is_reference(path):
        path = hub.fetch(os.fspath(path), name or "")
    values, told = formats.read(path), model_in(path)
    if name:
        _require_said(path, name)
    name = name or (told if is_model(told) else _recognised(path, values))
    kwargs = built_with.keywords_in(path, len(values))
    if classes is None:
        classes = weights.head_classes(get_model(name, **kwargs), values)
    return _filled(get_model(name, **kwargs, **({} if classes is None else {"classes": classes})), values, ctx, path)


def _require_said(path, *names: str) -> None:
    """Refuses a file that says it holds another network than these: some have the same names and shapes as others."""
    told = model_in(path)
    if is_model(told) and told not in names:
        raise errors.Refused(f"{path} says that it holds a {told}, not a {names[0]}: ask for {told}")


def recognise(values: Mapping[str, np.ndarray]) -> list[tuple[str, int]]:
    """The networks of list_models() whose parameters these may be, by their names and shapes: (name, classes)."""
    given.require_kind("values", values, Mapping, "name -> array, such as formats.read(FILE)")
    found = []
    for name, constructor in _REGISTRY.items():
        classes = weights.head_classes(_of_default(name), values)
        if classes:
            with contextlib.suppress(errors.Refused):
                weights.as_ours(constructor(classes=classes), values)
                found.append((name, classes))
    return found


@functools.cache  # each is looked at for every prefix in a file; without parameters they are small
def _of_default(name: str) -> HybridBlock:
    return _REGISTRY[name]()


def _recognised(path, values: Mapping[str, np.ndarray]) -> str:
    found = [name for name, _ in recognise(values)]
    inside = [] if found else [prefix for prefix, inner in naming.networks_in(values).items() if recognise(inner)]
    if inside:
        raise errors.Refused(naming.which_part(path, inside))
    if len(found) != 1:
        whose = " or ".join(found) or "no network of the zoo"
        built = (
            ""
            if found
            else (
                "; of one that was built with keywords make a .safetensors file, which keeps them: "
                "model_zoo.weights.save(get_model(NAME, KEYWORD=..., pretrained=FILE), 'FILE.safetensors')"
            )
        )
        raise errors.Refused(
            f"the names and shapes in {path} are those of {whose}: name it with model= (--model){built}"
        )
    return found[0]


def _start(pretrained) -> bool | str | os.PathLike:
    """get_model's argument of this name, with True and False for all that says so: 0 and 1 as well, as in GluonCV."""
    if pretrained is None or isinstance(pretrained, (int, np.bool_)) and pretrained in (0, 1):
        return bool(pretrained)
    if isinstance(pretrained, str):
        return {"true": True, "false": False}.get(pretrained.lower(), pretrained)
    if isinstance(pretrained, os.PathLike):
        return pretrained
    raise errors.Refused(f"pretrained is {quoted(pretrained)}: give True, False, a tag, or the path of a file")


def _file(name: str, pretrained) -> str | os.PathLike:
    """The parameter file that get_model's argument of this name means."""
    if pretrained is True:
        return published.fetch(name)
    if isinstance(pretrained, str) and published.is_tag(pretrained.lower()):
        return published.fetch(name, pretrained.lower())
    if hub.is_reference(pretrained):
        return hub.fetch(os.fspath(pretrained), name)
    path = formats.split(pretrained)[0]
    if os.fspath(pretrained) and os.path.isdir(path):
        raise errors.Refused(
            f"{os.fspath(pretrained)} is a folder: give pretrained= a file, such as a run's final.params, or open a "
            "run by gluon_tricks.load_network"
        )
    if not os.fspath(pretrained) or not os.path.exists(path):
        raise errors.Refused(
            f"there is no parameter file {os.fspath(pretrained)!r}, and it is no tag (8 hex digits); published tags of "
            f"{name}: {published.tags(name)}"
        )
    return pretrained


def _filled(
    net: HybridBlock, values: Mapping[str, np.ndarray], ctx, source, any_classes=False, plain=None
) -> HybridBlock:
    """The network with the parameters that were read from source."""
    try:
        weights.assign(net, values, ctx, source, any_classes, plain)
    except weights.OtherModel as error:
        likely = [other for other, _ in recognise(values)]
        raise errors.Refused(f"{error}; it looks like a {' or '.join(likely)}" if likely else str(error)) from None
    return net


def _constructor(name: str):
    name = as_listed(name)
    refuse_what_is_no_classifier(name)
    known = {**_REGISTRY, **gluoncv_networks.MODELS}
    counts = f"model_zoo.list_models() has {len(_REGISTRY)} names, list_gluoncv_models() those of GluonCV's other"
    otherwise = f"{counts} {len(gluoncv_networks.MODELS)}"
    return known[errors.require_known(name, list(known), "model", otherwise=otherwise)]


def _with_one_norm(kwargs: dict) -> dict:
    """A constructor's arguments from get_model's keywords."""
    norm = {key: value for key, value in kwargs.items() if key in NORM_KEYWORDS}
    others = {key: value for key, value in kwargs.items() if key not in NORM_KEYWORDS}
    return {**others, "norm": Norm(**norm)} if norm else others
