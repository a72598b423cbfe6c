"""Trainings on two and three hosts, which nothing disturbs."""

import socket

import pytest

from tests.ranks.conftest import training

from .conftest import assert_the_same, run


@pytest.fixture(scope="module")
def three_hosts(network):
    with network(hosts=3) as all_of_them:
        yield all_of_them


@pytest.fixture(scope="module")
def on_one_host(three_hosts, tiny_records, tmp_path_factory):
    """The folder of a run of three ranks on the first host."""
    host, save_dir = three_hosts.hosts[0], three_hosts.disk / "one"
    words = training(tiny_records, save_dir, "--batch-size", "4")
    done = run(host, "host1:3", tmp_path_factory.mktemp("logs"), words)
    assert done.returncode == 0, done.stderr
    return host.path("one")


def test_the_hosts_are_hosts(three_hosts):
    """Each has its name, its address, its processes and its disk; the machine is not touched."""
    one, two, _ = three_hosts.hosts
    told = one.run(
        ["ssh", "-o", "BatchMode=yes", "host2", "hostname; cat /proc/1/comm; ls /sys/class/net /proc"]
    ).stdout
    assert told.startswith("host2\nsh\n") and len(two.processes()) < 10
    assert one.run(["ssh", "10.77.0.2", f"echo yes >{three_hosts.disk}/told"]).returncode == 0
    assert two.path("told").read_text() == "yes\n" and not one.path("told").exists()
    assert socket.gethostname() not in ("host1", "host2", "host3")


@pytest.mark.parametrize("hosts", ["host1:2,host2:1", "host1:1,host2:1,host3:1"])
def test_ranks_on_hosts_train_as_on_one(three_hosts, on_one_host, tiny_records, tmp_path, hosts):
    """Bit for bit; the run is on the first host, and nothing of it on the others."""
    save_dir = three_hosts.disk / hosts
    done = run(three_hosts.hosts[0], hosts, tmp_path / "logs", training(tiny_records, save_dir, "--batch-size", "4"))
    assert done.returncode == 0, done.stderr
    assert "2 epochs of 4 steps, batch 12, float32, cpu(0) on 3 ranks" in done.stdout
    assert_the_same(three_hosts.hosts[0].path(hosts), on_one_host)
    assert not [host.name for host in three_hosts.hosts[1:] if host.path(hosts).exists()]
