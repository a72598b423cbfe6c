"""Where the ranks of a job run: on this machine, or in two network namespaces of it with a slow link between them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import one_line
from gluon_tricks.ranks import launcher
from gluon_tricks.ranks.hosts import Host, parse_hosts

NAME = "slowed"  # of both ends of the link, by which Horovod finds it
ADDRESSES = ("10.213.77.1", "10.213.77.2")  # seen in the two namespaces alone
QUEUE = 0.05  # seconds that a packet may wait for its turn

# Horovod's Gloo looks up the host's own name, whatever --network-interfaces says: in a namespace that is its address.
_NAMED = 'echo "$0" > /proc/sys/kernel/hostname && exec "$@"'
# What horovodrun starts in place of ssh, for the second namespace. Options come before and after the host, and what is
# left is the command.
SSH = """#!/bin/sh
options() {{ while :; do case "$1" in -o|-p|-i) shift 2;; -*) shift;; *) break;; esac; done; left=$#; }}
options "$@"; shift $(($# - left + 1))
options "$@"; shift $(($# - left))
exec {0} sh -c "$*"
"""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a job runs.

    Args:
        runner: horovodrun, and more words for it; hosts: how many ranks where; environment: more variables.
    """

    runner: Sequence[str]
    hosts: Sequence[Host]
    environment: dict[str, str] = dataclasses.field(default_factory=dict)


def here(ranks: int) -> Place:
    """On this machine, over its loopback."""
    return Place([launcher.horovodrun()], parse_hosts(None, ranks))


@contextlib.contextmanager
def slowed(ranks: int, gbit: float) -> Iterator[Place]:
    """Two halves of the ranks, each in a network namespace, joined by a link of so many Gbit/s each way.

    The link is a pair of virtual Ethernet devices with a token bucket (tc tbf) on both ends. Everything is removed at
    the end, and nothing outside the namespaces is touched.

    Raises:
        Refused: the number of ranks is odd, or this system, user or kernel cannot make it.
    """
    _require(ranks)
    names = [f"gluon_tricks_{os.getpid()}_{side}" for side in "ab"]
    with contextlib.ExitStack() as stack:
        for name in names:
            _run("ip", "netns", "add", name)
            stack.callback(_remove, name)
        _join(names, gbit)
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gluon_tricks_link_")))
        ssh = folder / "ssh"
        ssh.write_text(SSH.format(shlex.join(_inside(names[1], ADDRESSES[1]))), encoding="ascii")
        ssh.chmod(0o755)
        runner = [*_inside(names[0], ADDRESSES[0]), launcher.horovodrun(), "--network-interfaces", NAME]
        path = f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        yield Place(runner, [Host(address, ranks // 2) for address in ADDRESSES], {"PATH": path})


def _inside(name: str, address: str) -> list[str]:
    """The words before a command that runs it in a namespace, as a host of that name."""
    return ["ip", "netns", "exec", name, "unshare", "--uts", "sh", "-c", _NAMED, address]


def _require(ranks: int) -> None:
    if ranks % 2:
        raise Refused(f"--link has half of the ranks at each end, but --ranks is {ranks}: give an even number")
    missing = [name for name in ("ip", "tc", "unshare") if shutil.which(name) is None]
    if missing:
        raise Refused(
            f"--link needs Linux with iproute2 and util-linux, but {' and '.join(missing)} is missing: install it"
        )
    if os.geteuid() != 0:
        raise Refused("--link makes network namespaces, which only root may do here: run it as root")


def _join(names: Sequence[str], gbit: float) -> None:
    _run("ip", "link", "add", NAME, "netns", names[0], "type", "veth", "peer", "name", NAME, "netns", names[1])
    burst = max(int(gbit * 1e9 / 8 / 1000), 2**18)  # bytes: of a millisecond, or four packets of 64 KiB
    for name, address in zip(names, ADDRESSES):
        inside = ("ip", "-n", name)
        _run(*inside, "address", "add", f"{address}/24", "dev", NAME)
        _run(*inside, "link", "set", "lo", "up")
        _run(*inside, "link", "set", NAME, "up")
        rate = ("rate", f"{gbit * 1e9:.0f}bit", "burst", f"{burst}b", "latency", f"{1000 * QUEUE:.0f}ms")
        _run("tc", "-n", name, "qdisc", "add", "dev", NAME, "root", "tbf", *rate)


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=60)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise Refused(
            f"--link cannot make its link here: {' '.join(words)} says {one_line(said, 200)}; it needs a kernel with "
            "network namespaces, veth and tbf, and the right to use them"
        )


def _remove(name: str) -> None:
    """A namespace, its end of the link and with it the other, and the processes that a job left in it."""
    left = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, timeout=60).stdout.split()
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=60)
