"""Algorithm 1: weights and biases of each affine layer, so that every channel has unit variance and mean beta."""

from __future__ import annotations

import ast
import logging
from collections.abc import Callable

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.keyed_random import generator
from gluon_tricks.core.wording import plural
from gluon_tricks.initialise import filters
from gluon_tricks.initialise.walk import Chunks, Graph, Node, moments

log = logging.getLogger("gluon_tricks.initialise")

FILTERS = ("gaussian", "pca", "kmeans")


def initialise_within(
    graph: Graph, chunks: Chunks, kind: str = "gaussian", scale: bool = True, beta: float = 0.0, seed: int = 0,
    tell: Callable[[str], None] = log.info,
) -> list[str]:  # fmt: skip
    """Sets the weights of every affine layer, each from what the layers before it, as they are by then, give it.

        W_k ~ N(0, I), or filters;  b_k = 0
        mean, std of z_k(i) over the sample and the map
        W_k(i, :) <- W_k(i, :) / std(i);  b_k(i) <- beta - mean(i) / std(i)

    Batch normalisations get the sample's mean and variance of what they are given as their running statistics.

    Args:
        chunks: of the sample's images (n, 3, H, W), normalised.
        kind: "gaussian"; "pca" or "kmeans" for convolutions, dense layers being Gaussian.
        scale: the third line; without it a Gaussian layer keeps the weights that it has.
        beta: mean of every channel, in layers that have biases; others are only scaled.
        tell: gets a line about each layer.

    Returns: a line about each layer that has filters of another kind, or channels that could not be scaled.

    Raises:
        Refused: images differ, and the network gives the same for all of them.

    Source: algorithm 1 and section 3.3.
    Differs: a layer that is used more than once, of which the document has none, is set where it is used first. Nor has
        it batch normalisation by running statistics (use_global_stats, or frozen). At 0 and 1 these would centre
        nothing, and a depthwise filter without bias may make all that it sees negative, of which relu leaves 0.
    """
    names = [node.path for _, node in graph.affine()]
    done, noted = iter(range(1, len(names) + 1)), []

    def reached(k: int, node: Node, inputs: Chunks) -> None:
        if node.kind == "BatchNorm":
            _set_statistics(graph, node, inputs)
            return
        weight, bias = graph.parameter(node, 1), graph.parameter(node, 2)
        filled, odd = _set_weights(node, weight, inputs, kind, scale, seed, k)
        if bias is not None and (scale or filled):
            bias.set_data(mx.nd.zeros(bias.shape, dtype=bias.dtype))
        if scale:
            outputs = graph.compute(node, [inputs, weight] + ([bias] if bias is not None else []))[0]
            axis = -1 if node.kind == "FullyConnected" else 1  # of the channels
            filled += [] if bias is not None else ["no bias: only scaled"]
            odd += _scale(weight, bias, *moments(outputs, axis), beta)
        tell(f"{next(done)} of {len(names)}: {node.path} {', '.join(filled + odd)}")
        noted.extend([f"{node.path}: {', '.join(odd)}"] if odd else [])

    outputs = [head for head in graph.run(chunks, reached) if isinstance(head, list)]  # else of parameters alone
    if outputs and all(map(_alike, outputs)) and not _alike(chunks):
        raise Refused(
            f"with {kind} filters the network gives the same for all images: choose others of {', '.join(FILTERS)}, or "
            "a network that has biases or batch normalisation"
        )
    return noted


def _alike(chunks: Chunks) -> bool:
    """Whether what belongs to each image is the same, but for rounding."""
    first = chunks[0][:1]
    farthest = max(mx.nd.abs(mx.nd.broadcast_sub(chunk, first)).max().asscalar() for chunk in chunks)
    return farthest <= 1e-6 * mx.nd.abs(first).max().asscalar()


def _set_statistics(graph: Graph, node: Node, inputs: Chunks) -> None:
    """Running mean and variance of a batch normalisation: the sample's, or 1 where that is 0."""
    mean, variance = moments(inputs, int(node.attributes.get("axis", 1)))
    for position, values in ((3, mean), (4, np.where(_varies(variance), variance, 1.0))):
        statistic = graph.parameter(node, position)
        statistic.set_data(mx.nd.array(values, dtype=statistic.dtype))


def _varies(variance: np.ndarray) -> np.ndarray:
    """Of each channel whether it varies, but for rounding."""
    std = np.sqrt(variance)
    return std > 1e-6 * max(std.max(), 1e-30)


def _set_weights(
    node: Node, weight: mx.gluon.Parameter, inputs: Chunks, kind: str, scale: bool, seed: int, key: int
) -> tuple[list[str], list[str]]:  # fmt: skip
    """Fills the weight of a layer; with what, in words, and what of it is not so; nothing where it stays as it is."""
    shape, rng = weight.shape, generator(seed, "data init", key)
    if node.kind == "Convolution" and kind != "gaussian" and len(shape) == 4:
        values, odd = _from_patches(node, shape, inputs, kind, rng)
    elif scale:
        kind, values, odd = "gaussian", rng.standard_normal(shape), []
    else:
        return [], []
    weight.set_data(mx.nd.array(values.reshape(shape), dtype=weight.dtype))
    return [kind], odd


def _from_patches(node: Node, shape: tuple[int, ...], inputs: Chunks, kind: str, rng) -> tuple[np.ndarray, list[str]]:
    """Filters (M, C / groups, height, width) of a convolution, group by group; how many are of another kind."""
    window = _window(node, shape)
    per_group, size = shape[0] // window.groups, int(np.prod(shape[1:]))
    found, gaussian, few = [], 0, 0
    arrays = [chunk.asnumpy().astype(np.float32, copy=False) for chunk in inputs]
    for group in range(window.groups):
        rows = filters.patches(arrays, window, group, rng)
        if len(rows) < per_group or not (rows != rows[0]).any():
            few, own = few + 1, np.zeros((0, size))
        elif kind == "pca":
            own = filters.pca(rows, per_group)
        else:
            own = filters.kmeans(rows, per_group, rng)
        rest = per_group - len(own)
        spread = np.sqrt((own**2).mean()) if len(own) else 1.0
        found += [own, spread * rng.standard_normal((rest, size))]
        gaussian += rest
    odd = []
    if few:
        odd = [f"gaussian in {few} of {plural(window.groups, 'group')} (fewer patches than filters, or all alike)"]
    elif gaussian:
        odd = [f"{plural(gaussian, 'filter')} gaussian (the patches have fewer dimensions)"]
    return np.concatenate(found).reshape(shape), odd


def _window(node: Node, shape: tuple[int, ...]) -> filters.Window:
    def pair(name: str, default: str) -> tuple[int, int]:
        return ast.literal_eval(node.attributes.get(name, default))

    kernel, groups = (shape[2], shape[3]), int(node.attributes.get("num_group", 1))
    return filters.Window(kernel, pair("stride", "(1, 1)"), pair("pad", "(0, 0)"), pair("dilate", "(1, 1)"), groups)


def _scale(weight, bias, mean: np.ndarray, variance: np.ndarray, beta: float) -> list[str]:
    """W(i, :) / std(i), and b(i) = beta - mean(i) / std(i); in words, where that is not possible."""
    alive = _varies(variance)
    divisor = np.where(alive, np.sqrt(variance), 1.0)
    values = weight.list_data()[0].asnumpy()
    values = values / divisor.reshape([-1, *[1] * (values.ndim - 1)])
    weight.set_data(mx.nd.array(values, dtype=weight.dtype))
    if bias is not None:
        bias.set_data(mx.nd.array(beta - mean / divisor, dtype=bias.dtype))
    return [] if alive.all() else [f"{plural(int((~alive).sum()), 'channel')} constant: not scaled"]
