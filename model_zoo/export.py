"""Networks for use elsewhere: ONNX, or MXNet's symbol and parameters; beside them what is done to a photo first."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import pathlib
import warnings
from collections.abc import Sequence

import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import bytes_of, require_writable, write_together
from gluon_tricks.core.keyed_random import generator

# isort: split
import mxnet as mx
from mxnet.gluon import HybridBlock

from model_zoo.graph import trace
from model_zoo.preprocessing import Preprocessing

OPSET, IR_VERSION = 13, 7  # the newest that MXNet 1.9.1 writes nodes for, whichever onnx is installed
TOLERANCE = 1e-4  # of the largest logit


def export_onnx(
    net: HybridBlock, path: str | os.PathLike, preprocessing: Preprocessing, batch_size: int | None = None
) -> float | None:
    """Writes PATH.onnx, with the preprocessing in its metadata and in PATH-preprocessing.json.

    The file gets its name only after it gave the network's logits in onnxruntime, where that is installed.

    Args:
        net: any initialised hybrid network with float32 parameters, GluonCV's too. Input "data", (N, 3, H, W).
        path: ends in .onnx.
        preprocessing: its input_size is the input's height and width in the file.
        batch_size: N in the file; None leaves it open.

    Returns: the largest difference to the network's logits as a fraction of the largest logit; None: not checked.

    Raises:
        Refused: onnx is missing or too new, an operator that MXNet cannot export, logits that differ, no such folder.
        CannotWrite: the disk is full or read-only; nothing was written.
    """
    path = pathlib.Path(path)
    require_place(path, "onnx")
    if batch_size is not None and batch_size < 1:
        raise Refused(f"batch_size is {batch_size}: it takes 1 or more, or None for any")
    onnx = _import_onnx()
    symbol, parameters, images, logits = _snapshot(net, preprocessing, batch_size or 2)
    parameters.update({name: mx.nd.ones_like(parameters[name]) for name in _fixed_gammas(symbol)})

    def write(folder: pathlib.Path) -> float | None:
        file = str(folder / path.name)
        one = (batch_size or 1, *images.shape[1:])
        opened = {} if batch_size else {"dynamic": True, "dynamic_input_shapes": [(None, *images.shape[1:])]}
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                mx.onnx.export_model(symbol, parameters, [one], np.float32, file, **opened)
        except (AttributeError, NotImplementedError) as error:  # how MXNet says that it has no translation
            raise Refused(f"MXNet cannot export {net.name} to ONNX ({error}): export the symbol instead") from error
        model = onnx.load(file)
        model.opset_import[0].version, model.ir_version = OPSET, IR_VERSION
        _keep_constants_from_inputs(model.graph)
        described = json.dumps(_description(net, preprocessing, symbol))
        onnx.helper.set_model_props(model, {"preprocessing": described})
        onnx.checker.check_model(model)
        onnx.save(model, file)
        (folder / f"{path.stem}-preprocessing.json").write_text(described, encoding="utf-8")
        seen = _run_onnx(file, images)
        return None if seen is None else _compare(logits, seen, f"{path.name} in onnxruntime", net)

    return write_together(path.parent, write)


def export_symbol(net: HybridBlock, prefix: str | os.PathLike, preprocessing: Preprocessing) -> float:
    """Writes PREFIX-symbol.json, PREFIX-0000.params and PREFIX-preprocessing.json; reads them back and compares.

    Args:
        net, preprocessing: as for export_onnx; a symbol takes any batch size.
        prefix: path and beginning of the names.

    Returns: the largest difference to the network's logits as a fraction of the largest logit.

    Raises:
        Refused: no parameters or not float32, logits that differ, or no such folder.
        CannotWrite: the disk is full or read-only; nothing was written.
    """
    prefix = pathlib.Path(prefix)
    require_place(prefix, "symbol")
    symbol, parameters, images, logits = _snapshot(net, preprocessing, 2)
    auxiliary = set(symbol.list_auxiliary_states())

    def write(folder: pathlib.Path) -> float:
        graph, values = (str(folder / f"{prefix.name}-{end}") for end in ("symbol.json", "0000.params"))
        pathlib.Path(graph).write_text(symbol.tojson(), encoding="utf-8")
        named = {f"{'aux' if name in auxiliary else 'arg'}:{name}": value for name, value in parameters.items()}
        pathlib.Path(values).write_bytes(bytes_of(lambda file: mx.nd.save(file, named)))
        described = json.dumps(_description(net, preprocessing, symbol))
        (folder / f"{prefix.name}-preprocessing.json").write_text(described, encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that the type of "data" is open, as it always is
            read = mx.gluon.SymbolBlock.imports(graph, ["data"], values)
        return _compare(logits, _arrays(read(mx.nd.array(images))), f"{prefix.name}-symbol.json read back", net)

    return write_together(prefix.parent, write)


def require_place(target: str | os.PathLike, form: str) -> None:
    """Finds out before any work whether export_onnx (form "onnx") or export_symbol ("symbol") can write there.

    Raises:
        Refused: there is no such folder, or the name is wrong.
        CannotWrite: the disk is full or read-only.
    """
    path = pathlib.Path(target)
    if form == "onnx" and path.suffix != ".onnx":
        raise Refused(f"{path}: the name of an ONNX file ends in .onnx")
    if not path.parent.is_dir():
        raise Refused(f"there is no folder {path.parent} to write {path.name} to")
    ends = {"onnx": (f"{path.stem}.onnx",), "symbol": (f"{path.name}-symbol.json", f"{path.name}-0000.params")}
    described = f"{path.stem if form == 'onnx' else path.name}-preprocessing.json"
    for name in (*ends[form], described):
        require_writable(path.parent / name, "DST")


def _import_onnx():
    try:
        onnx = importlib.import_module("onnx")
    except ImportError:
        raise Refused("ONNX files need the package onnx: pip install '.[export]'") from None
    try:
        importlib.import_module("onnx.mapping")
    except ImportError:
        raise Refused(
            f"onnx {onnx.__version__} is too new for MXNet 1.9.1, which takes 1.13.1 to 1.15.0: pip install '.[export]'"
        ) from None
    return onnx


def _snapshot(net: HybridBlock, preprocessing: Preprocessing, batch_size: int):
    """The graph, its parameters on the CPU, random images, and the network's logits for them."""
    parameters = net.collect_params()
    try:
        context = [p.list_ctx()[0] for p in parameters.values()][0]
    except (RuntimeError, IndexError):
        raise Refused(f"{net.name} has no parameters yet: initialise it, or give get_model pretrained=") from None
    odd = next((p for p in parameters.values() if np.dtype(p.dtype) != np.float32), None)
    if odd is not None:
        raise Refused(f"{odd.name} is of type {np.dtype(odd.dtype).name}, but float32 is exported: net.cast('float32')")
    size = preprocessing.input_size
    images = generator(0, "export").standard_normal((batch_size, 3, size, size)).astype("float32")
    logits = _arrays(net(mx.nd.array(images, ctx=context)))  # also gives parameters of deferred shape their data
    if preprocessing.classes is not None and len(preprocessing.classes) != logits[0].shape[1]:
        raise Refused(f"{len(preprocessing.classes)} class names for a network with {logits[0].shape[1]} logits")
    symbol = trace(net)
    names = [*symbol.list_arguments(), *symbol.list_auxiliary_states()]
    values = {name: parameters[name].data(context).as_in_context(mx.cpu()) for name in names if name != "data"}
    return symbol, values, images, logits


def _description(net: HybridBlock, preprocessing: Preprocessing, symbol: mx.sym.Symbol) -> dict:
    outputs = [name.removesuffix("_output") for name in symbol.list_outputs()]
    return {"model": net.name, "input": "data", "outputs": outputs, **preprocessing.to_json()}


def _arrays(outputs) -> list[np.ndarray]:
    return [out.asnumpy() for out in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]


def _fixed_gammas(symbol: mx.sym.Symbol) -> list[str]:
    """The gammas that BatchNorm takes for 1 whatever they are, which MXNet's exporter does not know."""
    nodes = json.loads(symbol.tojson())["nodes"]
    norms = [node for node in nodes if node["op"] == "BatchNorm"]
    fixed = [node for node in norms if node.get("attrs", {}).get("fix_gamma", "True") in ("True", "1")]
    return [nodes[node["inputs"][1][0]]["name"] for node in fixed]


def _keep_constants_from_inputs(graph) -> None:
    """Takes the weights out of an ONNX graph's inputs, where MXNet lists them: so they are constants, to be folded."""
    constants = {constant.name for constant in graph.initializer}
    inputs = [given for given in graph.input if given.name not in constants]
    del graph.input[:]
    graph.input.extend(inputs)


def _run_onnx(file: str, images: np.ndarray) -> list[np.ndarray] | None:
    """The outputs in onnxruntime; None where it is not installed."""
    try:
        onnxruntime = importlib.import_module("onnxruntime")
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"data": images})


def _compare(expected: Sequence[np.ndarray], seen: Sequence[np.ndarray], what: str, net: HybridBlock) -> float:
    """The largest difference as a fraction of the largest logit, if it is small enough."""
    if [a.shape for a in expected] != [b.shape for b in seen]:
        raise Refused(f"{what} gives outputs {[b.shape for b in seen]}, not {[a.shape for a in expected]}: not written")
    differences = [np.abs(a - b).max() / max(np.abs(a).max(), np.finfo("float32").tiny) for a, b in zip(expected, seen)]
    worst = float(np.max(differences))
    if not worst <= TOLERANCE:  # nor if it is not a number
        raise Refused(f"{what} differs from {net.name} by {worst:.1e} of the largest logit: not written")
    return worst
