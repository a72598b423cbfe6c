"""A network as its operators: what runs, in which order, with which shapes, in which block."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math

from gluon_tricks.core.errors import Refused  # first: it prepares the process for `import mxnet`

# isort: split
import mxnet as mx
from mxnet.gluon import HybridBlock

LAYERS = ("Convolution", "Deconvolution", "FullyConnected")
VIEWS = ("Flatten", "Reshape", "expand_dims", "squeeze", "_copy")  # share the memory of their input


@dataclasses.dataclass(frozen=True)
class Operator:
    """A node of the graph that computes.

    Args:
        name: as MXNet has it; it starts with the prefix of the block that made it.
        kind: MXNet's name of what it does.
        attributes: its settings, as text.
        inputs: name and shape of all that goes into it: for a layer x, weight, bias.
        outputs: their shapes.
    """

    name: str
    kind: str
    attributes: dict[str, str]
    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    outputs: tuple[tuple[int, ...], ...]

    @property
    def multiply_adds(self) -> int:
        """Of a convolution or dense layer, without the adding of biases; 0 for other operators.

        Every number of the output is the sum of as many products as one filter has weights; places of a filter that
        lie on the padding count like the others. A transposed convolution turns it round: every number of its input
        meets all weights that its channel has.
        """
        if self.kind not in LAYERS:
            return 0
        weight = self.inputs[1][1]  # (channels, channels in / groups, height, width), or (units, units in)
        return math.prod(weight[1:]) * math.prod(self.inputs[0][1] if self.kind == "Deconvolution" else self.outputs[0])

    @property
    def fixed_gamma(self) -> str | None:
        """BatchNorm(scale=False) has a gamma that is always 1: its name."""
        if self.kind != "BatchNorm" or self.attributes.get("fix_gamma", "True") != "True":
            return None
        return self.inputs[1][0]


def trace(net: HybridBlock) -> mx.sym.Symbol:
    """The network's graph with the input "data"; several outputs become one group."""
    outputs = net(mx.sym.Variable("data"))
    return mx.sym.Group(list(outputs)) if isinstance(outputs, (list, tuple)) else outputs


def operators(symbol: mx.sym.Symbol, shape: tuple[int, ...]) -> list[Operator]:
    """What the graph runs for an input "data" of a shape, in order. Nothing is computed.

    Raises:
        Refused: the graph cannot take this shape.
    """
    text = symbol.tojson()
    internals = mx.sym.load_json(text).get_internals()  # without the casts of mixed precision, which the text has not
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # MXNet prints the arguments of a failure
            _, found, _ = internals.infer_shape(data=shape)
    except mx.base.MXNetError as error:
        raise Refused(f"images of shape {shape} do not fit: {_reason(error)}") from None
    if found is None:
        raise Refused(
            f"the shape of the images, {shape}, does not determine the shapes of all parameters: initialise first"
        )
    nodes = json.loads(text)["nodes"]
    shapes: list[list[tuple[int, ...]]] = []  # of each node's visible outputs
    last, seen = None, set()
    for k, (output, of_output) in enumerate(zip(internals.list_outputs(), found)):
        name = internals[k].name
        if name != last or output in seen:  # a block that is called twice makes two nodes of the same name
            shapes.append([])
            last, seen = name, set()
        shapes[-1].append(of_output)
        seen.add(output)
    return [
        Operator(
            node["name"],
            node["op"],
            node.get("attrs", {}),
            tuple((nodes[j]["name"], shapes[j][output]) for j, output, *_ in node["inputs"]),
            tuple(outputs),
        )
        for node, outputs in zip(nodes, shapes)
        if node["op"] != "null"
    ]


def _reason(error: Exception) -> str:
    """The sentence of an MXNet error that says what is wrong, without its stack trace."""
    lines = [line.strip() for line in str(error).splitlines() if "Error" in line or "Check failed" in line]
    return lines[-1].split("Check failed: ")[-1].removeprefix("MXNetError: ") if lines else str(error).splitlines()[-1]


def places(net: HybridBlock) -> dict[str, str]:
    """Prefix of names in the graph -> the block's place in the network, such as stage1.0.conv1.

    Blocks without a prefix of their own share that of the block around them: the outermost counts.
    """
    found: dict[str, str] = {}

    def walk(block, path: tuple[str, ...]) -> None:
        for name, child in block._children.items():
            found.setdefault(child.prefix, ".".join((*path, name)))
            walk(child, (*path, name))

    walk(net, ())
    return found


def place(operator: Operator, prefixes: dict[str, str]) -> str:
    """The innermost block whose prefix the operator's name has; the operator's own name if there is none."""
    starts = (operator.name[:end] for end in range(len(operator.name), 0, -1))  # the longest first
    return next((prefixes[start] for start in starts if start in prefixes), operator.name)
