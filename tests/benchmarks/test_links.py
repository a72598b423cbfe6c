"""Ranks behind a slowed link: what is refused; as root, that the link is slow, the hosts are two, and nothing stays."""

import os
import shutil
import subprocess
import time
import types

import pytest

from benchmarks import links
from gluon_tricks.core.errors import Refused


@pytest.fixture
def no_horovod(monkeypatch):
    monkeypatch.setattr(links.launcher, "horovodrun", lambda: "horovodrun")


def refusal(ranks, gbit=1.0):
    with pytest.raises(Refused) as error:
        with links.slowed(ranks, gbit):
            pass
    return str(error.value)


def test_ranks_that_have_no_halves():
    assert refusal(3) == "--link has half of the ranks at each end, but --ranks is 3: give an even number"


def test_a_system_without_the_tools(monkeypatch):
    monkeypatch.setattr(links.shutil, "which", lambda name: None if name == "tc" else name)
    assert refusal(2) == "--link needs Linux with iproute2 and util-linux, but tc is missing: install it"


def test_another_user(monkeypatch):
    monkeypatch.setattr(links.shutil, "which", lambda name: name)
    monkeypatch.setattr(links.os, "geteuid", lambda: 1000)
    assert refusal(2) == "--link makes network namespaces, which only root may do here: run it as root"


def test_a_kernel_that_cannot(monkeypatch, no_horovod):
    """The first that fails is named; what was made before it is removed."""
    asked = []

    def run(words, **_):
        asked.append(" ".join(words))
        failed = words[:3] == ("ip", "link", "add")
        return types.SimpleNamespace(returncode=2 * failed, stderr="x\nUnknown device type.\n" * failed, stdout="")

    monkeypatch.setattr(links.shutil, "which", lambda name: name)
    monkeypatch.setattr(links.os, "geteuid", lambda: 0)
    monkeypatch.setattr(links.subprocess, "run", run)
    told = refusal(2)
    assert (
        told.startswith("--link cannot make its link here: ip link add slowed") and "says Unknown device type." in told
    )
    assert [each for each in asked if each.startswith("ip netns del")] == [
        f"ip netns del gluon_tricks_{os.getpid()}_{side}" for side in "ba"
    ]


AS_ROOT = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("ip", "tc", "unshare"))), reason="needs root, iproute2, util-linux"
)
SENDS = """
import socket, sys
with socket.create_connection((sys.argv[1], 9000)) as link:
    link.sendall(bytes(3_000_000)); link.shutdown(socket.SHUT_WR); link.recv(1)
"""
TAKES = """
import socket
with socket.create_server(("", 9000)) as server:
    print("ready", flush=True)
    with server.accept()[0] as link:
        while link.recv(65536): pass
"""


@AS_ROOT
def test_two_hosts_with_a_slow_link(no_horovod):
    """3 MB at 0.1 Gbit/s take 0.24 s; all but the quarter of a MB that a bucket holds must wait for their turn."""
    try:
        with links.slowed(4, 0.1) as place:
            inside, environment = place.runner[: place.runner.index("horovodrun")], {**os.environ, **place.environment}
            assert [(host.name, host.slots) for host in place.hosts] == [("10.213.77.1", 2), ("10.213.77.2", 2)]
            ssh = ["ssh", "-o", "A=no", "10.213.77.2", "-o", "ConnectTimeout=10"]

            def output(*words):
                return subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout.strip()

            name = "cat /proc/sys/kernel/hostname"
            assert output(*inside, *name.split()) == "10.213.77.1" and output(*ssh, name) == "10.213.77.2"
            taker = subprocess.Popen([*ssh, f"exec python3 -c '{TAKES}'"], env=environment, stdout=subprocess.PIPE)
            assert taker.stdout.readline() == b"ready\n"
            started = time.monotonic()
            output(*inside, "python3", "-c", SENDS, "10.213.77.2")
            assert time.monotonic() - started > 0.21
            left = subprocess.Popen([*ssh, "echo begun; exec sleep 600"], env=environment, stdout=subprocess.PIPE)
            assert left.stdout.readline() == b"begun\n"
    except Refused as error:
        pytest.skip(str(error))  # root of a container
    assert left.wait(10) == -9 and taker.wait(10) in (0, -9)
    assert "gluon_tricks_" not in subprocess.run(["ip", "netns"], capture_output=True, text=True).stdout
