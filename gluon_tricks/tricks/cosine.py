"""Cosine decay."""

from __future__ import annotations

import dataclasses

from gluon_tricks.tricks import schedule
from gluon_tricks.tricks.decay import Decay


@dataclasses.dataclass(frozen=True)
class Cosine(Decay):
    """lr_t = 1/2 (1 + cos(pi t/T)) eta, T the batches after the warm-up, t = 0..T-1.

    Source: section 5.1, equation 1.
    Differs: from GluonCV, which divides by T - 1 so that its last update has lr 0; here 0 would be step T's.
    Avoid where: it is not known beforehand how long the run will be: the rate of each step follows from the last one.
    """

    def factor(self, step: int, plan: schedule.Plan) -> float:
        return schedule.cosine(plan.progress(step))
