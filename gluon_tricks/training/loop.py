"""The training loop: Algorithm 1 of the paper, on a Job that prepare.py builds. No trick is named here."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import mxnet as mx
from mxnet import autograd

from gluon_tricks.core.files import CannotWrite, writing
from gluon_tricks.core.given import require_kind, require_path
from gluon_tricks.core.reading import IMAGE_BYTES, read_bytes
from gluon_tricks.core.wording import one_line
from gluon_tricks.networks.checkpoint import checkpoint_path
from gluon_tricks.ranks import distributed
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.report.run import read_run
from gluon_tricks.report.single import NAME, not_made, write_report
from gluon_tricks.tasks.findings import Found, save_found
from gluon_tricks.tasks.pictures import as_png
from gluon_tricks.tasks.protocol import Scores, Shard, with_final
from gluon_tricks.training.ascent import refine
from gluon_tricks.training.curves import draw_curves
from gluon_tricks.training.divergence import Diverged
from gluon_tricks.training.final_network import save_final
from gluon_tricks.training.job import Job, Options
from gluon_tricks.training.prepare import prepare
from gluon_tricks.training.rollback import roll_back
from gluon_tricks.training.steps import Steps, until_stopped


def train_and_evaluate(recipe: Settings, run_dir: str | os.PathLike, options: Options | None = None) -> Scores:
    """Trains a recipe, evaluating after every epoch; everything about it is written to `run_dir`.

    Args:
        recipe: a Recipe, DetectionRecipe or SegmentationRecipe.
        run_dir: a folder for this run alone; made if it is not there.
        options: what it does besides learning: devices, threads, resuming, how often it writes; default: Options().

    Returns:
        the scores on the validation images at the end; final.params in run_dir has the network.

    Raises:
        Refused: something that cannot work, before any work.
        Interrupted: options.should_stop said so; a checkpoint has been written.
        Diverged: it has been taken back to a checkpoint recipe.rollbacks times already.
        CannotWrite: run_dir's disk is full, read-only or gone.

    Source: Algorithm 1.
    """
    require_path("run_dir", run_dir, "a folder for the run")
    require_kind("options", options, (Options, type(None)), "Options(...)")
    job = prepare(recipe, pathlib.Path(run_dir), options or Options())
    with job.journal:
        while job.epochs:
            epoch = job.epochs[0]
            try:
                train_epoch(job, epoch)
                scores = evaluate(job)
                finish_epoch(job, epoch, scores)
            except Diverged as found:
                roll_back(job, found)
        return finish_run(job)


def train_epoch(job: Job, epoch: int) -> None:
    """The inner loop of Algorithm 1, from the step where the run stands to the end of the epoch.

    A step is dispatched and not waited for: `Steps` bounds the queue of pending work, and nothing else synchronises.
    """
    with Steps(job) as steps:
        for batch in job.batches(epoch):  # sample b images
            steps.begin()
            steps.end(train_step(job, batch))


def train_step(job: Job, batch: Any) -> list[mx.nd.NDArray]:
    """One update with the mean gradient of the global batch.

    Returns:
        what is told of each shard, see tally.
    """
    sums = backpropagate(job, batch)
    for _ in job.ascent.elsewhere(job.step_context()):  # the same images at other weights, where a trick wants it
        backpropagate(job, batch)
    update(job)
    return sums


def backpropagate(job: Job, batch: Any) -> list[mx.nd.NDArray]:
    """The gradients of every device. X, y, z and losses are lists, of each device's shard. Returns: see tally."""
    sums = []
    for images in micro_batches(job, batch):  # one, unless gradients accumulate
        X, y = preprocess(job, images)
        with autograd.record():
            z = forward(job, X)
            losses = loss(job, X, z, y)
        backward(job, losses)
        sums += tally(job, z, y, losses)
    return sums


def micro_batches(job: Job, batch: Any) -> Iterator[Sequence[Shard]]:
    """The loader's batch in recipe.rounds parts, one after the other; of each the shard of every device."""
    if job.gradients.accumulate:
        job.gradients.clear()
    step = job.step_context()
    return job.rounds.each(job.task.micro_batches(batch, step), step)


def preprocess(job: Job, images: Sequence[Shard]) -> tuple[list, list]:
    """What the network takes (augmented, mixed), and what the loss compares with (smoothed), on each device."""
    X, y = zip(*(job.task.preprocess(shard) for shard in images))
    return list(X), list(y)


def forward(job: Job, X: Sequence) -> list:
    return [job.task.forward(job.net, x) for x in job.rounds.seeded(X)]


def loss(job: Job, X: Sequence, z: Sequence, y: Sequence) -> list[mx.nd.NDArray]:
    """Each (n,) float32, one number an image."""
    return [job.loss(*of_device) for of_device in zip(X, z, y)]


def backward(job: Job, losses: Sequence[mx.nd.NDArray]) -> None:
    """The gradients of every device: of these losses, and of those of the step's rounds before."""
    with autograd.record():
        scaled = [values * job.scale.value for values in losses] if job.scale.active else losses
    autograd.backward(scaled)
    job.gradients.add_round()


def tally(job: Job, z: Sequence, y: Sequence, losses: Sequence[mx.nd.NDArray]) -> list[mx.nd.NDArray]:
    """What the journal is told of each shard, still on its device: its summed loss, and how many images are wrong."""
    wrong = job.task.train_error
    if wrong is None:
        return [values.sum() for values in losses]
    return [mx.nd.concat(values.sum(), wrong(out, target), dim=0) for out, target, values in zip(z, y, losses)]


def update(job: Job) -> None:
    """Sums the gradients over devices and ranks, and moves the parameters by their mean over the global batch."""
    job.trainer.allreduce_grads()  # over the devices of this rank
    job.gradients.sum_over_ranks()
    divisor = job.recipe.batch_size * job.scale.value
    if job.scale.accepts(job.gradients.first()):
        refine(job.gradients, job.recipe, divisor)
        job.trainer.update(divisor)
        job.average.add(job.step_context())


def evaluate(job: Job) -> Scores:
    """Validation scores of the network that the run is to end with: as it was trained, or its average."""
    return job.average.evaluate(lambda: job.task.evaluate(job.net, until_stopped(job, job.task.val.epoch())), job.task)


def finish_epoch(job: Job, epoch: int, scores: Scores) -> None:
    """Records an epoch and writes its checkpoint."""
    progress = job.progress
    row = {
        "epoch": epoch + 1,
        "train_loss": progress.loss_sum / progress.images,
        **({"train_error": progress.wrong / progress.counted} if progress.counted else {}),
        **scores.row(),
        **job.average.row(),
        "lr": job.factor(progress.step - 1) * job.lr_at(progress.step - 1),
        "images_per_second": progress.images / progress.seconds,
    }
    progress.history.append(row)
    progress.val_images = scores.images
    progress.loss_sum, progress.images, progress.seconds = 0.0, 0, 0.0
    progress.wrong, progress.counted = 0, 0
    said = f"{scores}{job.average.words(scores.labels[scores.compared])}"
    job.journal.epoch(progress.history, said, scores.per_class())
    tell_of_validation(job)
    keep_found(job)
    if (epoch + 1) % job.options.checkpoint_epochs == 0 or not job.epochs:
        if scores.best > progress.best[1]:
            progress.best = (checkpoint_path(job.journal.folder, progress.step).name, scores.best)
        job.checkpoint()
    draw_predictions(job, epoch)
    show_scores(job, epoch)


def keep_found(job: Job) -> None:
    """Writes what the newest evaluation found of each image, for the run's report; a fault in it costs that alone."""
    if distributed.rank() == 0 and job.task.found:  # a finished run that is resumed evaluates nothing
        try:
            save_found(job.journal.folder, Found(job.task.names, job.task.val.records.digest, job.task.found))
        except Exception as error:
            job.journal.warn(f"what was found in single images could not be kept for the report: {error}")


def tell_of_validation(job: Job) -> None:
    """Says what the validation errors so far make of the rates to come, where that has just changed."""
    done = f"after epoch {job.recipe.start_epoch + len(job.errors)}"
    before, now = (job.recipe.lr_factor(errors) for errors in (job.errors[:-1], job.errors))
    if not job.epochs and job.recipe.start_epoch + len(job.errors) < job.recipe.epochs:
        job.journal.say(f"the validation error no longer improves: the run ends {done} of {job.recipe.epochs}")
    elif job.epochs and now != before:
        job.journal.say(
            f"the validation error no longer improves: {done} the learning rate is {now:g} times the schedule's"
        )


def draw_predictions(job: Job, epoch: int) -> None:
    """Draws what the network makes of a few validation images, every few epochs and at the end."""
    every, last = job.options.picture_epochs, not job.epochs
    if distributed.rank() == 0 and every and (last or (epoch + 1) % every == 0):
        folder = job.journal.folder / "pictures"
        with writing(folder):
            folder.mkdir(exist_ok=True)
        path = folder / f"epoch-{epoch + 1:04d}.png"
        with job.average.kept():
            job.task.draw(job.net, path)
        job.journal.picture(epoch + 1, "validation images", read_bytes(path, IMAGE_BYTES))


def show_scores(job: Job, epoch: int) -> None:
    """Shows in TensorBoard what of an epoch's scores is a picture, unless pictures are not wanted."""
    if distributed.rank() == 0 and job.options.picture_epochs:
        for name, picture in job.task.score_pictures().items():
            job.journal.picture(epoch + 1, name, as_png(picture))


def finish_run(job: Job) -> Scores:
    """Writes the final network and what shows the run; returns the run's scores."""
    with job.average.kept():
        more = job.task.final_scores(job.net, until_stopped(job, job.task.final_val.epoch()))
    if more:  # before final.params, by which a run counts as done
        keep_found(job)
        job.journal.say(", ".join(f"{name} {value:.1%}" for name, value in more.items()))
        job.journal.event("final_scores", scores=more)
    row = with_final(job.progress.history[-1], job.task.scores, more)
    scores = job.task.scores.from_row(row, job.progress.val_images)
    if distributed.rank() == 0:
        with job.average.kept() as averages:
            save_final(job.net, job.journal.folder, job.recipe, averages)
    job.journal.event("done", **scores.row())
    show_run(job, scores)
    distributed.wait_for_all()  # a rank that had left would count as hanging
    return scores


def show_run(job: Job, scores: Scores) -> None:
    """Draws the curves and writes the report. The run is done: whatever goes wrong here is told and costs no more."""
    if distributed.rank() != 0:
        return
    folder = job.journal.folder
    for name, make in (
        ("curves.png", lambda path: draw_curves(job.progress, job.plan.steps_per_epoch, path, job.recipe, scores)),
        (NAME, lambda path: write_report(read_run(folder), path, job.task.val.records)),
    ):
        try:
            make(folder / name)
        except Exception as error:
            reason = one_line(f"{type(error).__name__}: {error}", 500)
            again = "; gluon-tricks report RUN makes it again" if name == NAME else ""
            line = f"the run is complete, but {not_made(name)} ({reason}){again}"
            try:
                job.journal.warn(line)
            except CannotWrite:
                print(line, flush=True)
