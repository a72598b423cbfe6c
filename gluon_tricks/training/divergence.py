"""A training that goes wrong, seen in its losses."""

from __future__ import annotations

import collections
import math
import statistics

from gluon_tricks.recipes.settings import Settings

_WINDOW, _ENOUGH = 200, 20  # losses that the median is of, and how many it takes


class Diverged(RuntimeError):
    """The loss is not finite, or has been far over its running median for a while.

    Args:
        step: after whose update it was seen first; checkpoints from then on are suspect.
    """

    def __init__(self, step: int, reason: str):
        super().__init__(reason)
        self.step = step


class Watch:
    """Looks at each step's loss, the mean over all ranks: so every rank sees the same.

    Args:
        recipe: divergence_factor and divergence_steps: how far over the running median, for how many steps in a row.
    """

    def __init__(self, recipe: Settings):
        self._factor, self._patience = recipe.divergence_factor, recipe.divergence_steps
        self._losses: collections.deque = collections.deque(maxlen=_WINDOW)
        self._high = 0

    def look(self, step: int, loss: float) -> None:
        """Raises Diverged."""
        if not math.isfinite(loss):
            raise Diverged(step, f"the loss of step {step} is {loss}")
        median = statistics.median(self._losses) if len(self._losses) >= _ENOUGH else math.inf
        if loss <= self._factor * median:
            self._high = 0
            self._losses.append(loss)
            return
        self._high += 1
        if self._high >= self._patience:
            raise Diverged(
                step - self._high + 1,
                f"the loss has been over {self._factor:g} times its median of {median:.3g} for {self._high} steps up "
                f"to {step} ({loss:.3g})",
            )
