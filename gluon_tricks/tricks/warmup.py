"""Learning-rate warm-up."""

from __future__ import annotations

import dataclasses

from gluon_tricks.core.bounds import within
from gluon_tricks.core.given import require_kind
from gluon_tricks.tricks import schedule
from gluon_tricks.tricks.base import Trick, require


@dataclasses.dataclass(frozen=True)
class Warmup(Trick):
    """lr = i eta / m at batch i of the first m: small steps while the parameters are far from anything.

    Args:
        epochs: length of the warm-up, in epochs; may be a fraction.
        start_lr: the rate it rises from.
        start_factor: or the fraction of eta that it rises from, in [0, 1].

    Source: section 3.1, learning rate warmup (5 epochs, from 0). Detectron's, which section 6.1 names, rises from a
        third of eta.
    Differs: from GluonCV, whose --warmup-lr was accepted and not used; and whose first step has lr 0.
    Avoid where: the run starts from trained weights at a small rate, which nothing has to be led up to.
    """

    epochs: float = within(0, 1e6, default=5)
    start_lr: float = within(0, 1e4, default=0.0)
    start_factor: float = within(0, 1, default=0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.epochs >= 0, self, "epochs must be 0 or more")
        require(self.start_lr >= 0, self, "start_lr must be 0 or more")
        require(0 <= self.start_factor <= 1, self, "start_factor must lie in [0, 1]")
        require(not (self.start_lr and self.start_factor), self, "start_lr and start_factor both say where it starts")

    def plan(self, plan: schedule.Plan) -> schedule.Plan:
        require_kind("plan", plan, schedule.Plan, "Plan(steps_per_epoch, epochs)")
        steps = min(round(self.epochs * plan.steps_per_epoch), plan.steps)
        return dataclasses.replace(plan, warmup_steps=steps)

    def doubt(self, plan: schedule.Plan) -> str:
        if self.epochs == 0 and self.start_lr:
            return f"warm-up of 0 epochs: the rate {self.start_lr:g} that it starts from has no effect"
        cut = f"it is cut to the run's {plan.epochs}, whose last step alone has the full rate"
        return f"warm-up of {self.epochs:g} epochs: {cut}" if self.epochs > plan.epochs else ""

    def schedule(self, lr_at: schedule.Schedule, plan: schedule.Plan) -> schedule.Schedule:
        schedule.require_schedule(lr_at, plan)
        if not self.start_factor:
            return schedule.warmup(lr_at, plan.warmup_steps, self.start_lr)
        factor_at = schedule.warmup(lambda step: 1.0, plan.warmup_steps, self.start_factor)
        return lambda step: factor_at(step) * lr_at(step)
