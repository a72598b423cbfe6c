"""How a network was built, as a parameter file says it: the keywords of get_model that change what it computes."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Mapping
from typing import Any

from mxnet.gluon import nn

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.json_text import parse_json
from gluon_tricks.core.wording import quoted
from model_zoo import formats, timm_config
from model_zoo.classifier import Classifier
from model_zoo.described import told_beside
from model_zoo.naming import NAMINGS

# Those of training alone are not told.
_TOLD = ("blur", "dilated", "hidden", "batch_norm", "depth", "use_aux", "norm_layer", "norm_kwargs")
_NORMS = {layer.__name__: layer for layer in (nn.BatchNorm, nn.GroupNorm, nn.InstanceNorm, nn.LayerNorm)}


def told_keywords(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """The part of get_model's keywords that a file tells, as JSON has it.

    A layer of another class than those of MXNet's is left out: one over several ranks is BatchNorm for who reads it. A
    function that makes one of MXNet's says which, and its numbers: reads_as.
    """
    told = {key: keywords[key] for key in _TOLD if key in keywords}
    layer, numbers = told.pop("norm_layer", nn.BatchNorm), told.pop("norm_kwargs", None) or {}
    layer, usual = getattr(layer, "reads_as", (layer, {}))
    numbers = {**usual, **numbers}
    name = next((name for name, known in _NORMS.items() if known is layer), "BatchNorm")
    taken = inspect.signature(_NORMS[name]).parameters
    numbers = {key: value for key, value in numbers.items() if key in taken and _is_number(value)}
    return {
        **told,
        **({"norm_layer": name} if name != "BatchNorm" else {}),
        **({"norm_kwargs": numbers} if numbers else {}),
    }


def in_words(keywords: Mapping[str, Any]) -> dict[str, str]:
    """The metadata of a safetensors file that says them."""
    told = told_keywords(keywords)
    return {"keywords": json.dumps(told)} if told else {}


def keywords_in(source: str | os.PathLike, arrays: int) -> dict[str, Any]:
    """The keywords that a parameter file says its network was built with; {}: it says none.

    They stand in the metadata of a safetensors file of weights.save, in PREFIX-preprocessing.json beside an export's
    parameters, or follow from config.json of timm's.

    Args:
        source: the file, as formats.read takes it.
        arrays: how many it has.

    Raises:
        Refused: what it says is damaged.
    """
    path, _ = formats.split(source)
    about = formats.metadata(path)
    if about.get("naming") in NAMINGS:
        return _parsed(about.get("keywords", "{}"), path, arrays)
    config = timm_config.beside(path)
    if config:
        return dict(config.keywords)
    return _parsed(json.dumps(told_beside(path).get("keywords", {})), path, arrays)


def require_alike(source: str | os.PathLike, told: Mapping[str, Any], net: Classifier) -> None:
    """Refuses parameters whose network computes something else by its keywords, which no name shows.

    The other way round is no mistake: a segmenter starts from a network that was not dilated.

    Args:
        source: whose parameters they are.
        told: get_model's keywords of their network, as far as they are known.
        net: the network that is to have them.
    """
    asked = hidden(net.keywords, net.usual_epsilon)
    for key, value in hidden(told, net.usual_epsilon).items():
        if asked.get(key) != value:
            name, _, number = key.partition(".")
            said = {number: value} if number else value
            words = said if isinstance(said, str) else json.dumps(said)
            raise Refused(f"{source} holds a network with {name}={said}: give that too (--set 'net.{name}={words}')")


def hidden(keywords: Mapping[str, Any], usual_epsilon: float) -> dict[str, Any]:
    """What the names and shapes of parameters do not show of what a network computes; numbers as norm_kwargs.NAME.

    Args:
        keywords: get_model's.
        usual_epsilon: the network's, see Classifier.
    """
    told = told_keywords(keywords)
    layer, numbers = told.get("norm_layer", "BatchNorm"), told.get("norm_kwargs", {})
    if layer == "GroupNorm":
        numbers = {"num_groups": 1, **numbers}  # MXNet's own
    epsilon = numbers.get("epsilon", usual_epsilon)
    return {
        **{key: True for key in ("blur", "dilated") if told.get(key)},
        **({"norm_layer": layer} if layer != "BatchNorm" else {}),
        **({"norm_kwargs.num_groups": numbers["num_groups"]} if "num_groups" in numbers else {}),
        **({"norm_kwargs.epsilon": epsilon} if epsilon != usual_epsilon else {}),
    }


def _parsed(text: str, path: os.PathLike, arrays: int) -> dict[str, Any]:
    """From JSON to get_model's keywords. A network has no more layers than its file has arrays."""
    try:
        said = parse_json(text)
        if not isinstance(said, dict) or not said.keys() <= {*_TOLD}:
            raise ValueError(f"they are {quoted(said)}")
        numbers = said.get("norm_kwargs", {})
        if not isinstance(numbers, dict) or not all(map(_is_number, numbers.values())):
            raise ValueError(f"norm_kwargs is {quoted(numbers)}")
        if not all(_is_number(value) for key, value in said.items() if not key.startswith("norm_")):
            raise ValueError(f"they are {quoted(said)}")
        if said.get("depth", 0) > arrays:
            raise ValueError(f"depth is {said['depth']}, and there are {arrays} arrays")
        name = said.get("norm_layer", "BatchNorm")
        if name not in _NORMS:
            raise ValueError(f"norm_layer is {quoted(name)}")
    except (ValueError, TypeError) as error:
        raise Refused(f"{path} does not say rightly how its network was built: {str(error)[:200]}") from None
    return {**said, **({"norm_layer": _NORMS[name]} if "norm_layer" in said else {})}


def _is_number(value: object) -> bool:
    return isinstance(value, (bool, int, float))
