"""Damage done to files: by bytes, and to JSON by its values; and the limits under which damaged ones are read.

Used by the child processes of these tests, which lie beside it.
"""

import json
import pathlib
import re
import resource
import signal

import numpy as np

HEAD = 400  # bytes at the front, where headers are, get most of the mutations
MEGABYTES = 512  # more than this, beyond what was there before, no reader may ask for
SECONDS = 20  # for one file; the machine may be busy
HUGE = [b"\xff" * 8, b"\xff" * 7 + b"\x7f", b"\0\0\0\0\1\0\0\0", b"99999999", b"\xff\xff\xff\x7f"]
DEEP = 200_000


def of_bytes(content, rng, count):
    """Yields (what was done, the content after it)."""
    for _ in range(count):
        front = int(rng.integers(2)) or len(content) <= HEAD
        at = int(rng.integers(min(HEAD, len(content)) if front else len(content)))
        kind = str(rng.choice(["flip", "cut", "huge", "zero", "junk", "twice", "gone"]))
        changed = bytearray(content)
        if kind == "flip":
            changed[at] ^= 1 << int(rng.integers(8))
        elif kind == "cut":
            del changed[at:]
        elif kind == "huge":
            some = HUGE[int(rng.integers(len(HUGE)))]
            changed[at : at + len(some)] = some
        elif kind == "zero":
            changed[at : at + 8] = bytes(8)
        elif kind == "junk":
            changed += rng.bytes(int(rng.integers(1, 4000)))
        elif kind == "twice":
            changed[at:at] = changed[at : at + 64]
        else:
            del changed[at : at + int(rng.integers(1, 64))]
        yield f"{kind} at {at}", bytes(changed)


ODD = [None, True, -1, 0, 1.5, 10**9, 10**18, 10**400, 1e308, float("nan"), float("-inf"), "", "x", "../../x", "a\0b",
       "\ud800", "é" * 5000, [], {}, [[]], [None], [1, "x"], {"": 0}, [0] * 5000,
       "True", "0", "-1", "(0, 0)", "99999999", "(1, 1, 1)", "nan", "relu"]  # fmt: skip


def of_json(content, rng, count):
    """Yields (what was done, the content after it): a value that is another, is gone, is there twice or is deep."""
    for k in range(count):
        tree = json.loads(content)
        places = [((), None), *_places(tree)]
        way, _ = places[int(rng.integers(len(places)))]
        kind, odd = str(rng.choice(["odd", "gone", "renamed"])), int(rng.integers(len(ODD)))
        if k < 2:
            yield "deep", (b"[" * DEEP if k else b'{"a":' * DEEP)
        elif not way:
            yield f"all {odd}", json.dumps(ODD[odd]).encode()
        else:
            holder = tree
            for step in way[:-1]:
                holder = holder[step]
            if kind == "odd":
                holder[way[-1]] = ODD[odd]
            elif kind == "renamed" and isinstance(holder, dict):
                holder[str(rng.choice(["", "x", "__class__"]))] = holder.pop(way[-1])
            else:
                del holder[way[-1]]
            yield f"{kind} {odd} at {way}", json.dumps(tree).encode()


ODD_WORDS = ["-1", "1e9", "999999999", str(10**18), str(10**19), "9" * 5000, "nan", "inf", "\u00b2", "\u0663", "1_0",
             "", "\0", "\ufeff", "../../etc/passwd", "/etc/passwd", "a/../../b", "..", ".", "x" * 5000]  # fmt: skip


def of_text(content, rng, count):
    """Yields (what was done, the content after it): a word of a line is another, or the line is there twice."""
    for _ in range(count):
        lines = content.decode().splitlines(keepends=True)
        row, odd = int(rng.integers(len(lines))), ODD_WORDS[int(rng.integers(len(ODD_WORDS)))]
        words = re.split(r"([\t \n])", lines[row])
        place = 2 * int(rng.integers(len(words) // 2))
        words[place] = odd
        lines[row] = "".join(words) if rng.integers(8) else 2 * lines[row]
        yield f"word {place // 2} of line {row} is {odd[:20]!r}", "".join(lines).encode()


def _places(tree, way=()):
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*way, key), value
        yield from _places(value, (*way, key))


def limit_memory(megabytes=MEGABYTES):
    """From here on this process gets so much more memory and no more."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (megabytes << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def judge(name, what, read, errors):
    """Calls read() and prints a line before and one after, so that whoever waits knows which file was fatal.

    The second is "read", "refused: ..." or "wrong: ..." for any other error, or one that memory ran out.
    """
    print(json.dumps([name, what]), flush=True)
    signal.alarm(SECONDS)  # ends the process, also out of a library
    try:
        read()
        outcome = "read"
    except errors as error:
        text = str(error)
        outcome = "wrong" if "memory" in text.lower() else "refused"
        outcome = f"{outcome}: {type(error).__name__}: {text[:300]!r}"
    except Exception as error:
        trace = error.__traceback__
        while trace.tb_next:
            trace = trace.tb_next
        where = f"{pathlib.Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        outcome = f"wrong: {type(error).__name__} in {where}: {str(error)[:300]!r}"
    signal.alarm(0)
    print(outcome, flush=True)


def generator(*numbers):
    return np.random.Generator(np.random.Philox(list(numbers)))
