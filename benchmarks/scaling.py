"""What a second rank gains: images/s of one rank and of several with a thread each, and what their messages cost."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import mxnet as mx
import tqdm

from benchmarks import links
from benchmarks.train import usual_tricks
from gluon_tricks.core.errors import REFUSED, Refused, refusal_of
from gluon_tricks.core.wording import byte_size, plural
from gluon_tricks.ranks import distributed, launcher
from gluon_tricks.ranks.gradients import BUCKET_BYTES, Gradients
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.training.job import Job, Options
from gluon_tricks.training.loop import train_epoch, train_step
from gluon_tricks.training.prepare import prepare

PARTS = ("step", "compute", "compute CPU", "messages", "loop", "waiting loop")


def run(
    model: str, size: int, batch: int, dtype: str, ranks: int, steps: int, rounds: int,
    bucket_bytes: int = BUCKET_BYTES, accumulate: int = 1, link: float | None = None,
) -> tuple[dict[str, list[float]], list[str]]:  # fmt: skip
    """Returns seconds of every part in every round, and lines that say what they mean.

    The jobs of a round are started one after the other, so that no rank that waits takes time from another.

    Args:
        model: of the zoo; size: px; batch: images of a rank in a round of a step; dtype: float32 or bfloat16.
        ranks: compared with one; each has one thread.
        steps: timed in a row.
        bucket_bytes, accumulate: see Gradients and Recipe.
        link: Gbit/s between the two halves of the ranks; None: they are on one machine, without a network.

    Raises:
        Refused: the link cannot be made here.
    """
    arguments = dict(
        model=model, size=size, batch_size=batch, dtype=dtype, steps=steps, bucket_bytes=bucket_bytes,
        accumulate=accumulate,
    )  # fmt: skip
    found: dict[str, list[float]] = {}
    facts: dict = {}
    with contextlib.ExitStack() as stack:
        alone = links.here(1)
        place = stack.enter_context(links.slowed(ranks, link)) if link else links.here(ranks)
        for number in tqdm.tqdm([1, ranks] * rounds, desc="measuring", unit=" jobs", disable=None):
            facts = _job(alone if number == 1 else place, number, arguments)
            for part in PARTS:
                found.setdefault(f"{number} ranks, {part}, s", []).append(facts[part])
    what = f"{model} at {size} px, {dtype}" + (f", a link of {link:g} Gbit/s" if link else "")
    return found, _lines(found, facts, ranks, batch * accumulate, what)


def _job(place: links.Place, ranks: int, arguments: dict) -> dict:
    """What rank 0 of a job measured."""
    with tempfile.TemporaryDirectory(prefix="gluon_tricks_scaling_") as scratch:
        out = pathlib.Path(scratch) / "out.json"
        words = [sys.executable, "-m", __name__, json.dumps(arguments), str(out)]
        logs, more = pathlib.Path(scratch) / "logs", {"OMP_NUM_THREADS": "1", **place.environment}
        with open(pathlib.Path(scratch) / "said", "w") as said:
            job = launcher.Launch(words, ranks, place.hosts, logs, place.runner, out=said, err=said, more=more)
            failure = job.wait()
        if failure is not None:
            raise _why(failure)
        return json.loads(out.read_text())


def _why(failure: launcher.Failure) -> Exception:
    """What a job ended by: what a rank has refused is refused, everything else is an error of the program."""
    return refusal_of("\n".join(failure.tail)) or RuntimeError(f"{failure}: {' / '.join(failure.tail)}")


def _lines(found: dict[str, list[float]], facts: dict, ranks: int, images: int, what: str) -> list[str]:
    def median(number: int, part: str) -> float:
        return statistics.median(found[f"{number} ranks, {part}, s"])

    def ratio(a: str, b: str) -> float:
        return statistics.median(x / y for x, y in zip(found[a], found[b]))

    def cores(number: int) -> float:
        return median(number, "compute CPU") / median(number, "compute")

    efficiency = ratio("1 ranks, step, s", f"{ranks} ranks, step, s")
    in_loop = ratio("1 ranks, loop, s", f"{ranks} ranks, loop, s")
    contention = ratio("1 ranks, compute, s", f"{ranks} ranks, compute, s")
    compute, step, messages = (median(ranks, part) for part in ("compute", "step", "messages"))
    hidden = 1 - min(max(step - compute, 0.0) / messages, 1.0)
    loop, waiting = (median(ranks, part) for part in ("loop", "waiting loop"))
    return [
        f"{what}, {images} images a rank and step, one thread a rank",
        f"1 rank: {images / median(1, 'step'):.2f} images/s; {ranks} ranks: {ranks * images / step:.2f} images/s; "
        f"efficiency {efficiency:.3f}",
        f"in the training loop, which waits for nothing: 1 rank {images / median(1, 'loop'):.2f} images/s; "
        f"{ranks} ranks: {ranks * images / loop:.2f} images/s; efficiency {in_loop:.3f}",
        f"without messages the ranks would have {contention:.3f}: the rest is the machine's (cores, memory, clock); a "
        f"rank alone computes on {cores(1):.2f} cores at a time, one of {ranks} on {cores(ranks):.2f}",
        f"a step of {ranks} ranks: {step:.3f} s; without messages {compute:.3f} s; messages alone {messages:.3f} s, "
        f"of which {hidden:.0%} are hidden behind the backward pass",
        f"a step of the loop on {ranks} ranks: {1000 * loop:.1f} ms; if it asked all ranks after every step whether to "
        f"stop, and waited for the answer: {1000 * waiting:.1f} ms",
        f"{byte_size(facts['bytes'])} from each rank and step, in {plural(facts['buckets'], 'bucket')}",
    ]


def measure_rank(
    model: str, size: int, batch_size: int, dtype: str, steps: int, bucket_bytes: int, accumulate: int
) -> dict:
    """Seconds a step on this rank: as it is, without messages, and the messages alone; CPU time too."""
    distributed.start()
    recipe = Recipe(
        name="scaling", model=model, data="few_shapes", input_size=size, dtype=dtype, lr=0.01,
        batch_size=batch_size * accumulate * distributed.ranks(), accumulate=accumulate, augment="gluoncv",
        tricks=usual_tricks(model), epochs=999,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="gluon_tricks_scaling_") as folder:
        job = prepare(recipe, pathlib.Path(folder), Options(contexts=[mx.cpu()], threads=1, log_interval=10**9))
        job.gradients = Gradients(list(job.net.collect_params().values()), accumulate > 1, bucket_bytes)
        with job.journal:  # the loop writes the losses of its steps
            return {**_measure(job, steps), "bytes": job.gradients.bytes, "buckets": len(job.gradients.buckets)}


def _measure(job: Job, steps: int) -> dict[str, float]:
    """Seconds of each of PARTS."""
    batch = next(iter(job.task.train.epoch(0)))
    alone = dataclasses.replace(job, gradients=_Mute(job.gradients))
    parts = {
        "step": lambda: train_step(job, batch),
        "compute": lambda: train_step(alone, batch),
        "messages": job.gradients.sum_over_ranks,
    }
    for play in parts.values():  # warms up
        _seconds(play, 1)
    found = {}
    for name, play in parts.items():
        before = time.process_time()
        found[name] = _seconds(play, steps)
        if name == "compute":
            found["compute CPU"] = (time.process_time() - before) / steps
    job.plan = dataclasses.replace(job.plan, steps_per_epoch=steps)
    asking = dataclasses.replace(job.options, should_stop=lambda: distributed.agree(False))
    found["loop"] = _loop(job, batch)
    found["waiting loop"] = _loop(dataclasses.replace(job, options=asking), batch)
    return found


def _loop(job: Job, batch: Any) -> float:
    """Seconds a step of train_epoch whose loader has the same batch every time."""
    job.batches = lambda epoch: itertools.repeat(batch, job.plan.steps_per_epoch)
    job.progress.seconds = 0.0
    distributed.wait_for_all()
    train_epoch(job, 0)
    return job.progress.seconds / job.plan.steps_per_epoch


class _Mute:
    """Gradients that stay on their rank."""

    def __init__(self, gradients: Gradients):
        self.accumulate, self.clear = gradients.accumulate, gradients.clear
        self.add_round, self.first, self.buckets = gradients.add_round, gradients.first, gradients.buckets

    def sum_over_ranks(self) -> None:
        pass


def _seconds(play: Callable[[], None], times: int) -> float:
    """Mean of several in a row, which begin and end when all ranks are ready: that of the slowest rank."""
    mx.nd.waitall()
    distributed.wait_for_all()
    started = time.perf_counter()
    for _ in range(times):
        play()
        mx.nd.waitall()
    distributed.wait_for_all()
    return (time.perf_counter() - started) / times


if __name__ == "__main__":
    try:
        result = measure_rank(**json.loads(sys.argv[1]))
    except Refused as refused:
        sys.exit(f"{REFUSED}{refused}")
    if distributed.rank() == 0:
        pathlib.Path(sys.argv[2]).write_text(json.dumps(result))
