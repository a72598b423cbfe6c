"""A network computed operator by operator for a sample of images, so that a layer can be changed when it is reached.

What `for each affine layer k` of Algorithm 1 needs: every layer's input has come through the layers before it as they
are *by then*, in one pass over the network, whatever its graph.
"""

from __future__ import annotations

import collections
import ctypes
import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence

import mxnet as mx
import numpy as np
from mxnet import autograd
from mxnet.base import _LIB, check_call
from mxnet.ndarray.register import _imperative_invoke

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.moves import moved
from model_zoo.graph import LAYERS, operators, place, places, trace

Chunks = list  # of NDArrays, the sample's images in parts: (n, ...) each


@dataclasses.dataclass(frozen=True)
class Node:
    """An operator, or a variable, of a traced network.

    Args:
        kind: MXNet's name of the operator; "null": a variable.
        attributes: its settings, as text.
        inputs: (index of a node, which of its outputs).
        path: the block's place in the network, such as "stage1.0.conv1".
    """

    name: str
    kind: str
    attributes: dict[str, str]
    inputs: tuple[tuple[int, int], ...]
    path: str

    @property
    def is_affine(self) -> bool:
        return self.kind in LAYERS


class Graph:
    """A traced network: its nodes in topological order, and its parameters.

    Args:
        net: a network with parameters of known shape.

    Attributes:
        readers: index of a node -> indices of the operators that use what it gives, once for each use.

    Raises:
        Refused: it cannot be traced (a part of it is no HybridBlock, or it decides by its input's values).
    """

    def __init__(self, net: mx.gluon.HybridBlock):
        self.parameters = {parameter.name: parameter for parameter in net.collect_params().values()}
        self.context = next((parameter.list_ctx()[0] for parameter in self.parameters.values()), mx.cpu())
        try:
            self._symbol = trace(net)
        except Exception as error:  # whatever a user's own block does with a symbol
            why = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise Refused(f"the network cannot be traced ({why}): it has to be a HybridBlock of HybridBlocks") from None
        self._net = net
        graph, prefixes = json.loads(self._symbol.tojson()), places(net)  # without the casts of mixed precision
        nodes = (
            Node(node["name"], node["op"], node.get("attrs", {}), tuple((j, k) for j, k, *_ in node["inputs"]), "")
            for node in graph["nodes"]
        )
        self.nodes = [dataclasses.replace(node, path=place(node, prefixes)) for node in nodes]
        self.nodes = [_of_one_rank(node) for node in self.nodes]
        self.heads = [(j, k) for j, k, *_ in graph["heads"]]
        self.readers: dict[int, list[int]] = {}
        for k, node in enumerate(self.nodes):
            for j, _ in node.inputs:
                self.readers.setdefault(j, []).append(k)

    def parameter(self, node: Node, position: int) -> mx.gluon.Parameter | None:
        """The parameter that is an input of a node (1: weight, 2: bias); None: there is none, or it is computed."""
        if position >= len(node.inputs):
            return None
        source = self.nodes[node.inputs[position][0]]
        return self.parameters.get(source.name) if source.kind == "null" else None

    def _weight(self, node: Node) -> mx.gluon.Parameter | None:
        """Of an affine layer its weight; None: it is another operator, or the weight is computed."""
        return self.parameter(node, 1) if node.is_affine else None

    def affine(self) -> Iterator[tuple[int, Node]]:
        """The affine layers that have a weight of their own, in order; of one that is used twice the first use."""
        return self._first_uses(self._weight)

    def norms(self) -> Iterator[tuple[int, Node]]:
        """The batch normalisations with running statistics of their own; of one that is used twice the first use."""
        return self._first_uses(lambda node: self.parameter(node, 3) if node.kind == "BatchNorm" else None)

    def _first_uses(self, of: Callable[[Node], mx.gluon.Parameter | None]) -> Iterator[tuple[int, Node]]:
        """The nodes for which `of` gives a parameter that it has not given before."""
        seen = set()
        for k, node in enumerate(self.nodes):
            parameter = of(node)
            if parameter is not None and parameter.name not in seen:
                seen.add(parameter.name)
                yield k, node

    def owns(self, k: int) -> bool:
        """Whether weight and bias of affine layer k are parameters that nothing else uses, nor the layer again."""
        return all(
            self.nodes[j].name in self.parameters and len(self.readers[j]) == 1 for j, _ in self.nodes[k].inputs[1:]
        )

    def last(self) -> list[Node]:
        """The affine layers that no other one comes after, on the way to an output of the network."""
        first, found = {self._weight(node).name: k for k, node in self.affine()}, set()
        waiting, seen = [head for head, _ in self.heads], set()
        while waiting:
            k = waiting.pop()
            weight = self._weight(self.nodes[k])
            if weight is not None:
                found.add(first[weight.name])
            elif k not in seen:
                seen.add(k)
                waiting += [j for j, _ in self.nodes[k].inputs]
        return [self.nodes[k] for k in sorted(found)]

    def shapes(self, images: tuple[int, ...]) -> dict[tuple[int, int], tuple[int, ...]]:
        """The shape of each output (index of a node, which of its outputs). Args: images: the shape of what goes in."""
        computed, found = iter(operators(self._symbol, images)), {}
        for k, node in enumerate(self.nodes):
            if node.kind == "null":
                found[k, 0] = images if node.name == "data" else self.parameters[node.name].shape
            else:
                found |= {(k, j): shape for j, shape in enumerate(next(computed).outputs)}
        return found

    def prefixes(self, kind: type) -> tuple[str, ...]:
        """What the names of the operators in blocks of a class begin with."""
        found: list[str] = []
        self._net.apply(lambda block: found.append(block.prefix) if isinstance(block, kind) else None)
        return tuple(found)

    def run(
        self, chunks: Chunks, reached: Callable[[int, Node, Chunks], None] | None = None,
        computed: Callable[[int, Node, Chunks, Chunks], Chunks] | None = None,
    ) -> list[Chunks]:  # fmt: skip
        """Computes the network's outputs: without dropout, batch normalisation being by the statistics of the sample
        unless it always is by the running ones.

        Args:
            chunks: of the images (n, 3, H, W), normalised.
            reached: called before each layer of `affine` and of `norms` with its index and its input; may change its
                parameters.
            computed: called after each of `affine` with its index, its input and its output; what it returns takes the
                output's place.

        Returns: of each output of the network its chunks.
        """
        uses = collections.Counter(source for node in self.nodes for source in node.inputs) + collections.Counter(
            self.heads
        )
        own, norms, values = {k for k, _ in self.affine()}, {k for k, _ in self.norms()}, {}
        for k, node in enumerate(self.nodes):
            if node.kind == "null":
                values[k, 0] = self._variable(node, chunks)
                continue
            if k in own | norms and reached:
                reached(k, node, values[node.inputs[0]])
            inputs = [values[source] for source in node.inputs]
            for source in node.inputs:
                uses[source] -= 1
                if not uses[source]:
                    del values[source]
            for j, output in enumerate(self.compute(node, inputs)):
                values[k, j] = computed(k, node, inputs[0], output) if k in own and computed else output
            del inputs
        return [values[head] for head in self.heads]

    def _variable(self, node: Node, chunks: Chunks) -> object:
        """The images, or a parameter: kept as it is, for its value may change before it is used."""
        return list(chunks) if node.name == "data" else self.parameters[node.name]

    def compute(self, node: Node, inputs: list) -> list[Chunks]:
        """The outputs of a node, each in the chunks of its inputs; what is used for the last time is let go."""
        inputs = [part.data(self.context) if isinstance(part, mx.gluon.Parameter) else part for part in inputs]
        if node.kind == "Dropout":
            return [inputs[0]]
        if normalises_batch(node):
            return [_normalised(node, *inputs)]
        if not any(isinstance(part, list) for part in inputs):  # made of parameters alone
            return invoke(node, inputs)
        count = max(len(part) for part in inputs if isinstance(part, list))
        found: list[Chunks] = []
        for c in range(count):
            arrays = [part[c] if isinstance(part, list) else part for part in inputs]
            outputs = invoke(node, arrays)
            found = found or [[] for _ in outputs]
            for of_output, output in zip(found, outputs):
                output.wait_to_read()  # else the queue holds the memory of all chunks
                of_output.append(output)
            moved()
        return found


def _of_one_rank(node: Node) -> Node:
    """Batch normalisation over all ranks as that of the sample, which one rank has alone."""
    if node.attributes.get("op_type") != "gluon_tricks_sync_bn":
        return node
    numbers = {"eps": node.attributes["epsilon"], "momentum": node.attributes["momentum"], "fix_gamma": "False"}
    return dataclasses.replace(node, kind="BatchNorm", attributes=numbers)


def invoke(node: Node, arrays: Sequence[mx.nd.NDArray]) -> list[mx.nd.NDArray]:
    """The node's operator itself: under mixed precision mx.nd has wrappers in its place, which cast."""
    handle = ctypes.c_void_p()
    check_call(_LIB.NNGetOpHandle(ctypes.c_char_p(node.kind.encode()), ctypes.byref(handle)))
    attributes = {name: value for name, value in node.attributes.items() if not name.startswith("__")}
    outputs = _imperative_invoke(handle.value, list(arrays), [*attributes], [*attributes.values()], None, False, False)
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def normalises_batch(node: Node) -> bool:
    """Whether it is a batch normalisation that uses the statistics of the batch in training."""
    return node.kind == "BatchNorm" and node.attributes.get("use_global_stats", "False") != "True"


def _normalised(node: Node, chunks: Chunks, gamma, beta, running_mean, running_var) -> Chunks:
    """Batch normalisation by the mean and variance of the whole sample, as training has it of a batch."""
    if autograd.is_recording():  # one chunk; MXNet's operator knows the gradient of the statistics
        return invoke(node, [chunks[0], gamma, beta, running_mean.copy(), running_var.copy()])[:1]
    axis = int(node.attributes.get("axis", 1))
    mean, variance = moments(chunks, axis)
    shape = [1] * chunks[0].ndim
    shape[axis] = -1
    scale = 1 / np.sqrt(variance + float(node.attributes.get("eps", 1e-3)))
    if node.attributes.get("fix_gamma", "True") != "True":
        scale = scale * gamma.asnumpy()
    shift = beta.asnumpy() - mean * scale
    like = dict(ctx=chunks[0].context, dtype=chunks[0].dtype)
    factor, offset = (mx.nd.array(part.reshape(shape), **like) for part in (scale, shift))
    return [mx.nd.broadcast_add(mx.nd.broadcast_mul(chunk, factor), offset) for chunk in chunks]


def moments(chunks: Chunks, axis: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each channel over the sample and all places of the map, (C,) float64 each."""
    count, total, squares, shift = 0, 0.0, 0.0, None
    for chunk in chunks:
        maps = _channel_rows(chunk, axis)
        if shift is None:  # near the mean, so that float32 sums of squares lose nothing
            like = dict(ctx=chunk.context, dtype=chunk.dtype)
            shift = mx.nd.array((_sums(maps) / (chunk.size // chunk.shape[axis])).reshape(1, -1, 1), **like)
        centred = mx.nd.broadcast_sub(maps, shift)
        count += chunk.size // chunk.shape[axis]
        total = total + _sums(centred)
        squares = squares + _sums(mx.nd.square(centred))
    mean = total / count
    return shift.asnumpy().reshape(-1).astype(np.float64) + mean, np.maximum(squares / count - mean**2, 0)


def _channel_rows(chunk: mx.nd.NDArray, axis: int) -> mx.nd.NDArray:
    """An array with its channels in the middle: (before, C, after)."""
    if axis % chunk.ndim != 1:
        chunk = mx.nd.moveaxis(chunk, axis, 1)
    return chunk.reshape((chunk.shape[0], chunk.shape[1], -1))


def _sums(maps: mx.nd.NDArray) -> np.ndarray:
    """Of maps (n, C, places) the sum of each channel (C,), float64: on CPUs 10 times as fast as MXNet's own sum."""
    count, channels, places = maps.shape
    ones = mx.nd.ones((places,), ctx=maps.context, dtype=maps.dtype)
    sums = mx.nd.dot(maps.reshape((count * channels, places)), ones)
    return sums.asnumpy().astype(np.float64).reshape(count, channels).sum(axis=0)
