"""A training that goes wrong, seen in its losses."""

from __future__ import annotations

import collections
import math
import statistics

import mxnet as mx
import numpy as np

from gluon_tricks.networks.checkpoint import Progress
from gluon_tricks.networks.of_recipe import parameters_by_name
from gluon_tricks.ranks import distributed
from gluon_tricks.recipes.settings import Settings

_WINDOW, _ENOUGH = 200, 20  # losses that the median is of, and how many it takes
_BEGINNING = 10  # until then so many times the first loss, or that of chance, stand for the median
_LEARNT = 0.01  # nats, of all classes: a smaller median says that all has been learnt, and its multiples are small too


class Diverged(RuntimeError):
    """The loss or a parameter is not finite, or the loss has been far over its running median for a while.

    Args:
        step: after whose update it was seen first; checkpoints from then on are suspect.
    """

    def __init__(self, step: int, reason: str):
        super().__init__(reason)
        self.step = step


class Watch:
    """Looks at each step's loss, the mean over all ranks: so every rank sees the same.

    Looked at is the part that can move: what smoothed labels leave of the loss at best (a third of it late in a
    training on ImageNet) would hide that the rest has grown threefold.

    Args:
        recipe: divergence_factor and divergence_steps: how far over the running median, for how many steps in a row.
        progress: of a run that goes on: what had been seen there.
    """

    def __init__(self, recipe: Settings, progress: Progress | None = None):
        self._factor, self._patience = recipe.divergence_factor, recipe.divergence_steps
        self._least = 0.0
        # As a step has them: the target, the criterion in the place of the task's, the loss that is made of it.
        in_turn = sorted(recipe.tricks, key=lambda trick: (trick.has("loss"), trick.has("criterion")))
        for trick in in_turn if recipe.classes else ():
            self._least = trick.least_loss(self._least, recipe.classes)
        self._chance, self._learnt = math.log(recipe.classes or 1), _LEARNT
        for trick in recipe.tricks if recipe.classes else ():
            self._least *= trick.least_weight(recipe.classes)
            self._chance = trick.chance_loss(self._chance, recipe.classes)
            self._learnt *= trick.loss_share(recipe.classes)
        seen = progress or Progress()
        self._losses, self._high = collections.deque(seen.losses, maxlen=_WINDOW), seen.high_losses

    def look(self, step: int, loss: float) -> None:
        """Raises Diverged."""
        if not math.isfinite(loss):
            raise Diverged(step, f"the loss of step {step} is {loss}")
        loss -= self._least
        most, words = self._most(loss)
        if loss <= most:
            self._high = 0
            self._losses.append(loss)
            return
        self._high += 1
        if self._high >= self._patience:
            less = f", less the {self._least:.3g} that no network gets below," if self._least else ""
            raise Diverged(
                step - self._high + 1,
                f"the loss{less} has been over {words} for {self._high} steps up to {step} ({loss:.3g})",
            )

    def _most(self, loss: float) -> tuple[float, str]:
        """What a loss may be now, and that in words; at the beginning more, as untrained networks leap."""
        if len(self._losses) >= _ENOUGH:
            median = statistics.median(self._losses)
            return self._factor * max(median, self._learnt), f"{self._factor:g} times its median of {median:.3g}"
        first, times = max(self._losses[0] if self._losses else loss, self._chance), _BEGINNING * self._factor
        return times * max(first, self._learnt), f"{times:g} times that of the beginning, {first:.3g},"

    def record(self, progress: Progress) -> None:
        """Puts what it has seen where a checkpoint takes it from."""
        progress.losses, progress.high_losses = [*self._losses], self._high


def require_finite(net: mx.gluon.Block, step: int) -> None:
    """Raises Diverged, on every rank, if a parameter of one is not finite after a step.

    The loss need not show it: a relu makes 0 of NaN.
    """
    arrays = ((name, p.list_data()[0].asnumpy()) for name, p in parameters_by_name(net).items())
    odd = next((name for name, array in arrays if not np.isfinite(array.astype("float32")).all()), "")
    if distributed.agree(bool(odd)):
        raise Diverged(step + 1, f"{odd or 'a parameter of another rank'} is not finite after step {step}")
