"""Reads mutated parameter files: started by test_hostile_files.py in a process of its own. Arguments: FOLDER SEEDS.

Writes a line before and after each file, so that whoever waits knows which one was fatal.
"""

import json
import pathlib
import re
import resource
import sys

import numpy as np

from gluon_tricks.runtime import Refused
from model_zoo import formats, get_model, load_model, weights

OTHER_SAFETENSORS = [b'"I16"', b'"U16"', b'"I32"', b'"F64"', b'"C64"', b'"F16"', b'"U32"']
OTHER_TORCH = [b"ShortStorage", b"LongStorage", b"CharStorage", b"HalfStorage", b"ComplexFloatStorage"]
NET = get_model("cifar_resnet20_v1")
HEAD = 400  # bytes at the front, where the headers are, get most of the mutations


def mutations(content, rng, count):
    """(what was done, the content after it)"""
    for _ in range(count):
        front = int(rng.integers(2)) or len(content) <= HEAD
        at = int(rng.integers(min(HEAD, len(content)) if front else len(content)))
        kind = str(rng.choice(["flip", "cut", "huge", "zero", "junk", "twice", "type"]))
        changed = bytearray(content)
        if kind == "flip":
            changed[at] ^= 1 << int(rng.integers(8))
        elif kind == "cut":
            changed = changed[:at]
        elif kind == "huge":
            changed[at : at + 8] = rng.choice([b"\xff" * 8, b"\xff" * 7 + b"\x7f", b"\0\0\0\0\1\0\0\0", b"99999999"])
        elif kind == "zero":
            changed[at : at + 8] = bytes(8)
        elif kind == "type":
            changed, at = retyped(changed, rng)
        elif kind == "junk":
            changed += rng.bytes(int(rng.integers(1, 4000)))
        else:
            changed[at:at] = changed[at : at + 64]
        yield f"{kind} at {at}", bytes(changed)


def retyped(content, rng):
    """The content with one or all of its arrays said to be of another type; and where."""
    for old, new in ((b'"F32"', OTHER_SAFETENSORS), (b"FloatStorage", OTHER_TORCH)):
        places = [found.start() for found in re.finditer(re.escape(old), content)]
        if places:
            other = new[int(rng.integers(len(new)))]
            if rng.integers(2):
                return content.replace(old, other), places[0]
            at = places[int(rng.integers(len(places)))]
            return content[:at] + other + content[at + len(old) :], at
    flags = [found.end() for found in re.finditer(rb"\x01\0\0\0\0\0\0\0(?=\0\0\0\0)", content[:HEAD])]  # after cpu(0)
    at = int(rng.choice(flags))
    content[at] = int(rng.integers(1, 16))
    return content, at


def read(path, number):
    """In one of the ways in which a user's file comes in."""
    if number % 20 == 0:  # rarely: each looks through the whole registry
        get_model("cifar_resnet20_v1", pretrained=path)
    elif number % 20 == 1:
        load_model(path)
    elif number % 4 == 2:
        formats.metadata(path)
        formats.read(path)
    else:
        weights.assign(NET, formats.read(path))


def main(folder, count):
    files = sorted(pathlib.Path(folder).iterdir())
    for path in files:  # whatever a first use allocates
        formats.read(path)
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (512 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    target = pathlib.Path(folder).parent / "mutated"
    for number, path in enumerate(files):
        rng = np.random.Generator(np.random.Philox(number))
        for k, (what, content) in enumerate(mutations(path.read_bytes(), rng, count)):
            target.write_bytes(content)
            print(json.dumps([path.name, what]), flush=True)
            try:
                read(target, k)
                print("read", flush=True)
            except Refused as error:
                print("refused", len(str(error)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
