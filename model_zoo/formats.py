"""Parameter files as arrays by name: MXNet's, safetensors' and PyTorch's, told apart by their content.

Files are not trusted. No pickle of a file is executed. The sizes that .params and safetensors name are compared with
the file before anything is allocated: libmxnet believes them, so .params are read here and not by it.
"""

from __future__ import annotations

import contextlib
import math
import os
import pathlib
import re
import struct
from collections.abc import Iterator, Mapping
from typing import BinaryIO

import mxnet as mx
import numpy as np
import safetensors.numpy

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import bytes_of, require_writable, write_atomically
from gluon_tricks.core.reading import PARAMETER_BYTES, expanded, opened, read_bytes
from gluon_tricks.core.wording import quoted
from model_zoo import torch_files

_ADVICE = re.compile("weights_only|safe_globals|allow_pickle|trusted? |unsafe", re.IGNORECASE)  # of libraries
_PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
_LONGEST_NAME = 1000  # letters; the longest of a network of the zoo has 60
_MOST_ARRAYS = 20_000  # the most of a network of the zoo are 2,000


def split(source: str | os.PathLike) -> tuple[pathlib.Path, str]:
    """FILE and PART of FILE#PART; "" without one. A # in the name of a file that exists belongs to the name."""
    path = expanded(source)
    before, mark, part = str(path).rpartition("#")
    return (pathlib.Path(before), part) if mark and not os.path.exists(path) and os.path.isfile(before) else (path, "")


def read(source: str | os.PathLike, tell: bool = True) -> dict[str, np.ndarray]:
    """The arrays of a parameter file by name, in the file's order.

    Args:
        source: .params of `save_parameters`, `nd.save` or `export` (`arg:` and `aux:` are cut off the names);
            safetensors; or a file of torch.save with a state dict, alone or in a checkpoint. FILE#PART: of the
            checkpoint's state dicts that of this key; or the names that begin with PART, which is cut off.
        tell: say in the log which of several state dicts is taken.

    Returns: name -> array, of the file's dtype; bfloat16, which numpy lacks, as the equal float32.

    Raises:
        Refused: there is no such file, it is damaged or of no such kind, or it is PyTorch's and PyTorch is not here.
    """
    path, part = split(source)
    if not os.path.exists(path):
        raise Refused(f"there is no parameter file {path}")
    with opened(path, PARAMETER_BYTES) as file:
        start = file.read(16)
    if start.startswith((torch_files.ZIP, torch_files.BEFORE_1_6)):
        with _damage_told(path):
            values, part = torch_files.read(path, part, tell)
    elif start[8:9] == b"{":
        values = _read_safetensors(path)
    elif start.startswith(_LIST_MAGIC):
        values = _read_params(path)
    elif start.startswith(_PICKLES):
        raise Refused(
            f"{path} is a pickle, which may run any code when it is read, and was refused: give the parameters as "
            "safetensors, or as a state dict that torch.save wrote"
        )
    elif path.name.lower().endswith(".caffemodel"):
        raise Refused(f"{path} is Caffe's: make it a file of ours with gluon-tricks convert first")
    else:
        raise Refused(
            f"{path} is no parameter file: give one of net.save_parameters, net.export, safetensors or torch.save"
        )
    _require_names(values, path)
    return _part(values, part, path)


def _require_names(values: Mapping[str, np.ndarray], path) -> None:
    """Refuses names that no network's parameters have: comparing names takes more than their length."""
    longest = max(values, key=len, default="")
    if len(longest) > _LONGEST_NAME or len(values) > _MOST_ARRAYS:
        what = f"a name of {len(longest)} letters" if len(longest) > _LONGEST_NAME else f"{len(values)} arrays"
        raise Refused(
            f"{path} has {what}, and parameters of networks have at most {_MOST_ARRAYS} names of {_LONGEST_NAME} "
            "letters: give another file"
        )


def _part(values: dict[str, np.ndarray], part: str, path) -> dict[str, np.ndarray]:
    """The arrays whose names begin with a part, without it."""
    if not part:
        return values
    inner = {name[len(part) + 1 :]: values[name] for name in values if name.startswith((f"{part}.", f"{part}/"))}
    if not inner:
        raise Refused(f"{path} has no names that begin with {quoted(part)}, such as {part}.weight")
    return inner


def metadata(source: str | os.PathLike) -> dict[str, str]:
    """What a safetensors file says about itself; {} for other kinds."""
    path, _ = split(source)
    with opened(path, PARAMETER_BYTES) as file:
        if file.read(16)[8:9] != b"{":
            return {}
    with _damage_told(path), safetensors.safe_open(path, framework="np") as file:
        return file.metadata() or {}


def write(path: str | os.PathLike, values: Mapping[str, np.ndarray], about: Mapping[str, str]) -> None:
    """Writes arrays by name, all or nothing; the ending of path, .safetensors or .params, is the kind.

    Args:
        about: the metadata of a safetensors file; .params has no place for it.

    Raises:
        Refused: another ending, or no such folder.
        CannotWrite: the disk is full or read-only.
    """
    path = pathlib.Path(path)
    require_place(path)
    if path.suffix == ".params":
        arrays = {name: mx.nd.array(value, dtype=value.dtype) for name, value in values.items()}
        data = bytes_of(lambda file: mx.nd.save(file, arrays))
    else:
        contiguous = {name: np.ascontiguousarray(value) for name, value in values.items()}
        data = safetensors.numpy.save(contiguous, dict(about))
    write_atomically(path, lambda temporary: temporary.write_bytes(data), named=True)


def require_place(path: pathlib.Path) -> None:
    """Finds out before any work whether `write` can write there. Raises Refused and CannotWrite as it does."""
    if path.suffix not in (".safetensors", ".params"):
        raise Refused(f"{path} should end in .safetensors or .params, which says the kind of file to write")
    if not os.path.isdir(path.absolute().parent):
        raise Refused(f"there is no folder {path.absolute().parent} to write {path.name} in")
    require_writable(path, "DST", over_owned=True)  # a program of one's own may make a run's network anew


@contextlib.contextmanager
def _damage_told(path) -> Iterator[None]:
    """Whatever a library says about a file that it cannot read becomes one sentence."""
    try:
        yield
    except Refused:
        raise
    except Exception as error:  # the libraries document no list of what a damaged file makes them raise
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        if _ADVICE.search(str(error)):  # how to have it run whatever the file says
            raise Refused(f"{path} holds something else than numbers, and was refused: get it as safetensors") from None
        raise Refused(f"{path} is damaged, get it again: {type(error).__name__}, {reason}") from None


def _widened(bfloat16: np.ndarray) -> np.ndarray:
    """float32 from the 16 bits of bfloat16, which are its upper half."""
    return (bfloat16.astype(np.uint32) << 16).view(np.float32)


# --- MXNet --------------------------------------------------------------------------------------------------------

_LIST_MAGIC = struct.pack("<Q", 0x112)
_SPARSE_ERA, _NUMPY_ERA = 0xF993FAC9, 0xF993FACA  # since MXNet 1.0 and 1.6
_INT64_SHAPES = 0xF993FAC8  # 0.12; before it an array began with its number of dimensions
_DTYPES = {0: "<f4", 1: "<f8", 2: "<f2", 3: "u1", 4: "<i4", 5: "i1", 6: "<i8", 7: "?", 12: "<u2"}  # by type flag
_BFLOAT16 = 12


def _read_params(path) -> dict[str, np.ndarray]:
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        _, _, count = _unpack(file, "<QQQ", path)
        arrays = []
        for _ in range(min(count, size)):
            arrays.append(_read_array(file, size, path))
        names = [_take(file, _unpack(file, "<Q", path)[0], size, path) for _ in range(_unpack(file, "<Q", path)[0])]
    if arrays and not names:
        raise Refused(f"{path} holds {len(arrays)} arrays without names: save it with net.save_parameters")
    if len(set(names)) != len(arrays) or len(names) != len(arrays):
        raise Refused(f"{path} is damaged: {len(arrays)} arrays and {len(set(names))} names")
    with _damage_told(path):
        return {re.sub("^(arg|aux):", "", name.decode()): array for name, array in zip(names, arrays)}


def _read_array(file: BinaryIO, size: int, path) -> np.ndarray:
    (magic,) = _unpack(file, "<I", path)
    storage, ndim, length = 0, magic, "I"
    if magic in (_SPARSE_ERA, _NUMPY_ERA):
        (storage, ndim), length = _unpack(file, "<ii", path), "q"
    elif magic == _INT64_SHAPES:
        (ndim,), length = _unpack(file, "<i", path), "q"
    if storage != 0 or not 1 <= ndim <= 32:
        raise Refused(f"{path} is damaged: an array starts with {magic:#x}, storage {storage}, {ndim} dimensions")
    *shape, _, _, flag = _unpack(file, f"<{ndim}{length}3i", path)  # the two are the device it was saved from
    if flag not in _DTYPES or min(shape) < 0:
        raise Refused(f"{path} is damaged: it has an array of shape {tuple(shape)} and type {flag}")
    dtype = np.dtype(_DTYPES[flag])
    data = _take(file, math.prod(shape) * dtype.itemsize, size, path, f"an array of shape {tuple(shape)}")
    with _damage_told(path):
        array = np.frombuffer(data, dtype).reshape(shape)
    return _widened(array) if flag == _BFLOAT16 else array


def _unpack(file: BinaryIO, layout: str, path) -> tuple:
    content = file.read(struct.calcsize(layout))
    if len(content) < struct.calcsize(layout):
        raise Refused(f"{path} is truncated (it ends after {file.tell()} bytes): get it again")
    return struct.unpack(layout, content)


def _take(file: BinaryIO, length: int, size: int, path, what: str = "a name") -> bytes:
    if file.tell() + length > size:
        raise Refused(f"{path} is truncated: {what} reaches beyond its {size} bytes")
    return file.read(length)


# --- safetensors --------------------------------------------------------------------------------------------------

_SAFETENSORS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?", "U8": "u1", "I8": "i1"}
_SAFETENSORS |= {"I32": "<i4", "I64": "<i8"}


def _read_safetensors(path) -> dict[str, np.ndarray]:
    values = {}
    with _damage_told(path):
        for name, tensor in safetensors.deserialize(read_bytes(path, PARAMETER_BYTES)):
            if tensor["dtype"] not in _SAFETENSORS:
                raise Refused(f"{path}: {name} is of type {tensor['dtype']}, which is no type of parameters")
            array = np.frombuffer(tensor["data"], _SAFETENSORS[tensor["dtype"]]).reshape(tensor["shape"])
            values[name] = _widened(array) if tensor["dtype"] == "BF16" else array
    return values
