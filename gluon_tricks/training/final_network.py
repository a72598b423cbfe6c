"""The network that a run ends with, as files of their own."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import mxnet as mx
import numpy as np

from gluon_tricks.core.files import CannotWrite, write_atomically, write_together
from gluon_tricks.networks.of_recipe import parameters_by_name
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.tasks.registry import task_of


def save_final(
    net, folder: pathlib.Path, recipe: Settings, averages: Mapping[str, np.ndarray] = MappingProxyType({})
) -> None:
    """Writes the trained network in float32: final.params; where it is exported, final-symbol.json and -0000.params.

    Both are of the network of one process: without the layers that work over ranks.

    Args:
        averages: name -> float32 array that the network has in its own precision, as of Average.kept.
    """
    mx.nd.waitall()  # a forward under way changes its weights' layout; read meanwhile they can come out wrong
    arrays = {name: p.list_data()[0].asnumpy().astype("float32") for name, p in parameters_by_name(net).items()}
    arrays.update(averages)
    plain = task_of(recipe).restored(recipe, folder, [mx.cpu()], arrays)
    write_atomically(folder / "final.params", lambda temporary: _save_parameters(plain, temporary))
    if not task_of(recipe).exported:
        return
    plain.hybridize()
    plain(mx.nd.zeros((1, 3, *recipe.sides)))
    mx.nd.waitall()  # whatever it gives: of several outputs it is a list
    with _mxnet_writing(folder):
        write_together(folder, lambda scratch: plain.export(f"{scratch}/final"))


def _save_parameters(net: mx.gluon.HybridBlock, path: pathlib.Path) -> None:
    with _mxnet_writing(path.parent):
        net.save_parameters(str(path))


@contextlib.contextmanager
def _mxnet_writing(folder: pathlib.Path) -> Iterator[None]:
    """MXNet has an error of its own for a disk that is full. It comes from one file of its sources."""
    try:
        yield
    except mx.MXNetError as error:
        if "local_filesys.cc" not in str(error):
            raise
        raise CannotWrite(f"{folder} cannot be written: {str(error).strip().splitlines()[-1]}") from error
