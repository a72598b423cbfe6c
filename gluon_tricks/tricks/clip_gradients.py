"""Gradients of a bounded length."""

from __future__ import annotations

import dataclasses

import mxnet as mx

from gluon_tricks.core.bounds import within
from gluon_tricks.tricks.base import Trick, require
from gluon_tricks.tricks.norms import length


@dataclasses.dataclass(frozen=True)
class ClipGradients(Trick):
    """g = g min(1, norm / |g|), g being the mean gradient over the global batch of all parameters together.

    Or each number of g is cut to [-value, value]. Nothing waits for |g|. In float16 it is that of the gradient without
    the loss scale.

    Args:
        norm: the longest that the gradient may be, more than 0; 0: value says what is done.
        value: in its place, the largest that a number of it may be; 0: norm does.

    Source: Pascanu et al., On the difficulty of training recurrent neural networks (2013), algorithm 1; |g| + 1e-6 as
        PyTorch has it.
    Avoid where: gradients are seldom long: a clipped one makes a smaller step than its rate says.
    """

    norm: float = within(0, 1e9, default=1.0)
    value: float = within(0, 1e9, default=0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        require((self.norm > 0) != (self.value > 0), self, "one of norm and value must be more than 0, the other 0")

    def gradients(self, sums, divisor: float):
        if self.value:
            most = self.value * divisor
            return [array.astype("float32", copy=False).clip(-most, most) for array in sums]
        factor = mx.nd.minimum(self.norm / (length(sums) / divisor + 1e-6), 1.0)  # (1,)
        return [mx.nd.broadcast_mul(array.astype("float32", copy=False), factor) for array in sums]
