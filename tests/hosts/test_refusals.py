"""Hosts that cannot take ranks are named before anything is started, with what is wrong with each."""

import pathlib
import sys

import pytest

from .conftest import run
from .network import ROOT


@pytest.fixture(scope="module")
def three(network):
    with network(hosts=3) as hosts:
        yield hosts


def refusal(host, logs, *flags, hosts="host1:1,host2:1"):
    """What launch.py says of the hosts, and nothing is started."""
    done = run(host, hosts, logs, ["scripts/train_imagenet.py", "--dataset", "shapes"], *flags)
    assert done.returncode == 2 and not done.stdout and not logs.exists(), done.stderr
    said, end = done.stderr.removeprefix("refused: "), ": fix it, or leave the host out of -H\n"
    assert said.endswith(end)
    return said.removesuffix(end)


def test_hosts_without_the_environment_or_the_folder(three, tmp_path):
    one, two, other = three.hosts
    environment = pathlib.Path(sys.executable).parents[1]
    for host, folder in ((two, environment), (other, ROOT)):
        host.mount("--bind", one.folder / "home" / "empty", folder)
    lacks = "does not have the same folder, Python and gluon_tricks as here"
    assert refusal(one, tmp_path / "logs", hosts="host1:1,host2:1,host3:1") == (
        f"host2 {lacks} (sh: 1: {sys.executable}: not found); host3 {lacks} (no such folder or script there)"
    )
    for host, folder in ((two, environment), (other, ROOT)):
        host.unmount(folder)


def test_equal_host_names(network, tmp_path):
    """Horovod would take the two for one host, and Gloo connect to 127.0.0.1 in vain."""
    with network(host_names=("node", "node")) as twins:
        said = refusal(twins.hosts[0], tmp_path / "logs")
    assert said.startswith("host1 and host2 are two machines with one host name, node, by which Horovod takes them")


def test_host_names_that_lead_to_themselves(network, tmp_path):
    """As Debian's /etc/hosts has it; one of the two does no harm, since its rank connects to the other's 10.77.0.1."""
    with network(hosts=2) as two:
        for host in two.hosts:
            (host.folder / "hosts").write_text(
                "127.0.0.1 localhost\n"
                + "".join(f"{'127.0.1.1' if other is host else other.address} {other.name}\n" for other in two.hosts)
            )
        said = refusal(two.hosts[0], tmp_path / "logs").split("; ")
    assert [words.partition(" there, where no other machine reaches it")[0] for words in said] == [
        f"the host name of {name} leads to 127.0.1.1" for name in ("host1", "host2")
    ]


def test_host_keys_and_keys(three, tmp_path):
    """Another host key than the known one, none that is known, and a host that does not take ours."""
    one, two, _ = three.hosts
    known = one.folder / "home" / ".ssh" / "known_hosts"
    right = known.read_text()
    keys = dict(line.split(" ", 1) for line in right.splitlines())
    known.write_text(f"host2 {keys['host1']}\n")
    assert refusal(one, tmp_path / "logs") == (
        "host2 has another host key than ssh knows it by, so it may be another machine (Host key verification failed.)"
    )
    known.write_text("")
    said = "ssh does not know the host key of host2 yet (Host key verification failed.): log in there once by hand"
    assert refusal(one, tmp_path / "logs") == said
    known.write_text(right)
    taken = two.folder / "home" / ".ssh" / "authorized_keys"
    before = taken.read_text()
    taken.write_text("")
    said = "host2 does not answer ssh without a password (root@host2: Permission denied (publickey"
    assert refusal(one, tmp_path / "logs").startswith(said)
    taken.write_text(before)


def test_a_port_and_a_cut_link(three, tmp_path):
    """Where nothing listens, and where nothing comes through: after the 10 s of ssh's ConnectTimeout."""
    one, two, _ = three.hosts
    unanswered = "host2 does not answer ssh without a password (ssh: connect to host host2 port"
    assert refusal(one, tmp_path / "logs", "--ssh-port", "2222") == f"{unanswered} 2222: Connection refused)"
    two.cut()
    assert refusal(one, tmp_path / "logs") in [
        f"{unanswered} 22: {why})" for why in ("Connection timed out", "No route to host")
    ]
    two.plug()
