"""A disk that fills up or goes away in mid-run, and requests to stop: what is there stays, and can be gone on with."""

import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from gluon_tricks.networks.checkpoint import list_checkpoints, read_checkpoint

ROOT = pathlib.Path(__file__).resolve().parents[2]


def start(records, run, *more):
    files = ["--rec-train", records / "train.rec", "--rec-val", records / "val.rec", "--save-dir", run]
    net = ["--model", "cifar_resnet20_v1", "--input-size", "32", "--batch-size", "8", "--lr", "0.01"]
    words = [sys.executable, "scripts/train_imagenet.py", *files, *net, "-j", "1", "--log-interval", "1", *more]
    return subprocess.Popen(
        [str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )


def wait_for(process, condition):
    while not condition():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)


@pytest.fixture
def small_disk(mounted, tmp_path):
    """A file system of 24 MB."""
    return mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=24m", "tmpfs")


def test_a_full_disk(tiny_records, small_disk):
    """The error names the place, the newest checkpoint is whole, the exit code says that it can be gone on with."""
    run = small_disk / "run"
    words = ("--num-epochs", "300", "--save-steps", "1", "--keep", "1")
    process = start(tiny_records, run, *words)
    wait_for(process, lambda: len(list_checkpoints(run / "checkpoints")) >= 1)
    filler = small_disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        while process.poll() is None:
            try:
                file.write(bytes(2**16))
            except OSError:  # full; a checkpoint that is deleted makes room for a moment
                time.sleep(0.01)
    out, err = process.communicate()
    assert process.returncode == 75, err
    assert f"stopped: {run}" in err and "cannot be written: No space left on device; once files can be" in err
    last = list_checkpoints(run / "checkpoints")[-1]
    assert f"continues from {last.name}" in err
    step = read_checkpoint(last)[1]["progress"]["step"]
    filler.unlink()
    again = start(tiny_records, run, *words, "--resume", "auto")
    wait_for(again, lambda: int(list_checkpoints(run / "checkpoints")[-1].stem[5:]) > step)
    again.send_signal(signal.SIGTERM)
    out, _ = again.communicate()
    assert again.returncode == 75 and f"going on from {last.name}" in out


def read_only_for_new_files(mounted, tmp_path):
    """Files that are open can still be written; other file systems refuse to become read-only while any are."""
    disk, aside = mounted(tmp_path / "disk", "-t", "tmpfs", "tmpfs"), tmp_path / "aside"
    (disk / "run").mkdir()

    def turn():
        mounted(aside, "--bind", disk / "run")
        subprocess.run(["mount", "-o", "remount,ro,bind", aside], check=True)
        mounted(disk / "run", "--bind", aside)

    return disk, turn


def read_only_at_once(mounted, tmp_path):
    """What ext4 does when its disk fails: open files can no longer be written either."""
    image = tmp_path / "image"
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    disk = mounted(tmp_path / "disk", "-o", "loop,errors=remount-ro", image)
    return disk, lambda: subprocess.run(["mount", "-o", "remount,abort", disk], check=True)


@pytest.mark.parametrize("disk_of", [read_only_for_new_files, read_only_at_once])
def test_a_disk_that_turns_read_only(tiny_records, mounted, tmp_path, disk_of):
    """The error names the place, the checkpoints that were there are whole, the exit code says: resumable."""
    disk, turn_read_only = disk_of(mounted, tmp_path)
    run = disk / "run"
    process = start(tiny_records, run, "--num-epochs", "300", "--save-steps", "1")
    wait_for(process, lambda: len(list_checkpoints(run / "checkpoints")) >= 2)
    turn_read_only()
    there = list_checkpoints(run / "checkpoints")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    # what was under way when the disk failed may end as an error of it
    assert re.search(f"stopped: {run}\\S* cannot be written: (Read-only file system|Input/output error)", err), err
    assert list_checkpoints(run / "checkpoints") == there and len(there) >= 2
    assert f"continues from {there[-1].name}" in err
    for path in there:
        assert read_checkpoint(path)[1]["progress"]["step"] == int(path.stem[5:])


def test_a_run_directory_that_vanishes(tiny_records, tmp_path):
    process = start(tiny_records, tmp_path / "run", "--num-epochs", "300", "--save-steps", "2")
    wait_for(process, lambda: len(list_checkpoints(tmp_path / "run" / "checkpoints")) >= 1)
    shutil.rmtree(tmp_path / "run")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"stopped: {tmp_path / 'run'}" in err and "No such file or directory; there is no checkpoint" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_leaves_a_checkpoint(tiny_records, tmp_path, number):
    """Within a step; the exit code is 75."""
    process = start(tiny_records, tmp_path / "run", "--num-epochs", "300")
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("epoch 2/300  step 1/6"):
            break
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 75 and err == ""
    shown = [line for line in (*lines, *out.splitlines()) if "  step " in line]
    stopped = int(out.splitlines()[-1].split("stopped after step ")[1].split()[0])
    assert stopped - 7 <= 4 and len(shown) == stopped  # the loss is shown two steps late
    last = list_checkpoints(tmp_path / "run" / "checkpoints")[-1]
    assert read_checkpoint(last)[1]["progress"]["step"] == stopped


def test_a_second_signal_ends_at_once():
    """Also while the main thread is elsewhere; within the first second it counts as the same request."""
    code = "import time; from gluon_tricks.cli.training import StopRequest; stop = StopRequest()\n"
    code += "print('ready', flush=True)\nwhile not stop():\n  time.sleep(0.01)\nprint('asked', flush=True)\n"
    code += "time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGTERM)
            assert process.stdout.readline() == "asked\n"
            process.send_signal(signal.SIGTERM)
            time.sleep(1.5)
            assert process.poll() is None
            process.send_signal(signal.SIGUSR1)
            assert process.wait(timeout=10) == 128 + signal.SIGUSR1
        finally:
            process.kill()


def test_what_is_ignored_stays_so():
    """SIGINT, as in the background of a shell's script; but not SIGUSR1, which a launcher's ranks inherit ignored."""
    code = "import os, signal, time\n"
    code += "for number in (signal.SIGINT, signal.SIGUSR1): signal.signal(number, signal.SIG_IGN)\n"
    code += "from gluon_tricks.cli.training import StopRequest; stop = StopRequest()\n"
    code += "for number in (signal.SIGINT, signal.SIGUSR1):\n"
    code += "  os.kill(os.getpid(), number); time.sleep(0.5); print(stop())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stdout == "False\nTrue\n", done.stderr


def test_a_stop_during_an_evaluation(tiny_records, tmp_path, monkeypatch):
    """It is a stop at the end of the epoch's training: what goes on begins with that evaluation."""
    import mxnet as mx

    from gluon_tricks.recipes.recipe import Recipe
    from gluon_tricks.tasks.classification import task
    from gluon_tricks.training import loop
    from gluon_tricks.training.job import Options
    from gluon_tricks.training.steps import Interrupted

    recipe = Recipe(
        name="tiny", model="cifar_resnet20_v1", data="records", train=(str(tiny_records / "train.rec"),),
        val=(str(tiny_records / "val.rec"),), input_size=32, batch_size=8, epochs=2, lr=0.01,
    )  # fmt: skip
    evaluating, asked = [], []
    evaluate = task.evaluate
    monkeypatch.setattr(task, "evaluate", lambda *a: evaluating.append(1) or evaluate(*a))

    def stop():
        """At the third batch of the first evaluation: two are under way."""
        if evaluating:
            asked.append(1)
        return len(asked) == 3

    run, options = tmp_path / "run", dict(contexts=[mx.cpu()])
    with pytest.raises(Interrupted, match="stopped after step 6 of 12"):
        loop.train_and_evaluate(recipe, run, Options(**options, should_stop=stop))
    evaluating.clear()
    stopped = loop.train_and_evaluate(recipe, run, Options(**options, resume=True))
    whole = loop.train_and_evaluate(recipe, tmp_path / "whole", Options(**options))
    assert stopped == whole and len(evaluating) == 4
