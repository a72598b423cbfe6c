"""Contestants in processes of their own, asked for one round after the other.

A precision cannot be undone within a process, and a machine's speed drifts: so every contestant lives in its own
process and they take turns, A B C A B C ..., idle ones waiting for a line on stdin.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import tqdm

_MARK = "round: "
_REST = 1.0  # seconds between turns, in which the last contestant's threads finish what they make ahead


@dataclasses.dataclass(frozen=True)
class Contestant:
    """One side of a comparison.

    Args:
        name: what the table calls it.
        place: "module:function" of a function(**arguments) that gets ready and returns round() -> images/s.
        arguments: JSON values.
        environment: variables of its process.
    """

    name: str
    place: str
    arguments: dict[str, Any]
    environment: dict[str, str] = dataclasses.field(default_factory=dict)


def measure(contestants: Sequence[Contestant], rounds: int) -> dict[str, list[float]]:
    """Images/s of each contestant in each round, after one round of warming up that does not count."""
    results: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    with tempfile.TemporaryDirectory(prefix="gluon_tricks_contest_") as scratch:
        workers = {contestant.name: _start(contestant, scratch) for contestant in contestants}
        try:
            turns = [(k, name) for k in range(rounds + 1) for name in workers]
            for k, name in tqdm.tqdm(turns, desc="measuring", unit=" rounds", disable=None):
                time.sleep(_REST)
                value = _round(workers[name], name, scratch)
                if k > 0:
                    results[name].append(value)
        finally:
            for worker in workers.values():
                worker.kill()
                worker.wait()
    return results


def _start(contestant: Contestant, scratch: str) -> subprocess.Popen:
    words = [sys.executable, "-m", __name__, contestant.place, json.dumps(contestant.arguments)]
    environment = {**os.environ, "TMPDIR": scratch, **contestant.environment}
    with open(_errors(scratch, contestant.name), "w") as errors:
        return subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        )


def _errors(scratch: str, name: str) -> pathlib.Path:
    """What a contestant writes to stderr: in a file, as a full pipe would stop it."""
    return pathlib.Path(scratch) / f"{name}.stderr"


def _round(worker: subprocess.Popen, name: str, scratch: str) -> float:
    try:
        worker.stdin.write("\n")
        worker.stdin.flush()
    except BrokenPipeError:
        pass
    for line in worker.stdout:
        if line.startswith(_MARK):
            return float(line[len(_MARK) :])
    raise RuntimeError(f"the contestant {name} died: {_errors(scratch, name).read_text()[-2000:]}")


def _serve(place: str, arguments: dict[str, Any]) -> None:
    module, function = place.split(":")
    play = getattr(importlib.import_module(module), function)(**arguments)
    for _ in sys.stdin:
        print(f"{_MARK}{play()}", flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1], json.loads(sys.argv[2]))
