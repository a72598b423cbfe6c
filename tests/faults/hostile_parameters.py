"""Reads damaged parameter files: started by test_hostile_networks.py in a process of its own. Arguments: FOLDER COUNT.

Those of PyTorch are among them where it is installed.
"""

import argparse
import importlib
import importlib.util
import itertools
import pathlib
import re
import sys

import mxnet as mx
from mutate import HEAD, generator, judge, limit_memory, of_bytes

from gluon_tricks.core.errors import Refused
from model_zoo import formats, get_model, load_model, weights

OTHER_SAFETENSORS = [b'"I16"', b'"U16"', b'"I32"', b'"F64"', b'"C64"', b'"F16"', b'"U32"']
OTHER_TORCH = [b"ShortStorage", b"LongStorage", b"CharStorage", b"HalfStorage", b"ComplexFloatStorage"]
NET = get_model("cifar_resnet20_v1")


def make(folder):
    """Writes a good file of each kind."""
    NET.initialize(mx.init.Xavier())
    NET.hybridize()
    NET(mx.nd.zeros((1, 3, 32, 32)))
    weights.save(NET, folder / "ours.params")
    weights.save(NET, folder / "gluoncv.safetensors", "gluoncv")
    NET.export(str(folder / "exported"))
    (folder / "exported-symbol.json").unlink()
    if importlib.util.find_spec("torch"):
        torch = importlib.import_module("torch")
        state = {name: torch.tensor(value) for name, value in weights.values_of(NET).items()}
        args = argparse.Namespace(lr=0.1, output=pathlib.PurePosixPath("runs"))
        torch.save({"state_dict": state, "epoch": 3, "args": args}, folder / "torch.pth")
        torch.save(state, folder / "torch-of-old.pth", _use_new_zipfile_serialization=False)


def of_types(content, rng, count):
    """Yields (what was done, the content after it): one or all of the arrays are said to be of another type."""
    for _ in range(count):
        yield _retyped(content, rng)


def _retyped(content, rng):
    for old, new in ((b'"F32"', OTHER_SAFETENSORS), (b"FloatStorage", OTHER_TORCH)):
        places = [found.start() for found in re.finditer(re.escape(old), content)]
        if places:
            other, at = new[int(rng.integers(len(new)))], places[int(rng.integers(len(places)))]
            if rng.integers(2):
                return "all types", content.replace(old, other)
            return f"type at {at}", content[:at] + other + content[at + len(old) :]
    flags = [found.end() for found in re.finditer(rb"\x01\0\0\0\0\0\0\0(?=\0\0\0\0)", content[:HEAD])]  # after cpu(0)
    at = int(rng.choice(flags))
    return f"type at {at}", content[:at] + bytes([int(rng.integers(1, 16))]) + content[at + 1 :]


def read(path, number):
    """In one of the ways in which a user's file comes in."""
    if number % 80 == 0:  # rarely: each looks through the whole registry
        get_model("cifar_resnet20_v1", pretrained=path)
    elif number % 80 == 1:
        load_model(path)
    elif number % 4 == 2:
        formats.metadata(path)
        formats.read(path)
    else:
        weights.assign(NET, formats.read(path))


def main(folder, count):
    make(folder)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    for path in files:  # whatever a first use allocates
        formats.read(path)
    limit_memory()
    target = folder / "damaged"
    for number, path in enumerate(files):
        content, rng = path.read_bytes(), generator(number)
        damaged = itertools.chain(of_bytes(content, rng, count * 6 // 7), of_types(content, rng, count // 7))
        for k, (what, changed) in enumerate(damaged):
            target.write_bytes(changed)
            judge(path.name, what, lambda: read(target, k), Refused)  # noqa: B023


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
