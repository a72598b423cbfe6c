"""CutMix."""

from __future__ import annotations

import dataclasses

import mxnet as mx
import numpy as np

from gluon_tricks.core.bounds import within
from gluon_tricks.tricks.base import StepContext, Trick, require
from gluon_tricks.tricks.rectangles import inside, replaced


@dataclasses.dataclass(frozen=True)
class CutMix(Trick):
    """A rectangle of image i comes from image j; q = lam q_i + (1 - lam) q_j, 1 - lam being its share of the image.

    Its sides are sqrt(1 - l) of the image's, l ~ Beta(alpha, alpha), its centre is anywhere in the image. What lies
    beyond the border is cut off, so that lam is counted from what was pasted: lam >= l.

    Args:
        alpha: of the Beta distribution, 0 or 1e-4 and more; 0 mixes nothing. 1: l is uniform.
        off_epochs: the last epochs, which train on whole images.
        per: one rectangle for the global "batch", or one for each "image".
        partner: j is the image at the mirrored place of the device's shard ("reversed"), or at a place of a random
            permutation of it ("permuted").

    Source: Yun et al., CutMix (ICCV 2019), section 3.1, equations 1 and 2 (alpha 1).
    Differs: the authors mix every second batch of CIFAR, and all of ImageNet; here all. See mixup_or_cut_mix.
    Avoid where: objects are small, or a class shows in one place only: what is pasted then says nothing of its class.
    """

    alpha: float = within(0, 1000, default=1.0)
    off_epochs: int = within(0, 1_000_000, default=0)
    per: str = "batch"
    partner: str = "reversed"

    def __post_init__(self) -> None:
        require(self.alpha == 0 or self.alpha >= 1e-4, self, "alpha must be 0, or 0.0001 and more")
        require(self.off_epochs >= 0, self, "off_epochs must be 0 or more")
        require(self.per in ("batch", "image"), self, "per must be 'batch' or 'image'")
        require(self.partner in ("reversed", "permuted"), self, "partner must be 'reversed' or 'permuted'")

    @classmethod
    def slot(cls) -> str:
        return "mixing"

    def doubt(self, epochs: int) -> str:
        line = (
            f"cut_mix is off in the last {self.off_epochs} epochs: it has no effect, as the run ends at epoch {epochs}"
        )
        return line if self.off_epochs >= epochs else ""

    def batch(self, images, target, step: StepContext):
        if self.alpha == 0 or step.epoch >= step.plan.epochs - self.off_epochs:
            return images, target
        generator, count = step.generator("cut_mix", per_shard=self.per == "image"), len(target)
        height, width = images.shape[2:]
        drawn = generator.beta(self.alpha, self.alpha, size=count if self.per == "image" else 1)
        boxes = self.boxes(drawn, generator.random((len(drawn), 2)), height, width)
        order = np.arange(count)[::-1] if self.partner == "reversed" else generator.permutation(count)
        partner = mx.nd.array(order, ctx=target.context, dtype="int32")
        left, top, right, bottom = boxes.T
        lams = 1 - (right - left) * (bottom - top) / (height * width)  # of whole pixels
        lam = mx.nd.array(lams.reshape(-1, 1), ctx=target.context, dtype=target.dtype)
        mixed = mx.nd.broadcast_mul(target, lam) + mx.nd.broadcast_mul(target.take(partner), 1 - lam)
        return replaced(images, images.take(partner), inside(boxes, images)), mixed

    @staticmethod
    def boxes(drawn: np.ndarray, centres: np.ndarray, height: int, width: int) -> np.ndarray:
        """Rectangles (n, 4) int64, as of rectangles.inside.

        Args:
            drawn: l (n,) in [0, 1].
            centres: (n, 2), x and y as shares of the image in [0, 1).
            height, width: of the image, px.
        """
        sides = np.sqrt(1 - drawn)[:, None] * [width, height]  # (n, 2)
        low = np.round(centres * [width, height] - sides / 2).astype(np.int64)
        high = low + np.round(sides).astype(np.int64)
        return np.concatenate([np.clip(low, 0, [width, height]), np.clip(high, 0, [width, height])], axis=1)
