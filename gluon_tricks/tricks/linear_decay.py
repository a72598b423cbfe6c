"""Linear decay."""

from __future__ import annotations

import dataclasses

from gluon_tricks.tricks import schedule
from gluon_tricks.tricks.decay import Decay


@dataclasses.dataclass(frozen=True)
class LinearDecay(Decay):
    """lr_t = (1 - t/T) eta, T the batches after the warm-up.

    Source: cvjena's ImageNet models with batch normalisation (linear decay to 0); GluonCV's --lr-mode linear.
    Differs: from GluonCV, which divides by T - 1 (see Cosine).
    Avoid where: the last epochs are to be spent at small rates: cosine has more of them.
    """

    def factor(self, step: int, plan: schedule.Plan) -> float:
        return schedule.polynomial(plan.progress(step), 1.0)
