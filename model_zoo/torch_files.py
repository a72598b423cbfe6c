"""Files of torch.save: a state dict, alone or in a checkpoint. Nothing in a file is executed.

A checkpoint holds more than numbers, such as the argparse.Namespace of the command line. PyTorch's own reader, which
resolves no name that it does not know, gets an empty stand-in for each of those names.
"""

from __future__ import annotations

import collections
import io
import logging
import os
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import PARAMETER_BYTES, read_bytes
from gluon_tricks.core.wording import quoted, shortened

log = logging.getLogger("model_zoo")

ZIP = b"PK\x03\x04"
BEFORE_1_6 = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # a pickle of its magic number
_OLDEST_TORCH = (2, 10)  # before it, crafted files got past weights_only
_TYPES = ("float64", "float32", "float16", "bfloat16", "bool", "uint8", "int8", "int32", "int64")  # what MXNet has
# What a file that is an attack calls: nothing that holds numbers needs one of these.
_PROGRAM = re.compile(
    r"(os|posix|nt|sys|subprocess|commands|_posixsubprocess|pty|socket|shutil|importlib|imp|runpy|ctypes|_ctypes|"
    r"code|codeop|marshal|types\.(CodeType|FunctionType)|pickle|_pickle|cloudpickle|dill|asyncio|multiprocessing|"
    r"webbrowser|urllib|urllib2|http|httplib|requests|timeit|pdb|bdb|cProfile|profile|trace|torch\.(hub|utils\.cpp_extension|jit|serialization|load))(\.|$)|"
    r"builtins\.(eval|exec|compile|__import__|open|input|breakpoint|execfile|apply|globals|vars|delattr|setattr)$"
)
# What training programs call the set that they train; beside it may be its moving average, a discriminator, ...
_TRAINED = ("state_dict", "model", "model_state_dict", "model_state", "net", "network", "module", "params", "weights")
AVERAGE = re.compile("(^|[_.])(ema|swa)([_.]|$)|averag", re.IGNORECASE)
_ALONE = "save the state dict alone, with torch.save(model.state_dict(), FILE)"
_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}  # how protocol 2 calls them


def read(path: str | os.PathLike, part: str = "", tell: bool = True) -> tuple[dict[str, np.ndarray], str]:
    """The arrays of a state dict by name, and the part that their names are still to be chosen by.

    Args:
        path: a file of torch.save. Its state dict may be a value of a dictionary, as a checkpoint has it.
        part: the key of the state dict that is meant (OUTER.INNER of one that is a dictionary further in), "" being
            returned then; other words choose none. Without a key it is the one that a name of _TRAINED has, else the
            only one that is no moving average (ema).
        tell: say it where there are others.

    Raises:
        Refused: PyTorch is missing or too old; there is no state dict, or none of this name.
        Exception: the file is damaged.
    """
    torch = _import_torch(path)
    data = read_bytes(path, PARAMETER_BYTES)
    foreign = _foreign_names(path, data)
    programs = [name for name in foreign if _PROGRAM.match(name)]
    if programs:
        said = ", ".join(shortened(name, 80) for name in programs[:3])
        raise Refused(
            f"{path} would run code on the machine of whoever unpickles it ({said}): it was refused and nothing of it "
            "was run; open it with no other program, and get the parameters as safetensors from a source you trust"
        )
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([(_stand_in(n), n) for n in foreign]):
            warnings.simplefilter("ignore")  # of a pickle_protocol that torch.load fails at next
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, TypeError, AttributeError):  # the latter: a state that no stand-in takes
        what = _listed(foreign)
        if not what:
            raise Refused(f"{path} is damaged, or saved with another pickle_protocol than torch.save's own") from None
        raise Refused(f"{path} holds objects that are not read ({what}): {_ALONE}") from None
    state, part = _state_dict(torch, content, path, part, tell)
    for name, tensor in state.items():
        if str(tensor.dtype) not in [f"torch.{kind}" for kind in _TYPES]:
            raise Refused(f"{path}: {name} is of type {tensor.dtype}, which is no type of parameters")
    if sum(tensor.numel() * tensor.element_size() for tensor in state.values()) > 2 * len(data):
        raise Refused(f"{path} names more numbers than it holds: get it again")
    return {name: _to_numpy(torch, tensor) for name, tensor in state.items()}, part


def _import_torch(path):
    try:
        import torch
    except ImportError:
        raise Refused(f"{path} is a PyTorch file: to read it, pip install '.[interop]'") from None
    if tuple(map(int, re.findall(r"\d+", torch.__version__)[:2])) < _OLDEST_TORCH:
        raise Refused(
            f"{path} is a PyTorch file, and PyTorch {torch.__version__} can be made to run code by such files: "
            f"install {'.'.join(map(str, _OLDEST_TORCH))} or newer"
        )
    return torch


# --- what is no number --------------------------------------------------------------------------------------------


def _foreign_names(path, data: bytes) -> list[str]:
    """The classes and functions that a file names, found without unpickling it; torch.load knows some of them."""
    pickles = io.BytesIO(_pickle_in_zip(path, data) if data.startswith(ZIP) else data)
    count = 1 if data.startswith(ZIP) else 4  # before 1.6: a magic number, a version, the machine, then the content
    parts = [part for _ in range(count) for part in _names_in(pickles)]
    return sorted({f"{_PYTHON_2.get(module, module)}.{name}" for module, name in parts} - {"collections.OrderedDict"})


def _names_in(pickles: io.BytesIO) -> Iterator[tuple[str, str]]:
    """(module, name) of all that the next pickle names, in whatever protocol: since 4 they are the last two texts."""
    texts: list[str] = ["", ""]
    memo: dict[int, str] = {}
    for op, arg, _ in pickletools.genops(pickles):
        if op.name in ("GLOBAL", "INST"):
            yield tuple(arg.split(" ", 1))
        elif op.name == "STACK_GLOBAL":
            yield texts[-2], texts[-1]
        elif op.name == "MEMOIZE":
            memo[len(memo)] = texts[-1]
        elif op.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[arg] = texts[-1]
        elif op.name in ("GET", "BINGET", "LONG_BINGET"):
            texts = [texts[-1], memo.get(arg, "")]
        elif isinstance(arg, str):
            texts = [texts[-1], arg]


def _pickle_in_zip(path, data: bytes) -> bytes:
    """torch.save compresses nothing, so what is compressed is no file of its, and may unpack to any size."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        content = [member for member in members if member.filename.endswith("/data.pkl")]
        if not content:
            raise Refused(f"{path} is a zip file, but not torch.save's: unpack it first")
        if any(member.filename.endswith("/constants.pkl") for member in members):
            raise Refused(f"{path} is a TorchScript program: load it with torch.jit.load, and {_ALONE}")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members) or (
            sum(member.file_size for member in members) > len(data)
        ):
            raise Refused(f"{path} is damaged, or not written by torch.save: get it again")
        return archive.read(content[0])


def _stand_in(name: str) -> type:
    """What torch.load makes in place of an object of this class, or of this function's result: nothing but a name."""

    def new(cls, *args):
        if name.startswith("numpy."):  # whose state is a tuple
            return object.__new__(cls)
        made: dict = collections.OrderedDict()  # the one type that torch.load gives both items and a state
        made.class_name = name
        return made

    return type("StandIn", (), {"__new__": new, "__setstate__": lambda self, state: None})


def _listed(names: list[str]) -> str:
    """The names that say something, those of other libraries than PyTorch if there are any."""
    told = [name for name in names if not re.match(r"torch\.(_|storage|\w+Storage)|builtins\.|copyreg\.", name)]
    told = [name for name in told if not name.startswith("torch.")] or told
    return ", ".join(told[:3]) + (", ..." if len(told) > 3 else "")


# --- the state dict -----------------------------------------------------------------------------------------------


def _state_dict(torch, content: Any, path, part: str, tell: bool) -> tuple[dict[str, Any], str]:
    """The state dict that the content of a file is, or the one in it that is meant; and read's second value."""
    if _is_state_dict(torch, content):
        return content, part
    there = content if isinstance(content, dict) else {}
    states, inner = _states(torch, there), {}
    for key in [key for key in there if key not in states]:
        within = _states(torch, there[key]) if isinstance(key, str) and isinstance(there[key], dict) else {}
        inner.update({f"{key}.{name}": state for name, state in within.items()})
    if part in {**states, **inner}:
        return {**inner, **states}[part], ""
    states = states or inner
    if not states:
        objects = [getattr(value, "class_name", None) for value in (content, *there.values())]
        whole = ", ".join(str(name)[:80] for name in objects if name)
        raise Refused(f"{path} holds no state dict{whole and f', but a whole {whole}'}: {_ALONE}")
    taken = next((key for key in _TRAINED if key in states), None)
    plain = [key for key in states if not AVERAGE.search(key)] or list(states)
    if taken is None and len(plain) > 1:
        raise Refused(f"{path} holds {' and '.join(plain)}: name one, as {path}#{plain[0]}")
    taken = taken or plain[0]
    if part and not any(name.startswith(f"{part}.") for name in states[taken]):
        raise Refused(f"{path} holds {' and '.join(states)}, and no {quoted(part)}")
    others = [key for key in states if key != taken]
    if others and tell and not part:
        log.warning("%s holds %s: %s is taken, %s#%s is the other", path, " and ".join(states), taken, path, others[0])
    return states[taken], part


def _states(torch, content: dict) -> dict[str, dict[str, Any]]:
    """The values of a dictionary that are state dicts."""
    return {key: value for key, value in content.items() if isinstance(key, str) and _is_state_dict(torch, value)}


def _is_state_dict(torch, content: Any) -> bool:
    return (
        isinstance(content, dict)
        and all(_is_parameter(torch, *item) for item in content.items())
        and any(tensor.ndim for tensor in content.values())
    )


def _is_parameter(torch, name: Any, tensor: Any) -> bool:
    dense = isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided and tensor.device.type == "cpu"
    return dense and isinstance(name, str) and not tensor.is_quantized


def _to_numpy(torch, tensor) -> np.ndarray:
    tensor = tensor.detach()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
