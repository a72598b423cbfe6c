"""Trainings by mpirun and by Slurm on two hosts of one machine, for results/mpi and results/slurm. By hand, as root:

    apt-get install g++ libopenmpi-dev openmpi-bin slurmctld slurmd slurm-client munge openssh-server iproute2
    make HOROVOD=mpi venv
    .venv/bin/python -m tests.hosts.mpi_and_slurm mpi results/mpi/mpirun.json
    .venv/bin/python -m tests.hosts.mpi_and_slurm slurm results/slurm/preempted.json

Each job trains the same recipe, and is compared with launch.py's on one host by the bytes of final.params. The batch
script is that of docs/multi_node.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence

from gluon_tricks.core.commit import commit
from gluon_tricks.core.files import write_text
from gluon_tricks.ranks import launcher

from .network import ROOT, Host, Network

RECIPE = (
    "--recipe shapes --set data=few_shapes --model cifar_resnet20_v1 --input-size 32 --num-epochs 6 "
    "--batch-size 16 -j 1 --log-interval 5 --dtype float32"
).split()
RECORDS = "--rec-train /data/train.rec --rec-val /data/val.rec"
SCRIPT = "scripts/train_imagenet.py"
# Two numbers added in any order are one sum, so two ranks end alike. What chooses OpenBLAS's code must be equal, too.
PASSED = ("OMP_NUM_THREADS", "GLUON_TRICKS_CACHE", *sorted(name for name in os.environ if name.startswith("OPENBLAS_")))
SLURM = """
ClusterName=two
SlurmctldHost=host1
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmUser=root
FirstJobId={first}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
NodeName=host[1-2] CPUs=1
PartitionName=low Nodes=host[1-2] Default=YES PriorityTier=1 GraceTime=60
PartitionName=high Nodes=host[1-2] PriorityTier=2 PreemptMode=OFF
"""


class Runs:
    """Jobs on two hosts, and what is told of them.

    Args:
        folder: an empty one, for all they write.
    """

    def __init__(self, folder: pathlib.Path, hosts: Sequence[Host]):
        self.folder, self.hosts, self.told, self.first = folder, hosts, [], hosts[0]
        (folder / "runs").mkdir()

    def run_dir(self, name: str) -> pathlib.Path:
        return self.folder / "runs" / name

    def start(self, words: Sequence[object]) -> subprocess.Popen:
        return self.first.start(words, stderr=subprocess.STDOUT)

    def tell(self, what: str, words: Sequence[object], code: int, said: str, run: pathlib.Path, lines: int = 5) -> str:
        """Adds a job to what is told; returns the digest of its final.params, "" if it has none."""
        final = run / "final.params"
        digest = hashlib.sha256(final.read_bytes()).hexdigest() if final.exists() else ""
        row = {"what": what, "command": self._short(shlex.join(map(str, words))), "exit_code": code}
        told = [line for line in self._short(said).splitlines() if not re.match("epoch .*  step |-*$", line)]
        ours = [line for line in told[:-lines] if re.match("stopped |going on ", line)]
        row["said"] = ours + told[-lines:]
        row["final_params_sha256"] = digest
        self.told.append(row)
        print(f"{what}: exit code {code}, final.params {digest[:16] or 'none'}", flush=True)
        return digest

    def _short(self, text: str) -> str:
        return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*", "TIME", text.replace(str(self.folder), "FOLDER")
                      .replace(sys.executable, ".venv/bin/python").replace(str(ROOT), "."))  # fmt: skip

    def training(
        self, what: str, name: str, front: Sequence[str], more: Sequence[str] = (), act: Callable = None
    ) -> str:
        """A job started by `front`, to its end; `act` is given the process once it is in its second epoch."""
        run = self.run_dir(name)
        words = [*front, sys.executable, SCRIPT] if front[0] == "mpirun" else [*front, SCRIPT]
        words += [*RECIPE, "--save-dir", run, *more]
        process = self.start(words)
        if act:
            wait_for(lambda: len(_rows(run / "steps.csv")) > 26, process)
            act(process)
        said = process.communicate(timeout=600)[0]
        return self.tell(what, words, process.returncode, said, run)

    def write(self, path: pathlib.Path, what: str, versions: dict[str, str]) -> None:
        packages = {name: importlib.metadata.version(name) for name in ("mxnet", "horovod", "numpy")}
        told = {
            "what": what,
            "commit": commit(),
            "machine": f"{platform.platform()}, {os.cpu_count()} cores; hosts are namespaces of it (network.py)",
            "versions": {**versions, **packages, "python": platform.python_version()},
            "horovod_with": launcher.built_with(),
            "jobs": self.told,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(told, indent=1) + "\n")


def _rows(path: pathlib.Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def wait_for(condition: Callable[[], object], process: subprocess.Popen | None = None, seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until or process and process.poll() is not None:
            raise RuntimeError(process.communicate()[0] if process and process.poll() is not None else "nothing came")
        time.sleep(0.05)


def launched(ranks: int, logs: pathlib.Path) -> list[str]:
    return [sys.executable, "scripts/launch.py", "-np", str(ranks), "--logs", str(logs), "--"]


def by_mpi(hosts: str, ranks: int = 2) -> list[str]:
    words = ["mpirun", "--allow-run-as-root", "-np", str(ranks), "-H", hosts, "-bind-to", "none", "-map-by", "slot"]
    return words + [word for name in PASSED for word in ("-x", name)]


def mpi(runs: Runs, network: Network) -> None:
    """One host and two; signals to mpirun and to a rank; three ranks."""
    logs, two, again = runs.folder / "logs", "host1:1,host2:1", ("--resume", "auto")
    runs.training("launch.py, two ranks on one host", "launch", launched(2, logs))
    runs.training("mpirun, two ranks on one host", "one-host", by_mpi("host1:2"))
    runs.training("mpirun, two hosts", "two-hosts", by_mpi(two))
    runs.training("launch.py, three ranks on one host", "launch3", launched(3, logs), ("--set", "batch_size=48"))
    runs.training("mpirun, three ranks on one host", "mpi3", by_mpi("host1:3", 3), ("--set", "batch_size=48"))
    kill = {number: lambda job, number=number: network.tell(job, number) for number in (signal.SIGUSR1, signal.SIGTERM)}

    def lose_a_rank(job: subprocess.Popen) -> None:
        for pid in hosts_ranks(runs.hosts[1]):
            os.kill(pid, signal.SIGKILL)

    for name, what, act in (
        ("usr1", "SIGUSR1 to mpirun", kill[signal.SIGUSR1]),
        ("term", "SIGTERM to mpirun", kill[signal.SIGTERM]),
        ("lost", "SIGKILL to the rank on the second host", lose_a_rank),
    ):
        runs.training(f"mpirun, two hosts; {what}", name, by_mpi(two), act=act)
        runs.training(f"the same, with --resume auto after {what}", name, by_mpi(two), again)


def hosts_ranks(host: Host) -> Iterator[int]:
    for pid in host.processes(SCRIPT):
        with contextlib.suppress(OSError):
            if b"OMPI_COMM_WORLD_RANK=" in pathlib.Path(f"/proc/{pid}/environ").read_bytes():
                yield pid


def batch_script(folder: pathlib.Path, name: str) -> pathlib.Path:
    """The batch script of docs/multi_node.md whose job has this name, with the recipe for its records and two ranks."""
    texts = re.findall(r"```\n(#!/bin/sh\n.*?)```", (ROOT / "docs" / "multi_node.md").read_text(), re.DOTALL)
    (text,) = (text for text in texts if f"--job-name={name} " in text)
    path = folder / f"{name}.sbatch"
    path.write_text(text.replace(RECORDS, shlex.join(RECIPE)).replace("-np 8", "-np 2"))
    return path


@contextlib.contextmanager
def slurm_cluster(folder: pathlib.Path, hosts: Sequence[Host]) -> Iterator[None]:
    """munged and slurmctld on the first host, a slurmd on each."""
    for name in ("state", *(host.name for host in hosts)):
        (folder / name).mkdir(exist_ok=True)
    (folder / "slurm.conf").write_text(SLURM.format(folder=folder, first=int(time.time()) % 10**7 * 5))
    (folder / "munge.key").touch(0o600)
    (folder / "munge.key").write_bytes(secrets.token_bytes(128))
    files = {"key": "key", "pid": "pid", "seed": "seed", "log": "log"}
    munge = [f"--{name}-file={folder}/munge.{end}" for name, end in files.items()]
    services = [hosts[0].start(["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *munge])]
    try:
        wait_for((folder / "munge.socket").exists, seconds=10)
        services.append(hosts[0].start(["slurmctld", "-D"]))
        services += [host.start(["slurmd", "-D", "-N", host.name]) for host in hosts]
        wait_for(lambda: hosts[0].run(["sinfo", "-h", "-t", "idle", "-p", "low", "-o", "%D"]).stdout.strip() == "2")
        yield
    finally:
        for service in services:
            service.kill()


class Queue:
    """Jobs of Slurm, submitted on the first host."""

    def __init__(self, runs: Runs):
        self.runs, self.host = runs, runs.first

    def submit(self, *words: object) -> str:
        done = self.host.run(["sbatch", "--parsable", f"--output={self.runs.folder}/%j.log", *words])
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    def log(self, job: str) -> str:
        path = self.runs.folder / f"{job}.log"
        return path.read_text() if path.exists() else ""

    def state(self, job: str, field: str = "JobState") -> str:
        said = self.host.run(["scontrol", "show", "job", job]).stdout
        return (re.findall(rf"\b{field}=(\S+)", said) or [""])[0]

    def train(
        self, what: str, flags: Sequence[str] = (), act: Callable[[str], None] | None = None, script: str = "train"
    ) -> None:
        """A job of a batch script, to its end; `act` is given its number once it is in its second epoch."""
        words = ["--ntasks-per-node=1", "--cpus-per-task=1", *flags, batch_script(self.runs.folder, script)]
        job = self.submit(*words)
        run = ROOT / "runs" / f"job-{job}"  # as the batch script says
        if run.exists():
            raise RuntimeError(f"{run} is there already")
        if act:
            wait_for(lambda: len(_rows(run / "steps.csv")) > 26)
            act(job)
        wait_for(lambda: self.state(job) in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "PREEMPTED"), seconds=900)
        code = int(self.state(job, "ExitCode").partition(":")[0])
        what = f"{what} ({self.state(job)}, requeued {self.state(job, 'Restarts')} times)"
        self.runs.tell(what, ["sbatch", *words], code, self.log(job), run, lines=60)
        shutil.rmtree(run)
        shutil.rmtree(f"{run}.logs", ignore_errors=True)


def slurm(runs: Runs, network: Network) -> None:
    """The batch script alone; preempted; longer than its time limit; that of launch.py, preempted."""
    runs.training("launch.py, two ranks on one host", "launch", launched(2, runs.folder / "logs"))
    with slurm_cluster(runs.folder, runs.hosts):
        queue = Queue(runs)
        urgent = ["--partition=high", "--nodes=2", "--ntasks-per-node=1", "--wrap", "srun hostname; sleep 5"]
        queue.train("sbatch, two hosts")
        queue.train("the same, preempted by a job of a higher partition", act=lambda job: queue.submit(*urgent))
        queue.train("the same, with a time limit that it exceeds", ["--time=1", "--signal=USR1@25"])
        queue.train("launch.py from a batch script, preempted", act=lambda job: queue.submit(*urgent), script="launch")
    shown = [
        line
        for line in (runs.folder / "slurmctld.log").read_text().splitlines()
        if "equeu" in line or "Allocate" in line
    ]
    runs.told.append({"what": "slurmctld's log", "said": [re.sub(r"^\[.*?\] ", "", line) for line in shown]})
    runs.told.append({"what": "slurm.conf", "said": SLURM.strip().splitlines()})


def _said(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True).stdout.splitlines()[0]


def main(kind: str, out: str) -> None:
    if "MPI" not in launcher.built_with():
        sys.exit("this Horovod was built without MPI: make HOROVOD=mpi venv builds another")
    with tempfile.TemporaryDirectory(prefix="mpi-", dir=ROOT.parent) as name:  # each host has a /tmp of its own
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        os.environ.update(OMP_NUM_THREADS="1", GLUON_TRICKS_CACHE=f"{folder}/cache", SLURM_CONF=f"{folder}/slurm.conf")
        (folder / "net").mkdir()
        with Network(folder / "net", hosts=2) as network:
            for host in network.hosts:
                host.mount("-t", "tmpfs", "tmpfs", "/tmp")
            runs = Runs(folder, network.hosts)
            if kind == "mpi":
                mpi(runs, network)
                versions = {"mpirun": _said("mpirun", "--version")}
            else:
                slurm(runs, network)
                versions = {"slurm": _said("slurmd", "-V"), "mpi": _said("mpirun", "--version")}
            runs.write(pathlib.Path(out), mpi.__doc__ if kind == "mpi" else slurm.__doc__, versions)


if __name__ == "__main__":
    main(*sys.argv[1:])
