"""The hosts of a launch: how they are named, and what is found out about them before anything is started."""

import os
import pathlib
import socket
import types

import pytest

from gluon_tricks.cli import launch
from gluon_tricks.core.errors import Refused
from gluon_tricks.ranks import hosts
from gluon_tricks.ranks.failure import Failure
from gluon_tricks.ranks.hosts import Host, check_hosts, parse_hosts

ROOT = pathlib.Path(__file__).resolve().parents[3]


def test_words_for_horovodrun_with_half_a_quotation(capsys):
    assert launch.main(["-np", "1", "--horovodrun", "'--verbose", "--", __file__]) == 2
    assert capsys.readouterr().err == 'refused: --horovodrun "\'--verbose": No closing quotation\n'


@pytest.mark.parametrize(
    "words, run, resumed",
    [
        ("--save-dir RUN --lr 0.1", "RUN", None),
        ("--save-dir=RUN --resume=auto", "RUN", "auto"),
        ("--save-d RUN --resume auto", "RUN", "auto"),
        ("--save-di=a=b --resume-params x", "a=b", None),
        ("--save-dir a --save-dir RUN", "RUN", None),
        ("--save-frequency 3 --save-plot-dir x --seed 5", None, None),
        ("--resume --save-dir", "", "--save-dir"),
    ],
)
def test_flags_of_the_job(words, run, resumed):
    """Both spellings, and the beginning of a name that is no other's."""
    assert launch.value_of("--save-dir", words.split()) == run
    assert launch.value_of("--resume", words.split()) == resumed


@pytest.mark.parametrize("said", [["--save-dir=RUN"], ["--save-d", "RUN", "--resume=auto"]])
def test_a_lost_job_is_started_again_with_its_own_flags(said, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    jobs = []

    class Job:
        stops, lives, stop = (), types.SimpleNamespace(has_begun=lambda: True), print

        def __init__(self, command, *rest, **named):
            jobs.append([*command])

        def wait(self, stuck_after):
            return Failure(0, -9) if len(jobs) == 1 else None

    monkeypatch.setattr(launch.launcher, "horovodrun", lambda: "horovodrun")
    monkeypatch.setattr(launch.launcher, "Launch", Job)
    assert launch.main(["-np", "1", "--max-restarts", "1", "--", "gluon-tricks", "train", *said]) == 0
    first, again = (job[job.index(said[0]) :] for job in jobs)
    assert first == said and again == [*said, *([] if "--resume=auto" in said else ["--resume", "auto"])]


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
        ("-oProxyCommand=touch x:2", 1, "'-oProxyCommand=touch x' is no name or address of a host"),
        ("--:2", 1, "'--' is no name"),
        (".node:2", 1, "'.node' is no name"),
        ("node;reboot:2", 1, "'node;reboot' is no name"),
        ("$(x):2", 1, r"'\$\(x\)' is no name"),
        ("root@node1:2", 1, "'root@node1' is no name"),
        ("n\u00f6de:2", 1, "is no name"),
        ("node1:\u00b2", 1, "is not host:ranks"),
        ("node1:" + "9" * 5000, 1, "is not host:ranks"),
        ("node1:2,node1:2", 4, "name each host once"),
        ("node1:2,node2:1", 4, "have places for 3 ranks"),
    ],
)
def test_hosts_that_make_no_sense(text, ranks, said):
    with pytest.raises(Refused, match=said):
        parse_hosts(text, ranks)


@pytest.fixture
def ssh(tmp_path, monkeypatch):
    """An ssh that runs the command here, for the host "near"; "far" does not answer, "bare" has no package; "twin" has
    the name of this machine."""
    script = tmp_path / "bin" / "ssh"
    script.parent.mkdir()
    script.write_text(
        "#!/bin/sh\n"
        'for word; do last=$word; case "$word" in near|far|bare|twin) host=$word;; esac; done\n'
        'if [ "$host" = far ]; then echo "ssh: connect to host far port 22: No route to host" >&2; exit 255; fi\n'
        'if [ "$host" = bare ]; then echo "ModuleNotFoundError: No module named \'gluon_tricks\'" >&2; exit 1; fi\n'
        'if [ "$host" = twin ]; then echo "$(hostname) 10.0.0.9 another-boot net:[1]"; exit; fi\n'
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


def test_two_machines_of_one_name(ssh, monkeypatch, capsys):
    """Gloo would end in "Connection refused"; one machine under two names is none of it."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(launch.launcher, "horovodrun", lambda: "horovodrun")
    words = ["scripts/train_imagenet.py", "--no-such-flag"]
    assert launch.main(["-np", "2", "-H", "near:1,twin:1", "--", *words]) == 2
    said = f"near and twin are two machines with one host name, {socket.gethostname()}, by which Horovod"
    err = capsys.readouterr().err
    assert err.startswith(f"refused: {said} takes them for one (sudo ") and err.endswith(
        "or leave the host out of -H\n"
    )
    three = [Host(name, 1) for name in ("localhost", "near", "twin")]
    assert list(check_hosts(three, pathlib.Path(words[0]))) == ["twin"]


@pytest.mark.parametrize(
    "addresses, unreachable",
    [
        (("127.0.1.1", "127.0.1.1"), ["a", "b"]),
        (("127.0.1.1", "192.168.0.2"), ["a"]),
        (("192.168.0.1", "127.0.0.1"), ["b"]),
        (("127.0.1.1", "10.0.0.2"), []),  # the rank of a connects, as tried on two hosts
        (("10.0.0.1", "192.168.0.2"), []),
        (("127.0.1.1", "none"), []),  # whose name leads nowhere
        (("127.0.1.1", ""), []),
    ],
)
def test_addresses_that_no_other_machine_reaches(addresses, unreachable):
    machines = {name: (f"machine {name}", address) for name, address in zip("ab", addresses)}
    wrong = hosts._unreachable(machines)
    assert list(wrong) == unreachable
    for name in wrong:
        assert wrong[name].startswith(f"the host name of {name} leads to 127.0.")
    one = {name: ("machine", "127.0.1.1") for name in "ab"}  # by two names
    assert hosts._unreachable(one) == {}


def test_a_host_here_that_horovod_takes_for_another(ssh, monkeypatch):
    """As by Debian's "127.0.1.1 far" in /etc/hosts: it must answer ssh, as "near" does."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(Host, "is_here", True)
    monkeypatch.setattr(socket, "gethostbyname", lambda name: "127.0.1.1")
    assert check_hosts([Host("near", 2)], None) == {}
    (wrong,) = check_hosts([Host("far", 2)], None).values()
    assert wrong.startswith("far does not answer ssh") and wrong.endswith("/etc/hosts, or name it localhost")
    monkeypatch.setattr(socket, "gethostbyname", lambda name: "127.0.0.1")
    assert check_hosts([Host("far", 2)], None) == {}


def test_no_more_ranks_than_asked_for():
    """Horovod would start one in each place."""
    three = [Host("a", 2), Host("b", 2), Host("c", 1)]
    assert hosts.with_ranks(three, 5) == three
    assert hosts.with_ranks(three, 3) == [Host("a", 2), Host("b", 1)]
    assert hosts.with_ranks(three, 2) == [Host("a", 2)]
    assert hosts.with_ranks(three, 1) == [Host("a", 1)]


@pytest.mark.parametrize("name, refused", [("my runs", True), ("$x", True), ("it's", True), ("Läufe-1.0_b", False)])
def test_a_folder_that_other_hosts_would_not_find(name, refused, monkeypatch, tmp_path, capsys):
    """Horovod's own line is `cd {pwd}`: the ranks there would run in the home folder."""
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    hosts.require_plain_folder([Host("localhost", 2)])
    if not refused:
        return hosts.require_plain_folder([Host("localhost", 1), Host("far", 1)])
    assert launch.main(["-np", "2", "-H", "localhost:1,far:1", "--", "gluon-tricks", "train"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("refused: the folder ") and said.count("\n") == 1 and name.split("'")[0] in said


def test_a_restart_takes_the_hosts_that_answer(ssh, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    args = launch.parse(["-np", "5", "--", "scripts/train_imagenet.py"])
    left, ranks = launch._those_that_answer([Host("near", 3), Host("far", 2)], args, pathlib.Path(args.command[0]))
    assert (left, ranks) == ([Host("near", 3)], 3)
    assert "left out: far does not answer ssh" in capsys.readouterr().err
    with pytest.raises(Refused, match="no host is left"):
        launch._those_that_answer([Host("far", 2)], args, pathlib.Path(args.command[0]))


@pytest.mark.parametrize("said", ["--save-dir=~/RUN", "--save-dir=HOME/RUN"])
def test_a_restart_without_the_first_host_finds_the_run(ssh, said, monkeypatch, tmp_path):
    """Behind = a shell leaves ~ as it is, and to the host it is quoted."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("HOME", str(tmp_path))
    words = ["scripts/train_imagenet.py", said.replace("HOME", str(tmp_path))]
    args = launch.parse(["-np", "2", "-H", "far:1,near:1", "--", *words])
    two, script = parse_hosts(args.hosts, args.ranks), pathlib.Path(words[0])
    with pytest.raises(Refused, match=f"the run {tmp_path}/RUN is on far and not on near, which would be the first"):
        launch._those_that_answer(two, args, script, begun=True)
    (tmp_path / "RUN").mkdir()
    (tmp_path / "RUN" / "recipe.json").touch()
    assert launch._those_that_answer(two, args, script, begun=True) == ([Host("near", 1)], 1)
