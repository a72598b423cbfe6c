"""Parameters into a network and out of it, under our names and under those of GluonCV, timm and torchvision."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Mapping

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import plural, quoted, shortened
from model_zoo import built_with, formats, timm_config
from model_zoo.described import described, in_words
from model_zoo.hidden_layers import HiddenLayersClassifier
from model_zoo.naming import NAMINGS, TORCH, differences, fits, naming_in, namings, parameters_of

log = logging.getLogger("model_zoo")

# timm keeps VGG's hidden dense layers as convolutions over maps of such sides: the same numbers in the same order.
_CONVOLUTIONS = {"pre_logits.fc1.weight": 7, "pre_logits.fc2.weight": 1}
_TRANSFORMED = (
    "torchvision's own file was trained with auxiliary classifiers, which are left out, and on images normalised by "
    "mean 127.5 and std 127.5 on the 0..255 scale (its transform_input=True), so give it such and not ImageNet's usual"
)
# By the network's name there: in what a file that fits may still differ. Logged when one is loaded.
NOTES = {
    "inception_v3": _TRANSFORMED,
    "googlenet": _TRANSFORMED,
    "senet154": "timm's network begins its first pooling a pixel further left and above, so logits are not timm's",
    "mobilenetv1_100": "timm's own files were trained with ReLU6 where this network has ReLU, so logits are not timm's",
}


class OtherModel(Refused):
    """The file holds parameters, but their names are not this network's."""


def assign(
    net: HybridBlock, values: Mapping[str, np.ndarray], ctx=None, source: str | os.PathLike = "",
    any_classes: bool = False, plain: HybridBlock | None = None,
) -> None:  # fmt: skip
    """Gives a network of the zoo the parameters of a file; nothing is changed if they do not fit.

    Numbers are cast to the network's dtype.

    Args:
        net: a network of the zoo, initialised or not, its shapes known or deferred.
        values: what formats.read gave: our own names, GluonCV's of the same model (saved or exported), or timm's or
            torchvision's.
        ctx: context or list of contexts for a network not yet initialised; the default is the CPU.
        source: the file's name for errors.
        any_classes: take all but the head of a file with another number of classes, which a warning tells.
        plain: the same network without batch normalisation, whose files are taken too: what normalises then starts as
            new, which a warning tells. None: there is none, or its files are not wanted.

    Raises:
        Refused: the names or shapes are not the network's.

    Differs: where the file's own network may compute something else, a warning says what (NOTES).
    """
    parameters = parameters_of(net)
    owner = plain if plain is not None and _is_of(plain, values) and not _is_of(net, values) else net
    new_head = any_classes and (seen := head_classes(owner, values)) not in (None, net.classes)
    ours = as_ours(owner, values, source, head=not new_head)
    if owner is plain:
        ours = among_norms(net, plain, ours)
        log.warning(
            "%s has no batch normalisation and %s has: those layers start as new, and what the network computes is "
            "another function until it has been trained further",
            source or "the file", net.name,
        )  # fmt: skip
    if new_head:
        log.warning(
            "%s has a head of %d classes and %s is to have %d: all but the head is taken from it, the head starts "
            "from random numbers",
            source or "the file", seen, net.name, net.classes,
        )  # fmt: skip
    naming = naming_in(owner, values)
    if naming.prefix:
        count = len(naming.names)
        log.warning("%s: stripped the prefix %s from %d names", source or "parameters", quoted(naming.prefix), count)
    note = NOTES.get(net.peers[naming.library].model) if naming.library in TORCH else None
    if note and not timm_config.beside(formats.split(source)[0]):  # which says it itself
        log.warning("%s, named as in PyTorch, into %s: %s", source or "parameters", net.name, note)
    arrays = {parameters[name].name: mx.nd.array(value, dtype=value.dtype) for name, value in ours.items()}
    net.collect_params().load_dict(arrays, ctx, allow_missing=new_head or owner is plain, cast_dtype=True)
    found = described(source, values, net.preprocessing)
    if found:
        said, fields = found
        if said.classes and len(said.classes) != net.classes:  # of a head that was left out
            said = dataclasses.replace(said, classes=None)
        net.preprocessing, net.stated = said, fields


def _is_of(net: HybridBlock, values: Mapping[str, np.ndarray]) -> bool:
    return naming_in(net, values).names is not None


def among_norms(net: HybridBlock, plain: HybridBlock, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A network's arrays under the names that they have in the same network with normalisation layers in between.

    Args:
        net, plain: with and without these layers; all others follow each other alike.
        values: name in plain -> array.
    """
    normalising = {name.rpartition(".")[0] for name in parameters_of(net) if name.endswith(".gamma")}
    others = [name for name in parameters_of(net) if name.rpartition(".")[0] not in normalising]
    inside = parameters_of(plain)
    assert len(inside) == len(others), f"{net.name} and {plain.name} have other layers than those that normalise"
    places = dict(zip(inside, others))
    return {places[name]: value for name, value in values.items()}


def save(net: HybridBlock, path: str | os.PathLike, naming: str = "ours") -> None:
    """Writes the network's parameters under the names of one of NAMINGS.

    Args:
        path: ends in .safetensors, whose metadata then says model, naming, classes, keywords (see built_with) and,
            where it is stated (see Classifier), the preprocessing; or in .params, which has no place for these.
        naming: "gluoncv" for a .params file that `load_parameters` of GluonCV's network of the same name takes.

    Raises:
        Refused: another ending, the other library does not have this network, or it has parameters without numbers.
    """
    formats.write(path, as_theirs(net, values_of(net), naming), about(net, naming))


def values_of(net: HybridBlock) -> dict[str, np.ndarray]:
    """The network's parameters by our names.

    Raises:
        Refused: it has none yet, or of some the shape is not known yet.
    """
    for name, parameter in parameters_of(net).items():
        if parameter._data is None:
            told = "without numbers: call its initialize() first, or give get_model pretrained="
            if parameter._deferred_init:
                told = "of unknown shape: pass a batch of images through it first"
            raise Refused(f"{net.name} has parameters, such as {name}, {told}")
    mx.nd.waitall()  # a forward still under way changes its weights' layout; read meanwhile they come out wrong
    return {name: p.data(p.list_ctx()[0]).asnumpy() for name, p in parameters_of(net).items()}


def about(net: HybridBlock, naming: str) -> dict[str, str]:
    """What the metadata of a safetensors file says."""
    told = built_with.in_words(net.keywords)
    if net.stated:
        told["preprocessing"] = in_words(net.preprocessing, net.stated)
    return {"model": net.name, "naming": naming, "classes": str(net.classes), **told}


def as_ours(
    net: HybridBlock, values: Mapping[str, np.ndarray], source: str | os.PathLike = "", head: bool = True
) -> dict[str, np.ndarray]:
    """The arrays of a file under our names and in our shapes; head: with those of the head, which must be there.

    Raises:
        OtherModel: the names are not those of this network in any naming.
        Refused: a shape is not.
    """
    names, parameters = naming_in(net, values).names, parameters_of(net)
    if names is None:
        raise OtherModel(differences(net, values, source))
    if not head:
        heads = {name for head in net.heads for name in head.collect_params()}
        names = {theirs: name for theirs, name in names.items() if parameters[name].name not in heads}
    wrong = {t: name for t, name in names.items() if not fits(values[t].shape, parameters[name].shape)}
    for theirs, name in wrong.items():
        seen, wanted = values[theirs].shape, parameters[name].shape
        if name.startswith(f"{net.head_name}.") and seen and fits((wanted[0], *seen[1:]), wanted):
            raise Refused(
                f"{source} was saved with {plural(seen[0], 'class')}, but {net.name} has {wanted[0]}: pass "
                f"classes={seen[0]}"
            )
    for theirs, name in wrong.items():
        seen, wanted = values[theirs].shape, parameters[name].shape
        raise Refused(f"{source} does not fit {net.name}: {shortened(theirs, 100)} has the shape {seen}, not {wanted}")
    # By the parameter itself, as a network may hold one under two names of which the file has one.
    arrays = {parameters[name].name: _shaped(values[t], parameters[name].shape) for t, name in names.items()}
    return {name: arrays[parameter.name] for name, parameter in parameters.items() if parameter.name in arrays}


def as_theirs(net: HybridBlock, values: Mapping[str, np.ndarray], naming: str) -> dict[str, np.ndarray]:
    """The opposite of as_ours: arrays under our names, renamed to one of NAMINGS.

    Raises:
        Refused: the other library does not have this network.
    """
    keywords = built_with.told_keywords(net.keywords)
    lost = TORCH if "norm_layer" in keywords else ()  # there all norms are BatchNorm
    peers = [name for name, peer in net.peers.items() if peer.can_build and name not in lost]
    built = [name for name in NAMINGS if name in ("ours", *peers)]
    if naming not in built:
        told = ", ".join(f"{key}={value}" for key, value in keywords.items())
        raise Refused(
            f"{net.name}{f' with {told}' if told else ''} has no counterpart in {naming!r}: choose {' or '.join(built)}"
        )
    _require_usual_map(net, values, naming)
    renamed = {theirs: values[name] for theirs, name in reversed(namings(net)[naming, True].items())}
    for name, side in _CONVOLUTIONS.items() if naming == "timm" else ():
        if name in renamed:
            renamed[name] = renamed[name].reshape(len(renamed[name]), -1, side, side)
    return renamed


def _require_usual_map(net: HybridBlock, values: Mapping[str, np.ndarray], naming: str) -> None:
    """Refuses hidden dense layers for images of another size: torch's average any map to that of the usual images."""
    if naming not in TORCH or not isinstance(net, HiddenLayersClassifier):
        return
    side, seen = net.usual.input_size, values["neck.1.weight"].shape[1]
    wanted = net.count_features(side, side)
    if seen != wanted:
        raise Refused(
            f"{net.name} has dense layers that take {seen} features, and those in {naming!r} take the {wanted} of "
            f"images of {side} px: train it on such images, or choose ours or gluoncv"
        )


def head_classes(net: HybridBlock, values: Mapping[str, np.ndarray]) -> int | None:
    """How many classes the file's head has; None if the file's names are not this network's."""
    names = naming_in(net, values).names
    heads = [theirs for theirs, name in (names or {}).items() if name.startswith(f"{net.head_name}.")]
    return next((values[theirs].shape[0] for theirs in heads if values[theirs].shape), None)


def _shaped(value: np.ndarray, wanted: tuple[int, ...]) -> np.ndarray:
    return value if value.ndim == len(wanted) else value.reshape([size or -1 for size in wanted])
