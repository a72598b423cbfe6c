"""Initialisation from images: filters, Algorithm 1, Algorithm 2."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.given import require_function, require_number, require_whole
from gluon_tricks.core.keyed_random import generator
from gluon_tricks.core.wording import described, plural, some
from gluon_tricks.initialise.between import ChangeRate, initialise_between, measure
from gluon_tricks.initialise.walk import Graph
from gluon_tricks.initialise.within import FILTERS, initialise_within

log = logging.getLogger("gluon_tricks.initialise")
_CHUNK = 20  # images at a time
_FEW = 4  # images at a time, of which one gradient is taken


def initialise_from_data(
    net: mx.gluon.HybridBlock, images: mx.nd.NDArray | np.ndarray, *, filters: str = "gaussian", within: bool = True,
    between: bool = True, beta: float = 0.0, rounds: int = 10, damping: float = 0.25, last_zero: bool = False,
    seed: int = 0, tell: Callable[[str], None] = log.info,
) -> list[str]:  # fmt: skip
    """Sets the weights of a network from images, so that all its layers learn at about the same rate.

    Filters, then Algorithm 1 (`within`), then Algorithm 2 (`between`); of `between` alone the network computes
    afterwards what it did before, so that it may be a trained one. The log warns at the end of layers that have other
    filters than asked for or constant channels, and of those that `between` left alone.

    Args:
        net: with initialised parameters, in float32 or float64; on several devices all get the same.
        images: (n, 3, H, W), normalised as for training; 160 are enough.
        filters: of convolutions: "gaussian", "pca" or "kmeans" of the patches that they see; dense layers have Gaussian
            ones, or with within=False what they have.
        within: unit variance and mean beta of every affine layer's channels.
        between: the same change rate of all layers.
        beta: mean of every channel; layers without biases are only scaled. Running statistics of batch normalisations
            become the sample's.
        rounds, damping: of Algorithm 2; damping, alpha there, lies in (0, 1].
        last_zero: the last affine layers, those that give the logits, are 0 afterwards, weights and biases. Both
            algorithms come before and see them as they are without it: through zeros no gradient would come.
        seed: of all random numbers: the same seed and images give the same weights.
        tell: gets a line for each layer and each round; default: the log.

    Returns: the layers whose scale `between` left alone, by their place in the network.

    Raises:
        Refused: no images, images that hold NaN, or whose shape or values no layer takes; fewer images than 2; a
            network that is not initialised, in another precision, cannot be traced, has a layer that no image reaches
            or a transposed convolution; an unknown kind of filters, or one with which the network gives the same for
            all images.

    Source: Krähenbühl et al., Data-dependent initializations of convolutional neural networks, ICLR 2016, algorithms 1
        and 2, sections 3.3 and 4.5 (the last layer).
    Differs: see `within.initialise_within` and `between.initialise_between`. With batch normalisation, which makes the
        scale of the layer before it meaningless, `between` scales the other layers alone: of a residual network that is
        its last layer.
    """
    if not isinstance(filters, str) or filters not in FILTERS:
        raise Refused(f"filters is {described(filters)}: choose one of {', '.join(FILTERS)}")
    if not 0 < require_number("damping", damping) <= 1 or require_whole("rounds", rounds) < 0:
        raise Refused(f"damping must lie in (0, 1] and rounds be 0 or more, but got {damping} and {rounds}")
    beta, seed = require_number("beta", beta), require_whole("seed", seed, 0, 2**64 - 1)
    require_function("tell", tell, "a function that gets a line")
    with shapes_refused(images):
        chunks = _chunks(net, images)
        graph, noted = _graph(net), []
        if within or filters != "gaussian":
            noted += initialise_within(graph, chunks, filters, within, beta, seed, tell)
        left = []
        if between:
            left = initialise_between(graph, _chunks(net, images, _FEW), rounds, damping, seed, tell)
    if last_zero:
        for node in graph.last():
            for parameter in filter(None, (graph.parameter(node, 1), graph.parameter(node, 2))):
                parameter.set_data(mx.nd.zeros(parameter.shape, dtype=parameter.dtype))
    if left:
        noted.append(f"between layers: {plural(len(left), 'layer')} left alone, such as {some(left)}")
        tell(noted[-1])
    for line in noted:
        log.warning(f"initialising: {line}")
    return left


def change_rates(
    net: mx.gluon.HybridBlock, images: mx.nd.NDArray | np.ndarray, *, seed: int = 0, chunk: int = _FEW
) -> list[ChangeRate]:
    """How fast the weights of each affine layer would change, in the order of the layers (see `between.measure`).

    Args:
        net, images, seed: as for initialise_from_data.
        chunk: images at a time; 1 takes the square of each image's own gradient.

    Returns: of each layer its place, C~_k and the coefficient of variation of C~_k,i,j over its weights. Of a
        convolution this has the noise of an estimate from len(images) / chunk gradients in it.

    Raises:
        Refused: as initialise_from_data, of images and networks.

    Source: equations 1 to 3, figure 1.
    """
    chunk, seed = require_whole("chunk", chunk, 1), require_whole("seed", seed, 0, 2**64 - 1)
    with shapes_refused(images):
        chunks = _chunks(net, images, chunk)
        return measure(_graph(net), chunks, generator(seed, "change rates"), each_weight=True)


def _graph(net: mx.gluon.HybridBlock) -> Graph:
    graph = Graph(net)
    transposed = [node.path for _, node in graph.affine() if node.kind == "Deconvolution"]
    if transposed:
        raise Refused(
            f"{some(transposed)}: a transposed convolution, whose gradient MXNet cannot give image by image, so it "
            "cannot be initialised from images: use a network without"
        )
    return graph


def _require_reached(net: mx.gluon.HybridBlock) -> None:
    """Refuses a network with a layer that no image gets to: nothing is known of what it would see."""
    reached = {node.name for node in Graph(net).nodes}
    idle = [name for name in net.collect_params() if name not in reached]
    if idle:
        raise Refused(f"no image reaches the layer of {some(idle)}: take it out, or use it on the way to the outputs")


@contextlib.contextmanager
def shapes_refused(images) -> Iterator[None]:
    """What MXNet says of images that a layer cannot take, in a sentence."""
    try:
        yield
    except mx.MXNetError as error:
        lines = [line for line in str(error).splitlines() if "Error" in line] or [str(error)]
        why = lines[-1].split("Check failed: ")[-1].split("Error: ")[-1].strip()[:200]
        raise Refused(f"the network does not take images of the shape {np.shape(images)} ({why})") from None


def _chunks(net: mx.gluon.HybridBlock, images, size: int = _CHUNK) -> list[mx.nd.NDArray]:
    """The images in parts, of the network's dtype; its parameters have their shapes afterwards."""
    images = images.asnumpy() if isinstance(images, mx.nd.NDArray) else np.asarray(images)
    if images.ndim != 4 or not len(images):
        raise Refused(f"there are no images to initialise from: they have the shape {images.shape}, not (n, 3, H, W)")
    if not np.isfinite(images).all():
        bad = int((~np.isfinite(images).reshape(len(images), -1).all(axis=1)).sum())
        raise Refused(
            f"NaN or infinity in {plural(bad, 'image')} of {len(images)} to initialise from: leave out what has it"
        )
    if len(images) < 2:
        raise Refused("one image has no variance over images: give 160, or at least 2")
    if not isinstance(net, mx.gluon.HybridBlock):
        raise Refused(f"the network cannot be traced: a {type(net).__name__} is no HybridBlock, and it has to be one")
    parameters = list(net.collect_params().values())
    if any(parameter._data is None and not parameter._deferred_init for parameter in parameters):
        raise Refused("the network has no numbers yet: call its initialize() first")
    context = parameters[0].list_ctx()[0] if parameters else mx.cpu()
    dtypes = [np.dtype(parameter.dtype).name for parameter in parameters] or ["float32"]
    for odd in {*dtypes} - {"float32", "float64"}:  # norms stay in float32
        raise Refused(f"the network is in {odd}: initialise it in float32, and cast it then")
    _require_reached(net)
    if any(parameter._deferred_init for parameter in parameters):
        net.infer_shape(mx.nd.array(images[:1]))
        for parameter in parameters:
            parameter._finish_deferred_init()
    parts = np.array_split(images.astype(dtypes[0], copy=False), -(-len(images) // size))
    return [mx.nd.array(part, ctx=context, dtype=dtypes[0]) for part in parts]
