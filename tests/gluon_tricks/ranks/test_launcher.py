"""What is checked before ranks are started, and how their ends are named."""

import io
import pathlib
import signal
import subprocess
import sys

import pytest

from gluon_tricks.core.environment import inherited_environment
from gluon_tricks.core.errors import Refused
from gluon_tricks.ranks import launcher
from gluon_tricks.ranks.failure import Failure, signed
from gluon_tricks.ranks.hosts import Host

ROOT = pathlib.Path(__file__).resolve().parents[3]


def test_a_horovod_without_gloo_is_refused(tmp_path, monkeypatch):
    fake = tmp_path / "horovodrun"
    python = tmp_path / "python"
    for words, part in (("echo Gloo: False", "Gloo"), ("echo ImportError: MXNet >&2; exit 1", "MXNet")):
        for path in (fake, python):
            path.write_text(f"#!/bin/sh\n{words}\n")
            path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(python))
        with pytest.raises(Refused, match=f"was built without {part} "):
            launcher.horovodrun()
    fake.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match="there is no horovodrun beside this Python"):
        launcher.horovodrun()
    monkeypatch.delenv("PATH")  # as by env -i
    with pytest.raises(Refused, match="there is no horovodrun beside this Python"):
        launcher.horovodrun()


@pytest.mark.parametrize(
    "said, built",
    [
        ("Gloo: True MPI: False NCCL: False", ["Gloo"]),
        ("Gloo: True MPI: True NCCL: False", ["Gloo", "MPI"]),
        ("Gloo: True MPI: False NCCL: True", ["Gloo", "NCCL"]),
    ],
)
def test_what_a_horovod_was_built_with(tmp_path, monkeypatch, said, built):
    for name, words in (("horovodrun", "exit 1"), ("python", f"echo {said}")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{words}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert launcher.built_with() == built
    assert launcher.horovodrun() == str(tmp_path / "horovodrun")


def test_horovodrun_finds_the_cuda_libraries_of_wheels(tmp_path, monkeypatch):
    """It imports MXNet without gluon_tricks, which loads them; and so do all that it starts on other hosts."""
    for package, library in (("cudnn", "libcudnn.so.8"), ("nccl", "libnccl.so.2"), ("nccl", "libnccl.so.3")):
        folder = tmp_path / "nvidia" / package / "lib"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / library).touch()
    for name, words in (("horovodrun", "echo $LD_LIBRARY_PATH"), ("python", 'echo "Gloo: True NCCL: True"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{words}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setenv("LD_LIBRARY_PATH", "/mine")

    def seen():
        job = launcher.Launch([], 1, [Host("localhost", 1)], tmp_path / "logs", [launcher.horovodrun()])
        assert job.wait() is None
        return (tmp_path / "logs" / "horovodrun.log").read_text().splitlines()[-1]

    assert seen() == "/mine"  # MXNet's CPU build needs none
    monkeypatch.setattr("importlib.metadata.version", {"mxnet-cu117": "1.9.1"}.__getitem__)
    assert seen() == f"/mine:{tmp_path}/nvidia/cudnn/lib:{tmp_path}/nvidia/nccl/lib"


def test_a_signal_waits_until_it_is_not_ignored():
    """A rank inherits SIGUSR1 ignored; Python then takes a moment to start."""
    code = "import signal, sys, time; signal.signal(signal.SIGUSR1, signal.SIG_IGN); print('ready', flush=True); "
    code += "time.sleep(0.5); signal.signal(signal.SIGUSR1, lambda *_: sys.exit(7)); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        launcher._send(process.pid, signal.SIGUSR1)
        assert process.wait(timeout=30) == 7
    launcher._send(process.pid, signal.SIGUSR1)  # it has ended: nothing happens


def test_lines_that_begin_with_their_time(tmp_path):
    """By --horovodrun=--prefix-output-with-timestamp: heartbeats are heard, and rank 1's log has its lines."""
    when = "Sun Nov  9 02:05:33 2026"
    runner = tmp_path / "runner"
    runner.write_text(
        f"#!/bin/sh\necho '{when}[1]<stderr>:gluon_tricks heartbeat: 7 7 0'\n"
        f"echo '{when}[0]<stdout>:epoch 1'\necho '{when}[1]<stderr>:stopped: no [2]<stdout>: here'\n"
        "echo 'Process 1 exit with status code 1.'\nexit 1\n"
    )
    runner.chmod(0o700)
    out = io.StringIO()
    job = launcher.Launch(["x"], 2, [Host("localhost", 2)], tmp_path / "logs", [str(runner)], out=out)
    failure = job.wait()
    assert job.lives.has_begun() and out.getvalue() == f"{when} epoch 1\n"
    assert failure.tail == (f"{when} stopped: no [2]<stdout>: here",) and not failure.is_loss()
    assert Failure(1, 1, ("it has stopped: here",)).is_loss()


@pytest.mark.parametrize("line, begun", [("[0]<stdout>:hello", True), ("starting", False)])
def test_a_program_without_heartbeats_has_begun_when_it_writes(tmp_path, line, begun):
    runner = tmp_path / "runner"
    runner.write_text(f"#!/bin/sh\necho '{line}'\n")
    runner.chmod(0o700)
    job = launcher.Launch(["x"], 1, [Host("localhost", 1)], tmp_path / "logs", [str(runner)], out=io.StringIO())
    assert job.wait() is None and job.has_begun() == begun


def test_ends_are_named():
    assert str(Failure(2, signed(256 - 9))) == "rank 2 ended by SIGKILL"
    assert str(Failure(0, signed(128 + 6))) == "rank 0 ended by SIGABRT"
    assert str(Failure(1, signed(2))) == "rank 1 ended by exit code 2"
    assert str(Failure(None, 1)) == "horovodrun ended with exit code 1"
    assert str(Failure(3, signed(128 + 9), host="b")) == "rank 3 on b ended by SIGKILL"
    assert str(Failure(3, signed(255), host="b")) == "rank 3 on b was lost: its ssh connection has ended"
    assert str(Failure(3, signed(128 + 1))) == "rank 3 ended by SIGHUP"
    assert str(Failure(3, signed(-1 & 255))) == "rank 3 ended by exit code 255"
    assert str(Failure(3, signed(256 - 17))) == "rank 3 ended by exit code 239", "SIGCHLD ends nothing"
    assert str(Failure(3, signed(128 + 28))) == "rank 3 ended by exit code 156", "nor SIGWINCH"


def test_the_cause_is_told_from_its_consequences():
    """In any order: a killed rank, one that Horovod shut down in, an aborted one, one that horovodrun ended."""
    shut = Failure(0, 1, ("...", "mxnet.base.MXNetError: Horovod has been shut down. This was caused by ..."))
    killed, aborted, ended = Failure(1, -9), Failure(2, 134), Failure(3, 143)
    for ends in ([shut, aborted, killed, ended], [ended, killed, aborted, shut]):
        assert min(ends, key=Failure.consequence) is killed
    assert min([ended, aborted, shut], key=Failure.consequence) is shut
    assert min([Failure(0, 2), Failure(1, 2)], key=Failure.consequence).rank == 0


def test_what_ssh_lost_is_a_cause_unless_there_is_another():
    """Exit code 255: a host that went away, or a rank that horovodrun ended by ending its ssh."""
    said = "another rank has ended, so this one cannot go on"
    lost, shut, killed = Failure(1, 255, host="b"), Failure(0, 1, (said,)), Failure(2, -9, host="c")
    assert min([shut, lost], key=Failure.consequence) is lost
    assert min([lost, shut, killed], key=Failure.consequence) is killed
    assert min([Failure(3, 255, (said,), host="d"), lost], key=Failure.consequence) is lost
    assert [end.consequence() for end in (killed, lost, shut)] == [0, 1, 2]


def run(*words):
    return subprocess.run([sys.executable, "scripts/launch.py", *words], capture_output=True, text=True, cwd=ROOT)


def test_bad_command_lines():
    for words, said in (
        (("-np", "2", "--", "scripts/none.py"), "refused: there is no script scripts/none.py"),
        (("-np", "9", "-H", "a:2", "--", "scripts/train_imagenet.py"), "refused: -np 9: the hosts of -H have places"),
    ):
        done = run(*words)
        assert done.returncode == 2 and done.stderr.startswith(said)


def test_ranks_choose_their_own_threads():
    """What the package sets for one process of the whole machine is not handed on; what the user sets is."""
    code = (
        "from gluon_tricks.core import environment; print(environment.inherited_environment().get('OMP_NUM_THREADS'))"
    )
    bare = {name: value for name, value in inherited_environment().items() if name != "OMP_NUM_THREADS"}
    for more, said in (({}, "None"), ({"OMP_NUM_THREADS": "5"}, "5")):
        done = subprocess.run([sys.executable, "-c", code], env={**bare, **more}, capture_output=True, text=True)
        assert done.stdout.strip() == said
