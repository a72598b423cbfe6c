"""The machines that ranks are to run on: named, counted, and asked whether they are ready."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence

import gluon_tricks
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import plural, printable, quoted, shortened

_NOT_PLAIN = re.compile("[ \t\n\"'\\\\$`&|;<>()]")
_HOST = re.compile("[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")


@dataclasses.dataclass(frozen=True)
class Host:
    """A machine and how many ranks it takes."""

    name: str
    slots: int

    @property
    def is_here(self) -> bool:
        return self.name in ("localhost", "127.0.0.1", socket.gethostname(), socket.getfqdn())


def parse_hosts(text: str | None, ranks: int) -> list[Host]:
    """The hosts of "host1:4,host2:4"; without any, this machine.

    Raises:
        Refused: another form, a host twice, or places for fewer ranks.
    """
    if ranks < 1:
        raise Refused(f"-np {ranks}: give 1 or more ranks")
    if not text:
        return [Host("localhost", ranks)]
    hosts = []
    for part in text.split(","):
        name, _, slots = part.strip().rpartition(":")
        if not name or not re.fullmatch("0*[1-9][0-9]{0,4}", slots):
            raise Refused(f"-H {shortened(text, 80)}: {quoted(part)} is not host:ranks, such as node1:4")
        if not _HOST.fullmatch(name):  # "-o..." would be an option of ssh
            raise Refused(f"-H: {quoted(name)} is no name or address of a host: letters, digits, dots, - and _ inside")
        hosts.append(Host(name, int(slots)))
    if len({host.name for host in hosts}) < len(hosts):
        raise Refused(f"-H {shortened(text, 80)}: name each host once")
    places = sum(host.slots for host in hosts)
    if places < ranks:
        raise Refused(f"-np {ranks}: the hosts of -H have places for {plural(places, 'rank')}")
    return hosts


def with_ranks(hosts: Sequence[Host], ranks: int) -> list[Host]:
    """The first hosts, with no more places than there are ranks: Horovod starts one in every place."""
    taken = []
    for host in hosts:
        here = min(host.slots, ranks - sum(other.slots for other in taken))
        if here:
            taken.append(Host(host.name, here))
    return taken


def require_plain_folder(hosts: Sequence[Host]) -> None:
    """Refuses a folder whose path a shell takes for another: Horovod gives it to those of other hosts unquoted."""
    if _NOT_PLAIN.search(os.getcwd()) and any(_is_elsewhere_to_horovod(host.name) for host in hosts):
        raise Refused(
            f"the folder {printable(os.getcwd())} has a character by which Horovod does not find it on other hosts: "
            "start from one whose path has no spaces, quotes, or others of a shell's"
        )


def check_hosts(hosts: Sequence[Host], script: pathlib.Path | None, ssh_port: int | None = None) -> dict[str, str]:
    """Host -> what is wrong with it: it must answer, have the same Python, package and script, and its own name, which
    leads to an address that the others reach.

    Args:
        script: a file that the ranks run, if they run one.
    """
    test = f"from gluon_tricks import __version__; assert __version__ == {gluon_tricks.__version__!r}; "
    test += "from gluon_tricks.ranks import hosts; print(*hosts.identity())"
    words = f"cd {shlex.quote(os.getcwd())}" + (f" && test -f {shlex.quote(str(script))}" if script else "")
    words += f" && {shlex.quote(sys.executable)} -c {shlex.quote(test)}"
    wrong, named = {}, {}  # named: host name -> who has it, of -H, and which machine that is
    addresses = {}  # host -> which machine that is, and the address that the machine's name leads to there
    for host in hosts:
        by_ssh = not host.is_here or _is_elsewhere_to_horovod(host.name)
        who, problem = _ask(host.name, ssh_port, words) if by_ssh else (" ".join(identity()), "")
        if problem and host.is_here:
            problem += (
                f": Horovod asks for ssh, as the name {host.name} leads to no address of this machine's interfaces; "
                "correct /etc/hosts, or name it localhost"
            )
        if not problem:
            name, address, machine = [*who.split(" ", 2), "", ""][:3]
            addresses[host.name] = machine, address
            other, its = named.setdefault(name, (host.name, machine))
            problem = its != machine and (
                f"{other} and {host.name} are two machines with one host name, {name}, by which Horovod takes them for "
                "one (sudo hostnamectl set-hostname NAME gives another)"
            )
        if problem:
            wrong[host.name] = problem
    return _unreachable(addresses) | wrong


def _is_elsewhere_to_horovod(name: str) -> bool:
    """Whether Horovod starts the ranks of a host by ssh, as Debian's 127.0.1.1 makes it do on this machine."""
    try:
        address = socket.gethostbyname(name)
    except OSError:
        return True
    if address == "127.0.0.1":
        return False
    import psutil  # which Horovod needs, and nothing else here

    interfaces = psutil.net_if_addrs().values()
    return address not in {found.address for addresses in interfaces for found in addresses}


def _unreachable(addresses: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Host -> that its machine's own name leads to itself alone, where another is to connect to it.

    Of two ranks that of the higher address connects, whatever network interface is chosen.
    """
    wrong = {}
    for name, (machine, address) in addresses.items():
        others = [_packed(other) for its, other in addresses.values() if its != machine]
        if address.startswith("127.") and any(other >= _packed(address) for other in others):
            wrong[name] = (
                f"the host name of {name} leads to {address} there, where no other machine reaches it (in /etc/hosts "
                "give it the machine's address in the network)"
            )
    return wrong


def _packed(address: str) -> bytes:
    """By which addresses are compared; b"" of what is none, as where a login says more than it was asked."""
    try:
        return socket.inet_aton(address)
    except OSError:
        return b""


def run_there(name: str, ssh_port: int | None, words: Sequence[str]) -> bool:
    """Whether a command on another machine, in the folder of this process, ends well."""
    line = f"cd {shlex.quote(os.getcwd())} && {shlex.join(words)}"
    try:
        done = subprocess.run(_ssh(name, ssh_port, line), capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def has_file(host: Host, ssh_port: int | None, path: pathlib.Path) -> bool:
    """Whether a host has a file; a relative path begins at the folder of this process."""
    return path.exists() if host.is_here else run_there(host.name, ssh_port, ["test", "-e", str(path)])


def _ssh(name: str, ssh_port: int | None, line: str) -> list[str]:
    port = ["-p", str(ssh_port)] if ssh_port else []
    return ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", *port, name, line]


def _ask(name: str, ssh_port: int | None, line: str) -> tuple[str, str]:
    """The last line that a command prints on another machine, or what is wrong with it."""
    ssh = _ssh(name, ssh_port, line)
    try:
        done = subprocess.run(ssh, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    except subprocess.TimeoutExpired:
        return "", f"{name} did not answer over ssh within 60 s"
    said = (done.stderr.strip().splitlines() or ["no such folder or script there"])[-1]
    if done.returncode == 255 and "HOST IDENTIFICATION HAS CHANGED" in done.stderr:
        return "", f"{name} has another host key than ssh knows it by, so it may be another machine ({said})"
    if done.returncode == 255 and "Host key verification failed" in said:
        return "", f"ssh does not know the host key of {name} yet ({said}): log in there once by hand"
    if done.returncode == 255:
        return "", f"{name} does not answer ssh without a password ({said})"
    if done.returncode:
        return "", f"{name} does not have the same folder, Python and gluon_tricks as here ({said})"
    return (done.stdout.strip().splitlines() or [""])[-1], ""


def identity() -> tuple[str, str, str, str]:
    """This machine's host name and the address it leads to; and its boot and network, which no other machine has."""
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
    except OSError:
        address = "none"
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return name, address, boot, os.readlink("/proc/self/ns/net")
