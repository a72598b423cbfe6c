"""Exported networks read back: the graph of PREFIX-symbol.json with the parameters of PREFIX-0000.params.

Neither is trusted. libmxnet's reader of graphs ends the process over an index that is too high, and its reader of
parameters believes the sizes that a file names. So it gets a graph made anew of operators, names and numbers that
were looked at here, and formats reads the parameters.

The parameters alone would do for networks of the zoo; the graph lets any other be a teacher or be exported again.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import warnings
from typing import Any

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.json_text import parse_json
from gluon_tricks.core.reading import read_bytes
from gluon_tricks.core.wording import quoted

# isort: split
import mxnet as mx
from mxnet.gluon import SymbolBlock

from model_zoo import built_with, formats
from model_zoo.described import described, model_in
from model_zoo.naming import PIXELS

_LARGEST = 1 << 26  # bytes; the graph of a network of 200 layers has 3e5
# What the networks of the zoo and their like are made of, by the number of inputs (libmxnet does not count them).
# Others are refused: some read files or run Python.
_LAYERS = ("Convolution", "Deconvolution", "FullyConnected")  # data, weight and, unless no_bias, bias
_INPUTS = {
    **dict.fromkeys(["null"], 0),
    **dict.fromkeys("Activation LeakyReLU relu sigmoid tanh clip hard_sigmoid softmax log_softmax LRN".split(), 1),
    **dict.fromkeys("Pooling _contrib_AdaptiveAvgPooling2D Dropout Flatten Reshape expand_dims squeeze".split(), 1),
    **dict.fromkeys("transpose slice slice_axis mean sum square sqrt exp _copy Cast amp_cast Pad".split(), 1),
    **dict.fromkeys("L2Normalization _mul_scalar _plus_scalar _minus_scalar _rminus_scalar _div_scalar".split(), 1),
    **dict.fromkeys("_power_scalar _maximum_scalar _minimum_scalar _equal_scalar ones_like SwapAxis".split(), 1),
    **dict.fromkeys("UpSampling _contrib_BilinearResize2D".split(), 1),
    **dict.fromkeys("elemwise_add elemwise_sub elemwise_mul elemwise_div slice_like".split(), 2),
    **dict.fromkeys("broadcast_add broadcast_sub broadcast_mul broadcast_div".split(), 2),
    **dict.fromkeys("GroupNorm LayerNorm InstanceNorm".split(), 3),
    **dict.fromkeys(["BatchNorm"], 5),
}
_SETTINGS = {  # of operators that take more inputs with others: the only ones, and the only value; None: any
    "UpSampling": {"scale": None, "sample_type": "nearest", "num_args": "1"},
    "_contrib_BilinearResize2D": {"height": None, "width": None},
}
_MANY = ("Concat", "add_n")  # as many as num_args says
_NAME = re.compile(r"[\w.-]{1,100}")  # of a network
_WORD = re.compile("[A-Za-z][A-Za-z0-9_]{0,30}")
_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{0,30})?(e[+-]?[0-9]{1,3})?")
_LIMITS = {  # of the numbers in a setting: (lowest, highest); a stride of 0 is divided by, an edge of 1e6 px allocated
    **dict.fromkeys(("kernel", "stride", "dilate", "num_args"), (1, 999)),
    **dict.fromkeys(("pad", "adj", "pad_width"), (0, 99)),
    **dict.fromkeys(("dim1", "dim2"), (0, 3)),  # axes of (N, C, H, W)
    **dict.fromkeys(("height", "width"), (1, 4096)),  # px
    "scale": (1, 64),  # of UpSampling
    **dict.fromkeys(("num_filter", "num_hidden", "num_group", "num_groups", "output_size", "nsize"), (1, 1 << 20)),
}
_NUMBERS = (-(1 << 24), 1 << 24)


def import_symbol(path: str | os.PathLike, ctx=None) -> SymbolBlock:
    """The network that export_symbol, `net.export` or GluonCV's `export_block` wrote.

    Args:
        path: PREFIX-symbol.json; PREFIX-0000.params lies beside it. The graph's input is called "data".
        ctx: context or list of contexts; the default is the CPU.

    Returns: the network; with name, `keywords`, `preprocessing` and `stated` as of a Classifier, as far as
        PREFIX-preprocessing.json says them, if it lies there too.

    Raises:
        Refused: a file is missing, damaged or does not fit the other; or the graph has operators or settings that
            networks for images do not have, or takes pixels, as that of `export_block` with its preprocessing does.
    """
    path = pathlib.Path(path)
    beside = path.with_name(path.name.replace("-symbol.json", "-0000.params"))
    if not path.name.endswith("-symbol.json") or not beside.is_file():
        raise Refused(f"{path} should be called PREFIX-symbol.json and have PREFIX-0000.params beside it")
    arrays = formats.read(beside)
    if any(PIXELS.search(name) for name in arrays):
        raise Refused(
            f"{path} takes pixels as (N, height, width, 3), which GluonCV's export_block made it do: name {beside}, "
            "which is read as the network with its mean and deviation"
        )
    try:
        symbol = mx.sym.load_json(json.dumps(_graph(path)))
    except mx.MXNetError as error:
        raise Refused(f"{path} is damaged: {str(error).strip().splitlines()[-1][:200]}") from None
    inputs = set(symbol.list_inputs())
    odd = sorted((inputs - {"data"}) ^ arrays.keys())
    if odd or "data" not in inputs:
        raise Refused(f"{path} and {beside.name} do not belong together: {odd[:3] or 'data'} is in one of them only")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the type of "data" is open, as it always is
        net = SymbolBlock(symbol, mx.sym.var("data"))
    values = {name: mx.nd.array(array, dtype=array.dtype) for name, array in arrays.items()}
    try:
        net.collect_params().load_dict(values, ctx, cast_dtype=True, dtype_source="saved")
    except AssertionError as error:
        raise Refused(f"{beside} does not fit {path.name}: {str(error).splitlines()[0][:200]}") from None
    net.keywords, model = built_with.keywords_in(beside, len(arrays)), model_in(beside)
    if model and _NAME.fullmatch(model):
        net._name = model
    found = described(path, {}, None)
    if found:
        net.preprocessing, net.stated = found
    return net


def _graph(path: pathlib.Path) -> dict[str, Any]:
    """The graph in a file, with nothing in it but what was looked at."""
    try:
        graph = parse_json(read_bytes(path, _LARGEST))
    except OSError as error:
        raise Refused(f"{path} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise Refused(f"{path} is no graph of MXNet's: {error}") from None
    if not isinstance(graph, dict) or not all(isinstance(graph.get(part), list) for part in ("nodes", "heads")):
        raise Refused(f'{path} is no graph of MXNet\'s: it has no lists "nodes" and "heads"')
    nodes = [_node(path, k, node) for k, node in enumerate(graph["nodes"])]
    return {
        "nodes": nodes,
        "arg_nodes": [k for k, node in enumerate(nodes) if node["op"] == "null"],
        "heads": [_output(path, head, len(nodes)) for head in graph["heads"]],
        "attrs": {"mxnet_version": ["int", 10901]},
    }


def _node(path: pathlib.Path, k: int, node: Any) -> dict[str, Any]:
    """Node k, which may use the outputs of those before it."""
    fields = dict(node) if isinstance(node, dict) else {}
    op, name, inputs = (fields.get(field) for field in ("op", "name", "inputs"))
    settings = fields.get("attrs", fields.get("attr", fields.get("param", {})))  # since 1.0, 0.9 and before
    if [type(field) for field in (op, name, inputs, settings)] != [str, str, list, dict]:
        raise Refused(f"{path} is damaged: node {k} has no operator, name, inputs or settings")
    if not re.fullmatch(r"[\w./:-]{1,500}", name):
        raise Refused(f"{path} is damaged: node {k} is called {quoted(name, 50)}")
    if len(inputs) not in _counts(op, settings):
        raise Refused(f"{path}: {name} is a {quoted(op, 50)} of {len(inputs)} inputs, which is not read here")
    settings = {key: value for key, value in settings.items() if not key.startswith("__")}  # for training
    for key, value in settings.items():
        if not _harmless(key, value):
            raise Refused(f"{path}: {key!r} of {name} is {quoted(value, 50)}, which is not read here")
    return {"op": op, "name": name, "attrs": settings, "inputs": [_output(path, place, k) for place in inputs]}


def _counts(op: Any, settings: dict[str, Any]) -> tuple[int, ...]:
    """How many inputs the operator may have; none if it is no operator that is read here."""
    if op in _LAYERS:
        without_bias = str(settings.get("no_bias", op == "Deconvolution"))
        return {"True": (2,), "1": (2,), "False": (3,), "0": (3,)}.get(without_bias, ())
    if op in _MANY:
        count = str(settings.get("num_args", "1"))
        return (int(count),) if re.fullmatch("[1-9][0-9]{0,4}", count) else ()
    if "prelu" in settings.values() or "use_length" in settings:  # these take one more
        return ()
    listed = _SETTINGS.get(op)
    if listed and not all(key in listed and listed[key] in (None, value) for key, value in settings.items()):
        return ()
    return (_INPUTS[op],) if op in _INPUTS else ()


def _output(path: pathlib.Path, place: Any, count: int) -> list[int]:
    """[node, output, version]: the first output of one of `count` nodes. Of the rest no network here makes use."""
    if not isinstance(place, list) or not 2 <= len(place) <= 3 or not all(type(number) is int for number in place):
        raise Refused(f"{path} is damaged: {quoted(place, 50)} is no output of a node")
    if not 0 <= place[0] < count or place[1] != 0:
        raise Refused(f"{path} is damaged: output {place[1]} of node {place[0]} is not there for what uses it")
    return [place[0], 0, 0]


def _harmless(key: str, value: Any) -> bool:
    """Whether a setting is a word or of numbers in their range; all settings are text."""
    if not isinstance(value, str) or not _WORD.fullmatch(key):
        return False
    if _WORD.fullmatch(value):
        return key not in _LIMITS and value.lower() not in ("inf", "infinity", "nan")
    low, high = _LIMITS.get(key, _NUMBERS)
    inner = re.sub(r"^[(\[](.*?),?[)\]]$", r"\1", value)  # of "(1, 1)", "[1,1]", "(1,)"; of "()" nothing
    parts = inner.split(",")
    return len(parts) <= 8 and all(
        part.strip() in ("", "None") or (_NUMBER.fullmatch(part.strip()) and low <= float(part) <= high)
        for part in parts
    )
