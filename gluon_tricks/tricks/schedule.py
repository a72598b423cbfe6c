"""Learning-rate schedules as pure functions of the step, and the plan of a run that they are functions of.

A decay is a factor between 1 and 0; the tricks multiply it onto the base learning rate. Steps count from 0.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Callable, Sequence

from gluon_tricks.core.given import require_function, require_kind
from gluon_tricks.core.values import check_fields

Schedule = Callable[[int], float]  # step -> lr (or a factor of it)


@dataclasses.dataclass(frozen=True)
class Plan:
    """How long a run is, in steps. Raises Refused: one of them is no whole number.

    Args:
        steps_per_epoch: updates in an epoch, the same on every rank.
        epochs: epochs in the run.
        warmup_steps: m, the steps at its start that belong to the warm-up; a trick sets it.
        first_epoch: the one that the run begins with; those before it count as done (Recipe.start_epoch).
    """

    steps_per_epoch: int
    epochs: int
    warmup_steps: int = 0
    first_epoch: int = 0

    def __post_init__(self) -> None:
        check_fields(self, "the plan: ")

    @property
    def steps(self) -> int:
        return self.steps_per_epoch * self.epochs

    @property
    def own_epochs(self) -> int:
        """Those that the run really has."""
        return self.epochs - self.first_epoch

    @property
    def first_step(self) -> int:
        """The steps that count as done when the run begins."""
        return self.steps_per_epoch * self.first_epoch

    @property
    def decay_steps(self) -> int:
        """T: the steps after the warm-up."""
        return max(self.steps - self.warmup_steps, 1)

    def progress(self, step: int) -> float:
        """t/T: 0 during the warm-up and at the first step after it, 1 at the end of the run."""
        return min(max(step - self.warmup_steps, 0) / self.decay_steps, 1.0)


def require_schedule(lr_at: object, plan: object) -> None:
    """Refuses what is no schedule, such as a rate alone, and what is no plan."""
    require_function("lr_at", lr_at, "a function, step -> learning rate")
    require_kind("plan", plan, Plan, "Plan(steps_per_epoch, epochs)")


def warmup(lr_at: Schedule, steps: int, start_lr: float = 0.0) -> Schedule:
    """Linear warm-up: lr = start + (i/m) (eta - start) at the i-th of m steps, i = 1..m, so eta is reached exactly.

    Source: section 3.1, gradual warmup (start 0).
    """
    require_function("lr_at", lr_at, "a function, step -> learning rate")

    def warmed(step: int) -> float:
        if step >= steps:
            return lr_at(step)
        return start_lr + (step + 1) / steps * (lr_at(step) - start_lr)

    return warmed


def cosine(progress: float) -> float:
    """1/2 (1 + cos(pi t/T)): 1 at t = 0, exactly 0 at t = T. Source: equation 1."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def polynomial(progress: float, power: float) -> float:
    """(1 - t/T)^power: 1 at t = 0, 0 at t = T; power 1 is linear decay."""
    return (1.0 - progress) ** power


def steps(epoch: float, boundaries: Sequence[float], factor: float) -> float:
    """factor^k after k of the boundaries (in epochs, rising); a boundary itself belongs to the lower rate."""
    return factor ** bisect.bisect_right(boundaries, epoch)
