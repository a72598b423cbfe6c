"""Many processes, each a rank, by Horovod: the only file that knows it. Without it, or alone, there is one rank.

`gluon-tricks launch -np 2 -- gluon-tricks train ...` starts two; no flag of the script changes. Everything here
that takes all ranks (sum_, total, agree, broadcast, the SyncBatchNorm above it) must be called by all of them alike.
"""

from __future__ import annotations

import os
import re

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import quoted
from gluon_tricks.ranks import heartbeat

# How many processes a launcher started: horovodrun, Open MPI's mpirun, MPICH's and Intel's, Slurm's srun.
_SIZES = ("HOROVOD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")
_PIECE = 2**28  # bytes of one broadcast: MXNet's arrays hold fewer than 2**31 numbers

_horovod = None


def start(chatty: bool = False) -> None:
    """Joins the other ranks, if a launcher started this process as one of many.

    Args:
        chatty: messages are many and waited for (SyncBatchNorm), or the computation is a GPU's: Horovod looks for
            them every millisecond. Otherwise every ten, because its looking takes time from the computation: 7 % of
            ResNet-50-D's on 2 cores.

    Raises:
        Refused: Horovod is missing, or was built without what the launcher speaks.
    """
    global _horovod
    launched = next((_whole(name, 1) for name in _SIZES if name in os.environ), 1)
    if launched == 1 or _horovod is not None:
        return
    if "HOROVOD_RANK" in os.environ and _whole("HOROVOD_RANK", 0) >= launched:
        raise Refused(f"HOROVOD_RANK is {os.environ['HOROVOD_RANK']} of {launched} ranks: start them by a launcher")
    # Gradients come in few large buffers already: another one to gather them in would only copy.
    os.environ.setdefault("HOROVOD_FUSION_THRESHOLD", "0")
    os.environ.setdefault("HOROVOD_CYCLE_TIME", "1" if chatty else "10")
    try:
        import horovod.mxnet as horovod
    except ImportError as error:
        raise Refused(
            f"{launched} ranks were started, but Horovod cannot be imported ({error}): "
            "scripts/install_horovod.sh of the repository builds it"
        ) from error
    if "HOROVOD_SIZE" not in os.environ and not horovod.mpi_built():
        raise Refused(
            f"{launched} ranks were started by MPI or Slurm, and this Horovod was built without MPI: build it with "
            "HOROVOD=mpi sh scripts/install_horovod.sh ENVIRONMENT in the repository, or start the ranks with "
            "gluon-tricks launch"
        )
    horovod.init()
    if horovod.size() != launched:
        raise Refused(f"{launched} ranks were started and Horovod sees {horovod.size()}: was it built for this MPI?")
    _horovod = horovod


def _whole(name: str, least: int) -> int:
    """The number in a variable that launchers set: Horovod ends the process where it is none."""
    text = os.environ[name]
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) < least:
        raise Refused(f"{name} is {quoted(text)}, no number that a launcher gives: unset it, or start by a launcher")
    return int(text)


def require_messages_of_gpus() -> None:
    """Refuses a Horovod that was built for CPUs only: it would read a GPU's addresses as the CPU's.

    Raises:
        Refused: there are several ranks, and Horovod has neither NCCL nor CUDA.
    """
    if _horovod is not None and not (_horovod.nccl_built() or _horovod.cuda_built()):
        raise Refused(
            "this Horovod was built without CUDA and cannot send what is on a GPU: in the repository, "
            "HOROVOD_GPU_OPERATIONS=NCCL sh scripts/install_horovod.sh ENVIRONMENT builds another, "
            "or train on the CPUs with --num-gpus 0"
        )


def rank() -> int:
    return _horovod.rank() if _horovod else 0


def ranks() -> int:
    return _horovod.size() if _horovod else 1


def local_rank() -> int:
    """The rank's number on its own machine, by which it takes its GPU."""
    return _horovod.local_rank() if _horovod else 0


def sum_(array: mx.nd.NDArray, name: str, priority: int = 0) -> mx.nd.NDArray:
    """Sums an array over all ranks in place, as soon as it is computed and without waiting for it.

    Args:
        array: in the plain layout (a predict-mode forward leaves weights in another: restore_plain_layout).
        name: the same on all ranks, and only once under way.
        priority: of several that are ready the highest goes first.
    """
    return _horovod.allreduce_(array, op=_horovod.Sum, name=name, priority=priority) if ranks() > 1 else array


def total(values: np.ndarray) -> np.ndarray:
    """The sum of a small float64 array over all ranks."""
    if ranks() == 1:
        return values
    with heartbeat.waiting():
        return sum_(mx.nd.array(values, dtype="float64"), "total").asnumpy()


def agree(asked: bool) -> bool:
    """Whether any rank was asked; every rank gets the same answer at the same step."""
    return bool(total(np.array([float(asked)]))[0]) if ranks() > 1 else asked


def wait_for_all() -> None:
    """Returns when every rank has come here."""
    total(np.zeros(1))


def broadcast(data: bytes) -> bytes:
    """Rank 0's bytes, on every rank; what the others give is not looked at.

    It is a sum to which the others add zeros: Horovod's own broadcast of MXNet arrays crashed rank 0 once in about a
    thousand calls.
    """
    if ranks() == 1:
        return data
    size = int(total(np.array([len(data) if rank() == 0 else 0]))[0])
    pieces = []
    for start in range(0, size, _PIECE):
        piece = np.zeros(min(_PIECE, size - start), np.uint8)
        if rank() == 0:
            piece[:] = np.frombuffer(data, np.uint8, len(piece), start)
        with heartbeat.waiting():
            pieces.append(sum_(mx.nd.array(piece, dtype="uint8"), "broadcast").asnumpy().tobytes())
    return b"".join(pieces)


def differing(text: str) -> list[int]:
    """The ranks whose text is not rank 0's; every rank gets the same answer."""
    marks = np.zeros(ranks())
    marks[rank()] = broadcast(text.encode()) != text.encode()
    return np.flatnonzero(total(marks)).tolist()
