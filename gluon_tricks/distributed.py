"""Many processes, each a rank, by Horovod: the only file that knows it. Without it, or alone, there is one rank.

`horovodrun -np 2 python scripts/train_imagenet.py ...` starts two; no flag of the script changes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import mxnet as mx
import numpy as np

from gluon_tricks.runtime import Refused

_horovod = None


def start() -> None:
    """Joins the other ranks, if a launcher started this process as one of many."""
    global _horovod
    launched = int(os.environ.get("HOROVOD_SIZE", os.environ.get("OMPI_COMM_WORLD_SIZE", "1")))
    if launched == 1 or _horovod is not None:
        return
    try:
        import horovod.mxnet as horovod
    except ImportError as error:
        raise Refused(f"{launched} ranks were started, but Horovod cannot be imported ({error}): make venv") from error
    horovod.init()
    _horovod = horovod


def rank() -> int:
    return _horovod.rank() if _horovod else 0


def ranks() -> int:
    return _horovod.size() if _horovod else 1


def local_rank() -> int:
    """The rank's number on its own machine, by which it takes its GPU."""
    return _horovod.local_rank() if _horovod else 0


def sum_gradients(parameters: Sequence[mx.gluon.Parameter]) -> None:
    """Sums the gradients of all ranks in place, in one message.

    Args:
        parameters: those that have gradients; every device's copy gets the sum.
    """
    if ranks() == 1:
        return
    gradients = [parameter.list_grad() for parameter in parameters]
    # float32 also for float16 gradients: their sum may overflow, and Gloo adds float16 at half the speed.
    flat = mx.nd.concat(*(grads[0].reshape(-1).astype("float32") for grads in gradients), dim=0)
    flat = _horovod.allreduce(flat, average=False, name="gradients")
    start = 0
    for grads in gradients:
        part = flat[start : start + grads[0].size].reshape(grads[0].shape)
        start += grads[0].size
        for grad in grads:
            part.copyto(grad)  # casts


def total(values: np.ndarray) -> np.ndarray:
    """The sum of a small float64 array over all ranks."""
    if ranks() == 1:
        return values
    return _horovod.allreduce(mx.nd.array(values, dtype="float64"), average=False, name="total").asnumpy()


def agree(asked: bool) -> bool:
    """Whether any rank was asked; every rank gets the same answer at the same step."""
    return bool(total(np.array([float(asked)]))[0]) if ranks() > 1 else asked
