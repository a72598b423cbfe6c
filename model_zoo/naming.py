"""What a file calls a network's parameters: our names, and those of GluonCV, timm and torchvision.

A parameter's name here is its place in the network, such as `stage1.0.conv1.weight`. What the others call the same
parameter stands in the tables of `net.peers`.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import math
import os
import re
from collections.abc import Iterable, Mapping

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from gluon_tricks.core.wording import shortened, some
from model_zoo.torch_files import AVERAGE

log = logging.getLogger("model_zoo")

TORCH = ("timm", "torchvision")
NAMINGS = ("ours", "gluoncv", *TORCH)
# Of torch files: a counter that our norms do not have, one of a moving average, and the classifiers that torchvision
# trained Inception v3 and GoogLeNet with and does not predict with.
_LEFT_OUT = re.compile(r"(^|\.)num_batches_tracked$|^n_averaged$|^(AuxLogits|aux1|aux2)\.")
_MOST_WRAPPERS = 8  # around one network
# GluonCV's export_block puts the pixels' mean and deviation among the parameters.
PIXELS = re.compile(r"_init_(mean|scale)$")


def rename(name: str, table: Mapping[str, str]) -> str:
    """The name with every listed run of segments replaced, in one pass: "stem.1" is no part of "stem.10"."""
    return _pattern(tuple(table)).sub(lambda found: table[found[0]], name) if table else name


@functools.lru_cache(maxsize=256)
def _pattern(texts: tuple[str, ...]) -> re.Pattern:
    return re.compile("|".join(rf"\b{re.escape(text)}\b" for text in sorted(texts, key=len, reverse=True)))


@dataclasses.dataclass(frozen=True)
class Naming:
    """How a file calls a network's parameters.

    Args:
        library: whose names they are: one of NAMINGS, or "exported".
        names: name in the file -> our name; None: the file's names are not this network's.
        prefix: what a wrapper of the network's has put before all names.
    """

    library: str
    names: dict[str, str] | None
    prefix: str = ""


def naming_in(net: HybridBlock, values: Mapping[str, np.ndarray]) -> Naming:
    """The naming that a file with these arrays follows."""
    for prefix in _prefixes(values):
        inner = [name[len(prefix) :] for name in values if name.startswith(prefix) and not PIXELS.search(name)]
        library, names = _without_prefix(net, {name: values[prefix + name] for name in inner})
        if names is not None:
            return Naming(library, {prefix + theirs: name for theirs, name in names.items()}, prefix)
    return Naming("gluoncv", None)


def _prefixes(values: Mapping[str, np.ndarray]) -> list[str]:
    """What wrappers put before all names, such as "module.", "_orig_mod." or "model.backbone.", the shortest first."""
    names = [name for name in values if name != "n_averaged"]
    ends = [place.end() for place in re.finditer("[.]", os.path.commonprefix(names))][:_MOST_WRAPPERS]
    return ["", *(names[0][:end] for end in ends)]


def _without_prefix(net: HybridBlock, values: Mapping[str, np.ndarray]) -> tuple[str, dict[str, str] | None]:
    """The library and the names of naming_in."""
    for (library, _), names in namings(net).items():
        extra = values.keys() - names.keys()
        if library in TORCH:
            left_out = {name for name in extra if _LEFT_OUT.search(name)}
            extra -= left_out
        if not extra and names.keys() <= values.keys():
            if library in TORCH and left_out:
                log.debug("%s: left out %d arrays that are no part of it: %s", net.name, len(left_out), left_out)
            return library, names
    return "gluoncv", _by_scope(net, values) or _by_number(net, values)


def namings(net: HybridBlock) -> dict[tuple[str, bool], dict[str, str]]:
    """(one of NAMINGS or "exported", whether as they are today) -> {name in a file: our name}."""
    parameters = parameters_of(net)
    namings = {  # reversed: of two names the first is the parameter's
        ("ours", True): {name: name for name in parameters},
        ("exported", True): {p.name: name for name, p in reversed(parameters.items())},
    }
    for library, peer in net.peers.items():
        words = {"gamma": "weight", "beta": "bias"} if library in TORCH else {}
        today = {_end(rename(name, peer.names), words): name for name in reversed(parameters)}
        namings[library, True] = today
        if peer.formerly:
            namings[library, False] = {rename(theirs, peer.formerly): name for theirs, name in today.items()}
    return namings


def _end(name: str, words: Mapping[str, str]) -> str:
    """The name with its last segment replaced as listed."""
    place, dot, kind = name.rpartition(".")
    return f"{place}{dot}{words.get(kind, kind)}"


def _by_scope(net: HybridBlock, values: Mapping[str, np.ndarray]) -> dict[str, str] | None:
    """The naming of a file with the full names of one of GluonCV's own networks, such as resnetv20_conv0_weight.

    Ours are these after the network's own scope; the first word has a number, or another letter of a pruned network.
    """
    names = {parameter.name.removeprefix(net.prefix): name for name, parameter in reversed(parameters_of(net).items())}
    ours, theirs = ({name.partition("_")[0] for name in named} for named in (names, values))
    if len(ours) != 1 or len(theirs) != 1:
        return None
    (own,), (word,) = ours, theirs
    found = {f"{word}{theirs.removeprefix(own)}": name for theirs, name in names.items()}
    return found if found.keys() == values.keys() else None


def _by_number(net: HybridBlock, values: Mapping[str, np.ndarray]) -> dict[str, str] | None:
    """The naming of a file that GluonCV exported, such as resnetv10_stage1_conv0_weight: no places, but their numbers.

    The numbers say in which order a scope's layers of one kind were made, which is our order. Layer for layer of ours
    the next of some scope and kind must have the same parameters in the same shapes; of several the one that the file
    has first, as scopes follow each other there: MXNet 1.9.1 exports in the order in which a network computes. Two
    variants of the same shapes have their letter in the names (resnetv1c, resnetv1d).
    """
    peer = net.peers.get("gluoncv")
    theirs, parameters = _layers(values, "_"), parameters_of(net)
    if peer is None or peer.model is None or not theirs or not _scopes_upwards(theirs):
        return None
    variant = re.match(r"[a-z]+\d*_?(v\d[a-z])_", next(iter(theirs)))
    if variant and variant[1] not in net.name:
        return None
    once: dict[str, str] = {}  # a parameter with two names counts by its first
    for name, parameter in parameters.items():
        once.setdefault(parameter.name, name)
    names: dict[str, str] = {}
    ours_layers = _layers(once.values(), "[.]")
    if len(theirs) != len(ours_layers):
        return None
    place, queues = {layer: k for k, layer in enumerate(theirs)}, _queues(theirs)
    for ours in ours_layers.values():
        fitting = [queue for queue in queues if queue and _same(net, theirs[queue[0]], ours, values)]
        if not fitting:
            return None
        layer = min(fitting, key=lambda queue: place[queue[0]]).pop(0)
        names.update({theirs[layer][kind]: ours[kind] for kind in ours})
    return None if any(queues) else names


def _queues(layers: Iterable[str]) -> list[list[str]]:
    """The layers of each scope and kind, such as the convolutions of stage 1, in the order of their numbers."""
    queues: dict[str, list[tuple[int, str]]] = {}
    for layer in layers:
        kind, number = _numbered(layer)
        queues.setdefault(kind, []).append((number, layer))
    return [[layer for _, layer in sorted(queue)] for queue in queues.values()]


def _numbered(text: str) -> tuple[str, int]:
    """A text without the number that it ends in, and the number, 0 without one.

    Not by a regular expression: for each way of dividing many digits it would try all the others.
    """
    kind = text.rstrip("0123456789")
    return kind, int(text[len(kind) :] or 0)


def _same(net: HybridBlock, theirs: Mapping[str, str], ours: Mapping[str, str], values) -> bool:
    """Whether a layer of theirs has the parameters of one of ours; another number of classes is told later."""
    parameters = parameters_of(net)
    free = slice(1 if next(iter(ours.values())).startswith(f"{net.head_name}.") else 0, None)
    return theirs.keys() == ours.keys() and all(
        fits(values[theirs[kind]].shape[free], parameters[name].shape[free]) for kind, name in ours.items()
    )


def _layers(names: Iterable[str], separator: str) -> dict[str, dict[str, str]] | None:
    """Layer -> kind -> the parameter's name, in the order of the names; None if one of them has no kind."""
    layers: dict[str, dict[str, str]] = {}
    for name in names:
        parts = re.fullmatch(rf"(.*){separator}(weight|bias|gamma|beta|running_mean|running_var)", name)
        if parts is None:
            return None
        layers.setdefault(parts[1], {})[parts[2]] = name
    return layers


def _scopes_upwards(layers: Iterable[str]) -> bool:
    """Whether within each scope those of one kind come in the order of their numbers."""
    last: dict[tuple[str, str], int] = {}
    for layer in layers:
        start = 0
        for part in layer.split("_")[:-1]:
            kind, number = _numbered(part)
            if kind != part:
                place = layer[:start], kind
                if number < last.get(place, 0):
                    return False
                last[place] = number
            start += len(part) + 1
    return True


def parameters_of(net: HybridBlock) -> dict[str, mx.gluon.Parameter]:
    """The network's parameters by our names."""
    return net._collect_params_with_prefix()  # the only way to these names; save_parameters writes them


def differences(net: HybridBlock, values: Mapping, source) -> str:
    inside = [prefix for prefix, inner in networks_in(values).items() if naming_in(net, inner).names is not None]
    if inside:
        return which_part(source, inside)
    names = max(namings(net).values(), key=lambda names: len(names.keys() & values.keys()))
    missing, unknown = sorted(names.keys() - values.keys()), sorted(values.keys() - names.keys())
    parts = [
        f"{what.format(len(names))} ({some(names, 3)})"
        for what, names in (("lacks {} of its names", missing), ("has {} other names", unknown))
        if names
    ]
    return f"{source} does not hold the parameters of {net.name}: the file {' and '.join(parts)}"


def networks_in(values: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """What may be networks of their own in one file, by the prefix that their names share: student, teacher.

    Of the shortest prefixes that divide the names, those of a tenth of them at least, as layers are small.
    """
    common = os.path.commonprefix(list(values)).rpartition(".")[0]
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, value in values.items():
        inner = name[len(common) + 1 :] if common else name
        first, dot, rest = inner.partition(".")
        if dot:
            found.setdefault(f"{common}.{first}" if common else first, {})[rest] = value
    return {prefix: inner for prefix, inner in found.items() if len(inner) >= len(values) / 10}


def which_part(source, prefixes: list[str]) -> str:
    """That a file holds networks under these prefixes, and how to name one; a moving average is named last."""
    prefixes = sorted(prefixes, key=lambda prefix: (AVERAGE.search(prefix) is not None, prefix))
    more = "" if len(prefixes) > 1 else " and other names"
    said = " and ".join(shortened(prefix, 100) for prefix in prefixes[:10])
    return f"{source} holds {said}{more}: name one, as {source}#{shortened(prefixes[0], 100)}"


# --- shapes -------------------------------------------------------------------------------------------------------


def fits(seen: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether an array has the shape of a parameter, whose 0s are dimensions not known yet.

    With another number of dimensions (a dense layer kept as a convolution) the first and the count must be the same;
    with the same number nothing may differ, or a 1x7 kernel would pass for a 7x1.
    """
    if len(seen) == len(wanted):
        return all(w in (0, s) for s, w in zip(seen, wanted))
    return seen[:1] == wanted[:1] and (0 in wanted or math.prod(seen) == math.prod(wanted))
