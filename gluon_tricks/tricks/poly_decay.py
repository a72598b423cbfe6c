"""Polynomial decay."""

from __future__ import annotations

import dataclasses

from gluon_tricks.core.bounds import within
from gluon_tricks.tricks import schedule
from gluon_tricks.tricks.base import require
from gluon_tricks.tricks.decay import Decay


@dataclasses.dataclass(frozen=True)
class PolyDecay(Decay):
    """lr_t = (1 - t/T)^power eta, T the batches after the warm-up.

    Args:
        power: 2 in GluonCV's --lr-mode poly; 0.9 in its segmentation.

    Source: GluonCV's --lr-mode poly; Chen et al., DeepLab (2017), which multiplies so with power 0.9.
    Differs: from GluonCV, which divides by T - 1 (see Cosine).
    Avoid where: there is no reason to leave cosine, beside which it has one more number to choose.
    """

    power: float = within(0, 1000, default=2.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.power > 0, self, "power must be positive")

    def factor(self, step: int, plan: schedule.Plan) -> float:
        return schedule.polynomial(plan.progress(step), self.power)
