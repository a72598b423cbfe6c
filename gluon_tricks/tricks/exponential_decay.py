"""Exponential decay."""

from __future__ import annotations

import dataclasses

from gluon_tricks.core.bounds import within
from gluon_tricks.core.wording import plural
from gluon_tricks.tricks import schedule
from gluon_tricks.tricks.base import require
from gluon_tricks.tricks.decay import Decay


@dataclasses.dataclass(frozen=True)
class ExponentialDecay(Decay):
    """lr is multiplied by `by` every `every` epochs, counted from the end of the warm-up.

    Args:
        by: in (0, 1].
        every: epochs between two drops, positive.

    Source: section 5.1, which cites 0.94 every two epochs (Szegedy et al., Rethinking the Inception architecture), and
        lets the rate decrease "after the learning rate warmup".
    Avoid where: the run is short: after 30 epochs the rate is still 0.4 of what it began with.
    """

    by: float = 0.94
    every: float = within(0, 1e6, default=2.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.by <= 1, self, "by must lie in (0, 1]")
        require(self.every > 0, self, "every must be positive")

    def doubt(self, plan: schedule.Plan) -> str:
        every, warmup = plural(float(self.every), "epoch"), plan.warmup_steps / plan.steps_per_epoch
        after = f" after a warm-up of {warmup:g}" if warmup else ""
        line = f"exponential decay every {every}{after}: it has no effect, as the run ends at epoch {plan.epochs}"
        return line if warmup + self.every >= plan.epochs else ""

    def factor(self, step: int, plan: schedule.Plan) -> float:
        return self.by ** (max(step - plan.warmup_steps, 0) // max(round(self.every * plan.steps_per_epoch), 1))
