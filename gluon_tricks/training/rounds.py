"""What makes a step the same whichever devices its images are on, where the recipe fixes the batch of a BN layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import mxnet as mx

from gluon_tricks.core.keyed_random import generator
from gluon_tricks.core.wording import plural
from gluon_tricks.ranks import distributed
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.tricks import StepContext


class Rounds:
    """The rounds of a step: each device takes its part of the batch in groups of recipe.bn_batch images.

    The groups are consecutive images of the global batch, so they are the same for any number of devices, and with them
    what batch normalisation computes. Beyond that, where bn_batch is given:
        running statistics move once a step, by the mean of the moments of all its groups, and not once a round;
        Dropout's numbers follow from (seed, step, group), and not from which device or rank has the group.
    Without bn_batch nothing is done.

    Args:
        recipe: says bn_batch and the seed.
        net: initialised on its devices.
        devices: over all ranks.
    """

    def __init__(self, recipe: Settings, net: mx.gluon.Block, devices: int):
        self._fixed, self._group = recipe.bn_batch is not None, 0
        self._contexts = next(iter(net.collect_params().values())).list_ctx()
        several = self._fixed and recipe.rounds(devices) > 1
        self._statistics = running_statistics(net) if several else {}

    def each(self, rounds: Iterable[Sequence], step: StepContext) -> Iterator[Sequence]:
        """The rounds one after the other; when the last is through, the running statistics are those of the step.

        Args:
            rounds: of each the shards of the devices.
            step: of the first shard.
        """
        self._step, self._group = step, step.shard_index if self._fixed else 0
        statistics = [one for of_devices in self._statistics.values() for one in of_devices]
        before, sums, count = [one.read() for one in statistics], [], 0
        for shards in rounds:
            yield shards  # its forward and backward are under way
            now, count = [one.read() for one in statistics], count + 1
            sums = [total + array for total, array in zip(sums, now)] if sums else now
            for one, start in zip(statistics, before):
                one.write(start)
        for one, total in zip(statistics, sums):
            one.write(total / count)  # all moved from the same start: their mean has moved by the mean of the moments

    def seeded(self, inputs: Sequence[Any]) -> Iterator[Any]:
        """What each device is given, right before its forward."""
        for shard, context in zip(inputs, self._contexts):
            if self._fixed:
                numbers = generator(self._step.seed, "network of group", self._step.step, self._group)
                mx.random.seed(int(numbers.integers(2**31)), ctx=context)  # without ctx two GPUs draw other numbers
                self._group += 1
            yield shard


def seed_network(seed: int, step: int) -> None:
    """Dropout's numbers follow from (seed, step): MXNet's own random state cannot be read, so cannot be saved."""
    mx.random.seed(int(generator(seed, "network", step, distributed.rank()).integers(2**31)))


class Statistic:
    """A running mean or variance on one device.

    MXNet's backward writes it without its engine knowing: what reads it next may come first, and what writes it be
    overwritten. That backward also writes the gradient of the layer's gamma or beta, for which the engine does wait.
    Hence operators that take this gradient too, and make nothing of it. A layer that learns neither, and whose input
    learns nothing, has no backward, and its statistics stay as they are.
    """

    def __init__(self, array: mx.nd.NDArray, gradient: mx.nd.NDArray | None):
        self._array, self._gradient, self._all = array, gradient, mx.nd.ones_like(array)

    def read(self) -> mx.nd.NDArray:
        if self._gradient is None:
            return self._array.copy()
        return mx.nd.where(self._all, self._array, self._gradient)

    def write(self, value: mx.nd.NDArray) -> None:
        if self._gradient is None:
            value.copyto(self._array)
            return
        mx.nd.where(self._all, value, self._gradient, out=self._array)


def running_statistics(net: mx.gluon.Block) -> dict[mx.gluon.Parameter, list[Statistic]]:
    """The running means and variances that training moves -> each on every device. Call it when gradients are there."""
    found = {}
    for norm in _norms_over_batches(net):
        trained = next((parameter for parameter in (norm.gamma, norm.beta) if parameter.grad_req != "null"), None)
        for parameter in (norm.running_mean, norm.running_var):
            arrays = parameter.list_data()
            gradients = trained.list_grad() if trained else [None] * len(arrays)
            found[parameter] = [Statistic(array, gradient) for array, gradient in zip(arrays, gradients)]
    return found


def images_of_a_norm(recipe: Settings, net: mx.gluon.Block, devices: int) -> int | None:
    """How many images a batch normalisation of a training sees at a time; None where none looks at a batch.

    Args:
        devices: over all ranks.
    """
    if next(_norms_over_batches(net), None) is None:
        return None
    together = recipe.batch_size // recipe.rounds(devices)
    return together if recipe.net.get("norm_layer") == "SyncBatchNorm" else together // devices


LEAST_IMAGES = 16


def doubt_of_norms(recipe: Settings, images: int | None, devices: int) -> str:
    """What is to be feared where a batch normalisation sees few images, and what would help there; "": nothing.

    Args:
        images: see images_of_a_norm.
        devices: over all ranks.

    Source: Simon et al., ImageNet pre-trained models with batch normalization (2016), section 3: 16 or more.
    """
    if images is None or images >= LEAST_IMAGES:
        return ""
    larger = "a larger bn_batch" if recipe.bn_batch else "a larger batch"
    split = devices > 1 and recipe.bn_batch is None and recipe.net.get("norm_layer") != "SyncBatchNorm"
    return (
        f"batch normalisation sees {plural(images, 'image')} at a time, and its statistics take {LEAST_IMAGES} or "
        f"more: use {larger}{', fewer devices or SyncBatchNorm' if split else ''}, or, where the network is trained "
        "already, its running statistics (--set net.use_global_stats=true)"
    )


def _norms_over_batches(block: mx.gluon.Block) -> Iterator[mx.gluon.nn.BatchNorm]:
    if isinstance(block, mx.gluon.nn.BatchNorm) and not block._kwargs["use_global_stats"]:
        yield block
    for child in block._children.values():
        yield from _norms_over_batches(child)
