"""Parameters from and to files: our own, and those of GluonCV, whose names for the same parameters differ.

A parameter's name here is its place in the network, such as `stage1.0.conv1.weight`.
"""

from __future__ import annotations

import math
import os
import re
import struct
from typing import BinaryIO

import mxnet as mx
from mxnet.gluon import HybridBlock

from gluon_tricks.runtime import Refused


class OtherModel(Refused):
    """The file holds parameters, but their names are not this network's."""


def rename(name: str, table: dict[str, str]) -> str:
    """The name with every listed run of segments replaced, in one pass: "stem.1" is no part of "stem.10"."""
    pattern = "|".join(rf"\b{re.escape(segments)}\b" for segments in sorted(table, key=len, reverse=True))
    return re.sub(pattern, lambda found: table[found[0]], name)


def load_parameters(net: HybridBlock, path: str | os.PathLike, ctx=None) -> None:
    """Gives a network of the zoo the parameters of a file; nothing is changed if they do not fit.

    The file is GluonCV's `net.save_parameters` of the same model, our own, or the .params of our `net.export`; its
    names tell which. Numbers are cast to the network's dtype (float16 files load into float32 networks).

    Args:
        net: a network of the zoo, initialised or not.
        path: the file.
        ctx: context or list of contexts for a network not yet initialised; the default is the CPU.

    Raises:
        Refused: the file is missing, truncated or no parameter file; its names or shapes are not the network's.
    """
    assign(net, read(path), ctx, source=path)


def save_gluoncv(net: HybridBlock, path: str | os.PathLike) -> None:
    """Writes the network's parameters so that `load_parameters` of GluonCV's network of the same name takes them."""
    table = net.peers["gluoncv"].names
    parameters = _parameters(net)
    values = {rename(name, table): p.data(p.list_ctx()[0]) for name, p in parameters.items()}
    mx.nd.save(os.fspath(path), values)


def assign(net: HybridBlock, values: dict[str, mx.nd.NDArray], ctx=None, source: str | os.PathLike = "") -> None:
    """load_parameters with the file read already; source: the file's name for errors."""
    names = naming(net, values)
    parameters = _parameters(net)
    if names is None:
        raise OtherModel(_name_differences(net, values, source))
    for theirs, name in names.items():
        seen, wanted = values[theirs].shape, parameters[name].shape
        if seen == wanted:
            continue
        if name.startswith("head.") and seen[1:] == wanted[1:]:
            raise Refused(
                f"{source} was saved with {seen[0]} classes, but {net.name} has {wanted[0]}: pass classes={seen[0]}"
            )
        raise Refused(f"{source} does not fit {net.name}: {theirs} has the shape {seen}, not {wanted}")
    by_parameter = {parameters[name].name: values[theirs] for theirs, name in names.items()}
    net.collect_params().load_dict(by_parameter, ctx, cast_dtype=True)


def naming(net: HybridBlock, values: dict[str, mx.nd.NDArray]) -> dict[str, str] | None:
    """{name in the file: our name}, in the naming that holds precisely the file's names; None if there is no such."""
    return next((names for names in _namings(net).values() if names.keys() == values.keys()), None)


def _namings(net: HybridBlock) -> dict[str, dict[str, str]]:
    """Format -> {name in the file: our name}."""
    parameters = _parameters(net)
    formats = {
        "ours": {name: name for name in parameters},
        "exported": {p.name: name for name, p in parameters.items()},
    }
    if "gluoncv" in net.peers:
        formats["GluonCV's"] = {rename(name, net.peers["gluoncv"].names): name for name in parameters}
    return formats


def _parameters(net: HybridBlock) -> dict[str, mx.gluon.Parameter]:
    return net._collect_params_with_prefix()  # the only way to these names; save_parameters writes them


def _name_differences(net: HybridBlock, values: dict, source) -> str:
    names = max(_namings(net).values(), key=lambda names: len(names.keys() & values.keys()))
    missing, unknown = sorted(names.keys() - values.keys()), sorted(values.keys() - names.keys())
    parts = [
        f"{what} {len(some)} ({', '.join(some[:3])}{', ...' if len(some) > 3 else ''})"
        for what, some in (("lacks", missing), ("has as unknown", unknown))
        if some
    ]
    return f"{source} does not hold the parameters of {net.name}: of its names the file {' and '.join(parts)}"


def read(path: str | os.PathLike) -> dict[str, mx.nd.NDArray]:
    """The arrays of an MXNet parameter file by name, on the CPU; `arg:` and `aux:` of an export are cut off."""
    if not os.path.isfile(path):
        raise Refused(f"there is no parameter file {path}")
    with open(path, "rb") as file:
        _check_sizes(file, path)
    try:
        arrays = mx.nd.load(os.fspath(path))
    except mx.base.MXNetError as error:
        raise Refused(f"{path} is damaged, get it again: {str(error).splitlines()[-1]}") from None
    if not isinstance(arrays, dict):
        raise Refused(f"{path} holds {len(arrays)} arrays without names: save it with net.save_parameters")
    return {re.sub("^(arg|aux):", "", name): array for name, array in arrays.items()}


_LIST_MAGIC, _ARRAY_MAGICS = 0x112, (0xF993FAC9, 0xF993FACA)
_ITEM_BYTES = {0: 4, 1: 8, 2: 2, 3: 1, 4: 4, 5: 1, 6: 8, 7: 1, 12: 2}  # by MXNet's type flag


def _check_sizes(file: BinaryIO, path) -> None:
    """Walks over the arrays without reading them: libmxnet allocates whatever size a damaged file names."""
    end = os.fstat(file.fileno()).st_size

    def unpack(layout: str):
        content = file.read(struct.calcsize(layout))
        if len(content) < struct.calcsize(layout):
            raise Refused(f"{path} is truncated (it ends after {end} bytes): get it again")
        return struct.unpack(layout, content)

    if end < 8 or unpack("<Q") != (_LIST_MAGIC,):
        raise Refused(f"{path} is no MXNet parameter file: give one that net.save_parameters wrote")
    _, count = unpack("<QQ")
    for _ in range(count):
        magic, storage, ndim = unpack("<Iii")
        if magic not in _ARRAY_MAGICS or storage != 0 or not 1 <= ndim <= 32:
            raise Refused(
                f"{path} is damaged, or not of MXNet 1.0 or newer: array header {magic:#x}, {storage}, {ndim}"
            )
        *shape, _, _, flag = unpack(f"<{ndim}q3i")
        size = math.prod(shape) * _ITEM_BYTES.get(flag, 1)
        if min(shape) < 0 or file.tell() + size > end:
            raise Refused(f"{path} is truncated: an array of shape {tuple(shape)} reaches beyond its {end} bytes")
        file.seek(size, os.SEEK_CUR)
