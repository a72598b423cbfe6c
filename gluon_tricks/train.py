"""The training loop: Algorithm 1 of the paper, on a Job that prepare.py builds. No trick is named here."""

from __future__ import annotations

import collections
import pathlib
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NoReturn

import mxnet as mx
from mxnet import autograd

from gluon_tricks import distributed, heartbeat
from gluon_tricks.checkpoint import checkpoint_path
from gluon_tricks.disk import writing
from gluon_tricks.divergence import Diverged
from gluon_tricks.final import save_final
from gluon_tricks.gradients import Gradients
from gluon_tricks.job import Job, Options
from gluon_tricks.loss_scale import LossScale
from gluon_tricks.network import average_statistics, restore_plain_layout
from gluon_tricks.prepare import prepare
from gluon_tricks.report import draw_curves
from gluon_tricks.rollback import roll_back
from gluon_tricks.runtime import generator
from gluon_tricks.settings import Settings
from gluon_tricks.task import Scores, Shares, StepLoss


class Interrupted(RuntimeError):
    """The run was asked to stop; its last checkpoint continues it."""


def train_and_evaluate(recipe: Settings, run_dir: pathlib.Path, options: Options | None = None) -> Scores:
    """Trains a recipe, evaluating after every epoch; everything about it is written to `run_dir`.

    Returns:
        the last epoch's scores on the validation images; final.params in run_dir has the network.

    Raises:
        Refused: something that cannot work, before any work.
        Interrupted: options.should_stop said so; a checkpoint has been written.
        Diverged: it has been taken back to a checkpoint recipe.rollbacks times already.
        CannotWrite: run_dir's disk is full, read-only or gone.

    Source: Algorithm 1.
    """
    job = prepare(recipe, pathlib.Path(run_dir), options or Options())
    with job.journal:
        while job.epochs:
            epoch = job.epochs[0]
            try:
                train_epoch(job, epoch)
                scores = job.task.evaluate(job.net, until_stopped(job, job.task.val.epoch()))
                finish_epoch(job, epoch, scores)
            except Diverged as found:
                roll_back(job, found)
        return finish_run(job)


def train_epoch(job: Job, epoch: int) -> None:
    """The inner loop of Algorithm 1, from the step where the run stands to the end of the epoch.

    A step is dispatched and not waited for. Reading the loss of the step before last, which the log shows, is what
    bounds the queue of pending work; nothing else synchronises.
    """
    options, progress, plan = job.options, job.progress, job.plan
    pending: collections.deque = collections.deque()
    clock = time.monotonic()
    for batch in job.task.train.epoch(epoch, progress.step - epoch * plan.steps_per_epoch):
        if len(pending) == 2:
            read_loss(job, *pending.popleft())
        lr = job.lr_factor * job.lr_at(progress.step)
        seed_network(job.recipe.seed, progress.step)
        job.trainer.set_learning_rate(lr)
        rounds = job.training_rounds(batch, epoch)
        losses = train_step(job.net, job.loss, job.trainer, job.gradients, rounds, job.recipe.batch_size, job.scale)
        progress.step += 1
        pending.append((progress.step, sum_over_ranks(losses, progress.step), lr))
        stop = distributed.agree(options.should_stop())
        if stop or (options.checkpoint_steps and progress.step % options.checkpoint_steps == 0):
            clock = settle(job, pending, clock)
            job.checkpoint()
        if stop:
            leave(job)
    settle(job, pending, clock)


def train_step(
    net: mx.gluon.HybridBlock, loss: StepLoss, trainer: mx.gluon.Trainer, gradients: Gradients,
    rounds: Iterable[Shares], batch_size: int, scale: LossScale,
) -> list[mx.nd.NDArray]:  # fmt: skip
    """One update with the mean gradient of the global batch.

    Args:
        gradients: of the network's parameters.
        rounds: what each device of this rank works on, one after the other where gradients accumulate.
        batch_size: the global one, which the summed gradient is divided by.

    Returns:
        the summed loss of each share, still on its device.
    """
    factor, sums = scale.value, []
    if gradients.accumulate:
        gradients.clear()
    for shares in rounds:
        with autograd.record():
            losses = [loss(net, *share) for share in shares]  # each (n,)
            scaled = [values * factor for values in losses] if scale.active else losses
        autograd.backward(scaled)
        sums += [values.sum() for values in losses]
    trainer.allreduce_grads()  # over the devices of this rank
    gradients.sum_over_ranks()
    if scale.accepts(gradients.first()):
        trainer.update(batch_size * factor)
    return sums


def seed_network(seed: int, step: int) -> None:
    """Dropout's numbers follow from (seed, step): MXNet's own random state cannot be read, so cannot be saved."""
    mx.random.seed(int(generator(seed, "network", step, distributed.rank()).integers(2**31)))


def sum_over_ranks(losses: list[mx.nd.NDArray], step: int) -> list[mx.nd.NDArray]:
    """The summed losses of this rank's shares as those of all ranks, without waiting for them."""
    if distributed.ranks() == 1:
        return losses
    summed = mx.nd.add_n(*losses).reshape(1)  # a rank has one device
    return [distributed.sum_(summed, f"loss.{step % 4}")]  # at most two steps are under way


def read_loss(job: Job, step: int, losses: Sequence[mx.nd.NDArray], lr: float) -> None:
    """Adds a step's loss to the epoch's, which waits for it; tells the journal and looks whether all is well."""
    summed, batch_size = sum(float(loss.asscalar()) for loss in losses), job.recipe.batch_size
    heartbeat.moved(step)
    job.watch.look(step, summed / batch_size)
    job.progress.loss_sum += summed
    job.progress.images += batch_size
    job.journal.step(step, summed / batch_size, lr)


def settle(job: Job, pending: collections.deque, since: float) -> float:
    """Waits for everything dispatched, so that the run can be saved or evaluated; returns the time it is now."""
    while pending:
        read_loss(job, *pending.popleft())
    mx.nd.waitall()
    average_statistics(job.net)
    now = time.monotonic()
    job.progress.seconds += now - since
    return now


def until_stopped(job: Job, batches: Iterable) -> Iterator:
    """The batches of an evaluation. A stop in the middle of it is one at the end of the epoch's training."""
    for batch in batches:
        if distributed.agree(job.options.should_stop()):
            mx.nd.waitall()  # a forward under way changes its weights' layout; read meanwhile they can come out wrong
            restore_plain_layout(job.net)
            job.checkpoint()
            leave(job)
        heartbeat.moved()
        yield batch


def leave(job: Job) -> NoReturn:
    """Ends a run that has been saved."""
    raise Interrupted(f"stopped after step {job.progress.step} of {job.plan.steps}")


def finish_epoch(job: Job, epoch: int, scores: Scores) -> None:
    """Records an epoch and writes its checkpoint."""
    progress, recipe = job.progress, job.recipe
    row = {
        "epoch": epoch + 1,
        "train_loss": progress.loss_sum / progress.images,
        **scores.row(),
        "lr": job.lr_factor * job.lr_at(progress.step - 1),
        "images_per_second": progress.images / progress.seconds,
    }
    progress.history.append(row)
    progress.val_images = scores.images
    progress.loss_sum, progress.images, progress.seconds = 0.0, 0, 0.0
    job.journal.epoch(progress.history, str(scores), scores.per_class())
    if (epoch + 1) % job.options.checkpoint_epochs == 0 or epoch + 1 == recipe.epochs:
        if scores.best > progress.best[1]:
            progress.best = (checkpoint_path(job.journal.folder, progress.step).name, scores.best)
        job.checkpoint()
    draw_predictions(job, epoch)


def draw_predictions(job: Job, epoch: int) -> None:
    """Draws what the network makes of a few validation images, every few epochs and at the end."""
    every, last = job.options.picture_epochs, epoch + 1 == job.recipe.epochs
    if distributed.rank() == 0 and every and (last or (epoch + 1) % every == 0):
        folder = job.journal.folder / "pictures"
        with writing(folder):
            folder.mkdir(exist_ok=True)
        job.task.draw(job.net, folder / f"epoch-{epoch + 1:04d}.png")


def finish_run(job: Job) -> Scores:
    """Writes the final network and the curves; returns the last epoch's scores."""
    scores = job.task.scores.from_row(job.progress.history[-1], job.progress.val_images)
    if distributed.rank() == 0:
        save_final(job.net, job.journal.folder, job.recipe)
        draw_curves(job.progress, job.plan.steps_per_epoch, job.journal.folder / "curves.png", job.recipe, scores)
    job.journal.event("done", **scores.row())
    distributed.wait_for_all()  # a rank that had left would count as standing still
    return scores
