"""Linear scaling of the learning rate with the batch size."""

from __future__ import annotations

import dataclasses

from gluon_tricks.core.bounds import within
from gluon_tricks.core.given import require_number, require_whole
from gluon_tricks.tricks.base import Trick, require


@dataclasses.dataclass(frozen=True)
class LinearScaling(Trick):
    """lr = lr * b / 256, b the global batch size: the noise of the mean gradient falls with the batch.

    Args:
        reference: the batch size that the base learning rate belongs to.

    Source: section 3.1, linear scaling learning rate.
    Avoid where: the batch is so large that rates in proportion to it diverge; beyond about 8192 images see trust_ratio.
    """

    reference: int = within(1, 1 << 20, default=256)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.reference > 0, self, "reference must be a positive batch size")

    def base_lr(self, lr: float, batch_size: int) -> float:
        require_number("lr", lr)
        require_whole("batch_size", batch_size, 1)
        return lr * batch_size / self.reference
