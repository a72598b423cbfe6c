"""Parameters into a network and out of it, under our names and under those of GluonCV, timm and torchvision.

A parameter's name here is its place in the network, such as `stage1.0.conv1.weight`. What the others call the same
parameter stands in the tables of `net.peers`.
"""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Iterable, Mapping

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from gluon_tricks.runtime import Refused
from model_zoo import formats

log = logging.getLogger("model_zoo")

TORCH = ("timm", "torchvision")
NAMINGS = ("ours", "gluoncv", *TORCH)
# Of torch files: a counter that our norms do not have, and the classifiers that torchvision trained Inception v3 and
# GoogLeNet with and does not predict with.
_LEFT_OUT = re.compile(r"(^|\.)num_batches_tracked$|^(AuxLogits|aux1|aux2)\.")
# timm keeps VGG's hidden dense layers as convolutions over the 7x7 map: the same numbers in the same order.
_CONVOLUTIONS = {"pre_logits.fc1.weight": (-1, 512, 7, 7), "pre_logits.fc2.weight": (-1, 4096, 1, 1)}
_TRANSFORMED = (
    "torchvision's own file was trained with auxiliary classifiers, which are left out, and on images normalised by "
    "mean 127.5 and std 127.5 on the 0..255 scale (its transform_input=True), so give it such and not ImageNet's usual"
)
# By the network's name there: in what a file that fits may still differ. Logged when one is loaded.
NOTES = {
    "inception_v3": _TRANSFORMED,
    "googlenet": _TRANSFORMED,
    "mobilenetv1_100": "timm's own files were trained with ReLU6 where this network has ReLU, so logits are not timm's",
}


class OtherModel(Refused):
    """The file holds parameters, but their names are not this network's."""


def load_parameters(net: HybridBlock, path: str | os.PathLike, ctx=None) -> None:
    """Gives a network of the zoo the parameters of a file; nothing is changed if they do not fit.

    The file is of any kind that formats.read knows: our own, GluonCV's of the same model (saved or exported), or
    timm's or torchvision's; its names tell which. Numbers are cast to the network's dtype.

    Args:
        net: a network of the zoo, initialised or not, its shapes known or deferred.
        path: the file.
        ctx: context or list of contexts for a network not yet initialised; the default is the CPU.

    Raises:
        Refused: the file is missing, damaged or no parameter file; its names or shapes are not the network's.

    Differs: where the file's own network may compute something else, a warning says what (NOTES).
    """
    assign(net, formats.read(path), ctx, source=path)


def assign(
    net: HybridBlock, values: Mapping[str, np.ndarray], ctx=None, source: str | os.PathLike = "",
    any_classes: bool = False,
) -> None:  # fmt: skip
    """load_parameters with the file read already.

    Args:
        source: the file's name for errors.
        any_classes: take all but the head of a file with another number of classes, which a warning tells.
    """
    parameters = _parameters(net)
    new_head = any_classes and (seen := head_classes(net, values)) not in (None, net.classes)
    ours = as_ours(net, values, source, head=not new_head)
    if new_head:
        log.warning(
            "%s has a head of %d classes and %s is to have %d: all but the head is taken from it, the head starts anew",
            source or "the file", seen, net.name, net.classes,
        )  # fmt: skip
    note = _note(net, values)
    if note:
        log.warning("%s, named as in PyTorch, into %s: %s", source or "parameters", net.name, note)
    arrays = {parameters[name].name: mx.nd.array(value, dtype=value.dtype) for name, value in ours.items()}
    net.collect_params().load_dict(arrays, ctx, allow_missing=new_head, cast_dtype=True)


def save(net: HybridBlock, path: str | os.PathLike, naming: str = "ours") -> None:
    """Writes the network's parameters under the names of one of NAMINGS.

    Args:
        path: ends in .safetensors, whose metadata then says model, naming and classes, or in .params.
        naming: "gluoncv" for a .params file that `load_parameters` of GluonCV's network of the same name takes.

    Raises:
        Refused: another ending, or the other library does not have this network.
    """
    formats.write(path, as_theirs(net, values_of(net), naming), about(net, naming))


def values_of(net: HybridBlock) -> dict[str, np.ndarray]:
    """The network's parameters by our names."""
    mx.nd.waitall()  # a forward still under way changes its weights' layout; read meanwhile they come out wrong
    return {name: p.data(p.list_ctx()[0]).asnumpy() for name, p in _parameters(net).items()}


def about(net: HybridBlock, naming: str) -> dict[str, str]:
    """What the metadata of a safetensors file says."""
    return {"model": net.name, "naming": naming, "classes": str(net.classes)}


def as_ours(
    net: HybridBlock, values: Mapping[str, np.ndarray], source: str | os.PathLike = "", head: bool = True
) -> dict[str, np.ndarray]:
    """The arrays of a file under our names and in our shapes; head: with those of the head, which must be there.

    Raises:
        OtherModel: the names are not those of this network in any naming.
        Refused: a shape is not.
    """
    names, parameters = names_in(net, values), _parameters(net)
    if names is None:
        raise OtherModel(_name_differences(net, values, source))
    if not head:
        heads = set(net.head.collect_params().keys())
        names = {theirs: name for theirs, name in names.items() if parameters[name].name not in heads}
    wrong = {t: name for t, name in names.items() if not _fits(values[t].shape, parameters[name].shape)}
    for theirs, name in wrong.items():
        seen, wanted = values[theirs].shape, parameters[name].shape
        if name.startswith("head.") and seen and _fits((wanted[0], *seen[1:]), wanted):
            raise Refused(
                f"{source} was saved with {seen[0]} classes, but {net.name} has {wanted[0]}: pass classes={seen[0]}"
            )
    for theirs, name in wrong.items():
        seen, wanted = values[theirs].shape, parameters[name].shape
        raise Refused(f"{source} does not fit {net.name}: {theirs} has the shape {seen}, not {wanted}")
    # By the parameter itself, as a network may hold one under two names of which the file has one.
    arrays = {parameters[name].name: _shaped(values[t], parameters[name].shape) for t, name in names.items()}
    return {name: arrays[parameter.name] for name, parameter in parameters.items() if parameter.name in arrays}


def as_theirs(net: HybridBlock, values: Mapping[str, np.ndarray], naming: str) -> dict[str, np.ndarray]:
    """The opposite of as_ours: arrays under our names, renamed to one of NAMINGS.

    Raises:
        Refused: the other library does not have this network.
    """
    known = {library: names for (library, today), names in _namings(net).items() if today and library in NAMINGS}
    if naming not in known:
        raise Refused(f"{net.name} has no counterpart in {naming!r}: choose {' or '.join(known)}")
    renamed = {theirs: values[name] for theirs, name in reversed(known[naming].items())}
    for name, shape in _CONVOLUTIONS.items() if naming == "timm" else ():
        if name in renamed:
            renamed[name] = renamed[name].reshape(shape)
    return renamed


def head_classes(net: HybridBlock, values: Mapping[str, np.ndarray]) -> int | None:
    """How many classes the file's head has; None if the file's names are not this network's."""
    names = names_in(net, values)
    heads = [theirs for theirs, name in (names or {}).items() if name.startswith("head.")]
    return next((values[theirs].shape[0] for theirs in heads if values[theirs].shape), None)


# --- names --------------------------------------------------------------------------------------------------------


def rename(name: str, table: Mapping[str, str]) -> str:
    """The name with every listed run of segments replaced, in one pass: "stem.1" is no part of "stem.10"."""
    pattern = "|".join(rf"\b{re.escape(segments)}\b" for segments in sorted(table, key=len, reverse=True))
    return re.sub(pattern, lambda found: table[found[0]], name) if table else name


def names_in(net: HybridBlock, values: Mapping[str, np.ndarray]) -> dict[str, str] | None:
    """{name in the file: our name}, in the naming that the file follows; None if it follows none."""
    return _naming_in(net, values)[1]


def _naming_in(net: HybridBlock, values: Mapping[str, np.ndarray]) -> tuple[str, dict[str, str] | None]:
    """names_in, and before it the library that the naming belongs to."""
    for (library, _), names in _namings(net).items():
        extra = values.keys() - names.keys()
        if library in TORCH:
            left_out = {name for name in extra if _LEFT_OUT.search(name)}
            extra -= left_out
        if not extra and names.keys() <= values.keys():
            if library in TORCH and left_out:
                log.debug("%s: left out %d arrays that are no part of it: %s", net.name, len(left_out), left_out)
            return library, names
    return "gluoncv", _by_order(net, values)


def _note(net: HybridBlock, values: Mapping[str, np.ndarray]) -> str | None:
    library, _ = _naming_in(net, values)
    return NOTES.get(net.peers[library].model) if library in TORCH else None


def _namings(net: HybridBlock) -> dict[tuple[str, bool], dict[str, str]]:
    """(one of NAMINGS or "exported", whether as they are today) -> {name in a file: our name}."""
    parameters = _parameters(net)
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


def _by_order(net: HybridBlock, values: Mapping[str, np.ndarray]) -> dict[str, str] | None:
    """The naming of a file that GluonCV exported, such as resnetv10_stage1_conv0_weight: no places, but their order.

    Layer for layer the file must have the same kinds of parameters in the same shapes, its layers numbered upwards
    wherever they are numbered: then no other order is possible. Two variants of the same shapes have their letter in
    the names (resnetv1c, resnetv1d).
    """
    peer = net.peers.get("gluoncv")
    theirs, parameters = _layers(values, "_"), _parameters(net)
    if peer is None or peer.model is None or not theirs or not _numbered_upwards(theirs):
        return None
    variant = re.match(r"[a-z]+\d*_?(v\d[a-z])_", next(iter(theirs)))
    if variant and variant[1] not in net.name:
        return None
    once: dict[str, str] = {}  # a parameter with two names counts by its first
    for name, parameter in parameters.items():
        once.setdefault(parameter.name, name)
    ours = _layers(once.values(), "[.]")
    if [kinds.keys() for kinds in theirs.values()] != [kinds.keys() for kinds in ours.values()]:
        return None
    names = {t[kind]: o[kind] for t, o in zip(theirs.values(), ours.values()) for kind in t}
    for their_name, name in names.items():
        free = slice(1 if name.startswith("head.") else 0, None)  # another number of classes is told later
        if not _fits(values[their_name].shape[free], parameters[name].shape[free]):
            return None
    return names


def _layers(names: Iterable[str], separator: str) -> dict[str, dict[str, str]] | None:
    """Layer -> kind -> the parameter's name, in the order of the names; None if one of them has no kind."""
    layers: dict[str, dict[str, str]] = {}
    for name in names:
        parts = re.fullmatch(rf"(.*){separator}(weight|bias|gamma|beta|running_mean|running_var)", name)
        if parts is None:
            return None
        layers.setdefault(parts[1], {})[parts[2]] = name
    return layers


def _numbered_upwards(layers: Iterable[str]) -> bool:
    """Whether within each scope the layers and the scopes of one kind come in the order of their numbers."""
    last: dict[tuple[str, str], int] = {}
    for layer in layers:
        for part in re.finditer(r"([^_]*?)(\d+)(_|$)", layer):
            place, number = (layer[: part.start()], part[1]), int(part[2])
            if number < last.get(place, 0):
                return False
            last[place] = number
    return True


def _parameters(net: HybridBlock) -> dict[str, mx.gluon.Parameter]:
    return net._collect_params_with_prefix()  # the only way to these names; save_parameters writes them


def _name_differences(net: HybridBlock, values: Mapping, source) -> str:
    names = max(_namings(net).values(), key=lambda names: len(names.keys() & values.keys()))
    missing, unknown = sorted(names.keys() - values.keys()), sorted(values.keys() - names.keys())
    parts = [
        f"{what.format(len(some))} ({', '.join(some[:3])}{', ...' if len(some) > 3 else ''})"
        for what, some in (("lacks {} of its names", missing), ("has {} other names", unknown))
        if some
    ]
    return f"{source} does not hold the parameters of {net.name}: the file {' and '.join(parts)}"


# --- shapes -------------------------------------------------------------------------------------------------------


def _fits(seen: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether an array has the shape of a parameter, whose 0s are dimensions not known yet.

    With another number of dimensions (a dense layer kept as a convolution) the first and the count must be the same;
    with the same number nothing may differ, or a 1x7 kernel would pass for a 7x1.
    """
    if len(seen) == len(wanted):
        return all(w in (0, s) for s, w in zip(seen, wanted))
    return seen[:1] == wanted[:1] and (0 in wanted or math.prod(seen) == math.prod(wanted))


def _shaped(value: np.ndarray, wanted: tuple[int, ...]) -> np.ndarray:
    return value if value.ndim == len(wanted) else value.reshape([size or -1 for size in wanted])
