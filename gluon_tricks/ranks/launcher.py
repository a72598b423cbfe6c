"""Starting a training as several ranks: horovodrun, with checks before it, a log per rank and the names of failures."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import math
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from typing import TextIO

from gluon_tricks.core.environment import inherited_environment, with_cuda_libraries
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import opened_to_append, writing
from gluon_tricks.core.reading import opened
from gluon_tricks.ranks import heartbeat
from gluon_tricks.ranks.environment import of_ranks
from gluon_tricks.ranks.hosts import Host

RESTARTED = "GLUON_TRICKS_RESTARTED"  # in the environment of ranks that were started again: why
_MARK = "GLUON_TRICKS_LAUNCH"  # in the environment of every rank: which launch it belongs to
_LINE = re.compile(r"\[(\d+)\]<(stdout|stderr)>:")
_EXIT = re.compile(r"Process (\d+) exit with status code (-?\d+)")
_ASK = """import horovod.mxnet as horovod
print("Gloo:", horovod.gloo_built(), "MPI:", horovod.mpi_built(), "NCCL:", bool(horovod.nccl_built()))"""
_TAIL_BYTES = 1 << 16
_TAIL = 12  # last lines of the log that are shown of a rank that failed


def horovodrun() -> str:
    """The launcher that belongs to this Python, checked to be able to start ranks.

    Raises:
        Refused: Horovod is not there, or was built without MXNet or Gloo.
    """
    return _horovodrun()[0]


def built_with() -> list[str]:
    """What the Horovod of this Python exchanges messages by: "Gloo" for `horovodrun`, and "MPI" and "NCCL" if built so.

    Raises:
        Refused: as of `horovodrun`.
    """
    return _horovodrun()[1]


def _horovodrun() -> tuple[str, list[str]]:
    """The launcher's path, and what Horovod was built with."""
    path = shutil.which("horovodrun", path=f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if path is None:
        raise Refused(
            "there is no horovodrun beside this Python: scripts/install_horovod.sh of the repository builds it"
        )
    # Not by its --check-build, which imports MXNet anew for each of seven questions.
    words, environment = [sys.executable, "-c", _ASK], with_cuda_libraries(inherited_environment())
    built = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=300)
    if "Gloo: True" not in built.stdout:
        said = (built.stderr + built.stdout).strip().splitlines()
        raise Refused(
            f"this Horovod was built without {'Gloo' if 'Gloo: ' in built.stdout else 'MXNet'} "
            f"({said[-1] if said else 'it said nothing'}): scripts/install_horovod.sh of the repository builds it anew"
        )
    return path, [name for name in ("Gloo", "MPI", "NCCL") if f"{name}: True" in built.stdout]


@dataclasses.dataclass
class Failure:
    """How a job ended that did not end well: the first rank to go, its exit code, the end of its log; or why it had to.

    Args:
        stuck: which ranks hung, in words.
    """

    rank: int | None
    code: int
    tail: tuple[str, ...] = ()
    stuck: str = ""

    def consequence(self) -> int:
        """How much it looks like what the end of another rank has led to; the ends' order alone does not tell.

        Of a rank that is lost the others hear at once: Horovod shuts down in them, or horovodrun ends them.
        """
        if self.code in (-signal.SIGTERM, 128 + signal.SIGTERM):
            return 3
        if self.code in (-signal.SIGABRT, 128 + signal.SIGABRT):
            return 2
        return int(self.code == 1 and any("Horovod has been shut down" in line for line in self.tail))

    def is_loss(self) -> bool:
        """Whether a rank was lost, so that starting again may help: it ended by a signal, hung, or has said why.

        A training that is refused or stops by itself ("stopped: ...") would do so again.
        """
        return bool(self.stuck) or self.code != 2 and not any(line.startswith("stopped: ") for line in self.tail)

    def __str__(self) -> str:
        if self.stuck:
            return self.stuck
        if self.rank is None:
            return f"horovodrun ended with exit code {self.code}"
        number = -self.code if self.code < 0 else self.code - 128
        named = number in {s.value for s in signal.Signals}
        return f"rank {self.rank} ended by {signal.Signals(number).name if named else f'exit code {self.code}'}"


class Launch:
    """One start of a job.

    Args:
        command: what each rank runs.
        ranks, hosts: how many, and where.
        logs: a folder for rank.N.log and horovodrun.log.
        runner: horovodrun, and more words for it.
        out, err: take rank 0's lines.
        more: environment variables of the ranks.
        passed: names of variables that they get beside those of environment.of_ranks, or NAME=VALUE.
    """

    def __init__(
        self, command: Sequence[str], ranks: int, hosts: Sequence[Host], logs: pathlib.Path, runner: Sequence[str],
        out: TextIO = sys.stdout, err: TextIO = sys.stderr, more: dict[str, str] | None = None,
        passed: Sequence[str] = (),
    ):  # fmt: skip
        self.logs, self.out, self.err, self.stops = logs, out, err, 0
        self.lives, self.stuck = heartbeat.RankMonitor(), ""
        self.mark = uuid.uuid4().hex
        environment = of_ranks(with_cuda_libraries(inherited_environment()), passed)
        words = [*runner, "--gloo", "--disable-cache", "-np", str(ranks)]
        words += ["-H", ",".join(f"{host.name}:{host.slots}" for host in hosts), *command]
        with writing(logs):
            logs.mkdir(parents=True, exist_ok=True)
        self._files = {}
        self.process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            env={**environment, heartbeat.VARIABLE: "1", **(more or {}), _MARK: self.mark},
            start_new_session=True,  # Ctrl-C is for this process, which passes it on to a rank
            preexec_fn=_as_a_child,
        )  # fmt: skip

    def wait(self, stuck_after: float = math.inf) -> Failure | None:
        """Passes lines on until the job ends.

        Args:
            stuck_after: seconds after which a job in which a rank hangs is ended.
        """
        watcher = threading.Thread(target=self._watch, args=(stuck_after,), daemon=True)
        watcher.start()
        ends: list[Failure] = []
        for line in self.process.stdout:
            found = _LINE.match(line)
            if found is None:
                left = _EXIT.search(line)
                ends += [Failure(int(left[1]), _signed(int(left[2])))] if left else []
                self._write("horovodrun.log", line)
            elif not self.lives.hear(int(found[1]), line[found.end() :]):
                self._show(int(found[1]), found[2], line[found.end() :])
        code = self.process.wait()
        for file in self._files.values():
            with contextlib.suppress(OSError):
                file.close()
        if self.stuck:
            return Failure(None, code, stuck=self.stuck)
        if code and not ends:
            return Failure(None, code, self._tail("horovodrun.log"))
        ends = [dataclasses.replace(end, tail=self._tail(f"rank.{end.rank}.log")) for end in ends]
        return min(ends, key=Failure.consequence, default=None)

    def _watch(self, stuck_after: float) -> None:
        while self.process.poll() is None and not self.stuck:
            time.sleep(0.5)
            self.stuck = self.lives.stuck(stuck_after)
        if self.stuck:
            self.process.terminate()

    def stop(self, number: int) -> None:
        """Passes a signal on: to a rank here, which makes all of them stop together; otherwise, or again, to all."""
        self.stops += 1
        here = ranks_here(self.mark)
        if self.stops > 1 or not here:
            self.process.terminate()  # horovodrun ends every rank, after 5 seconds by force
        for pid in here.values() if self.stops > 1 else list(here.values())[:1]:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(pid, number)

    def _show(self, rank: int, stream: str, line: str) -> None:
        self._write(f"rank.{rank}.log", line)
        if rank == 0:
            with contextlib.suppress(OSError):  # a terminal that is gone is no reason to end a job
                print(line.rstrip("\n"), file=self.out if stream == "stdout" else self.err, flush=True)

    def _write(self, name: str, line: str) -> None:
        with contextlib.suppress(OSError):  # nor is a full disk: the ranks find that out by themselves
            if name not in self._files:
                self._files[name] = opened_to_append(self.logs / name)  # closed by wait
            print(line.rstrip("\n"), file=self._files[name], flush=True)

    def _tail(self, name: str) -> tuple[str, ...]:
        with contextlib.suppress(OSError):
            with opened(self.logs / name) as file:
                file.seek(max(file.seek(0, os.SEEK_END) - _TAIL_BYTES, 0))
                return tuple(file.read(_TAIL_BYTES).decode("utf-8", "replace").splitlines()[-_TAIL:])
        return ()


def _as_a_child() -> None:
    """horovodrun ends with its launcher, however that ends, and leaves SIGUSR1 to the ranks."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def _signed(code: int) -> int:
    """horovodrun shows a process that signal 9 ended as 256 - 9."""
    return code - 256 if code > 192 else code


def ranks_here(mark: str) -> dict[int, int]:
    """Rank -> process id of the ranks of a launch that run on this machine."""
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = dict(part.split("=", 1) for part in path.read_text(errors="replace").split("\0") if "=" in part)
        except OSError:  # ended meanwhile, or another user's
            continue
        if variables.get(_MARK) == mark and "HOROVOD_RANK" in variables:
            found[int(variables["HOROVOD_RANK"])] = int(path.parent.name)
    return dict(sorted(found.items()))
