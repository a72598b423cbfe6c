"""Networks for use elsewhere: ONNX, or MXNet's symbol and parameters; beside them what is done to a photo first."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import os
import pathlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Union

import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import bytes_of, require_writable, write_together
from gluon_tricks.core.keyed_random import generator

# isort: split
import mxnet as mx
from mxnet.gluon import HybridBlock

from model_zoo import onnx_resize
from model_zoo.built_with import told_keywords
from model_zoo.described import told_beside
from model_zoo.graph import trace
from model_zoo.preprocessing import Preprocessing
from model_zoo.whole_images import WholeImages

OPSET, IR_VERSION = 13, 7  # the newest that MXNet 1.9.1 writes nodes for, whichever onnx is installed
TOLERANCE = 1e-4  # of the largest number of an output
Steps = Union[Preprocessing, WholeImages]


def export_onnx(
    net: HybridBlock, path: str | os.PathLike, preprocessing: Steps, batch_size: int | None = None
) -> float | None:
    """Writes PATH.onnx, with the preprocessing in its metadata and in PATH-preprocessing.json.

    The file gets its name only after it gave the network's outputs in onnxruntime, where that is installed.

    Args:
        net: any initialised hybrid network with float32 parameters, GluonCV's too. Input "data", (N, 3, H, W).
        path: ends in .onnx.
        preprocessing: says the input's shape in the file: a classifier's height and width, or any.
        batch_size: N in the file; None leaves it open, where the network takes several images at a time.

    Returns: the largest difference to the network's outputs as a fraction of the largest one (of a classifier or
        segmenter, of the largest logit); None: not checked.

    Raises:
        Refused: onnx is missing or too new, an operator that MXNet cannot export, other outputs, no such folder, or
            one where a symbol of that name has another preprocessing.
        CannotWrite: the disk is full or read-only; nothing was written.
    """
    path = pathlib.Path(path)
    require_place(path, "onnx")
    if batch_size is not None and batch_size < 1:
        raise Refused(f"batch_size is {batch_size}: it takes 1 or more, or None for any")
    onnx = _import_onnx()
    symbol, parameters = _snapshot(net, preprocessing, batch_size)
    described = _description(net, preprocessing, symbol, path.with_suffix(""), f"{path.stem}-symbol.json")
    parameters.update({name: mx.nd.ones_like(parameters[name]) for name in _fixed_gammas(symbol)})

    def write(folder: pathlib.Path) -> float | None:
        file = str(folder / path.name)
        shape, example = preprocessing.input_shape(batch_size), preprocessing.examples(batch_size or 1)[0]
        opened = {"dynamic": True, "dynamic_input_shapes": [shape]} if None in shape else {}
        try:
            with _without_a_word():
                mx.onnx.export_model(symbol, parameters, [example], np.float32, file, **opened)
        except (AttributeError, NotImplementedError) as error:  # how MXNet says that it has no translation
            raise Refused(f"MXNet cannot export {net.name} to ONNX ({error}): export the symbol instead") from error
        model = onnx.load(file)
        model.opset_import[0].version, model.ir_version = OPSET, IR_VERSION
        _keep_constants_from_inputs(model.graph)
        _order_outputs(model.graph, _output_names(symbol))
        onnx.helper.set_model_props(model, {"preprocessing": described})
        onnx.checker.check_model(model)
        onnx.save(model, file)
        (folder / f"{path.stem}-preprocessing.json").write_text(described, encoding="utf-8")
        what = f"{path.name} in onnxruntime"
        return _require_equal(net, preprocessing, batch_size, lambda images: _run_onnx(file, images), what)

    return write_together(path.parent, write)


@contextlib.contextmanager
def _without_a_word() -> Iterator[None]:
    """MXNet's exporter prints, and warns that suppression forgets the classes, which are apart in all networks here."""
    silent = logging.NullHandler()
    logging.root.addHandler(silent)  # with none there the first warning would add one, for good
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.root.removeHandler(silent)


def export_symbol(net: HybridBlock, prefix: str | os.PathLike, preprocessing: Steps) -> float:
    """Writes PREFIX-symbol.json, PREFIX-0000.params and PREFIX-preprocessing.json; reads them back and compares.

    Args:
        net, preprocessing: as for export_onnx; a symbol takes any batch size.
        prefix: path and beginning of the names, no folder.

    Returns: the largest difference to the network's outputs, as by export_onnx.

    Raises:
        Refused: no parameters or not float32, outputs that differ, no such folder, or one where an ONNX file of that
            name has another preprocessing.
        CannotWrite: the disk is full or read-only; nothing was written.
    """
    require_place(prefix, "symbol")
    prefix = pathlib.Path(prefix)
    symbol, parameters = _snapshot(net, preprocessing, None)
    described = _description(net, preprocessing, symbol, prefix, f"{prefix.name}.onnx")
    auxiliary = set(symbol.list_auxiliary_states())

    def write(folder: pathlib.Path) -> float:
        graph, values = (str(folder / f"{prefix.name}-{end}") for end in ("symbol.json", "0000.params"))
        pathlib.Path(graph).write_text(symbol.tojson(), encoding="utf-8")
        named = {f"{'aux' if name in auxiliary else 'arg'}:{name}": value for name, value in parameters.items()}
        pathlib.Path(values).write_bytes(bytes_of(lambda file: mx.nd.save(file, named)))
        (folder / f"{prefix.name}-preprocessing.json").write_text(described, encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that the type of "data" is open, as it always is
            read = mx.gluon.SymbolBlock.imports(graph, ["data"], values)
        what = f"{prefix.name}-symbol.json read back"
        return _require_equal(net, preprocessing, None, lambda images: _arrays(read(mx.nd.array(images))), what)

    return write_together(prefix.parent, write)


def require_place(target: str | os.PathLike, form: str) -> None:
    """Finds out before any work whether export_onnx (form "onnx") or export_symbol ("symbol") can write there.

    Raises:
        Refused: there is no such folder, or the name is wrong, such as that of a folder for a symbol.
        CannotWrite: the disk is full or read-only.
    """
    path = pathlib.Path(target)
    if form == "onnx" and path.suffix != ".onnx":
        raise Refused(f"{path}: the name of an ONNX file ends in .onnx")
    if form == "symbol" and (os.path.isdir(path) or os.fspath(target).endswith(os.sep)):
        raise Refused(f"{target} is a folder: add the beginning of the files' names, such as {path / 'network'}")
    if not os.path.isdir(path.parent):
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
    onnx_resize.register(onnx)
    return onnx


def _snapshot(
    net: HybridBlock, preprocessing: Steps, batch_size: int | None
) -> tuple[mx.sym.Symbol, dict[str, mx.nd.NDArray]]:
    """The graph, and its parameters on the CPU."""
    context = _context(net)
    parameters = net.collect_params()
    odd = next((p for p in parameters.values() if np.dtype(p.dtype) != np.float32), None)
    if odd is not None:
        raise Refused(f"{odd.name} is of type {np.dtype(odd.dtype).name}, but float32 is exported: net.cast('float32')")
    images = _random_images(preprocessing.examples(batch_size)[0], 0)
    outputs = _arrays(net(mx.nd.array(images, ctx=context)))  # also gives parameters of deferred shape their data
    if preprocessing.doubt(outputs):
        raise Refused(preprocessing.doubt(outputs))
    symbol = trace(net)
    names = [*symbol.list_arguments(), *symbol.list_auxiliary_states()]
    return symbol, {name: parameters[name].data(context).as_in_context(mx.cpu()) for name in names if name != "data"}


def _context(net: HybridBlock) -> mx.Context:
    try:
        return [p.list_ctx()[0] for p in net.collect_params().values()][0]
    except (RuntimeError, IndexError):
        raise Refused(f"{net.name} has no parameters yet: initialise it, or give get_model pretrained=") from None


def _random_images(shape: tuple[int, ...], draw: int) -> np.ndarray:
    return generator(0, "export", draw).standard_normal(shape).astype("float32")


def _description(
    net: HybridBlock, preprocessing: Steps, symbol: mx.sym.Symbol, prefix: pathlib.Path, other: str
) -> str:
    """The JSON of PREFIX-preprocessing.json. Args: other: the file of the network's other form, which it is of too."""
    keywords = told_keywords(getattr(net, "keywords", {}))
    text = json.dumps({
        "model": net.name, "input": "data", "outputs": _output_names(symbol), **preprocessing.to_json(),
        **({"keywords": keywords} if keywords else {}),
    })  # fmt: skip
    said = json.loads(text)
    there = told_beside(prefix.with_name(f"{prefix.name}-symbol.json")) if prefix.with_name(other).exists() else {}
    odd = sorted(key for key in {*said, *there} if said.get(key) != there.get(key)) if there else []
    if odd:
        raise Refused(
            f"{prefix}-preprocessing.json belongs to {other} too, of which it says another {' and '.join(odd)} than "
            "this network has: choose another name, or remove that file"
        )
    return text


def _output_names(symbol: mx.sym.Symbol) -> list[str]:
    return [name.removesuffix("_output") for name in symbol.list_outputs()]


def _arrays(outputs) -> list[np.ndarray]:
    return [out.asnumpy() for out in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]


def _fixed_gammas(symbol: mx.sym.Symbol) -> list[str]:
    """The gammas that BatchNorm takes for 1 whatever they are, which MXNet's exporter does not know."""
    nodes = json.loads(symbol.tojson())["nodes"]
    norms = [node for node in nodes if node["op"] == "BatchNorm"]
    fixed = [node for node in norms if node.get("attrs", {}).get("fix_gamma", "True") in ("True", "1")]
    return [nodes[node["inputs"][1][0]]["name"] for node in fixed]


def _keep_constants_from_inputs(graph) -> None:
    """Takes the weights out of an ONNX graph's inputs, where MXNet lists them: so they are constants, to be folded.

    Constants that nothing uses go, of which onnxruntime would warn whoever opens the file.
    """
    used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    for k in reversed(range(len(graph.initializer))):
        if graph.initializer[k].name not in used:
            del graph.initializer[k]
    constants = {constant.name for constant in graph.initializer}
    inputs = [given for given in graph.input if given.name not in constants]
    del graph.input[:]
    graph.input.extend(inputs)


def _order_outputs(graph, names: list[str]) -> None:
    """Puts an ONNX graph's outputs in the network's order: MXNet lists them as they are computed."""
    outputs = sorted(graph.output, key=lambda output: names.index(output.name))
    del graph.output[:]
    graph.output.extend(outputs)


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


def _require_equal(
    net: HybridBlock, preprocessing: Steps, batch_size: int | None,
    run: Callable[[np.ndarray], list[np.ndarray] | None], what: str,
) -> float | None:  # fmt: skip
    """The largest difference on random images as a fraction of the largest output, if it is small enough.

    Args:
        run: images -> outputs of what was written; None: it cannot be run.
        what: it is called.
    """
    context, worst = _context(net), 0.0
    for shape in preprocessing.examples(batch_size):
        for draw in range(preprocessing.draws):
            images = _random_images(shape, draw)
            seen = run(images)
            if seen is None:
                return None
            difference = _difference(_arrays(net(mx.nd.array(images, ctx=context))), seen, what)
            if difference <= TOLERANCE:
                break
        else:  # nor if it is not a number
            raise Refused(f"{what} differs from {net.name} by {difference:.1e} of the largest output: not written")
        worst = max(worst, difference)
    return worst


def _difference(expected: Sequence[np.ndarray], seen: Sequence[np.ndarray], what: str) -> float:
    """The largest as a fraction of the largest number of an output. Raises Refused: they have other shapes."""
    if [a.shape for a in expected] != [b.shape for b in seen]:
        raise Refused(f"{what} gives outputs {[b.shape for b in seen]}, not {[a.shape for a in expected]}: not written")
    differences = [np.abs(a - b).max() / max(np.abs(a).max(), np.finfo("float32").tiny) for a, b in zip(expected, seen)]
    return float(np.max(differences))
