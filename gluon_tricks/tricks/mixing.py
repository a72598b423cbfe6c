"""What mixup and CutMix share: each image gets a partner and a share of its own that it keeps."""

from __future__ import annotations

import dataclasses

import mxnet as mx
import numpy as np

from gluon_tricks.core.bounds import within
from gluon_tricks.core.wording import plural
from gluon_tricks.tricks.base import StepContext, Trick, require, require_batch, require_step
from gluon_tricks.tricks.schedule import Plan


@dataclasses.dataclass(frozen=True)
class Mixing(Trick):
    """Image i and its target are mixed with those of image j; a recipe mixes in one way.

    Args:
        alpha: the shares are drawn from Beta(alpha, alpha); 0 or 1e-4 and more, 0 mixes nothing.
        off_epochs: the last epochs, which train on images as they are.
        per: one draw for the global "batch", or one for each "image".
        partner: j is the image at the mirrored place of the device's shard ("reversed"), or at a place of a random
            permutation of it ("permuted").
    """

    alpha: float = within(0, 1000, default=1.0)
    off_epochs: int = within(0, 1_000_000, default=0)
    per: str = "batch"
    partner: str = "reversed"

    def __post_init__(self) -> None:
        super().__post_init__()
        # Of a smaller one numpy's sampler tries for hours.
        require(self.alpha == 0 or self.alpha >= 1e-4, self, "alpha must be 0, or 0.0001 and more")
        require(self.off_epochs >= 0, self, "off_epochs must be 0 or more")
        require(self.per in ("batch", "image"), self, "per must be 'batch' or 'image'")
        require(self.partner in ("reversed", "permuted"), self, "partner must be 'reversed' or 'permuted'")

    @classmethod
    def slot(cls) -> str:
        return "mixing"

    def doubt(self, plan: Plan) -> str:
        off = f"is off in the last {plural(self.off_epochs, 'epoch')}"
        no_effect = f"{self.label()} {off}: it has no effect, as the run ends at epoch {plan.epochs}"
        return no_effect if self.off_epochs >= plan.own_epochs else ""

    def batch(self, images, target, step: StepContext):
        require_batch(images, target)
        require_step(step)
        if self.alpha == 0 or step.epoch >= step.plan.epochs - self.off_epochs:
            return images, target
        generator = step.generator(self.label(), per_shard=self.per == "image")
        shares = generator.beta(self.alpha, self.alpha, size=len(target) if self.per == "image" else 1)
        return self.mixed(images, target, shares, generator)

    def mixed(self, images, target, shares: np.ndarray, generator: np.random.Generator):
        """Images (N, 3, H, W) and target (N, K), mixed. Args: shares: (N,), or (1,) for all; generator: goes on."""
        raise NotImplementedError

    def partners(self, values, generator: np.random.Generator) -> mx.nd.NDArray:
        """The place of each image's partner: (N,) int32."""
        count = len(values)
        order = np.arange(count)[::-1] if self.partner == "reversed" else generator.permutation(count)
        return mx.nd.array(order, ctx=values.context, dtype="int32")


def blend(values, partners: mx.nd.NDArray, shares: np.ndarray) -> mx.nd.NDArray:
    """lam v_i + (1 - lam) v_j. Args: values: (N, ...); partners: (N,); shares: lam, (N,) or (1,)."""
    lam = mx.nd.array(shares.reshape(-1, *[1] * (values.ndim - 1)), ctx=values.context, dtype=values.dtype)
    return mx.nd.broadcast_mul(values, lam) + mx.nd.broadcast_mul(values.take(partners), 1 - lam)
