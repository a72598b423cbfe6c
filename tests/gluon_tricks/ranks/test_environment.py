"""What of the environment reaches the command line of ranks."""

import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.ranks import launcher
from gluon_tricks.ranks.environment import of_ranks
from gluon_tricks.ranks.hosts import Host

NEEDED = {
    "PATH": "/bin", "PYTHONPATH": "/code", "LD_LIBRARY_PATH": "/cuda", "HOME": "/home/u", "MXNET_HOME": "/m",
    "HOROVOD_CYCLE_TIME": "5", "OMP_NUM_THREADS": "2", "DNNL_VERBOSE": "1", "NCCL_DEBUG": "INFO",
    "CUDA_VISIBLE_DEVICES": "0", "GLUON_TRICKS_CACHE": "/c", "HF_HOME": "/h", "HF_HUB_OFFLINE": "1",
    "HF_ENDPOINT": "https://mirror", "HF_HUB_CACHE": "/h/hub", "HUGGINGFACE_HUB_CACHE": "/h/hub",
    "XDG_CACHE_HOME": "/x", "TRANSFORMERS_OFFLINE": "1", "REQUESTS_CA_BUNDLE": "/ca.pem",
}  # fmt: skip
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "s1", "GITHUB_TOKEN": "s2", "DATABASE_URL": "s3", "MXNET_API_TOKEN": "s4",
    "GLUON_TRICKS_PASSWORD": "s5", "CUDA_LICENSE_KEY": "s6", "MXNET_GLUON_REPO": "https://me:s7@host/zoo",
    "HF_TOKEN": "s12",
}  # fmt: skip


def test_ranks_get_what_they_need_and_no_secrets():
    assert of_ranks({**NEEDED, **SECRETS}) == NEEDED
    more = {"SLURM_JWT": "s8", "MXNET_APIKEY": "s9", "GLUON_TRICKS_PASSPHRASE": "s10", "https_proxy": "me:s11@proxy:1"}
    assert of_ranks({**more, "http_proxy": "proxy:1"}) == {"http_proxy": "proxy:1"}
    assert of_ranks({"MXNET_GLUON_REPO": "https://host/zoo"}) == {"MXNET_GLUON_REPO": "https://host/zoo"}


def test_what_is_asked_for_is_passed_on():
    assert of_ranks(SECRETS, ["GITHUB_TOKEN", "MINE=a=b"]) == {"GITHUB_TOKEN": "s2", "MINE": "a=b"}
    for word in ("NOT_THERE", "", "=x", "A B=1", "A;reboot=1", "-oX=1"):
        with pytest.raises(Refused, match="give the NAME of a variable"):
            of_ranks(SECRETS, [word])


def test_horovodrun_is_started_with_no_more(tmp_path, monkeypatch):
    """A program in its place writes down its environment."""
    for name, value in {"GITHUB_TOKEN": "s2", "MINE": "s8", "MXNET_HOME": "/m"}.items():
        monkeypatch.setenv(name, value)
    runner = tmp_path / "runner"
    runner.write_text(f"#!/bin/sh\nenv > {tmp_path}/seen\n")
    runner.chmod(0o700)
    job = launcher.Launch(["x"], 1, [Host("localhost", 1)], tmp_path / "logs", [str(runner)], passed=["MINE"])
    assert job.wait() is None
    seen = dict(line.split("=", 1) for line in (tmp_path / "seen").read_text().splitlines() if "=" in line)
    assert (seen["MINE"], seen["MXNET_HOME"]) == ("s8", "/m")
    assert "GITHUB_TOKEN" not in seen and "PATH" in seen
