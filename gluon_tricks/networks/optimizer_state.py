"""The optimiser's state as named arrays, and back: Trainer.save_states would write a pickle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.of_recipe import parameters_by_name


def _leaves(state: Any) -> Iterator[mx.nd.NDArray]:
    """The arrays of an optimiser's state for one parameter, in order: nested tuples, None where there is none."""
    if isinstance(state, (tuple, list)):
        for part in state:
            yield from _leaves(part)
    elif state is not None:
        yield state


def _names_by_index(net, trainer: mx.gluon.Trainer) -> dict[int, str]:
    """The structural names of the trainer's parameters by the index that optimiser states are kept under."""
    names = {id(parameter): name for name, parameter in parameters_by_name(net).items()}
    return {index: names[id(parameter)] for index, parameter in enumerate(trainer._params)}


def optimizer_arrays(net, trainer: mx.gluon.Trainer) -> dict[str, np.ndarray]:
    """NAME/K -> the K-th array of a parameter's state on the first device; the devices' states are equal.

    Adam's correction for its beginning needs the number of updates too: NAME/updates.
    """
    names, arrays = _names_by_index(net, trainer), {}
    counts = trainer.optimizer._all_index_update_counts.get(trainer._contexts[0].device_id, {})
    for index, state in trainer._updaters[0].states.items():
        arrays.update({f"{names[index]}/{k}": leaf.asnumpy() for k, leaf in enumerate(_leaves(state))})
        if isinstance(trainer.optimizer, mx.optimizer.Adam):
            arrays[f"{names[index]}/updates"] = np.array(counts[index], "int64")
    return arrays


def clear_optimizer(trainer: mx.gluon.Trainer) -> None:
    """Takes every device's optimiser back to before its first update."""
    for updater in trainer._updaters:
        updater.states.clear()
        updater.states_synced.clear()
    for counts in trainer.optimizer._all_index_update_counts.values():  # by which Adam corrects its beginning
        counts.clear()


def restore_optimizer(net, trainer: mx.gluon.Trainer, arrays: dict[str, np.ndarray], contexts) -> None:
    """Gives every device's updater the state that optimizer_arrays read, and no other.

    Raises:
        Refused: an array is missing or has another shape.
    """
    clear_optimizer(trainer)  # a checkpoint from before the first update has none
    names, optimizer = _names_by_index(net, trainer), trainer.optimizer
    for updater, context in zip(trainer._updaters, contexts):
        counts = optimizer._all_index_update_counts.setdefault(context.device_id, {})
        for index, parameter in enumerate(trainer._params):
            if f"{names[index]}/0" not in arrays:
                continue
            state = optimizer.create_state_multi_precision(index, parameter.data(context))
            for k, leaf in enumerate(_leaves(state)):
                array = _of_shape(arrays, f"{names[index]}/{k}", leaf.shape)
                leaf[:] = mx.nd.array(array, ctx=context, dtype=leaf.dtype)
            updater.states[index] = state
            updater.states_synced[index] = True
            if f"{names[index]}/updates" in arrays:
                counts[index] = int(_of_shape(arrays, f"{names[index]}/updates", ()))


def _of_shape(arrays: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    seen = arrays[name].shape if name in arrays else None
    if seen != shape:
        what = "is missing" if seen is None else f"has shape {seen} and not {shape}"
        raise Refused(f"the checkpoint is damaged: of the optimiser's state {name} {what}; use an older one")
    return arrays[name]
