"""What happens to a job when one of its ranks is asked to stop or diverges."""

import contextlib
import json
import os
import signal
import subprocess
import time

from gluon_tricks.networks.checkpoint import list_checkpoints

from .conftest import ROOT, command, rank_process, training


def start(ranks, logs, words, *flags):
    return subprocess.Popen(
        command(ranks, logs, *words, flags=flags), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def wait_for_checkpoints(job, run, count):
    while len(list_checkpoints(run / "checkpoints")) < count:
        assert job.poll() is None, job.stderr.read()
        time.sleep(0.05)


def test_a_signal_to_any_rank_stops_all_of_them(launch, tiny_records, tmp_path):
    """Preemption: SIGUSR1 to rank 1; the launcher's exit code is 75, and the checkpoint that of the last step."""
    run = tmp_path / "run"
    job = start(2, tmp_path / "logs", training(tiny_records, run, "--batch-size", "6", "--num-epochs", "300"))
    wait_for_checkpoints(job, run, 1)
    os.kill(rank_process(run, 1), signal.SIGUSR1)
    out, err = job.communicate(timeout=60)
    assert job.returncode == 75, err
    stopped = int(out.splitlines()[-1].split("stopped after step ")[1].split()[0])
    assert list_checkpoints(run / "checkpoints")[-1].name == f"step-{stopped:09d}.safetensors"


def test_a_signal_to_the_launcher_stops_the_job(launch, tiny_records, tmp_path):
    run = tmp_path / "run"
    job = start(2, tmp_path / "logs", training(tiny_records, run, "--batch-size", "6", "--num-epochs", "300"))
    wait_for_checkpoints(job, run, 1)
    job.send_signal(signal.SIGTERM)
    out, err = job.communicate(timeout=60)
    assert job.returncode == 75 and "stopped after step" in out, err


def test_a_stop_while_the_ranks_start(launch, tiny_records, tmp_path):
    """As soon as rank 0 is there: SIGUSR1, which horovodrun ignores and ranks inherit so, is not lost."""
    run = tmp_path / "run"
    job = start(2, tmp_path / "logs", training(tiny_records, run, "--num-epochs", "300"))
    while not is_there(run):
        assert job.poll() is None, job.stderr.read()
        time.sleep(0.01)
    job.send_signal(signal.SIGUSR1)
    out, err = job.communicate(timeout=60)
    assert job.returncode == 138 and "step" not in out, err
    said = f"interrupted before a rank told of a step; the logs are in {tmp_path / 'logs'}"
    assert err.splitlines()[-2:] == ["interrupted before anything was started", said]


def is_there(run):
    with contextlib.suppress(AssertionError):
        return rank_process(run, 0)


def test_a_rank_that_has_stopped_keeps_its_exit_code(launch, tiny_records, tmp_path):
    """The launcher's SIGTERM, because another rank was gone first, and one more after a second; as Python ends."""
    words = [str(word) for word in training(tiny_records, tmp_path / "run", "--batch-size", "6", "--num-epochs", "300")]
    wrapper = tmp_path / "slow_to_go.py"
    wrapper.write_text(
        "import atexit, itertools, os, signal, sys, time\n"
        "import gluon_tricks_command\n"
        "from gluon_tricks.training import loop\n"
        "def signalled():\n"
        "    for _ in range(2):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(1.2)\n"
        "    print('was let go', flush=True)\n"
        "atexit.register(signalled)\n"
        "step, count = loop.train_step, itertools.count(1)\n"
        "def stopped(*words):\n"
        "    if next(count) == 3: os.kill(os.getpid(), signal.SIGUSR1)\n"
        "    return step(*words)\n"
        "loop.train_step = stopped\n"
        f"sys.argv[1:] = {words[1:]!r}\n"
        "gluon_tricks_command.main('train')\n"
    )
    done = launch(2, tmp_path / "logs", wrapper)
    assert done.returncode == 75, done.stderr
    for rank in range(2):
        assert (tmp_path / "logs" / f"rank.{rank}.log").read_text().endswith("was let go\n")


def test_all_ranks_go_back_together(launch, tiny_records, tmp_path):
    """The loss of rank 1 alone is NaN, in step 7: both go back to the checkpoint of step 4, as that of 6 is suspect."""
    words = [str(word) for word in training(tiny_records, tmp_path / "run", "--batch-size", "6", "--save-steps", "3")]
    wrapper = tmp_path / "poisoned.py"
    wrapper.write_text(
        "import itertools, math, os, sys\n"
        "from gluon_tricks.training import loop\n"
        "from gluon_tricks.cli import train\n"
        "step, count = loop.train_step, itertools.count(1)\n"
        "bad = 7 if os.environ['HOROVOD_RANK'] == '1' else None\n"
        "loop.train_step = lambda *a: [loss * (math.nan if next(count) == bad else 1) for loss in step(*a)]\n"
        f"sys.exit(train.main({words[1:]!r}))\n"
    )
    done = launch(2, tmp_path / "logs", wrapper)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    (back,) = (event for event in events if event["event"] == "rollback")
    assert (back["seen_at"], back["step"]) == (7, 4) and events[-1]["event"] == "done"
