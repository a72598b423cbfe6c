"""Running statistics of batch normalisation, of which every device has its own until they are averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import mxnet as mx
import numpy as np

from gluon_tricks.networks.of_recipe import parameters_by_name
from gluon_tricks.ranks import distributed


def statistics_on_devices(net: mx.gluon.Block) -> dict[str, list[mx.nd.NDArray]]:
    """Structural name -> a running mean or variance on each device of this rank."""
    running = ("running_mean", "running_var")
    return {name: p.list_data() for name, p in parameters_by_name(net).items() if name.endswith(running)}


def average_statistics(net: mx.gluon.Block) -> None:
    """Gives every device of every rank the mean of their running statistics, each having seen its shards only.

    So there is one network to evaluate and to save. On one device of one rank nothing is done.
    """
    average_arrays(list(statistics_on_devices(net).values()))


def average_arrays(arrays: Sequence[Sequence[mx.nd.NDArray]]) -> None:
    """Gives every device of every rank the mean over them. Args: arrays: of each thing the one of each device."""
    if not arrays or len(arrays[0]) * distributed.ranks() == 1:
        return
    means = [np.mean([array.asnumpy() for array in of_devices], axis=0, dtype="float64") for of_devices in arrays]
    flat = distributed.total(np.concatenate([mean.ravel() for mean in means])) / distributed.ranks()
    for of_devices, mean in zip(arrays, np.split(flat, np.cumsum([mean.size for mean in means])[:-1])):
        for array in of_devices:
            array[:] = mean.reshape(array.shape)


def each_device(arrays: Mapping[str, Sequence[mx.nd.NDArray]]) -> dict[str, np.ndarray]:
    """What every device of every rank has, (devices of all ranks, ...) by name; {} where all have the same.

    A run that is stopped within an epoch goes on from these: the mean of them would be averaged once more than in a
    run that is not, and so be rounded otherwise. All ranks must call it alike.

    Args:
        arrays: name -> what each device of this rank has.
    """
    here = len(next(iter(arrays.values()), ()))
    if here * distributed.ranks() <= 1:
        return {}
    mine = [np.concatenate([of_devices[k].asnumpy().ravel() for of_devices in arrays.values()]) for k in range(here)]
    table = np.zeros((here * distributed.ranks(), len(mine[0])))
    table[distributed.rank() * here :][:here] = mine
    table = distributed.total(table.ravel()).reshape(table.shape)  # the others have zeros there: exact
    if (table == table[0]).all():
        return {}
    parts = np.split(table, np.cumsum([first.size for first, *_ in arrays.values()])[:-1], axis=1)
    return {
        name: part.reshape(-1, *first.shape).astype(first.dtype)
        for (name, (first, *_)), part in zip(arrays.items(), parts)
    }


def set_each_device(arrays: Mapping[str, Sequence[mx.nd.NDArray]], saved: Mapping[str, np.ndarray]) -> None:
    """Gives every device of this rank what it had; of another number of devices nothing is done.

    Args:
        arrays: as of each_device.
        saved: what that gave.
    """
    for name, of_devices in arrays.items():
        here = len(of_devices)
        if name in saved and saved[name].shape == (here * distributed.ranks(), *of_devices[0].shape):
            for array, own in zip(of_devices, saved[name][distributed.rank() * here :]):
                array[:] = own
