"""The loss of a tagger: each class is a question by itself."""

from __future__ import annotations

import mxnet as mx
import numpy as np

from gluon_tricks.data.label_vectors import IGNORED, PRESENT


def target_of(labels: mx.nd.NDArray) -> mx.nd.NDArray:
    """Labels (n, K) of 1, 0 and -1 -> (n, 2K) float32: which classes are present, then which count.

    So tricks that mix images mix both, and the loss of a mixed image is exactly the mean of the two images' losses.
    """
    present, known = labels == PRESENT, labels != IGNORED
    return mx.nd.concat(present.astype("float32"), known.astype("float32"), dim=1)


def sigmoid_cross_entropy(images, logits, target):
    """sum_k w_k log(1 + exp(z_k)) - t_k z_k per image, which is -w_k (y_k log p_k + (1 - y_k) log(1 - p_k)), t = w y.

    A class that is not counted has weight 0, and so no gradient.

    Args:
        logits: z (n, K) float32; p = sigmoid(z).
        target: (n, 2K) float32, t and w of target_of.

    Returns: (n,) float32, the sum over the classes.

    Source: Krähenbühl et al., section 4.2; Caffe's SigmoidCrossEntropyLoss, which sums over classes and takes the mean
        over images.
    Differs: Gluon's SigmoidBinaryCrossEntropyLoss takes the mean over classes, and its gradient at a logit of exactly 0
        is -y where it should be 1/2 - y.
    """
    present, counted = target.split(num_outputs=2, axis=1)
    # softrelu(z) = log(1 + exp(z)), and its gradient is sigmoid(z) at 0 too.
    return (counted * mx.nd.Activation(logits, act_type="softrelu") - present * logits).sum(axis=1)


def mean_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """The mean of sigmoid_cross_entropy over images: (n, K) logits, (n, K) labels of 1, 0 and -1."""
    with np.errstate(invalid="ignore"):  # of a network that diverged
        terms = np.logaddexp(0, logits) - np.where(labels == PRESENT, logits, 0)
    return float(np.where(labels == IGNORED, 0, terms).sum(axis=1).mean())
