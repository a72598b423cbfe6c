"""Parameter files as arrays by name: MXNet's, safetensors' and PyTorch's, told apart by their content.

Files are not trusted. No pickle of a file is executed. The sizes that .params and safetensors name are compared with
the file before anything is allocated: libmxnet believes them, so .params are read here and not by it.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import pathlib
import re
import struct
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import mxnet as mx
import numpy as np
import safetensors.numpy

from gluon_tricks.disk import bytes_of, require_writable, write_atomically
from gluon_tricks.runtime import Refused

_OLDEST_TORCH = (2, 10)  # before it, crafted files got past weights_only


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays of a parameter file by name, in the file's order.

    Args:
        path: .params of `save_parameters`, `nd.save` or `export` (`arg:` and `aux:` are cut off the names);
            safetensors; or a state dict of `torch.save`, also inside {"state_dict": ...} or {"model": ...}, and with
            the "module." that DataParallel puts before every name.

    Returns: name -> array, of the file's dtype; bfloat16, which numpy lacks, as the equal float32.

    Raises:
        Refused: there is no such file, it is damaged or of no such kind, or it is PyTorch's and PyTorch is not here.
    """
    if not os.path.isfile(path):
        raise Refused(f"there is no parameter file {path}")
    with open(path, "rb") as file:
        start = file.read(16)
    if start[8:9] == b"{":
        values = _read_safetensors(path)
    elif start.startswith(_LIST_MAGIC):
        values = _read_params(path)
    elif start.startswith((_ZIP, _TORCH_BEFORE_1_6)):
        values = _read_torch(path)
    else:
        raise Refused(
            f"{path} is no parameter file: give one of net.save_parameters, net.export, safetensors or torch.save"
        )
    if values and all(name.startswith("module.") for name in values):
        values = {name[len("module.") :]: value for name, value in values.items()}
    return values


def metadata(path: str | os.PathLike) -> dict[str, str]:
    """What a safetensors file says about itself; {} for other kinds."""
    with open(path, "rb") as file:
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
    write_atomically(path, lambda temporary: temporary.write_bytes(data))


def require_place(path: pathlib.Path) -> None:
    """Finds out before any work whether `write` can write there. Raises Refused and CannotWrite as it does."""
    if path.suffix not in (".safetensors", ".params"):
        raise Refused(f"{path} should end in .safetensors or .params, which says the kind of file to write")
    if not path.absolute().parent.is_dir():
        raise Refused(f"there is no folder {path.absolute().parent} to write {path.name} in")
    require_writable(path, "DST")


@contextlib.contextmanager
def _damage_told(path) -> Iterator[None]:
    """Whatever a library says about a file that it cannot read becomes one sentence."""
    try:
        yield
    except Refused:
        raise
    except Exception as error:  # the libraries document no list of what a damaged file makes them raise
        reason = (str(error).strip().splitlines() or [""])[0][:200]
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
    with open(path, "rb") as file:
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
        for name, tensor in safetensors.deserialize(pathlib.Path(path).read_bytes()):
            if tensor["dtype"] not in _SAFETENSORS:
                raise Refused(f"{path}: {name} is of type {tensor['dtype']}, which is no type of parameters")
            array = np.frombuffer(tensor["data"], _SAFETENSORS[tensor["dtype"]]).reshape(tensor["shape"])
            values[name] = _widened(array) if tensor["dtype"] == "BF16" else array
    return values


# --- PyTorch ------------------------------------------------------------------------------------------------------

_TORCH = ("float64", "float32", "float16", "bfloat16", "bool", "uint8", "int8", "int32", "int64")  # what MXNet has
_ZIP = b"PK\x03\x04"
_TORCH_BEFORE_1_6 = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # a pickle of its magic number


def _read_torch(path) -> dict[str, np.ndarray]:
    torch = _import_torch(path)
    size = os.path.getsize(path)
    with _damage_told(path):
        with open(path, "rb") as file:
            if file.read(4) == _ZIP:
                _check_zip(path, size)
        data = io.BytesIO(pathlib.Path(path).read_bytes())  # of a file torch reads as much as it claims to hold
        content = torch.load(data, map_location="cpu", weights_only=True)
        for wrapper in ("state_dict", "model"):
            if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
                content = content[wrapper]
        if not isinstance(content, dict) or not all(_is_parameter(torch, *item) for item in content.items()):
            raise Refused(f"{path} holds no state dict: save one with torch.save(model.state_dict(), FILE)")
        for name, tensor in content.items():
            if str(tensor.dtype) not in [f"torch.{kind}" for kind in _TORCH]:
                raise Refused(f"{path}: {name} is of type {tensor.dtype}, which is no type of parameters")
        if sum(tensor.numel() * tensor.element_size() for tensor in content.values()) > 2 * size:
            raise Refused(f"{path} names more numbers than it holds: get it again")
        return {name: _to_numpy(torch, tensor) for name, tensor in content.items()}


def _import_torch(path):
    try:
        import torch
    except ImportError:
        raise Refused(f"{path} is a PyTorch file: to read it, pip install 'gluon_tricks[interop]'") from None
    if tuple(map(int, re.findall(r"\d+", torch.__version__)[:2])) < _OLDEST_TORCH:
        raise Refused(
            f"{path} is a PyTorch file, and PyTorch {torch.__version__} can be made to run code by such files: "
            f"install {'.'.join(map(str, _OLDEST_TORCH))} or newer"
        )
    return torch


def _check_zip(path, size: int) -> None:
    """torch.save compresses nothing, so what is compressed is no file of its, and may unpack to any size."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if not any(member.filename.endswith("/data.pkl") for member in members):
        raise Refused(f"{path} is a zip file, but not torch.save's: unpack it first")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members) or (
        sum(member.file_size for member in members) > size
    ):
        raise Refused(f"{path} is damaged, or not written by torch.save: get it again")


def _is_parameter(torch, name: Any, tensor: Any) -> bool:
    dense = isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided and tensor.device.type == "cpu"
    return dense and isinstance(name, str) and not tensor.is_quantized


def _to_numpy(torch, tensor) -> np.ndarray:
    tensor = tensor.detach()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
