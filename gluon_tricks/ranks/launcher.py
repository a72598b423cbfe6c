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
from gluon_tricks.ranks.failure import TIME, Failure, signed
from gluon_tricks.ranks.hosts import Host, run_there, with_ranks

RESTARTED = "GLUON_TRICKS_RESTARTED"  # in the environment of ranks that were started again: why
_OWN_LOG = "horovodrun.log"
_MARK = "GLUON_TRICKS_LAUNCH"  # in the environment of every rank: which launch it belongs to
_LINE = re.compile(rf"({TIME})\[(\d+)\]<(stdout|stderr)>:(.*)", re.DOTALL)
_EXIT = re.compile(r"Process (\d+) exit with status code (-?\d+)")
# As horovod.mxnet loads its library, which needs MXNet's; the packages themselves would take 20 times as long.
_ASK = """import ctypes, importlib.util, os
from horovod.common import basics, util
package = os.path.join(os.path.dirname(os.path.dirname(basics.__file__)), "mxnet", "__init__.py")
util.check_extension("horovod.mxnet", "HOROVOD_WITH_MXNET", package, "mpi_lib")
mxnet = importlib.util.find_spec("mxnet") or exit("MXNet is not installed")
ctypes.CDLL(os.path.join(os.path.dirname(mxnet.origin), "libmxnet.so"), mode=ctypes.RTLD_GLOBAL)
horovod = basics.HorovodBasics(package, "mpi_lib")
print("Gloo:", horovod.gloo_built(), "MPI:", horovod.mpi_built(), "NCCL:", bool(horovod.nccl_built()))"""
_TAIL_BYTES = 1 << 16
_TAIL = 12  # last lines of the log that are shown of a rank that failed
_SILENT = 10  # seconds without a heartbeat, of which there is one a second, after which a rank counts as silent


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
    folders = [str(pathlib.Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    path = shutil.which("horovodrun", path=os.pathsep.join(folders))
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
        ssh_port: of the hosts.
    """

    def __init__(
        self, command: Sequence[str], ranks: int, hosts: Sequence[Host], logs: pathlib.Path, runner: Sequence[str],
        out: TextIO = sys.stdout, err: TextIO = sys.stderr, more: dict[str, str] | None = None,
        passed: Sequence[str] = (), ssh_port: int | None = None,
    ):  # fmt: skip
        self.logs, self.out, self.err, self.stops = logs, out, err, []  # stops: the signals that were passed on
        self.hosts, self.ssh_port = with_ranks(hosts, ranks), ssh_port
        self.lives, self.stuck = heartbeat.RankMonitor(), ""
        self.mark = uuid.uuid4().hex
        environment = of_ranks(with_cuda_libraries(inherited_environment()), passed)
        words = [*runner, "--gloo", "--disable-cache", "-np", str(ranks)]
        words += ["-H", ",".join(f"{host.name}:{host.slots}" for host in self.hosts), *command]
        with writing(logs):
            logs.mkdir(parents=True, exist_ok=True)
        self._files, self._begins = {}, {}
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
        ends, silent = [], ""
        for line in self.process.stdout:
            found = _LINE.match(line)
            if found is None:
                left = _EXIT.search(line)
                if left:
                    silent = silent if ends else self._silent()
                    ends.append(Failure(int(left[1]), signed(int(left[2])), host=self._host_of(int(left[1]))))
                self._write(_OWN_LOG, line)
                continue
            when, rank, stream, said = found.groups()
            if not self.lives.hear(int(rank), said):
                self._show(int(rank), stream, f"{when} {said}" if when else said)
        code = self.process.wait()
        for file in self._files.values():
            with contextlib.suppress(OSError):
                file.close()
        if self.stuck:
            return Failure(None, code, stuck=self.stuck)
        if code and not ends:
            return Failure(None, code, self._tail(_OWN_LOG))
        ends = [dataclasses.replace(end, tail=self._tail(f"rank.{end.rank}.log")) for end in ends]
        first = min(ends, key=Failure.consequence, default=None)
        return Failure(None, code, stuck=silent) if first and silent and first.consequence() else first

    def has_begun(self) -> bool:
        """Whether any rank has done a step; of a program that does not tell whether one has written a line."""
        return self.lives.has_begun() or (not self.lives.are_told and any(name != _OWN_LOG for name in self._files))

    def _host_of(self, rank: int) -> str:
        """Where a rank runs; "" here."""
        host = [host for host in self.hosts for _ in range(host.slots)][rank]
        return "" if host.is_here else host.name

    def _silent(self) -> str:
        """Which ranks are no longer heard of, in words: of a host that is cut off there is no end to see."""
        words = []
        for rank, (seconds, step) in sorted(self.lives.silent(_SILENT).items()):
            where = f" on {self._host_of(rank)}" if self._host_of(rank) else ""
            words.append(
                f"rank {rank}{where} has given no sign of life for {seconds:.0f} s; the step it last reported: {step}"
            )
        return ", ".join(words)

    def _watch(self, stuck_after: float) -> None:
        while self.process.poll() is None and not self.stuck:
            time.sleep(0.5)
            self.stuck = self.lives.stuck(stuck_after)
        if self.stuck:
            self.process.terminate()

    def stop(self, number: int) -> None:
        """Passes a signal on: to one rank, which makes all of them stop together; when it comes again, to all."""
        self.stops.append(number)
        here = ranks_here(self.mark)
        if len(self.stops) == 1 and not here and not all(host.is_here for host in self.hosts):
            threading.Thread(target=self._stop_elsewhere, args=(number,), daemon=True).start()
            return
        if len(self.stops) > 1 or not here:
            self.process.terminate()  # horovodrun ends every rank, after 5 seconds by force
        for pid in here.values() if len(self.stops) > 1 else list(here.values())[:1]:
            threading.Thread(target=_send, args=(pid, number), daemon=True).start()

    def _stop_elsewhere(self, number: int) -> None:
        """A signal to a rank of another host, or the end where none can be told."""
        code = f"from gluon_tricks.ranks import launcher; launcher.tell({self.mark!r}, {int(number)})"
        for host in self.hosts:
            if not host.is_here and run_there(host.name, self.ssh_port, [sys.executable, "-c", code]):
                return
        self.process.terminate()

    def _show(self, rank: int, stream: str, line: str) -> None:
        self._write(f"rank.{rank}.log", line)
        if rank == 0:
            with contextlib.suppress(OSError):  # a terminal that is gone is no reason to end a job
                print(line.rstrip("\n"), file=self.out if stream == "stdout" else self.err, flush=True)

    def _write(self, name: str, line: str) -> None:
        with contextlib.suppress(OSError):  # nor is a full disk: the ranks find that out by themselves
            if name not in self._files:
                self._files[name] = opened_to_append(self.logs / name)  # closed by wait
                self._begins[name] = os.fstat(self._files[name].fileno()).st_size
            print(line.rstrip("\n"), file=self._files[name], flush=True)

    def _tail(self, name: str) -> tuple[str, ...]:
        """The last lines of a log that were written since this start."""
        with contextlib.suppress(OSError, KeyError):  # KeyError: nothing was written
            with opened(self.logs / name) as file:
                file.seek(max(file.seek(0, os.SEEK_END) - _TAIL_BYTES, self._begins[name]))
                return tuple(file.read(_TAIL_BYTES).decode("utf-8", "replace").splitlines()[-_TAIL:])
        return ()


def _as_a_child() -> None:
    """horovodrun ends with its launcher, however that ends, and leaves SIGUSR1 to the ranks."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def _send(pid: int, number: int) -> None:
    """Signals a process as soon as it does not ignore that, as ranks do SIGUSR1 while Python starts."""
    with contextlib.suppress(OSError):  # it has ended
        while _ignored(pid) >> (number - 1) & 1:
            time.sleep(0.05)
        os.kill(pid, number)


def _ignored(pid: int) -> int:
    """A bit for each signal that a process ignores, the lowest for signal 1."""
    status = pathlib.Path(f"/proc/{pid}/status")
    lines = status.read_text(errors="replace").splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn:"))


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


def tell(mark: str, number: int) -> None:
    """Signals one rank of a launch that runs on this machine; without any the process ends with exit code 1.

    Another machine runs it for `Launch.stop`.
    """
    here = ranks_here(mark)
    if not here:
        sys.exit(1)
    os.kill(min(here.items())[1], number)
