"""Blur pooling: halving the size of a map without aliasing."""

from __future__ import annotations

from mxnet.gluon import HybridBlock


class BlurPool(HybridBlock):
    """Every channel filtered with [1, 2, 1] x [1, 2, 1] / 16, then every second pixel: (N, C, H, W) -> H/2, rounded up.

    Beyond its border a map goes on as its mirror image, without the outermost pixel twice. So it needs two pixels a
    side. The filter is the mean of 2x2 pixels, taken twice: [1, 1] * [1, 1] = [1, 2, 1]; it has no parameters.

    Source: Zhang, Making convolutional networks shift-invariant again (ICML 2019), section 3.2, Triangle-3.
    """

    def hybrid_forward(self, F, x):
        x = F.pad(x, mode="reflect", pad_width=(0, 0, 0, 0, 1, 1, 1, 1))  # (N, C, H + 2, W + 2)
        x = F.Pooling(x, kernel=(2, 2), stride=(1, 1), pool_type="avg")  # (N, C, H + 1, W + 1)
        return F.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="avg")  # (N, C, ceil(H / 2), ceil(W / 2))
