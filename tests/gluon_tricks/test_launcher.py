"""What is checked before ranks are started, and how their ends are named."""

import os
import pathlib
import socket
import subprocess
import sys

import pytest

from gluon_tricks import launcher
from gluon_tricks.launcher import Failure, Host, check_hosts, parse_hosts
from gluon_tricks.runtime import Refused, inherited_environment
from scripts import launch

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_hosts():
    assert parse_hosts(None, 3) == [Host("localhost", 3)]
    assert parse_hosts("node1:4,10.0.0.2:2", 5) == [Host("node1", 4), Host("10.0.0.2", 2)]
    assert Host("localhost", 1).is_here and Host(socket.gethostname(), 1).is_here and not Host("node1", 1).is_here


@pytest.mark.parametrize(
    "text, ranks, said",
    [
        (None, 0, "-np 0: give 1 or more"),
        ("node1", 1, "'node1' is not host:ranks, such as node1:4"),
        ("node1:x", 1, "'node1:x' is not"),
        ("node1:0", 1, "'node1:0' is not"),
        ("node1:2,node1:2", 4, "name each host once"),
        ("node1:2,node2:1", 4, "have places for 3 ranks"),
    ],
)
def test_hosts_that_make_no_sense(text, ranks, said):
    with pytest.raises(Refused, match=said):
        parse_hosts(text, ranks)


@pytest.fixture
def ssh(tmp_path, monkeypatch):
    """An ssh that runs the command here, for the host "near"; "far" does not answer, "bare" has no package."""
    script = tmp_path / "bin" / "ssh"
    script.parent.mkdir()
    script.write_text(
        "#!/bin/sh\n"
        'for word; do last=$word; case "$word" in near|far|bare) host=$word;; esac; done\n'
        'if [ "$host" = far ]; then echo "ssh: connect to host far port 22: No route to host" >&2; exit 255; fi\n'
        'if [ "$host" = bare ]; then echo "ModuleNotFoundError: No module named \'gluon_tricks\'" >&2; exit 1; fi\n'
        'exec sh -c "$last"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")


def test_hosts_are_asked_before_anything_is_started(ssh, monkeypatch):
    monkeypatch.chdir(ROOT)
    script = pathlib.Path("scripts/train_imagenet.py")
    assert check_hosts([Host("localhost", 1), Host("near", 1)], script) == {}
    assert check_hosts([Host("near", 1), Host("far", 1), Host("bare", 1)], script) == {
        "far": "far does not answer ssh without a password (ssh: connect to host far port 22: No route to host)",
        "bare": "bare does not have the same folder, Python and gluon_tricks as here (ModuleNotFoundError: No module "
        "named 'gluon_tricks')",
    }
    (wrong,) = check_hosts([Host("near", 1)], pathlib.Path("scripts/none.py")).values()
    assert wrong.endswith("(no such folder or script there)")


def test_a_restart_takes_the_hosts_that_answer(ssh, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    args = launch.parse(["-np", "5", "--", "scripts/train_imagenet.py"])
    hosts, ranks = launch._those_that_answer([Host("near", 3), Host("far", 2)], args, pathlib.Path(args.command[0]))
    assert (hosts, ranks) == ([Host("near", 3)], 3)
    assert "left out: far does not answer ssh" in capsys.readouterr().err
    with pytest.raises(Refused, match="no host is left"):
        launch._those_that_answer([Host("far", 2)], args, pathlib.Path(args.command[0]))


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


def test_ends_are_named():
    assert str(Failure(2, launcher._signed(256 - 9))) == "rank 2 ended by SIGKILL"
    assert str(Failure(0, launcher._signed(128 + 6))) == "rank 0 ended by SIGABRT"
    assert str(Failure(1, launcher._signed(2))) == "rank 1 ended by exit code 2"
    assert str(Failure(None, 1)) == "horovodrun ended with exit code 1"


def test_the_cause_is_told_from_its_consequences():
    """In any order: a killed rank, one that Horovod shut down in, an aborted one, one that horovodrun ended."""
    shut = Failure(0, 1, ("...", "mxnet.base.MXNetError: Horovod has been shut down. This was caused by ..."))
    killed, aborted, ended = Failure(1, -9), Failure(2, 134), Failure(3, 143)
    for ends in ([shut, aborted, killed, ended], [ended, killed, aborted, shut]):
        assert min(ends, key=Failure.consequence) is killed
    assert min([ended, aborted, shut], key=Failure.consequence) is shut
    assert min([Failure(0, 2), Failure(1, 2)], key=Failure.consequence).rank == 0


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
    code = "from gluon_tricks import runtime; print(runtime.inherited_environment().get('OMP_NUM_THREADS'))"
    bare = {name: value for name, value in inherited_environment().items() if name != "OMP_NUM_THREADS"}
    for more, said in (({}, "None"), ({"OMP_NUM_THREADS": "5"}, "5")):
        done = subprocess.run([sys.executable, "-c", code], env={**bare, **more}, capture_output=True, text=True)
        assert done.stdout.strip() == said
