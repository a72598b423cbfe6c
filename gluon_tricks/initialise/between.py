"""Algorithm 2: the scale of each layer, so that the weights of all layers change at the same rate."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
from collections.abc import Callable, Iterator

import mxnet as mx
import numpy as np
from mxnet import autograd

from gluon_tricks.core.keyed_random import generator
from gluon_tricks.core.wording import plural
from gluon_tricks.initialise.walk import Chunks, Graph, Node
from model_zoo.lrn import LRN

log = logging.getLogger("gluon_tricks.initialise")

_OUTPUT = -1
_CONCAT, _FLATTEN = ("Concat", "concat"), ("Flatten", "flatten")
# f(s x) = s f(x) for s > 0, channel by channel.
_HOMOGENEOUS = {"relu", "Dropout", "_copy", "identity", "Cast", *_FLATTEN}


@dataclasses.dataclass(frozen=True)
class ChangeRate:
    """How fast the weights of a layer would change.

    Args:
        layer: its place in the network.
        mean: C~_k, the mean over the columns j of C~_k,j.
        variation: standard deviation over mean of C~_k,i,j: 0 if all weights change alike.
    """

    layer: str
    mean: float
    variation: float


def measure(graph: Graph, chunks: Chunks, rng: np.random.Generator, each_weight: bool = False) -> list[ChangeRate]:
    """The change rate of every affine layer.

        C_k,i,j^2 = E[(dl / dW_k(i, j))^2],  C~_k,j^2 = mean_i C_k,i,j^2 / |W_k|^2,  C~_k = mean_j C~_k,j
        l = eta' z_N,  eta ~ N(0, I), another for each image

    Of a dense layer the squared gradient of an image is z_k-1(j)^2 y_k(i)^2 (equation 1).

    Args:
        chunks: of images (n, 3, H, W). The fewer images each has, the closer the estimate for convolutions (see
            `Differs:`).
        each_weight: whether to keep what the variation is of, a number for each weight of the network. Without it the
            variation is that of the columns, C~_k,j.

    Source: equations 1 to 3.
    Differs: of a convolution the gradient is taken of a chunk at a time. As the etas of its images are independent and
        have mean zero, the square of the sum of their gradients has the sum of the squares as its mean.
    """
    layers = [*graph.affine()]
    squares: dict[int, np.ndarray] = {}  # (rows or 1, columns), summed over images
    with _none_frozen(graph):
        for chunk in chunks:
            for k, found in _squared_gradients(graph, chunk, rng, each_weight).items():
                # Of each weight of VGG in float64 they would take more than a gigabyte.
                found = found if each_weight else found.astype(np.float64)
                squares[k] = np.add(squares[k], found, out=squares[k]) if k in squares else found
    images = sum(len(chunk) for chunk in chunks)
    return [_rate(node.path, squares[k] / images, graph.parameter(node, 1)) for k, node in layers]


@contextlib.contextmanager
def _none_frozen(graph: Graph) -> Iterator[None]:
    """Weights that are not trained have gradients meanwhile: what is asked is how fast they would change."""
    frozen = [weight for _, node in graph.affine() if (weight := graph.parameter(node, 1)).grad_req == "null"]
    try:
        for weight in frozen:
            weight.grad_req = "write"
        yield
    finally:
        for weight in frozen:
            weight.grad_req = "null"


def _squared_gradients(
    graph: Graph, chunk: mx.nd.NDArray, rng: np.random.Generator, each_weight: bool
) -> dict[int, np.ndarray]:
    """Of each affine layer its weights' squared gradients (rows, columns), or their sums over rows (1, columns)."""
    weights, dense = {}, {}  # index -> an array to differentiate by; of dense layers the input besides

    def computed(k, node, inputs, outputs) -> Chunks:
        if node.kind != "FullyConnected" or outputs[0].ndim > 2 or not graph.owns(k):
            weights[k] = graph.parameter(node, 1).data(graph.context)
            return outputs
        nothing = mx.nd.zeros_like(outputs[0])
        nothing.attach_grad()
        dense[k] = nothing, inputs[0]
        return [outputs[0] + nothing]

    # Not in predict mode, in which oneDNN's max pooling keeps nothing for its gradient and gives what lies in memory.
    with autograd.record():
        heads = [head[0] for head in graph.run([chunk], computed=computed)]
        etas = [mx.nd.array(rng.standard_normal(z.shape), ctx=z.context, dtype=z.dtype) for z in heads]
        loss = sum((z * eta).sum() for z, eta in zip(heads, etas))
    gradients = autograd.grad(loss, [*weights.values(), *(nothing for nothing, _ in dense.values())])
    found = {}
    for k, gradient in zip([*weights, *dense], gradients):
        squared = mx.nd.square(gradient)
        if k in weights:
            rows = squared.reshape((len(squared), -1))
            if not each_weight:
                rows = mx.nd.dot(mx.nd.ones_like(rows[:, :1]), rows, transpose_a=True)
            found[k] = rows.asnumpy()
        else:
            inputs = mx.nd.square(dense[k][1].reshape((len(chunk), -1)))
            rows = squared if each_weight else squared.sum(axis=1, keepdims=True)
            found[k] = mx.nd.dot(rows, inputs, transpose_a=True).asnumpy()
    return found


def _rate(layer: str, squares: np.ndarray, weight: mx.gluon.Parameter) -> ChangeRate:
    """Args: squares: E[(dl / dW(i, j))^2] of each weight, or (1, columns) their sums over i."""
    norm = max(float(np.square(weight.list_data()[0].asnumpy()).sum(dtype=np.float64)), 1e-30)
    mean = float(np.sqrt(squares.sum(axis=0, dtype=np.float64) / weight.shape[0] / norm).mean())
    each = np.sqrt(squares)
    middle = float(each.mean(dtype=np.float64))
    return ChangeRate(layer, mean, float(each.std(dtype=np.float64) / middle) if middle else 0.0)


def initialise_between(
    graph: Graph, chunks: Chunks, rounds: int = 10, damping: float = 0.25, seed: int = 0,
    tell: Callable[[str], None] = log.info,
) -> list[str]:  # fmt: skip
    """Scales the layers until their change rates agree; what the network computes stays as it is.

        repeat `rounds` times:
            C~ = geometric mean of all C~_k  (see `measure`)
            r_k = (C~_k / C~)^(damping / 2)
            W_k <- r_k W_k;  b_k <- (r_1 ... r_k) b_k;  the last layer takes what keeps the output

    Args:
        damping: alpha, in (0, 1].

    Returns: the layers that are left out: their scale does not reach the next layer (batch normalisation follows, so
        that it has no effect), or not as a factor of each channel (a sigmoid, a sum with what is not scaled alike, a
        join along another axis than the channels, a dense layer with flatten=False, which reads no channels); or a
        parameter of the layer, or of one that it leads to, is used more than once.

    Source: algorithm 2.
    Differs: the document undoes r_k in the layer above, by dividing its weights. But a layer whose weights are
        divided changes at r_k times the rate, so that this moves the differences up and does not reduce them. Worked
        out for three layers of rates (4, 1, 1/4) and alpha = 1, where r = (2, 1, 1/2): dividing W_k by r_(k-1) gives
        W the factors (2, 1/2, 1/2), and the rates, being divided by the squares of these, (1, 4, 1); scaling alone
        gives the factors (2, 1, 1/2) and the rates (1, 1, 1), and since the product of all r_k is 1, the output is
        the same once the biases are scaled by what has come from below. Where a path does not meet every layer, C~ is
        the mean for which the output stays the same. A weight that is used twice, of which the document has none,
        could undo one factor and not two: it is left as it is, with what leads to it. Since r_k divides the rate of
        layer k by r_k^2, a round takes a share alpha of every difference of log C~, and c rounds leave (1 - alpha)^c
        of it: they are taken together, and the rates are measured at the beginning and after half of the rounds. Local
        response normalisation is taken for homogeneous, as in the document, which it is for small numbers alone: on
        photos, after Algorithm 1, the outputs of CaffeNet and GoogLeNet end up half as large, and are others. Of
        several outputs each last layer takes what keeps its own, and no factors make its rate that of the others too:
        of GoogLeNet with auxiliary classifiers the last layer of the first ends about 100 times as fast as the layers
        before it (8 drawn images, Gaussian).
    """
    scaling = Scaling(graph, chunks[0].shape)
    left = [node.path for k, node in graph.affine() if k not in scaling.free]
    for part, count in enumerate((rounds - rounds // 2, rounds // 2)):
        rates = measure(graph, chunks, generator(seed, "between", part))
        logs = {k: np.log(rate.mean) for (k, _), rate in zip(graph.affine(), rates) if k in scaling.free and rate.mean}
        if len(logs) < 2 or not count:
            break
        deviation = np.std([*logs.values()])
        tell(f"log C~ of {len(logs)} layers: standard deviation {deviation:.3g}, before {plural(count, 'round')}")
        scaling.apply(_rounds(scaling, logs, count, damping))
    return left


def _rounds(scaling: Scaling, logs: dict[int, float], count: int, damping: float) -> dict[int, float]:
    """The product of each layer's r_k over so many rounds. Args: logs: log C~_k of the layers that can be scaled."""
    left = (1 - damping) ** count  # of a difference, as each round takes a share alpha of it

    def factors(common: float) -> dict[int, float]:
        return {k: (1 - left) / 2 * (value - common) for k, value in logs.items()}

    def surplus(common: float) -> float:
        """By how much the log of the output would grow; linear in `common`."""
        steps = factors(common)
        grown = scaling.grown({k: math.exp(step) for k, step in steps.items()})
        return float(np.mean([steps[k] + np.log(grown[k][0]).mean() for k in scaling.last & steps.keys()]))

    common = float(np.mean([*logs.values()]))  # of a chain of layers it is the one that keeps the output
    if scaling.last & logs.keys():
        common -= surplus(common) / (surplus(common + 1) - surplus(common))
    return {k: math.exp(step) for k, step in factors(common).items()}


class Scaling:
    """Which layers of a graph can be scaled so that the layers above undo it, and the doing of it.

    Args:
        shape: of images (n, 3, H, W).

    Attributes:
        free: indices of the layers that can be scaled.
        last: those whose output is the network's; they keep it.
    """

    def __init__(self, graph: Graph, shape: tuple[int, ...]):
        self.graph = graph
        self._lrn = graph.prefixes(LRN)
        self._shapes = graph.shapes(shape)
        self._own = {k for k, _ in graph.affine() if self._undoes(k)}
        ends = {k: self._ends(k) for k in self._own}
        self.free = {k for k in self._own if ends[k] <= self._own | {_OUTPUT}}
        self.last = {k for k in self._own if _OUTPUT in ends[k]}

    def apply(self, factors: dict[int, float]) -> None:
        """Multiplies weights of free layers by factors, biases by all factors up to them; the output stays."""
        for k, (below, above) in self.grown(factors).items():
            self._rescale(self.graph.nodes[k], below, above)

    def grown(self, factors: dict[int, float]) -> dict[int, tuple[np.ndarray, float]]:
        """By how much the input's channels and the output of each affine layer grow, for factors of its weights."""
        layers: dict[int, tuple[np.ndarray, float]] = {}
        scales: dict[int, np.ndarray] = {}  # node -> by how much each channel of its output has grown

        def growth(source: tuple[int, int]) -> np.ndarray:
            return scales.get(source[0], np.ones(math.prod(self._shapes[source][1:2])))

        for k, node in enumerate(self.graph.nodes):
            if k in self._own:
                below = growth(node.inputs[0])
                free = k in self.free and k not in self.last
                above = factors.get(k, 1.0) * float(np.exp(np.log(below).mean())) if free else 1.0
                layers[k] = below, above
                scales[k] = np.full(self._shapes[k, 0][1], above)
            elif node.kind != "null" and self._passes(k):
                sources = node.inputs if node.kind in _CONCAT else node.inputs[:1]
                below = np.concatenate([growth(source) for source in sources])
                scales[k] = np.repeat(below, self._shapes[k, 0][1] // len(below)) if node.kind in _FLATTEN else below
        return layers

    def _rescale(self, node: Node, below: np.ndarray, above: float) -> None:
        """A layer whose input has grown by `below` is to give an output that has grown by `above`."""
        weight, bias = self.graph.parameter(node, 1), self.graph.parameter(node, 2)
        values = weight.list_data()[0].asnumpy().astype(np.float64)
        if node.kind == "FullyConnected":  # of a flattened map each channel has several columns
            factors = above / np.repeat(below, values.shape[1] // len(below))
        else:
            groups = int(node.attributes.get("num_group", 1))
            rows = np.repeat(below.reshape(groups, -1), len(values) // groups, axis=0)  # (M, C / groups)
            factors = (above / rows).reshape(*rows.shape, *[1] * (values.ndim - 2))
        weight.set_data(mx.nd.array(values * factors, dtype=weight.dtype))
        if bias is not None:
            bias.set_data(bias.list_data()[0] * above)

    def _undoes(self, k: int) -> bool:
        """Whether affine layer k can undo what its input has grown by, with no effect elsewhere."""
        of_places = self.graph.nodes[k].kind == "FullyConnected" and len(self._shapes[k, 0]) > 2  # flatten=False
        return self.graph.owns(k) and not of_places

    def _passes(self, k: int) -> bool:
        """Whether a channel of the operator's output grows as that of its first input; of Concat, of all."""
        node = self.graph.nodes[k]
        if node.kind in ("Activation", "LeakyReLU"):
            return node.attributes.get("act_type") in ("relu", "leaky", "prelu")
        if node.kind == "Pooling":
            by_channel = node.attributes.get("layout", "NCHW")[1] == "C"
            return by_channel and node.attributes.get("pool_type", "max") in ("max", "avg")
        if node.kind in _CONCAT:
            return int(node.attributes.get("dim", 1)) % len(self._shapes[k, 0]) == 1
        return node.kind in _HOMOGENEOUS or node.name.startswith(self._lrn)

    def _ends(self, k: int) -> set[int]:
        """The operators that the scale of node k's output gets to: affine layers, others, _OUTPUT of the network."""
        found, waiting, seen = set(), [k], set()
        while waiting:
            j = waiting.pop()
            if j in seen:
                continue
            seen.add(j)
            if any(j == head for head, _ in self.graph.heads):
                found.add(_OUTPUT)
            for reader in self.graph.readers.get(j, []):
                if self._passes(reader):
                    waiting.append(reader)
                else:
                    found.add(reader)
        return found
