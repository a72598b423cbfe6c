"""A gradient that is taken at other weights than it changes; and gradients changed before the update."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import mxnet as mx

from gluon_tricks.ranks.gradients import Gradients
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.training import many_arrays
from gluon_tricks.training.rounds import running_statistics, seed_network
from gluon_tricks.tricks import StepContext


class Ascent:
    """Moves the weights to where a trick wants the gradient taken (Trick.ascent), and back.

    Without such a trick nothing is done. Nothing is waited for.

    Args:
        recipe: with the trick.
        net, trainer, gradients: of the job.
    """

    def __init__(self, recipe: Settings, net: mx.gluon.Block, trainer: mx.gluon.Trainer, gradients: Gradients):
        self._trick = next((trick for trick in recipe.tricks if trick.climbs), None)
        self._seed, self._trainer, self._gradients = recipe.seed, trainer, gradients
        of_devices = running_statistics(net).values() if self._trick else ()
        self._statistics = [one for statistics in of_devices for one in statistics]

    def elsewhere(self, step: StepContext) -> Iterator[None]:
        """Once, after the gradient at the weights is there: meanwhile they are where it is to be taken.

        The caller then takes it, of the same images; the network's random numbers begin again as those of the step did.
        Afterwards weights and running statistics are what they were, and the new gradient is not summed yet.
        """
        if self._trick is None:
            return
        self._trainer.allreduce_grads()
        self._gradients.sum_over_ranks()
        moved = [one.read() for one in self._statistics]
        weights = [array for parameter in self._gradients.trained for array in parameter.list_data()]
        before = [array.copy() for array in weights]
        change(self._gradients, self._trick.ascent)
        steps = [array for parameter in self._gradients.trained for array in parameter.list_grad()]
        for device in dict.fromkeys(array.context for array in weights):
            here = [(array, step) for array, step in zip(weights, steps) if array.context == device]
            many_arrays.add(*zip(*here))
        seed_network(self._seed, step.step)
        yield
        for array, value in zip(weights, before):
            value.copyto(array)
        for one, value in zip(self._statistics, moved):
            one.write(value)


def refine(gradients: Gradients, recipe: Settings, divisor: float) -> None:
    """What the tricks make of the gradient before an update (Trick.gradients).

    Args:
        gradients: divisor times the mean over the global batch.
    """
    for trick in recipe.tricks:
        change(gradients, lambda sums, trick=trick: trick.gradients(sums, divisor))


def change(gradients: Gradients, new: Callable[[Sequence[mx.nd.NDArray]], Sequence[mx.nd.NDArray]]) -> None:
    """Puts what a function makes of the gradients in their place, on every device. Args: new: arrays -> arrays."""
    for k in range(len(gradients.buckets[0]) if gradients.buckets else 0):
        sums = [bucket[k] for bucket in gradients.buckets]
        for old, array in zip(sums, new(sums)):
            if array is not old:
                array.astype(old.dtype, copy=False).copyto(old)
