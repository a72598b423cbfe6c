"""The ground floor: what must happen before `import mxnet`, and what every other file stands on.

Importing this module (any import of gluon_tricks or model_zoo does it) gives numpy the type names that MXNet
1.9.1 still uses and loads the CUDA libraries that pip installed. After it `import mxnet` works as usual.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import pathlib
import sys
import warnings
import zlib

import numpy as np


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
_CUDA_LIBRARIES = (
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
        for package, library in _CUDA_LIBRARIES:
            path = root / "nvidia" / package / "lib" / library
            if path.exists():
                ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)


_restore_numpy_aliases()
_load_cuda_libraries()


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
