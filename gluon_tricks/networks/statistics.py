"""Running statistics of batch normalisation, of which every device has its own until they are averaged."""

from __future__ import annotations

import mxnet as mx
import numpy as np

from gluon_tricks.networks.of_recipe import parameters_by_name
from gluon_tricks.ranks import distributed


def running_statistics(net: mx.gluon.Block) -> dict[str, mx.gluon.Parameter]:
    """The parameters that batch normalisation moves in training, by structural name."""
    return {name: p for name, p in parameters_by_name(net).items() if name.endswith(("running_mean", "running_var"))}


def average_statistics(net: mx.gluon.Block) -> None:
    """Gives every device of every rank the mean of their running statistics, each having seen its shards only.

    So there is one network to evaluate and to save. On one device of one rank nothing is done.
    """
    running = running_statistics(net).values()
    if not running or _devices(net) == 1:
        return
    means = [np.mean([array.asnumpy() for array in p.list_data()], axis=0, dtype="float64") for p in running]
    flat = distributed.total(np.concatenate([mean.ravel() for mean in means])) / distributed.ranks()
    for p, mean in zip(running, np.split(flat, np.cumsum([mean.size for mean in means])[:-1])):
        p.set_data(mx.nd.array(mean.reshape(p.shape), dtype=p.dtype))


def statistics_of_devices(net: mx.gluon.Block) -> dict[str, np.ndarray]:
    """NAME -> what every device of every rank has, (devices of all ranks, ...); {} where all have the same.

    A run that is stopped within an epoch goes on from these: the mean of them would be averaged once more than in a
    run that is not, and so be rounded otherwise. All ranks must call it alike.
    """
    running, devices = running_statistics(net), _devices(net)
    if not running or devices == 1:
        return {}
    mine = [np.concatenate([arrays[k].asnumpy().ravel() for arrays in _arrays(running)]) for k in _of_rank(net)]
    table = np.zeros((devices, len(mine[0])))
    table[distributed.rank() * len(mine) :][: len(mine)] = mine
    table = distributed.total(table.ravel()).reshape(devices, -1)  # the others have zeros there: exact
    if (table == table[0]).all():
        return {}
    parts = np.split(table, np.cumsum([int(np.prod(p.shape)) for p in running.values()])[:-1], axis=1)
    return {name: part.reshape(devices, *p.shape).astype(p.dtype) for (name, p), part in zip(running.items(), parts)}


def set_statistics_of_devices(net: mx.gluon.Block, arrays: dict[str, np.ndarray]) -> None:
    """Gives every device of this rank what it had; of another number of devices nothing is done.

    Args:
        arrays: what statistics_of_devices gave.
    """
    devices, first = _devices(net), distributed.rank() * len(_of_rank(net))
    for name, parameter in running_statistics(net).items():
        if name in arrays and arrays[name].shape == (devices, *parameter.shape):
            for k, array in enumerate(parameter.list_data()):
                array[:] = mx.nd.array(arrays[name][first + k], ctx=array.context, dtype=array.dtype)


def _arrays(running: dict[str, mx.gluon.Parameter]) -> list[list[mx.nd.NDArray]]:
    return [p.list_data() for p in running.values()]


def _of_rank(net: mx.gluon.Block) -> range:
    """The devices of this rank."""
    return range(next((len(arrays) for arrays in _arrays(running_statistics(net))), 1))


def _devices(net: mx.gluon.Block) -> int:
    """How many devices all ranks have."""
    return len(_of_rank(net)) * distributed.ranks()
