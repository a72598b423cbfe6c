"""What a lost host costs: each loss is named, and what is left goes on from the newest checkpoint."""

import json
import os
import re
import signal

import numpy as np

from .conftest import Holdable, assert_the_same, outcome


def restarts(run):
    events = (run / "events.jsonl").read_text().splitlines()
    return [event["reason"] for event in map(json.loads, events) if event["event"] == "restart"]


def test_the_ranks_of_one_host_are_killed(network, tiny_records, undisturbed):
    """Both hosts answer, so that both go on; the end is bit for bit that of a run which lost nothing."""
    with network() as hosts:
        job = Holdable(hosts, tiny_records, flags=("--max-restarts", "1"))
        with job.held() as process:
            for pid in job.two.ranks():
                os.kill(pid, signal.SIGKILL)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert "rank 1 on host2 ended by SIGKILL; the logs are in" in err
        assert "starting it again (1 of 1) with 2 ranks" in out
        assert "going on from step-000000004.safetensors, after step 4 of 8" in out
        assert restarts(job.run) == ["restart 1 of 1, rank 1 on host2 ended by SIGKILL"]
        assert_the_same(job.run, undisturbed)


def test_the_link_of_one_host_is_cut(network, tiny_records, undisturbed):
    """After half a minute the host is named; the other goes on alone, to the same end but for rounding."""
    with network() as hosts:
        job = Holdable(hosts, tiny_records, flags=("--max-restarts", "1"))
        with job.held() as process:
            job.two.cut()
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        (seconds,) = re.findall(r"rank 1 on host2 has given no sign of life for (\d+) s; the step it last ", err) or err
        assert 29 <= int(seconds) < 90
        assert "left out: host2 does not answer ssh without a password (ssh: connect to host host2 port 22: " in err
        assert "starting it again (1 of 1) with 1 rank" in out
        assert "going on from step-000000004.safetensors, after step 4 of 8" in out
        assert not job.two.ranks()  # they have ended by themselves
        (arrays, _), (others, _) = outcome(job.run), outcome(undisturbed)
        for name in others.keys() & arrays.keys():
            np.testing.assert_allclose(arrays[name], others[name], atol=1e-5, err_msg=name)


def test_the_link_of_the_host_with_the_run_is_cut(network, tiny_records, undisturbed):
    """No run begins anew on another host; once the link is back the same command ends as if nothing had been.

    HOROVOD_GLOO_TIMEOUT_SECONDS says how long a host may be cut off.
    """
    flags = "--max-restarts", "1", "-x", "HOROVOD_GLOO_TIMEOUT_SECONDS=8"
    with network(hosts=3) as hosts:
        job = Holdable(hosts, tiny_records, launching=3, flags=flags)
        with job.held() as process:
            job.one.cut()
        out, err = process.communicate(timeout=240)
        assert process.returncode == 2 and "starting it again" not in out
        assert re.search(r"rank 0 on host1 has given no sign of life for \d+ s; the step it last reported: \d; ", err)
        run = hosts.disk / "run"
        assert f"refused: the run {run} is on host1 and not on host2, which would be the first host now: once " in err
        assert not job.two.path("run").exists()
        job.one.plug()
        done = job.finish("--resume", "auto")
        assert done.returncode == 0, done.stderr
        assert "going on from step-000000004.safetensors, after step 4 of 8" in done.stdout
        assert_the_same(job.run, undisturbed)
