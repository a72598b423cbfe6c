"""Sharpness-aware minimisation."""

from __future__ import annotations

import dataclasses

import mxnet as mx

from gluon_tricks.core.bounds import within
from gluon_tricks.tricks.base import Trick, require
from gluon_tricks.tricks.norms import length


@dataclasses.dataclass(frozen=True)
class Sam(Trick):
    """The gradient is taken at w + rho g / |g|, g being that at w, and w is updated with it.

    Every step has two forward and backward passes of the same images, draws of mixup and dropout included, so it takes
    twice as long. The loss that is told and the running statistics are those of the first.

    Args:
        rho: how far the weights go, more than 0.

    Source: Foret et al., Sharpness-aware minimization (ICLR 2021), equations 2 and 3, algorithm 1 (rho 0.05).
    Differs: g is the mean over the global batch. The document takes that of each accelerator's images for the step,
        which its section 4.1 finds to generalise better the fewer they are.
    Avoid where: time counts: each step takes two passes. Batches of hundreds of images on one device gain less. In
        float16 it is refused: weights of float16 mostly round its step away.
    """

    rho: float = within(0, 1e3, default=0.05)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.rho > 0, self, "rho must be more than 0")

    @property
    def climbs(self) -> bool:
        return True

    def ascent(self, sums):
        factor = self.rho / (length(sums) + 1e-12)  # (1,)
        return [mx.nd.broadcast_mul(array.astype("float32", copy=False), factor) for array in sums]
