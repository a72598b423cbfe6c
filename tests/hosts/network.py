"""Hosts of their own on one machine, joined by a bridge: what several machines are to Horovod, ssh and MPI.

By hand, as root, from the repository's folder: a command on the first of two hosts, whose names are host1 and host2,

    python -m tests.hosts.network --hosts 2 -- .venv/bin/python scripts/launch.py -np 2 -H host1:1,host2:1 -- ...
    python -m tests.hosts.network --hosts 2 -- ssh host2 hostname
    python -m tests.hosts.network --hosts 2 --disk /tmp/disk -- bash

and in Python

    with Network(folder, hosts=2) as network:
        one, two = network.hosts
        done = one.run(["mpirun", "-H", "host1,host2", "hostname"])  # subprocess.CompletedProcess
        job = one.start(["sleep", "100"])  # subprocess.Popen
        two.cut()

A host is a process that is init in namespaces of its own: network (an address, 10.77.0.1 and on), host name, mounts,
processes, shared memory. It has an sshd with a key of its own, /etc/hosts with all names, a home for root with a key
that every host takes and the keys of all hosts, and a disk of its own: a tmpfs at the same path on all. All other
files are the machine's: the checkout and its .venv are at the same path on every host.

Nothing of it has a name on the machine or is left there: the namespaces have no other processes than their own, and
the kernel ends these with their init, and init with the process that opened the network, however that ends.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOLS = {"ip": "iproute2", "sshd": "openssh-server", "ssh": "openssh-client", "unshare": "util-linux"}
NAMESPACES = ("--net", "--uts", "--mount", "--pid", "--ipc")

# Of a host; $1 its name, $2 its own files, $3 its disk, $4 the disk's size in MB. Its first line is its process id as
# the machine's other processes see it: /proc is still theirs.
_INIT = """
set -e
read pid rest </proc/self/stat
mount -t proc proc /proc
hostname "$1"
for file in hosts passwd shadow; do mount --bind "$2/$file" "/etc/$file"; done
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/sshd
mount -t tmpfs -o "size=$4m" tmpfs "$3"
ip link set lo up
echo "$pid"
read connected
"$(command -v sshd || echo /usr/sbin/sshd)" -D -f "$2/sshd_config" -E "$2/sshd.log" </dev/null >/dev/null 2>&1 &
echo
while :; do sleep 1000; done
"""
_SWITCH = (
    'read pid rest </proc/self/stat; ip link add bridge type bridge && ip link set bridge up && echo "$pid"; read end'
)
_SSHD = """
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/home/.ssh/authorized_keys
StrictModes no
UsePAM no
PermitRootLogin yes
PidFile none
"""


def missing() -> str:
    """Why there can be no hosts here, or ""."""
    lacking = [package for tool, package in TOOLS.items() if _which(tool) is None]
    if lacking:
        return f"hosts on one machine need {' and '.join(lacking)}: apt-get install {' '.join(lacking)}"
    tried = subprocess.run(["unshare", *NAMESPACES, "--fork", "true"], capture_output=True, text=True)
    return tried.returncode and f"this user cannot make hosts: {tried.stderr.strip()}: be root" or ""


def _which(tool: str) -> str | None:
    return shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _with_its_opener():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _unshared(words: Sequence[str], namespaces: Sequence[str] = NAMESPACES) -> tuple[subprocess.Popen, int]:
    """A process that is init in new namespaces, and its process id here, which its first line says."""
    words = ["unshare", *namespaces, "--fork", "--kill-child", *words]
    opener = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1,
        preexec_fn=_with_its_opener, start_new_session=True,
    )  # fmt: skip
    line = opener.stdout.readline()
    if not line.strip().isdecimal():
        raise RuntimeError(f"{words} did not start: {opener.communicate()[1]}")
    return opener, int(line)


class Host:
    """One of the hosts: see the file's docstring.

    Attributes:
        name: its host name.
        address: in the bridge's network.
        folder: its own files, which no other host uses.
        disk: the place of its disk, as its own processes name it.
        pid: of its init, as processes of the machine see it.
    """

    def __init__(self, network: Network, number: int, name: str):
        self.network, self.number, self.name = network, number, name
        self.address, self.folder = f"10.77.0.{number}", network.folder / f"host{number}"
        self.disk, self.pid, self._opener = network.disk, 0, None

    def _boot(self, size: int) -> None:
        words = ["sh", "-c", _INIT, "init", self.name, self.folder, self.disk, size]
        self._opener, self.pid = _unshared([str(word) for word in words])
        self.network._ip(f"link add port{self.number} type veth peer name eth0 netns {self.pid}")
        self.network._ip(f"link set port{self.number} master bridge up")
        for words in (f"address add {self.address}/24 dev eth0", "link set eth0 up"):
            subprocess.run(["nsenter", "--target", str(self.pid), "--net", "ip", *words.split()], check=True)
        print(file=self._opener.stdin)
        self._opener.stdout.readline()

    def words(self, words: Sequence[object], cwd: pathlib.Path = ROOT) -> list[str]:
        """What runs a command on this host."""
        enter = ["nsenter", "--target", str(self.pid), *NAMESPACES, "sh", "-c", 'cd "$0" && exec "$@"', str(cwd)]
        return [*enter, "env", f"HOME={self.folder / 'home'}", *(str(word) for word in words)]

    def start(self, words: Sequence[object], cwd: pathlib.Path = ROOT, **more) -> subprocess.Popen:
        """A command on this host; it gets signals by `network.tell(process, number)`."""
        more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **more}
        return subprocess.Popen(self.words(words, cwd), **more)

    def run(
        self, words: Sequence[object], cwd: pathlib.Path = ROOT, timeout=300, **more
    ) -> subprocess.CompletedProcess:
        """A command on this host, run to its end."""
        more = {"capture_output": True, "text": True, **more}
        return subprocess.run(self.words(words, cwd), timeout=timeout, **more)

    def path(self, path: pathlib.Path | str = "") -> pathlib.Path:
        """Where processes of the machine find a file of this host's disk."""
        return pathlib.Path(f"/proc/{self.pid}/root{self.disk}") / path

    def processes(self, word: str = "") -> list[int]:
        """Ids, here, of its processes but init, or of those that have some words on their command line."""
        found = []
        mine = os.readlink(f"/proc/{self.pid}/ns/pid")
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # ended meanwhile
                here = os.readlink(path / "ns/pid") == mine and int(path.name) != self.pid
                if here and word.encode() in (path / "cmdline").read_bytes().replace(b"\0", b" "):
                    found.append(int(path.name))
        return found

    def ranks(self) -> list[int]:
        """Ids, here, of the ranks that run on it: Python with Horovod's variables."""
        found = []
        for pid in self.processes():
            with contextlib.suppress(OSError):
                path = pathlib.Path(f"/proc/{pid}")
                ours = b"\0HOROVOD_RANK=" in b"\0" + (path / "environ").read_bytes()
                found += [pid] if ours and os.path.samefile(path / "exe", sys.executable) else []
        return found

    def cut(self) -> None:
        """Pulls its cable."""
        self.network._ip(f"link set port{self.number} down")

    def plug(self) -> None:
        """Puts its cable back."""
        self.network._ip(f"link set port{self.number} up")

    @contextlib.contextmanager
    def slowed(self, times: float, period: float = 0.1) -> Iterator[None]:
        """Its ranks run for one part in so many of each period, in seconds; their threads are frozen for the rest."""
        over = threading.Event()

        def tell(number):
            for pid in self.ranks():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

        def turns():
            while not over.is_set():
                tell(signal.SIGSTOP)
                over.wait(period - period / times)
                tell(signal.SIGCONT)
                over.wait(period / times)

        thread = threading.Thread(target=turns, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def mount(self, *words: object) -> None:
        """A mount that this host alone sees."""
        self._in_its_mounts("mount", *words)

    def unmount(self, folder: pathlib.Path) -> None:
        self._in_its_mounts("umount", folder)

    def _in_its_mounts(self, *words: object) -> None:
        subprocess.run(["nsenter", "--target", str(self.pid), "--mount", *map(str, words)], check=True)


class Network:
    """Hosts and the bridge that joins them, for as long as the context lasts: see the file's docstring.

    Args:
        folder: an empty one, for the hosts' own files.
        hosts: how many; their names are host1, host2, ...
        names: or these, by which they know each other.
        host_names: and what each calls itself, where that is another name.
        port: of their sshd.
        disk: where each host has its disk, an empty folder; by default one in `folder`.
        size: of each disk, in MB.
    """

    def __init__(
        self, folder: pathlib.Path, hosts: int = 2, names: Sequence[str] = (), host_names: Sequence[str] = (),
        port: int = 22, disk: pathlib.Path | None = None, size: int = 256,
    ):  # fmt: skip
        self.folder, self.port, self.size = pathlib.Path(folder).resolve(), port, size
        self.disk = pathlib.Path(disk or self.folder / "disk").resolve()
        self.names = list(names) or [f"host{number}" for number in range(1, hosts + 1)]
        self.host_names = list(host_names) or self.names
        self.hosts = [Host(self, number, name) for number, name in enumerate(self.host_names, 1)]
        self._switch, self._switch_pid = None, 0

    def __enter__(self) -> Network:
        self.disk.mkdir(parents=True, exist_ok=True)
        try:
            self._switch, self._switch_pid = _unshared(["sh", "-c", _SWITCH], ("--net", "--pid"))
            self._write_files()
            for host in self.hosts:
                host._boot(self.size)
            self._wait_for_sshd()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """Ends every process of every host; bridge, interfaces and mounts end with them."""
        openers = [one for one in (self._switch, *(host._opener for host in self.hosts)) if one is not None]
        for opener in openers:
            opener.kill()
        for opener in openers:
            opener.communicate()  # its pipes are closed when the last process of the namespace has ended
        self._switch = None

    def tell(self, process: subprocess.Popen, number: int) -> None:
        """A signal to a command that `start` of a host has started."""
        for pid in pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(pid), number)

    def _ip(self, words: str) -> None:
        """Of iproute2, in the bridge's network."""
        enter = ["nsenter", "--target", str(self._switch_pid), "--net", _which("ip")]
        subprocess.run([*enter, *words.split()], check=True)

    def _write_files(self) -> None:
        key = self.folder / "key"
        _key(key)
        known = []
        for host, name in zip(self.hosts, self.names):
            (host.folder / "home" / ".ssh").mkdir(parents=True, mode=0o700)
            (host.folder / "home" / "empty").mkdir()
            _key(host.folder / "host_key")
            words = (host.folder / "host_key.pub").read_text().split()[:2]
            known += [" ".join([one if self.port == 22 else f"[{one}]:{self.port}", *words])
                      for one in (name, host.address)]  # fmt: skip
        table = "".join(f"{host.address} {name}\n" for host, name in zip(self.hosts, self.names))
        for host in self.hosts:
            ssh = host.folder / "home" / ".ssh"
            shutil.copy(key, ssh / "id_ed25519")
            shutil.copy(f"{key}.pub", ssh / "authorized_keys")
            (ssh / "known_hosts").write_text("\n".join(known) + "\n")
            (host.folder / "hosts").write_text(f"127.0.0.1 localhost\n{table}")
            (host.folder / "passwd").write_text(
                f"root:x:0:0:root:{host.folder / 'home'}:/bin/sh\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n"
                "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
            )
            (host.folder / "shadow").write_text("root:*:19000:0:99999:7:::\n")
            (host.folder / "sshd_config").write_text(_SSHD.format(port=self.port, folder=host.folder))

    def _wait_for_sshd(self) -> None:
        for host in self.hosts:
            until = time.monotonic() + 20
            log = host.folder / "sshd.log"
            while "Server listening on" not in (log.read_text() if log.exists() else ""):
                if time.monotonic() > until:
                    raise RuntimeError(f"sshd of {host.name} did not start: {log.read_text() if log.exists() else ''}")
                time.sleep(0.02)


def _key(path: pathlib.Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True, stdin=subprocess.DEVNULL)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=2, help="how many (2)")
    parser.add_argument("--port", type=int, default=22, help="of their sshd (22)")
    parser.add_argument("--disk", type=pathlib.Path, help="an empty folder: each host has a disk of its own there")
    parser.add_argument("--size", type=int, default=256, help="of each disk, in MB (256)")
    parser.add_argument("command", nargs="+", metavar="-- COMMAND ...", help="what the first host runs")
    args = parser.parse_args()
    if why := missing():
        sys.exit(why)
    with tempfile.TemporaryDirectory(prefix="hosts-") as folder:
        with Network(pathlib.Path(folder), args.hosts, port=args.port, disk=args.disk, size=args.size) as network:
            return subprocess.run(network.hosts[0].words(args.command, pathlib.Path.cwd())).returncode


if __name__ == "__main__":
    sys.exit(main())
