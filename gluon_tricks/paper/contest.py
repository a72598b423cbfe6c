"""Contestants in processes of their own, asked for one round after the other, or playing at the same time.

A precision cannot be undone within a process, and a machine's speed drifts: so every contestant lives in its own
process and they take turns, A B C A B C ..., idle ones waiting for a line on stdin. Those that play together are
copies of one: what each of several processes reaches beside the others.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import math
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

import tqdm

from gluon_tricks.core.children import as_child
from gluon_tricks.core.errors import REFUSED, Refused, refusal_of
from gluon_tricks.core.wording import one_line

_MARK = "round: "
_MEMORY = "memory: "  # the most that the process has had so far, in bytes
_LOOK = 0.1  # seconds between looks at what contestants that play together have told
_MOST_ROUNDS = 1000  # of those; a pipe holds so many lines
_REST = 1.0  # seconds between turns, in which the last contestant's threads finish what they make ahead


@dataclasses.dataclass(frozen=True)
class Contestant:
    """One side of a comparison.

    Args:
        name: what the table calls it.
        place: "module:function" of a function(**arguments) that gets ready and returns round() -> images/s.
        arguments: JSON values.
        environment: variables of its process.
        core: the logical core that its process stays on; None: any.
        optional: measure goes on without it if it refuses its arguments or dies, and says so in a line on stderr.
    """

    name: str
    place: str
    arguments: dict[str, Any]
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    core: int | None = None
    optional: bool = False


@dataclasses.dataclass(frozen=True)
class Played:
    """What a contestant has told by the end of its time.

    Args:
        rounds: images/s of each, the one of warming up before the others.
        memory: bytes that its process had before the first and after each, at most.
    """

    rounds: tuple[float, ...] = ()
    memory: tuple[int, ...] = ()


def measure(contestants: Sequence[Contestant], rounds: int) -> dict[str, list[float]]:
    """Images/s of each contestant in each round, after one round of warming up that does not count.

    Raises:
        Refused: one that is not optional cannot work with its arguments.
        RuntimeError: one that is not optional has died.
    """
    results: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    optional = {contestant.name for contestant in contestants if contestant.optional}
    with tempfile.TemporaryDirectory(prefix="gluon_tricks_contest_") as scratch:
        workers = {contestant.name: _start(contestant, scratch) for contestant in contestants}
        try:
            turns = [(k, name) for k in range(rounds + 1) for name in workers]
            for k, name in tqdm.tqdm(turns, desc="measuring", unit=" rounds", disable=None):
                if name not in results:
                    continue
                time.sleep(_REST)
                try:
                    value = _round(workers[name], name, scratch)
                except (Refused, RuntimeError) as why:
                    if name not in optional:
                        raise
                    tqdm.tqdm.write(f"{name} is left out: {one_line(why)}", file=sys.stderr)
                    del results[name]
                    continue
                if k > 0:
                    results[name].append(value)
        finally:
            _end(workers.values())
    return results


def play_together(
    contestants: Sequence[Contestant], seconds: float, rounds: int = 2, least: float = 0.0
) -> list[Played]:
    """Rounds that contestants play at the same time, one after the other, until there are enough of each.

    Args:
        contestants: of different names.
        seconds: after which all are ended, whatever they are doing.
        rounds: of each, after one of warming up.
        least: seconds after the first round of the last one, before which they are not ended.

    Raises:
        RuntimeError: one has died.
    """
    deadline, since = time.monotonic() + seconds, math.inf
    with tempfile.TemporaryDirectory(prefix="gluon_tricks_contest_") as scratch:
        workers = [_start_writing(contestant, scratch) for contestant in contestants]
        try:
            while True:
                time.sleep(min(_LOOK, max(deadline - time.monotonic(), 0)))
                gone = [pair for pair in zip(contestants, workers) if pair[1].poll() is not None]
                played = [_played(_output(scratch, contestant.name)) for contestant in contestants]
                counts = [len(one.rounds) for one in played]
                now = time.monotonic()
                since = min(since, now) if min(counts) else math.inf
                if now >= deadline or (min(counts) > rounds and now - since >= least):
                    return played
                if gone:
                    contestant, worker = gone[0]
                    raise RuntimeError(_why_it_died(contestant.name, worker, scratch))
        finally:
            _end(workers)


def _start_writing(contestant: Contestant, scratch: str) -> subprocess.Popen:
    """Starts a contestant that plays round after round and writes what it tells to a file."""
    with open(_output(scratch, contestant.name), "w") as output:
        worker = _start(contestant, scratch, output)
    with contextlib.suppress(BrokenPipeError):
        worker.stdin.write("\n" * _MOST_ROUNDS)
        worker.stdin.flush()
    return worker


def _played(output: pathlib.Path) -> Played:
    whole = output.read_text().rpartition("\n")[0].split("\n")  # the last line may not be complete
    rounds = tuple(float(line[len(_MARK) :]) for line in whole if line.startswith(_MARK))
    return Played(rounds, tuple(int(line[len(_MEMORY) :]) for line in whole if line.startswith(_MEMORY)))


def _end(workers: Iterable[subprocess.Popen]) -> None:
    for worker in workers:
        worker.kill()
        worker.wait()


def _start(contestant: Contestant, scratch: str, output: TextIO | int = subprocess.PIPE) -> subprocess.Popen:
    words = [sys.executable, "-m", __name__, contestant.place, json.dumps(contestant.arguments)]
    environment = {**os.environ, "TMPDIR": scratch, **contestant.environment}
    with open(_errors(scratch, contestant.name), "w") as errors:
        return subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=output, stderr=errors, text=True, env=environment,
            preexec_fn=as_child(signal.SIGKILL, contestant.core),
        )  # fmt: skip


def _errors(scratch: str, name: str) -> pathlib.Path:
    """What a contestant writes to stderr: in a file, as a full pipe would stop it."""
    return pathlib.Path(scratch) / f"{name}.stderr"


def _output(scratch: str, name: str) -> pathlib.Path:
    return pathlib.Path(scratch) / f"{name}.stdout"


def _round(worker: subprocess.Popen, name: str, scratch: str) -> float:
    try:
        worker.stdin.write("\n")
        worker.stdin.flush()
    except BrokenPipeError:
        pass
    for line in worker.stdout:
        if line.startswith(_MARK):
            return float(line[len(_MARK) :])
    raise refusal_of(_said(name, scratch)) or RuntimeError(_why_it_died(name, worker, scratch))


def _why_it_died(name: str, worker: subprocess.Popen, scratch: str) -> str:
    code = worker.wait()
    of = f" of {signal.Signals(-code).name}" if code < 0 else ""
    return f"the contestant {name} died{of}: {_said(name, scratch).strip()[-2000:]}"


def _said(name: str, scratch: str) -> str:
    return _errors(scratch, name).read_text()


def _serve(place: str, arguments: dict[str, Any]) -> None:
    module, function = place.split(":")
    play = getattr(importlib.import_module(module), function)(**arguments)
    _tell_memory()
    for _ in sys.stdin:
        value = play()
        _tell_memory()
        print(f"{_MARK}{value}", flush=True)


def _tell_memory() -> None:
    found = re.search(r"^VmHWM:\s*(\d+) kB", pathlib.Path("/proc/self/status").read_text("ascii", "replace"), re.M)
    print(f"{_MEMORY}{1024 * int(found[1]) if found else 0}", flush=True)


if __name__ == "__main__":
    try:
        _serve(sys.argv[1], json.loads(sys.argv[2]))
    except Refused as refused:
        sys.exit(f"{REFUSED}{refused}")
