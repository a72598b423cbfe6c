"""Step decay: the baseline's schedule."""

from __future__ import annotations

import dataclasses

from gluon_tricks.core.bounds import within
from gluon_tricks.tricks import schedule
from gluon_tricks.tricks.base import require
from gluon_tricks.tricks.decay import Decay


@dataclasses.dataclass(frozen=True)
class StepDecay(Decay):
    """lr is multiplied by `by` at each of `epochs`, counted from the start of the run.

    Args:
        epochs: rising, in epochs; the warm-up is not subtracted.
        by: what the rate is multiplied by, in (0, 1].

    Source: section 2.1 (divided by 10 at epochs 30, 60 and 90 of 120).
    Avoid where: the run's length changes: its epochs have to be changed with it.
    """

    epochs: tuple[float, ...] = within(0, 1e6, default=(30, 60, 90))
    by: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.by <= 1, self, "by must lie in (0, 1]")
        require(tuple(sorted(self.epochs)) == tuple(self.epochs), self, "epochs must rise")

    def doubt(self, plan: schedule.Plan) -> str:
        late = ", ".join(f"{epoch:g}" for epoch in self.epochs if epoch >= plan.epochs)
        return f"step decay at epoch {late}: it has no effect, as the run ends at epoch {plan.epochs}" if late else ""

    def same_until(self, other: StepDecay, epoch: float) -> bool:
        return self.by == other.by and self._before(epoch) == other._before(epoch)

    def _before(self, epoch: float) -> list[float]:
        return [at for at in self.epochs if at < epoch]

    def factor(self, step: int, plan: schedule.Plan) -> float:
        return schedule.steps(step / plan.steps_per_epoch, self.epochs, self.by)
