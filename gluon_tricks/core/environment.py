"""What must happen before `import mxnet`.

Importing this module (any import of gluon_tricks or model_zoo does it) gives numpy the type names that MXNet
1.9.1 still uses and loads the CUDA libraries that pip installed. After it `import mxnet` works as usual, but faster.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.abc
import importlib.metadata
import os
import pathlib
import platform
import re
import sys
import warnings

import numpy as np

from gluon_tricks.core import mxnet_import


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


def _cuda_libraries() -> list[pathlib.Path]:
    """The libraries that the nvidia-*-cu11 wheels have for mxnet-cu117; [] where that is not installed."""
    try:
        importlib.metadata.version("mxnet-cu117")
    except importlib.metadata.PackageNotFoundError:
        return []
    paths = [pathlib.Path(root, "nvidia", p, "lib", library) for root in sys.path for p, library in CUDA_LIBRARIES]
    return [path for path in paths if path.exists()]


def _load_cuda_libraries() -> None:
    """Loads these wheels' libraries, so that mxnet-cu117 needs no CUDA toolkit on the machine."""
    for path in _cuda_libraries():
        ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)


def with_cuda_libraries(environment: dict[str, str]) -> dict[str, str]:
    """An environment for programs that import MXNet without this module, such as horovodrun: they find the wheels'."""
    folders = dict.fromkeys(str(path.parent) for path in _cuda_libraries())
    if not folders:
        return environment
    there = [environment["LD_LIBRARY_PATH"]] if environment.get("LD_LIBRARY_PATH") else []
    return {**environment, "LD_LIBRARY_PATH": os.pathsep.join([*there, *folders])}


# How many processes a launcher started on this machine. Slurm's srun binds each to its own cores by itself.
_LOCAL_SIZES = ("HOROVOD_LOCAL_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS")


def local_processes() -> int:
    """How many processes a launcher started on this machine; 1 without one."""
    processes = next((os.environ[name] for name in _LOCAL_SIZES if name in os.environ), "1")
    known = re.fullmatch("0*[1-9][0-9]{0,8}", processes)  # what else is there is no launcher's: it counts as one
    return int(processes) if known else 1


def usable_cores() -> int:
    """The logical cores this process may use: those of the machine, or its part if a launcher started several."""
    return max(len(os.sched_getaffinity(0)) // local_processes(), 1)


def _siblings(core: int) -> str:
    """The logical cores of one's physical core, as Linux lists them: "0,4" or "0-1"; "": not known."""
    try:
        return pathlib.Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list").read_text("ascii")
    except OSError:
        return ""


def _physical(core: int) -> str:
    """A name for a logical core's physical one; where that is not known it is one by itself."""
    return _siblings(core).strip() or str(core)


def cores_apart() -> list[int]:
    """The numbers of the logical cores that this process may use, one of each physical core before the others."""
    seen: dict[str, int] = {}  # physical core -> how many of its logical ones have come
    turns = []
    for core in sorted(os.sched_getaffinity(0)):
        physical = _physical(core)
        seen[physical] = seen.get(physical, 0) + 1
        turns.append((seen[physical], core))
    return [core for _, core in sorted(turns)][: usable_cores()]


def physical_cores() -> int:
    """How many processes of one thread find a physical core each among those that this process may use."""
    return max(len({_physical(core) for core in os.sched_getaffinity(0)}) // local_processes(), 1)


def threads() -> int:
    """How many threads MXNet computes with in this process: OMP_NUM_THREADS, which this module sets where it is not."""
    return int(os.environ.get("OMP_NUM_THREADS", "0")) or physical_cores()


_set_here: set[str] = set()


def _set_by_default(variable: str, value: str) -> None:
    given = os.environ.get(variable, "0")
    if value.isdecimal() and not re.fullmatch("[0-9]{1,18}", given):  # MXNet and OpenCV would end the process
        print(f"{variable} is {given[:40]!a}, which is no whole number: {value} is taken", file=sys.stderr)
        del os.environ[variable]
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
    _set_by_default("OMP_NUM_THREADS", str(physical_cores()))


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
mxnet_import.install()
