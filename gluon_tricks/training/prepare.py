"""What has to be in place before the first line of Algorithm 1: every check, then the job."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Sequence

import mxnet as mx

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import write_text
from gluon_tricks.core.wording import plural
from gluon_tricks.machine.devices import choose_contexts, choose_precision, require_usable, start_precision
from gluon_tricks.networks import checkpoint
from gluon_tricks.networks.of_recipe import broadcast_parameters
from gluon_tricks.networks.parts import freeze, multiply_rates
from gluon_tricks.ranks import distributed
from gluon_tricks.ranks.gradients import Gradients
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.tasks.protocol import Task
from gluon_tricks.tasks.registry import task_of
from gluon_tricks.training.announce import announce
from gluon_tricks.training.ascent import Ascent
from gluon_tricks.training.average import Average
from gluon_tricks.training.divergence import Watch
from gluon_tricks.training.job import Job, Options
from gluon_tricks.training.journal import Journal, early_warnings
from gluon_tricks.training.loss_scale import LossScale
from gluon_tricks.training.optimizer import make_trainer
from gluon_tricks.training.requirements import (
    look_at_the_machine,
    refused_by_rank_0,
    require_alike,
    require_its_precision,
    require_network,
    require_no_run,
    require_one_device,
    require_one_teacher,
    require_readable,
    require_space,
    require_splittable,
    require_startable,
)
from gluon_tricks.training.rounds import Rounds
from model_zoo.contexts import contexts_of


def prepare(recipe: Settings, run_dir: pathlib.Path, options: Options) -> Job:
    """Checks everything that can be checked, then builds a job.

    Raises:
        Refused: one sentence on what cannot work; nothing has been written but the empty run directory.
    """
    require_readable(recipe)
    distributed.start()
    said = list(options.notes)
    contexts = _contexts(options, said)
    if goes_on := _goes_on(run_dir, options):
        refused_by_rank_0(lambda: require_its_precision(run_dir, contexts))
    asked = recipe.dtype
    precision, why = choose_precision(asked, contexts)
    start_precision(precision, task_of(recipe).architecture(recipe) if precision == "bfloat16" else None)
    require_splittable(recipe, contexts)
    require_one_device(recipe, contexts)
    with early_warnings() as warned:
        if not goes_on:  # as runs of earlier versions may
            require_startable(recipe, len(contexts) * distributed.ranks(), precision)
        task = task_of(recipe)(recipe.set(dtype=precision), contexts, options.threads)
    said += look_at_the_machine(task.open_files)
    require_alike(task)
    with early_warnings() as more:
        loss, (net, start_seconds) = task.loss(), _network(task, run_dir, options, goes_on)
    require_one_teacher(task)
    recipe = task.recipe
    said += [*_parts(net, recipe), recipe.sizes_in_words()]
    lr_at, plan = recipe.schedule(task.train.steps_per_epoch)
    trainer = make_trainer(net, recipe, contexts)
    # In the order of the layers, which a Trainer's own list, sorted by name, has not.
    devices = len(contexts) * distributed.ranks()
    gradients = Gradients(list(net.collect_params().values()), accumulate=recipe.rounds(devices) > 1)
    if len(contexts) > 1:  # a Trainer's first sum gives all devices the first one's numbers, running statistics too
        trainer.allreduce_grads()
    average = Average(recipe, net, task.scores)
    journal = _open_run(run_dir, options, task, average.columns)
    try:
        job = Job(
            recipe, options, contexts, journal, task, net, trainer, gradients, Rounds(recipe, net, devices), loss,
            lr_at, plan,
            LossScale(precision == "float16"), checkpoint.Progress(step=plan.first_step),
            average, Ascent(recipe, net, trainer, gradients), Watch(recipe), start_seconds=start_seconds,
        )  # fmt: skip
        resumed_from, epochs = _resume(job)
        if goes_on and not resumed_from:
            raise Refused(f"the checkpoint of {run_dir} has just disappeared: check what else uses the folder")
        if distributed.rank() == 0:  # not before other images have been refused
            for name, text in task.run_files.items():
                write_text(run_dir / name, text)
        said += _changed_epochs(job, epochs) if epochs != recipe.epochs else []
        for line in dict.fromkeys([*warned, *more]):  # an outline may warn of what the network does
            journal.warn(line)
        asked = f" in place of {asked}" if why and not options.dtype_given else ""
        announce(job, [*said, why if options.dtype_given else ""], resumed_from, asked)
    except BaseException:
        journal.close()
        raise
    return job


def _network(task: Task, run_dir: pathlib.Path, options: Options, restored: bool) -> tuple[mx.gluon.HybridBlock, float]:
    """The task's network, once there is room for it, and in how many seconds it got its numbers.

    One that starts is looked at before.
    """

    def require_room() -> None:
        require_no_run(run_dir, options.resume)
        require_space(net, run_dir, options.keep, task.recipe)

    net = task.network(restored=True) if restored else require_network(task.recipe)
    refused_by_rank_0(require_room)
    begun = time.perf_counter()
    return net if restored else task.network(), time.perf_counter() - begun


def _open_run(run_dir: pathlib.Path, options: Options, task: Task, columns: Sequence[str]) -> Journal:
    """Claims the run directory: rank 0 for all, so that all are refused if it is.

    Args:
        columns: of metrics.csv beside those of the scores.
    """
    journal, refusal = None, ""
    try:
        if distributed.rank() == 0:
            require_no_run(run_dir, options.resume)
        journal = Journal(
            run_dir, silent=distributed.rank() != 0, extra_log=options.extra_log,
            scores=(*task.scores.columns, *columns),
            of_training=("train_loss", "train_error") if task.train_error else ("train_loss",),
        )  # fmt: skip
    except Refused as error:
        refusal = str(error)
    refusal = distributed.broadcast(refusal.encode()).decode()
    if refusal:
        raise Refused(refusal)
    return journal


def _goes_on(run_dir: pathlib.Path, options: Options) -> bool:
    """Whether there is a checkpoint to go on from, which rank 0 looks for."""
    there = distributed.rank() == 0 and options.resume and checkpoint.list_checkpoints(run_dir / "checkpoints")
    return distributed.broadcast(b"yes" if there else b"") == b"yes"


def _resume(job: Job) -> tuple[str, int]:
    """Goes to the newest checkpoint, if resuming was asked for and there is one; its name, and its number of epochs."""
    folder, name, data = job.journal.folder / "checkpoints", "", b""
    if distributed.rank() == 0:
        checkpoint.remove_leftovers(job.journal.folder)
        saved = checkpoint.list_checkpoints(folder) if job.options.resume else []
        name, data = (saved[-1].name, checkpoint.checkpoint_bytes(saved[-1])) if saved else ("", b"")
    name = distributed.broadcast(name.encode()).decode()
    if not name:
        broadcast_parameters(job.net)
        job.keep_start()
        job.average.begin()
        return "", job.recipe.epochs
    return name, job.restore(folder / name, distributed.broadcast(data))


def _changed_epochs(job: Job, before: int) -> list[str]:
    """Records that a run goes on for another number of epochs; the line that tells what this makes of the schedule.

    Raises:
        Refused: more of them are done.
    """
    recipe, step, each = job.recipe, job.progress.step, job.plan.steps_per_epoch
    if step > job.plan.steps:
        raise Refused(
            f"--num-epochs {recipe.epochs}: {step / each:.4g} epochs of the run are done already: give as many or more"
        )
    last = max(step - 1, 0)
    was = job.factor(last) * recipe.set(epochs=before).schedule(each)[0](last)
    now = job.factor(step) * job.lr_at(step)
    job.journal.event("epochs", step=step, before=before, now=recipe.epochs, lr_before=was, lr_now=now)
    epochs = plural(recipe.epochs, "epoch")
    line = f"{epochs} in place of {before}"
    if step == job.plan.steps:
        return [f"{line}: all of them are done"]
    if not job.epochs:
        return [f"{line}: validation results have ended the run after {plural(len(job.errors), 'epoch')}"]
    decay = next((trick.label() for trick in recipe.tricks if trick.slot() == "decay"), "no decay")
    rate = f"stays at {now:.4g}" if was == now else f"was {was:.4g} and goes on with {now:.4g}"
    until = (
        f"; until its end final.params is that of {before}" if (job.journal.folder / "final.params").exists() else ""
    )
    return [f"{line}: the schedule ({decay}) is that of {epochs}, so the learning rate {rate}{until}"]


def _contexts(options: Options, said: list[str]) -> list[mx.Context]:
    if options.contexts is None:
        contexts = choose_contexts(None, say=said.append)
    else:
        contexts = contexts_of(options.contexts, "contexts")
    if len({context.device_type for context in contexts}) > 1:
        raise Refused(f"the devices are {contexts}: give all CPUs or all GPUs")
    if contexts[0].device_type == "gpu":
        require_usable(contexts)
        if distributed.ranks() > 1:
            if distributed.local_rank() >= len(contexts):
                raise Refused(
                    f"rank {distributed.rank()} has no GPU: start {plural(len(contexts), 'rank')} on each machine"
                )
            return [contexts[distributed.local_rank()]]
    return contexts


def _parts(net: mx.gluon.HybridBlock, recipe: Settings) -> list[str]:
    """Freezes what the recipe says, and sets the rates of parts of the network; lines on that."""
    frozen = freeze(net, recipe.freeze)
    random = frozen and not any(getattr(recipe, field, "") for field in ("pretrained", "shallow", "base_params"))
    return [
        frozen + (", at random numbers: no trained network is named" if random else ""),
        *multiply_rates(net, recipe.lr_mult),
    ]
