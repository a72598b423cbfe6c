"""What the decays have in common: one of them a recipe, a factor on the rate, untouched warm-up."""

from __future__ import annotations

import dataclasses

from gluon_tricks.tricks.base import Trick
from gluon_tricks.tricks.schedule import Plan, Schedule, require_schedule


@dataclasses.dataclass(frozen=True)
class Decay(Trick):
    """lr_t = factor(t) * lr: a family of which a recipe holds one."""

    @classmethod
    def slot(cls) -> str:
        return "decay"

    def doubt(self, plan: Plan) -> str:
        wholly = f"{self.label().replace('_', ' ')}: it has no effect, as the warm-up takes the whole run"
        return wholly if plan.warmup_steps >= plan.steps else ""

    def factor(self, step: int, plan: Plan) -> float:
        """The factor at a step: 1 while the warm-up lasts, but that step decay falls at the epochs it names."""
        raise TypeError(f"{self.label()} does not say its factor")

    def schedule(self, lr_at: Schedule, plan: Plan) -> Schedule:
        require_schedule(lr_at, plan)
        return lambda step: self.factor(step, plan) * lr_at(step)
