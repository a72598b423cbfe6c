"""Faster prediction on x86 CPUs: fused operators, and 8-bit integers. Both by MXNet's own oneDNN passes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import mxnet as mx
import numpy as np
from mxnet.contrib.quantization import quantize_net_v2
from mxnet.gluon import HybridBlock

from gluon_tricks.core.errors import Refused
from model_zoo.graph import trace

TOLERANCE = 1e-3  # of the largest logit, by which other operators may round


def fuse(net: HybridBlock, images: mx.nd.NDArray) -> None:
    """Makes an initialised network predict with convolution, norm, activation and sum as one operator where it can.

    The same numbers up to rounding. For prediction only: call net.hybridize() before training on. For float32: in
    bfloat16 the fused operators were the slower ones where they were measured.

    Args:
        net: the network; hybridized by this.
        images: any batch of the size to come, float32 (N, 3, H, W).

    Raises:
        Refused: MXNet's fused operators give other logits, as of cifar_resnet20_v2, or none, as of se_resnet50_v1 and
            of a ResNet whose last maps are 1 x 1 px on CPUs with AVX512. The network is then as it was, but not
            hybridized.
    """
    net.hybridize(False)
    expected = _own(net(images))
    try:
        net.optimize_for(images, backend="MKLDNN", static_alloc=True, static_shape=True)
        found = [_own(net(images)) for _ in range(2)]  # with maps of 1 x 1 px only the second pass fails
        difference = np.abs(found[-1] - expected).max() / max(np.abs(expected).max(), np.finfo("float32").tiny)
        wrong = "" if difference <= TOLERANCE else f"their logits differ by {difference:.1e} of the largest"
    except mx.MXNetError as error:
        wrong = str(error).strip().splitlines()[-1][:200]
    if wrong:
        net.hybridize(False)
        raise Refused(
            f"MXNet's fused operators, which its 8-bit ones begin with, cannot compute {net.name} ({wrong}): use it as "
            "it is"
        )


def _own(outputs) -> np.ndarray:
    return (outputs[0] if isinstance(outputs, (list, tuple)) else outputs).astype("float32").asnumpy()


def quantise(net: HybridBlock, batches: Iterable[mx.nd.NDArray]) -> HybridBlock:
    """A copy of a network for prediction that computes in 8-bit integers where that is worth it.

    Weights and activations become integers by the extremes seen on some images; what the passes leave in float32 stays
    exact. How much the predictions move depends on the network: compare them on images you know.

    MXNet's pass reads memory that it has freed (MXNet 1.9.1), by which a process can crash, at once or later: quantise
    in a process that holds nothing you would miss.

    Args:
        net: an initialised network with float32 parameters on the CPU; unchanged but for being hybridized.
        batches: some hundred images as they come to the network, normalised, in float32 batches (N, 3, H, W) of one
            shape, which is also the shape the copy is made for.

    Returns: images (N, 3, H, W) -> logits (N, classes), float32.

    Raises:
        Refused: no images, batches of several shapes, or a network whose fused or 8-bit form MXNet cannot compute.
    """
    batches = list(batches)
    shapes = sorted({batch.shape for batch in batches})
    if len(shapes) != 1:
        raise Refused(f"quantise takes batches of one shape to find its scales on, but got {shapes or 'none'}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the type of "data" is open, as it always is
        copy = mx.gluon.SymbolBlock(trace(net), mx.sym.var("data"), net.collect_params())
    copy._name = net.name
    fuse(copy, batches[0])
    images = mx.nd.concat(*batches, dim=0)
    pairs = mx.gluon.data.ArrayDataset(images, mx.nd.zeros(len(images)))
    loader = mx.gluon.data.DataLoader(pairs, batch_size=shapes[0][0])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "Cannot decide type for the following arguments": of the input, float32
            quantised = quantize_net_v2(
                net, quantized_dtype="auto", quantize_mode="smart", calib_data=loader, calib_mode="naive",
                num_calib_examples=len(images), ctx=mx.cpu(),
            )  # fmt: skip
        quantised.hybridize(static_alloc=True, static_shape=True)
        for _ in range(2):  # as of fuse
            _own(quantised(batches[0]))
    except mx.MXNetError as error:  # such as a pool of unsigned integers behind one of signed ones, in GoogLeNet
        why = str(error).strip().splitlines()[-1][:150]
        raise Refused(
            f"MXNet's 8-bit operators cannot compute {net.name} ({why}): use it in float32, or fused"
        ) from None
    return quantised
