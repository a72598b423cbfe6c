"""Local response normalisation, which the networks before batch normalisation have."""

from __future__ import annotations

import functools

from mxnet.gluon import HybridBlock


class LRN(HybridBlock):
    """Local response normalisation: b[i] = a[i] / (k + alpha * sum of a[j]^2 over the n channels j around i)^beta.

    Args:
        k, alpha, n, beta: as in the formula; alpha belongs to the sum. n is odd.

    Returns: called with maps (N, C, H, W): maps of the same shape.

    Source: Krizhevsky et al., ImageNet classification with deep convolutional neural networks (NIPS 2012), section 3.3.
    Differs: MXNet and Caffe divide alpha by n; here it is the paper's. MXNet's own operator is not used: on a CPU its
        gradient is wrong where a convolution or a pool follows, and it knows float32 only.
    """

    def __init__(self, k: float, alpha: float, n: int = 5, beta: float = 0.75):
        super().__init__()
        self.k, self.alpha, self.n, self.beta = k, alpha, n, beta

    def hybrid_forward(self, F, x):
        squares = F.expand_dims(F.square(x), axis=1)  # (N, 1, C, H, W)
        shape = dict(kernel=(self.n, 1, 1), pad=(self.n // 2, 0, 0), stride=(1, 1, 1))
        mean = F.squeeze(F.Pooling(squares, pool_type="avg", **shape), axis=1)  # beyond the first and last: zeros
        return x * (self.k + self.alpha * self.n * mean) ** -self.beta


CAFFE_LRN = functools.partial(LRN, k=1, alpha=1e-4 / 5)  # Caffe's alpha of 1e-4 is divided by the 5 channels
