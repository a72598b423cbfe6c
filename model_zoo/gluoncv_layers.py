"""Layers that GluonCV has for networks that are not hybridized, in a form for those that are."""

from __future__ import annotations

from mxnet.contrib import amp
from mxnet.gluon import HybridBlock, nn


class ChannelGroupNorm(HybridBlock):
    """Group normalisation with a gamma and a beta for each channel.

        y_c = gamma_c (x_c - mean_g) / sqrt(var_g + epsilon) + beta_c    mean and variance of the group and image

    Args:
        in_channels: C, a multiple of the groups.
        num_groups: G.
        epsilon: added to the variance.
        gamma_initializer: of gamma.

    Returns: (N, C, H, W) -> (N, C, H, W).

    Source: Wu and He, Group normalization (ECCV 2018), equations 1 to 6.
    Differs: MXNet 1.9.1's GroupNorm has a gamma and a beta for each group; GluonCV's, whose parameter files this reads,
        for each channel, and cannot be hybridized.
    """

    def __init__(self, in_channels: int, num_groups: int = 32, epsilon: float = 1e-5, gamma_initializer: str = "ones"):
        super().__init__()
        self._groups, self._epsilon = num_groups, epsilon
        self.gamma = self.params.get("gamma", shape=(in_channels,), init=gamma_initializer)
        self.beta = self.params.get("beta", shape=(in_channels,), init="zeros")

    def hybrid_forward(self, F, x, gamma, beta):
        groups = F.reshape(x, (0, -4, self._groups, -1, 0, 0))  # (N, G, C / G, H, W)
        centred = F.broadcast_sub(groups, F.mean(groups, axis=(2, 3, 4), keepdims=True))
        variance = F.mean(F.square(centred), axis=(2, 3, 4), keepdims=True)
        y = F.reshape(F.broadcast_div(centred, F.sqrt(variance + self._epsilon)), (0, -3, 0, 0))
        gamma, beta = (F.reshape(part, (1, -1, 1, 1)) for part in (gamma, beta))
        return F.broadcast_add(F.broadcast_mul(y, gamma), beta)


class DropBlock(HybridBlock):
    """Drops squares of a feature map in training, the same for all images of the batch; nothing in prediction.

        seed ~ Bernoulli(rate / size^2 * H W / ((H - size + 1) (W - size + 1))), around each a square of 0
        y = x * kept / mean(kept)

    Args:
        rate: the share that is dropped, about.
        size: side of the squares.
        side: H and W for which the seeds are counted.

    Returns: (N, C, H, W) -> (N, C, H, W).

    Source: Ghiasi et al., DropBlock (NeurIPS 2018), algorithm 1 and equation 1; GluonCV's, which has one mask a batch.
    Differs: GluonCV's takes maps of `side` only; for others its number of seeds is taken here.
    """

    def __init__(self, rate: float, size: int, side: tuple[int, int]):
        super().__init__()
        self._size = size
        height, width = side
        places = max((height - size + 1) * (width - size + 1), 1)
        self.seeds = nn.Dropout(min(rate * height * width / size**2 / places, 0.99))

    def hybrid_forward(self, F, x):
        seeds = self.seeds(F.ones_like(F.slice_axis(x, axis=0, begin=0, end=1))) == 0  # none in prediction
        edge = self._size // 2
        dropped = F.Pooling(seeds, pool_type="max", kernel=(self._size, self._size), pad=(edge, edge))
        kept = 1 - dropped
        share = F.maximum(F.mean(kept, axis=(1, 2, 3), keepdims=True), 1e-6)
        return F.broadcast_mul(x, F.broadcast_div(kept, share))


class _Joining:
    """MXNet's operators, whose concat takes maps of two types and has a gradient for every number of channels."""

    def __init__(self, F):
        self._operators = F

    def __getattr__(self, name: str):
        return getattr(self._operators, name)

    def concat(self, *maps, dim: int):
        F = self._operators
        if amp.amp._amp_initialized:
            maps = list(F.amp_multicast(*maps, num_outputs=len(maps)))
        return F.slice_axis(F.concat(*maps, dim=dim), axis=dim, begin=0, end=None)


def join_with_care(block: HybridBlock) -> None:
    """Makes each concat in a block's own code one that MXNet can train through, of the same numbers.

    oneDNN has gradients in blocks of channels, and MXNet 1.9.1 cannot take one apart within a block: of the maps of 11
    channels that NASNet joins it fails with "could not construct a sub-memory". A slice of everything after the concat
    gives the gradient a plain layout. And mixed precision leaves a map float32 that no layer has computed, which a
    concat refuses beside one in bfloat16.
    """
    theirs = block.hybrid_forward
    block.hybrid_forward = lambda F, *maps, **parameters: theirs(_Joining(F), *maps, **parameters)
