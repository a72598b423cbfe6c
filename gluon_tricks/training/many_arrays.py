"""Many arrays changed by a few operators: one operator each would take a device longer to start than to do."""

from __future__ import annotations

from collections.abc import Sequence

import mxnet as mx

_AT_ONCE = 40  # arrays; MXNet's operators take 60 on a GPU


def move(targets: Sequence[mx.nd.NDArray], values: Sequence[mx.nd.NDArray], share: float) -> None:
    """target <- target + share (value - target) for each of them, in place: an update of SGD with weight decay 1.

    A target that is its value already stays as it is, to the last bit.

    Args:
        targets, values: on one device, of the same shapes, float32.
        share: in [0, 1].
    """
    _sgd(targets, values, lr=share, wd=1.0)


def add(targets: Sequence[mx.nd.NDArray], values: Sequence[mx.nd.NDArray]) -> None:
    """target <- target + value for each of them, in place. Args: as of move, of any dtype, both of the same."""
    _sgd(targets, values, lr=1.0, wd=0.0)


def _sgd(targets: Sequence[mx.nd.NDArray], values: Sequence[mx.nd.NDArray], lr: float, wd: float) -> None:
    """target - lr (wd target - value)."""
    for dtype in dict.fromkeys(target.dtype for target in targets):
        pairs = [pair for pair in zip(targets, values) if pair[0].dtype == dtype]
        for part in (pairs[start : start + _AT_ONCE] for start in range(0, len(pairs), _AT_ONCE)):
            count = len(part)
            mx.nd.multi_sgd_update(
                *(array for pair in part for array in pair), out=[target for target, _ in part],
                lrs=[lr] * count, wds=[wd] * count, rescale_grad=-1.0, num_weights=count,
            )  # fmt: skip
