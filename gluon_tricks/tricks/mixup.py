"""Mixup."""

from __future__ import annotations

import dataclasses

import mxnet as mx
import numpy as np

from gluon_tricks.core.bounds import within
from gluon_tricks.tricks.base import StepContext, Trick, require


@dataclasses.dataclass(frozen=True)
class Mixup(Trick):
    """x = lam x_i + (1 - lam) x_j, the targets likewise, lam ~ Beta(alpha, alpha); only mixed examples are trained on.

    Args:
        alpha: of the Beta distribution, 0 or 1e-4 and more; 0 mixes nothing.
        off_epochs: the last epochs, which train on unmixed images.
        per: one lam for the global "batch", as GluonCV has it, or one for each "image".
        partner: j is the image at the mirrored place of the device's shard ("reversed", as GluonCV has it), or at a
            place of a random permutation of it ("permuted").

    Source: section 5.4, equations 7 and 8 (alpha 0.2).
    Avoid where: the run is short or the network small: mixed images take longer to learn (in the paper 200 epochs
        in place of 120).
    """

    alpha: float = within(0, 1000, default=0.2)
    off_epochs: int = within(0, 1_000_000, default=0)
    per: str = "batch"
    partner: str = "reversed"

    def __post_init__(self) -> None:
        require(self.alpha >= 0, self, "alpha must be 0 or more")
        # Of a smaller one numpy's sampler tries for hours.
        require(self.alpha == 0 or self.alpha >= 1e-4, self, "alpha must be 0, or 0.0001 and more")
        require(self.off_epochs >= 0, self, "off_epochs must be 0 or more")
        require(self.per in ("batch", "image"), self, "per must be 'batch' or 'image'")
        require(self.partner in ("reversed", "permuted"), self, "partner must be 'reversed' or 'permuted'")

    @classmethod
    def slot(cls) -> str:
        return "mixing"

    def doubt(self, epochs: int) -> str:
        line = f"mixup is off in the last {self.off_epochs} epochs: it has no effect, as the run ends at epoch {epochs}"
        return line if self.off_epochs >= epochs else ""

    def batch(self, images, target, step: StepContext):
        if self.alpha == 0 or step.epoch >= step.plan.epochs - self.off_epochs:
            return images, target
        generator, count = step.generator("mixup", per_shard=self.per == "image"), len(target)
        lams = generator.beta(self.alpha, self.alpha, size=count if self.per == "image" else 1)  # (N,) or (1,)
        order = np.arange(count)[::-1] if self.partner == "reversed" else generator.permutation(count)
        partner = mx.nd.array(order, ctx=target.context, dtype="int32")
        return self._mixed(images, partner, lams), self._mixed(target, partner, lams)

    @staticmethod
    def _mixed(values, partner, lams):
        lam = mx.nd.array(lams.reshape(-1, *[1] * (values.ndim - 1)), ctx=values.context, dtype=values.dtype)
        return mx.nd.broadcast_mul(values, lam) + mx.nd.broadcast_mul(values.take(partner), 1 - lam)
