"""The loss of a segmenter."""

from __future__ import annotations

from collections.abc import Sequence

import mxnet as mx


def segmentation_loss(
    outputs: Sequence[mx.nd.NDArray], masks: mx.nd.NDArray, real: mx.nd.NDArray | None = None, aux_weight: float = 0.5
) -> mx.nd.NDArray:
    """The mean cross-entropy of the pixels that are not void, of the head plus aux_weight times that of the auxiliary.

    Every pixel of the batch that is not void counts alike, so an image's part is (sum over its pixels) / real.

    Args:
        outputs: logits (n, K, H, W) of the head and, if there is one, of the auxiliary head.
        masks: (n, H, W) class indices; below 0: void.
        real: (1,) float32, pixels that are not void, the mean over the images of the batch that these n are a shard
            of; None: these n are all.

    Returns: (n,) float32, whose mean over the batch is the loss; 0 where all is void.

    Source: GluonCV's MixSoftmaxCrossEntropyLoss as it trains, aux_weight 0.5; PSPNet, section 3.3, has 0.4.
    Differs: that class is not used, because the gradient it gives (by SoftmaxOutput) is not that of the value it
        shows. It shows the mean over all pixels, void ones as 0, with the auxiliary weight; its gradient is that of the
        mean over pixels that are not void, as here, but of both heads with weight 1 whatever aux_weight says, and no
        factor of the loss changes it: neither the scale of 16 bit training nor an accumulated batch could work.
        aux_weight=1 gives its gradient.
    """
    masks = masks.astype("float32", copy=False)
    counted, pixels = masks >= 0, masks[0].size
    fraction = counted.mean() if real is None else real / pixels
    weight = mx.nd.broadcast_div(counted, mx.nd.maximum(fraction, 1 / masks.size)).expand_dims(3)  # (n, H, W, 1)
    cross_entropy = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    main, *aux = (cross_entropy(_classes_last(logits), masks, weight) for logits in outputs)
    return main + aux_weight * aux[0] if aux else main


def _classes_last(logits: mx.nd.NDArray) -> mx.nd.NDArray:
    """Logits (n, K, H, W) as (n, H, W, K): on a CPU log_softmax over K is then twice as fast, the copy included."""
    return logits.astype("float32", copy=False).transpose((0, 2, 3, 1))
