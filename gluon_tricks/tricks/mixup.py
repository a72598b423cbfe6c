"""Mixup."""

from __future__ import annotations

import dataclasses

from gluon_tricks.core.bounds import within
from gluon_tricks.tricks.mixing import Mixing, blend


@dataclasses.dataclass(frozen=True)
class Mixup(Mixing):
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

    def mixed(self, images, target, shares, generator):
        partners = self.partners(target, generator)
        return blend(images, partners, shares), blend(target, partners, shares)
