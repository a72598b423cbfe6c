"""The dynamic loss scale of float16 training."""

from __future__ import annotations

from collections.abc import Sequence

import mxnet as mx


class LossScale:
    """A factor on the loss that keeps small gradients above float16's smallest number.

    Halved when a gradient overflows (that update is left out), doubled after `patience` updates without.

    Finding an overflow waits for the backward pass: the one place where float16 training meets its device each step.

    Args:
        active: False for other precisions: the factor is 1 and nothing is ever checked.
        value, good_steps: where it stands.

    Source: section 3.2 (multiplying a scalar to the loss); Micikevicius et al., Mixed precision training, 2018.
    """

    def __init__(self, active: bool, value: float = 2.0**16, good_steps: int = 0, patience: int = 2000):
        self.active, self.patience, self.good_steps = active, patience, good_steps
        self.value = value if active else 1.0

    def accepts(self, gradients: Sequence[mx.nd.NDArray]) -> bool:
        """Whether an update may be made with these gradients; changes the factor accordingly."""
        if not self.active:
            return True
        if not all_finite(gradients):
            self.value, self.good_steps = max(self.value / 2, 1.0), 0
            return False
        self.good_steps += 1
        if self.good_steps >= self.patience:
            self.value, self.good_steps = min(self.value * 2, 2.0**24), 0
        return True


def all_finite(arrays: Sequence[mx.nd.NDArray]) -> bool:
    """Whether no array of one device holds an infinity or a NaN; waits for them.

    The operator takes one dtype and a bounded number at a time (batch normalisation stays float32 in a float16 net).
    """
    flags = []
    for dtype in {array.dtype for array in arrays}:
        alike = [array for array in arrays if array.dtype == dtype]
        chunks = [alike[i : i + 200] for i in range(0, len(alike), 200)]
        flags += [mx.nd.multi_all_finite(*chunk, num_arrays=len(chunk)) for chunk in chunks]
    return all(bool(flag.asscalar()) for flag in flags)
