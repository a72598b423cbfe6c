"""Mixup."""

from __future__ import annotations

import dataclasses

from gluon_tricks.tricks.base import Draw, Trick, require


@dataclasses.dataclass(frozen=True)
class Mixup(Trick):
    """x = lam x_i + (1 - lam) x_j, the targets likewise, lam ~ Beta(alpha, alpha); only mixed examples are trained on.

    One lam for the global batch; the partner j of an image is the one at its mirrored place in the device's share.

    Args:
        alpha: of the Beta distribution, 0 or more; 0 mixes nothing.
        off_epochs: the last epochs, which train on unmixed images.

    Source: section 5.4, equations 7 and 8 (alpha 0.2).
    """

    alpha: float = 0.2
    off_epochs: int = 0

    def __post_init__(self) -> None:
        require(self.alpha >= 0, self, "alpha must be 0 or more")
        require(self.off_epochs >= 0, self, "off_epochs must be 0 or more")

    def batch(self, images, target, draw: Draw):
        if self.alpha == 0 or draw.epoch >= draw.plan.epochs - self.off_epochs:
            return images, target
        lam = float(draw.generator("mixup").beta(self.alpha, self.alpha))
        return (
            lam * images + (1 - lam) * images[::-1],
            lam * target + (1 - lam) * target[::-1],
        )
