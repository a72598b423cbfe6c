"""The rate falls where the validation error stops improving."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from gluon_tricks.core.bounds import within
from gluon_tricks.core.wording import plural
from gluon_tricks.tricks import schedule
from gluon_tricks.tricks.base import require
from gluon_tricks.tricks.decay import Decay


@dataclasses.dataclass(frozen=True)
class Plateau(Decay):
    """lr is multiplied by `by` after `patience` epochs in a row whose validation error is no new best.

    The run ends after as many such epochs again that follow the last of `drops`, or after its own number of epochs. The
    error is 1 minus the score that the best checkpoint is chosen by: top-1, mAP, mIoU.

    Everything follows from the errors of the finished epochs, which every checkpoint has, so that a run that goes on,
    or is taken back, has the rate that belongs there.

    Args:
        by: what the rate is multiplied by, in (0, 1].
        patience: epochs, 1 or more.
        improvement: an error is a new best if it is lower by more than this, a fraction in [0, 1).
        drops: how often the rate falls at most.

    Source: Krizhevsky et al., ImageNet classification (2012), section 5: divided by 10 when the validation error rate
        stopped improving with the current rate, three times before the end. He et al. (2015), section 3.4, as well.
    Differs: neither says after how many epochs, as it was done by hand.
    Avoid where: there are few validation images: noise then decides when the rate falls.
    """

    by: float = 0.1
    patience: int = within(1, 1e6, default=5)
    improvement: float = within(0, 1, default=0.0)
    drops: int = within(0, 1000, default=3)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.by <= 1, self, "by must lie in (0, 1]")
        require(self.improvement < 1, self, "improvement must lie in [0, 1)")

    @property
    def open_ended(self) -> bool:
        return True

    def factor(self, step: int, plan: schedule.Plan) -> float:
        return 1.0  # of the step alone; see lr_factor

    def doubt(self, plan: schedule.Plan) -> str:
        least = self.patience + 2  # the first epoch is a new best, and what follows from the last one comes too late
        line = f"plateau with a patience of {plural(self.patience, 'epoch')}: it has no effect in fewer than {least}"
        return f"{line}, and the run has {plan.own_epochs}" if plan.own_epochs < least else ""

    def lr_factor(self, errors: Sequence[float]) -> float:
        return self.by ** min(self._plateaus(errors), self.drops)

    def ends(self, errors: Sequence[float]) -> bool:
        return self._plateaus(errors) > self.drops

    def _plateaus(self, errors: Sequence[float]) -> int:
        """How often so many epochs in a row have brought no new best."""
        best, without, found = float("inf"), 0, 0
        for error in errors:
            if error < best - self.improvement:
                best, without = error, 0
            else:
                without += 1
            if without == self.patience:
                without, found = 0, found + 1
        return found
