"""What surrounds a step of training: learning rate, the queue of pending work, reading the loss, stop, checkpoint."""

from __future__ import annotations

import collections
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NoReturn

import mxnet as mx
import numpy as np

from gluon_tricks.networks.of_recipe import restore_plain_layout
from gluon_tricks.networks.statistics import average_statistics
from gluon_tricks.ranks import distributed, heartbeat
from gluon_tricks.training.divergence import require_finite
from gluon_tricks.training.job import Job
from gluon_tricks.training.rounds import seed_network

_PENDING = 2  # steps that are dispatched and not waited for


class Interrupted(RuntimeError):
    """The run was asked to stop; its last checkpoint continues it."""


class Steps:
    """The steps of an epoch, or what is left of it: `begin` before each, `end` after it, as a context around all.

    A step is dispatched and not waited for. Reading the loss of the step before last, which the log shows, bounds the
    queue of pending work. That message also says whether any rank was asked to stop, so all ranks stop at the same
    step without waiting for each other; one rank alone stops after the step in which it was asked.

    Raises:
        Interrupted: options.should_stop said so on some rank; a checkpoint has been written.
        Diverged: see divergence.Watch.
    """

    def __init__(self, job: Job):
        self._job, self._pending, self._stop = job, collections.deque(), False
        self._factor = job.factor(job.progress.step)

    def __enter__(self) -> Steps:
        self._since = time.monotonic()
        return self

    def begin(self) -> None:
        """Before a step: waits until the queue has room, then sets the step's learning rate and random numbers."""
        if len(self._pending) == _PENDING:
            self._read_oldest()
        self._stop_if_asked()
        self._job.trainer.set_learning_rate(self._lr())
        seed_network(self._job.recipe.seed, self._job.progress.step)

    def end(self, sums: Sequence[mx.nd.NDArray]) -> None:
        """After a step. Args: sums: of each shard of this rank, still on its device (see loop.tally)."""
        job, lr = self._job, self._lr()
        job.progress.step += 1
        asked = job.options.should_stop()
        self._pending.append((job.progress.step, _over_ranks(sums, asked, job.progress.step), lr))
        self._stop |= asked and distributed.ranks() == 1
        self._stop_if_asked()
        every = job.options.checkpoint_steps
        if every and job.progress.step % every == 0:
            self._settle()
            self._stop_if_asked()
            require_finite(job.net, job.progress.step)
            job.checkpoint()

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            self._settle()
            average_statistics(self._job.net)
            require_finite(self._job.net, self._job.progress.step)
            self._job.average.settle()
            self._stop_if_asked()

    def _lr(self) -> float:
        return self._factor * self._job.lr_at(self._job.progress.step)

    def _read_oldest(self) -> None:
        """Waits for a step's sums and adds them to the epoch's; tells the journal and looks whether all is well."""
        job, (step, message, lr) = self._job, self._pending.popleft()
        with heartbeat.waiting():  # of several ranks it has the sums of all
            totals = np.sum([array.asnumpy() for array in message], axis=0, dtype=np.float64).tolist()
        if distributed.ranks() > 1:
            self._stop |= totals.pop() > 0
        summed, *wrong = totals
        batch_size = job.recipe.batch_size
        heartbeat.moved(step)
        job.watch.look(step, summed / batch_size)
        job.progress.loss_sum += summed
        job.progress.images += batch_size
        if wrong:
            job.progress.wrong += round(wrong[0])
            job.progress.counted += batch_size
        job.journal.step(step, summed / batch_size, lr)

    def _settle(self) -> None:
        """Waits for everything dispatched, so that the run can be saved or evaluated."""
        while self._pending:
            self._read_oldest()
        with heartbeat.waiting():
            mx.nd.waitall()
        now = time.monotonic()
        self._job.progress.seconds += now - self._since
        self._since = now

    def _stop_if_asked(self) -> None:
        if self._stop:
            self._settle()
            _save_and_stop(self._job)


def until_stopped(job: Job, batches: Iterable) -> Iterator:
    """The batches of an evaluation. A stop in the middle of it is one at the end of the epoch's training."""
    for batch in batches:
        if distributed.agree(job.options.should_stop()):
            mx.nd.waitall()  # a forward under way changes its weights' layout; read meanwhile they can come out wrong
            restore_plain_layout(job.net)
            job.average.put_back()
            _save_and_stop(job)
        heartbeat.moved()
        yield batch


def _save_and_stop(job: Job) -> NoReturn:
    job.checkpoint()
    raise Interrupted(f"stopped after step {job.progress.step} of {job.plan.steps}")


def _over_ranks(sums: Sequence[mx.nd.NDArray], asked: bool, step: int) -> list[mx.nd.NDArray]:
    """A step's sums; of several ranks those over all, then how many were asked to stop, without waiting for it."""
    if distributed.ranks() == 1:
        return list(sums)
    message = mx.nd.concat(mx.nd.add_n(*sums), mx.nd.array([asked], ctx=sums[0].context), dim=0)
    return [distributed.sum_(message, f"loss.{step % (_PENDING + 2)}")]  # a rank has one device
