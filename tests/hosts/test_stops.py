"""Hosts on which nothing is lost: signals, full disks and slowness, and another port of sshd."""

import json
import os
import re
import signal
import time

from .conftest import Holdable, assert_the_same, checkpoints, wait_for


def test_signals_on_any_host_stop_all(network, tiny_records, undisturbed):
    """To a rank of the second host, and to launch.py on a third one, which has no rank.

    All stop with a checkpoint, of which the second host has no copy; it can be gone on with, bit for bit.
    """
    with network(hosts=3, port=2222) as hosts:
        job = Holdable(hosts, tiny_records, launching=3, flags=("--ssh-port", "2222"))
        with job.held() as process:
            for pid in job.two.ranks():
                os.kill(pid, signal.SIGTERM)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 75 and "stopped after step 6 of 8" in out, err
        assert checkpoints(job.run)[-1].name == "step-000000006.safetensors" and not job.two.path("run").exists()
        done = job.finish("--resume", "auto")
        assert done.returncode == 0, done.stderr
        assert_the_same(job.run, undisturbed)

        more = "--num-epochs", "300"
        job = Holdable(hosts, tiny_records, "again", launching=3, flags=("--ssh-port", "2222"), more=more)
        with job.held() as process:
            hosts.tell(process, signal.SIGTERM)
            wait_for(process, lambda: job.one.processes("launcher.tell"))  # it passes the signal on by ssh
            wait_for(process, lambda: not job.one.processes("launcher.tell"))
        out, err = process.communicate(timeout=120)
        assert process.returncode == 75 and re.search("stopped after step [678] of 1200", out), err


def test_launch_is_killed_on_a_host_without_ranks(network, tiny_records):
    """Nobody is left to hear or to stop the ranks: they stop by themselves, with a checkpoint."""
    with network(hosts=3) as hosts:
        job = Holdable(hosts, tiny_records, launching=3, more=("--num-epochs", "300"))
        with job.held() as process:
            hosts.tell(process, signal.SIGKILL)
            process.communicate(timeout=60)
            wait_for(None, lambda: not job.one.processes("sshd: root@notty"))
            time.sleep(3)  # a rank finds out within a second
        wait_for(None, lambda: not job.one.ranks() + job.two.ranks())
        assert "step-000000006" <= checkpoints(job.run)[-1].stem <= "step-000000009"
        events = [json.loads(line) for line in (job.run / "events.jsonl").read_text().splitlines()]
        (stopped,) = (event["error"] for event in events if event["event"] == "stopped")
        assert stopped.startswith("Interrupted: stopped after step ")


def fill(host):
    """Leaves not a byte of its disk."""
    with open(host.path("filler"), "ab", buffering=0) as file:
        try:
            while file.write(bytes(2**16)):
                pass
        except OSError:
            file.close()


def test_full_disks(network, tiny_records, undisturbed):
    """That of the second host does not matter; that of the first stops the job, which can be gone on with."""
    with network(size=48) as hosts:
        job = Holdable(hosts, tiny_records)
        with job.held() as process:
            fill(job.two)
            fill(job.one)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 75, err
        # Of the checkpoint, or of TensorBoard's file, whichever comes first.
        assert re.search(rf"stopped: {hosts.disk}/run/\S+ cannot be written: No space left on device", err), err
        assert "the same command with --resume auto" in err and "continues from step-000000004.safetensors" in err
        job.one.path("filler").unlink()
        done = job.finish("--resume", "auto")
        assert done.returncode == 0, done.stderr
        assert_the_same(job.run, undisturbed)


def test_a_host_that_is_five_times_as_slow(network, tiny_records, undisturbed):
    """It is waited for, and nobody calls it lost: 8 steps and two evaluations, bit for bit as ever."""
    with network() as hosts:
        job = Holdable(hosts, tiny_records, flags=("--max-restarts", "1", "--stuck-after", "60"))
        job.two.path("hold").touch()
        process = job.start()
        wait_for(process, job.two.path("held").exists)
        with job.two.slowed(5):
            job.two.path("held").unlink()
            out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        assert "starting it again" not in out and "no sign of life" not in err
        assert_the_same(job.run, undisturbed)
