"""The ground floor: what must happen before `import mxnet`, and what every other file stands on.

Importing this module (any import of gluon_tricks or model_zoo does it) gives numpy the type names that MXNet
1.9.1 still uses and loads the CUDA libraries that pip installed. After it `import mxnet` works as usual.
"""

from __future__ import annotations

import ctypes
import difflib
import importlib
import importlib.abc
import importlib.metadata
import os
import pathlib
import platform
import sys
import warnings
import zlib
from collections.abc import Sequence

import numpy as np

RESUMABLE = 75  # the exit code of a training that was asked to stop and has a checkpoint


class Refused(ValueError):
    """Input that cannot be worked with, found before any work is lost: one sentence with the remedy.

    Scripts print it and exit with code 2.
    """


def _restore_numpy_aliases() -> None:
    """MXNet 1.9.1 uses np.bool and its like, which numpy dropped in 1.24."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, kind in {"bool": bool, "float": float, "int": int, "object": object}.items():
            if not hasattr(np, name):
                setattr(np, name, kind)


# The libraries libmxnet.so of mxnet-cu117 is linked to, in an order in which each finds what it needs already loaded.
CUDA_LIBRARIES = (
    ("cuda_runtime", "libcudart.so.11.0"),
    ("cuda_nvrtc", "libnvrtc.so.11.2"),
    ("nvtx", "libnvToolsExt.so.1"),
    ("cublas", "libcublasLt.so.11"),
    ("cublas", "libcublas.so.11"),
    ("cufft", "libcufft.so.10"),
    ("curand", "libcurand.so.10"),
    ("cusparse", "libcusparse.so.11"),
    ("cusolver", "libcusolver.so.11"),
    ("cudnn", "libcudnn.so.8"),
    ("nccl", "libnccl.so.2"),
)


def _load_cuda_libraries() -> None:
    """Loads the nvidia-*-cu11 wheels' libraries, so that mxnet-cu117 needs no CUDA toolkit on the machine."""
    try:
        importlib.metadata.version("mxnet-cu117")
    except importlib.metadata.PackageNotFoundError:
        return
    for root in map(pathlib.Path, sys.path):
        for package, library in CUDA_LIBRARIES:
            path = root / "nvidia" / package / "lib" / library
            if path.exists():
                ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)


# How many processes a launcher started on this machine. Slurm's srun binds each to its own cores by itself.
_LOCAL_SIZES = ("HOROVOD_LOCAL_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS")


def usable_cores() -> int:
    """The logical cores this process may use: those of the machine, or its share if a launcher started several."""
    share = next((int(os.environ[name]) for name in _LOCAL_SIZES if name in os.environ), 1)
    return max(len(os.sched_getaffinity(0)) // share, 1)


def _threads_per_core() -> int:
    try:
        siblings = pathlib.Path("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list").read_text("ascii")
    except OSError:
        return 1
    return max(len(siblings.replace("-", ",").split(",")), 1)


_set_here: set[str] = set()


def _set_by_default(variable: str, value: str) -> None:
    if variable not in os.environ:
        os.environ[variable] = value
        _set_here.add(variable)


def inherited_environment() -> dict[str, str]:
    """The environment without what this module put there: for processes that choose by themselves, such as ranks."""
    return {name: value for name, value in os.environ.items() if name not in _set_here}


def _limit_images() -> None:
    """A few bytes may claim any size: OpenCV, MXNet's copy of it too, is to refuse 2**27 pixels (400 MB) and more.

    It reads the variable when it is loaded; where it was before, its own limit holds, which is 2**30.
    """
    _set_by_default("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 27))


def _use_every_core() -> None:
    """One thread per physical core: left alone, MXNet takes half the logical ones, hyper-threads or not."""
    _set_by_default("OMP_NUM_THREADS", str(max(usable_cores() // _threads_per_core(), 1)))


def _allow_amx() -> None:
    """Lets oneDNN 2.4, which is inside MXNet 1.9.1, multiply bfloat16 in the CPU's AMX tiles.

    It does so only where asked by this variable, and Linux lets a process use the tiles only where it asked for
    them: without the grant the first tile instruction ends the process, so a grant is asked for first.
    """
    try:
        flags = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return
    if "amx_bf16" in flags and platform.machine() == "x86_64":
        arch_prctl, request_permission, tile_data = 158, 0x1023, 18
        if ctypes.CDLL(None).syscall(arch_prctl, request_permission, tile_data) == 0:
            _set_by_default("DNNL_MAX_CPU_ISA", "AVX512_CORE_AMX")


_use_every_core()
_limit_images()
_allow_amx()
_restore_numpy_aliases()
_load_cuda_libraries()


def import_gluoncv():
    """The module gluoncv, also where PyTorch is installed: it refuses to stand beside torch 2, which it never uses."""
    return _import_without_torch("gluoncv")


def import_tensorboard():
    """The module tensorboardX without PyTorch, which it would import where it is installed.

    PyTorch's copy of Gloo and Horovod's get in each other's way: a rank that loads both dies sooner or later.
    """
    return _import_without_torch("tensorboardX")


def _import_without_torch(name: str):
    torch, hidden = sys.modules.pop("torch", None), _NoTorch()
    sys.meta_path.insert(0, hidden)
    try:
        return importlib.import_module(name)
    finally:
        sys.meta_path.remove(hidden)
        if torch is not None:
            sys.modules["torch"] = torch


class _NoTorch(importlib.abc.MetaPathFinder):
    """Finds PyTorch not installed, which both take calmly.

    None in sys.modules would say so too, but scipy, which is imported with them, takes that for the module.
    """

    def find_spec(self, fullname, path=None, target=None):
        if fullname == "torch":
            raise ModuleNotFoundError("torch is hidden for this import", name="torch")


_torch_operators = []  # kept: torch forgets operators with the object that defined them


def import_torchvision():
    """The module torchvision (timm needs it too), also where its compiled operators do not load.

    They do not where torchvision's wheel was built for CUDA and torch for CPUs; the import then fails only because
    two operators are unknown to torch. The networks use neither.
    """
    torch = importlib.import_module("torch")
    for name in ("nms", "qnms"):
        if "torchvision" not in sys.modules and not hasattr(torch.ops.torchvision, name):
            library = torch.library.Library("torchvision", "FRAGMENT")
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            _torch_operators.append(library)
    return importlib.import_module("torchvision")


def known(name: str, names: Sequence[str], what: str, where: str = "") -> str:
    """The name itself, if it is one of the names (in small letters).

    Args:
        what, where: for the message: "model", or "argument" and the model's name.

    Raises:
        Refused: it is none of them; the near ones are listed, or all if none is near.
    """
    if name not in names:
        near, place = difflib.get_close_matches(name.lower(), names, n=3), f" in {where}" if where else ""
        remedy = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(names)}"
        raise Refused(f"there is no {what} {name!r}{place}: {remedy}")
    return name


def generator(seed: int, stream: str, *index: int) -> np.random.Generator:
    """A random generator for one purpose at one place: the same numbers whoever asks, in whatever order.

    Philox is counter based: key = (seed, stream), the upper half of the counter = index, so every index has
    2**128 draws of its own and no state has to be kept, sent or saved.

    Args:
        seed: 0 <= seed < 2**64.
        stream: what the numbers are for ("shuffle", "crop", ...).
        index: at most two whole numbers, such as (epoch, image) or (step,).

    Source: Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
    """
    place = (*index, 0, 0)[:2]
    return np.random.Generator(np.random.Philox(key=[seed, zlib.crc32(stream.encode())], counter=[0, 0, *place]))
