"""A run ready to go: everything that Algorithm 1 works with."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.values import check_fields
from gluon_tricks.networks import checkpoint
from gluon_tricks.networks.of_recipe import parameters_by_name
from gluon_tricks.networks.statistics import each_device, statistics_on_devices
from gluon_tricks.ranks import distributed
from gluon_tricks.ranks.gradients import Gradients
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.tasks.protocol import Task, TaskLoss, errors_of
from gluon_tricks.training.ascent import Ascent
from gluon_tricks.training.average import Average
from gluon_tricks.training.divergence import Watch
from gluon_tricks.training.journal import Journal
from gluon_tricks.training.loss_scale import LossScale
from gluon_tricks.training.rounds import Rounds
from gluon_tricks.tricks import StepContext
from gluon_tricks.tricks.schedule import Plan, Schedule


@dataclasses.dataclass(frozen=True)
class Options:
    """What a run does besides learning; none of it changes the result.

    Args:
        contexts: devices, all CPUs or all GPUs; None: every usable GPU, else the CPU.
        threads: of the loader; None: all cores.
        resume: go on from the newest checkpoint in the run directory, if there is one.
        log_interval: steps between log lines.
        checkpoint_epochs: epochs between checkpoints; the last epoch always has one.
        checkpoint_steps: also every so many steps; 0: not.
        picture_epochs: epochs between pictures of what the network makes of some validation images; 0: none.
        keep: how many of the newest checkpoints stay, besides the best and one that a rollback could go to.
        extra_log: one more file for the log lines.
        dtype_given: the precision is asked for by itself, not by the recipe alone: another one is explained.
        notes: lines the journal starts with.
        restarted: why a launcher started the job again; "": it did not.
        should_stop: asked after every step; True ends the run resumably.
    """

    contexts: Sequence[mx.Context] | None = None
    threads: int | None = None
    resume: bool = False
    log_interval: int = 50
    checkpoint_epochs: int = 1
    checkpoint_steps: int = 0
    picture_epochs: int = 5
    keep: int = 2
    extra_log: pathlib.Path | None = None
    dtype_given: bool = False
    notes: tuple[str, ...] = ()
    restarted: str = ""
    should_stop: Callable[[], bool] = lambda: False

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("log_interval", "checkpoint_epochs", "keep"):
            if getattr(self, name) < 1:
                raise Refused(f"{name} is {getattr(self, name)}: it takes 1 or more")
        for name in ("checkpoint_steps", "picture_epochs"):
            if getattr(self, name) < 0:
                raise Refused(f"{name} is {getattr(self, name)}: it takes 0 (never) or more")


@dataclasses.dataclass
class Job:
    """A run ready to go.

    Args:
        recipe: with what the data and the devices have decided: its classes, the precision that is used.
        options: what the run does besides learning.
        contexts: the devices of this rank.
        journal: the run directory.
        task: the data, and how it is learnt and scored.
        net: on every device, in the recipe's precision.
        trainer: sums gradients over this rank's devices, and makes the updates.
        gradients: of the network's parameters; sums them over the ranks.
        rounds: of a step.
        loss: (X, z, y) -> (n,) float32, the tricks' changes included.
        lr_at: step -> learning rate, before factor.
        plan: the run's length in steps.
        scale: of the loss; it does nothing unless the precision is float16.
        progress: where the run stands.
        average: of the weights over the updates, if the recipe has one.
        ascent: takes gradients at other weights, if the recipe asks for it.
        watch: is shown every step's loss, and tells when they diverge.
        start_seconds: that the network took to get its numbers.
        lr_factor: on every learning rate, in (0, 1]; rollbacks lower it.
        start: the parameters by name before the first step, where finding them in images again would take minutes.
    """

    recipe: Settings
    options: Options
    contexts: list[mx.Context]
    journal: Journal
    task: Task
    net: mx.gluon.HybridBlock
    trainer: mx.gluon.Trainer
    gradients: Gradients
    rounds: Rounds
    loss: TaskLoss
    lr_at: Schedule
    plan: Plan
    scale: LossScale
    progress: checkpoint.Progress
    average: Average
    ascent: Ascent
    watch: Watch
    start_seconds: float = 0.0
    lr_factor: float = 1.0
    start: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @property
    def epochs(self) -> range:
        """The epochs that are not finished; none where validation results have ended the run."""
        done = self.recipe.start_epoch + len(self.progress.history)
        return range(done, done if self.recipe.ends(self.errors) else self.recipe.epochs)

    @property
    def errors(self) -> list[float]:
        """The validation error of every finished epoch, in [0, 1]."""
        return errors_of(self.progress.history, self.task.scores)

    def keep_start(self) -> None:
        """Keeps the parameters of this moment, before the first step, if they came from images."""
        parameters = parameters_by_name(self.net) if self.recipe.start_images else {}
        self.start = {name: parameter.list_data()[0].asnumpy() for name, parameter in parameters.items()}

    def factor(self, step: int) -> float:
        """On lr_at of a step: that of rollbacks, times what the validation results before its epoch say."""
        before = max(step // self.plan.steps_per_epoch - self.recipe.start_epoch, 0)
        return self.lr_factor * self.recipe.lr_factor(self.errors[:before])

    def batches(self, epoch: int) -> Iterator[Any]:
        """The loader's batches of an epoch, from the step where the run stands."""
        return self.task.train.epoch(epoch, self.progress.step - epoch * self.plan.steps_per_epoch)

    def step_context(self) -> StepContext:
        """What the tricks may know of the next step, on the first shard of this rank."""
        devices = len(self.contexts)
        first = distributed.rank() * self.recipe.rounds(devices * distributed.ranks()) * devices
        return StepContext(self.recipe.seed, self.progress.step, self.plan, first)

    def restore(self, path: pathlib.Path, data: bytes) -> int:
        """Goes to where a checkpoint stands; returns how many epochs the run was to have when it was written.

        Args:
            path: what an error names.
            data: the file's bytes, which rank 0 may be the only one to have read.
        """
        read, (train, *others) = checkpoint.parse_checkpoint(data, path), self._digests()
        self.progress = checkpoint.restore(
            path, read, self.net, self.trainer, self.recipe, train, self.contexts, *others, self.plan.steps_per_epoch
        )
        self.watch = Watch(self.recipe, self.progress)
        of_devices = checkpoint.named(read[0], "average_of_devices")
        self.average.restore(checkpoint.named(read[0], "average"), self.progress.history, path, of_devices)
        if self.scale.active:
            self.scale = LossScale(True, self.progress.loss_scale, self.progress.good_steps)
        self.apply_rollbacks()
        return read[1]["recipe"].get("epochs", self.recipe.epochs)

    def apply_rollbacks(self) -> None:
        """The shuffle and the factor on learning rates that belong to so many rollbacks."""
        times = len(self.progress.rollbacks)
        self.task.train.reseed((self.recipe.seed + 1_000_003 * times) % 2**31)
        self.lr_factor = 1.0 if self.scale.active else self.recipe.rollback_lr**times

    def checkpoint(self) -> None:
        """Writes a checkpoint of this moment (rank 0, for all) and removes those that are no longer kept."""
        of_devices = {"parameter": each_device(statistics_on_devices(self.net)), "average": self.average.each_device()}
        if distributed.rank() != 0:
            return
        folder, progress = self.journal.folder / "checkpoints", self.progress
        progress.loss_scale, progress.good_steps = self.scale.value, self.scale.good_steps
        self.watch.record(progress)
        path = checkpoint.checkpoint_path(folder, progress.step)
        averages, digests = self.average.arrays(), self._digests()
        checkpoint.save_checkpoint(path, self.net, self.trainer, progress, self.recipe, *digests, averages, of_devices)
        checkpoint.prune(folder, self.options.keep, progress.best[0], progress.step - self.recipe.divergence_steps)
        self.journal.event("checkpoint", step=self.progress.step, file=path.name)

    def _digests(self) -> tuple[str, str, str]:
        return self.task.train.records.digest, self.task.val.records.digest, self.task.learnt_from
