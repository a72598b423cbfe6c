"""A run ready to go: everything that Algorithm 1 works with, and how a loader's batch becomes the devices' shares."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

import mxnet as mx
import numpy as np

from gluon_tricks import checkpoint, distributed
from gluon_tricks.data.augment import Preprocess, coefficients
from gluon_tricks.data.loader import Batch, Loader
from gluon_tricks.journal import Journal
from gluon_tricks.loss_scale import LossScale
from gluon_tricks.recipe import Recipe
from gluon_tricks.runtime import Refused
from gluon_tricks.schedule import Plan, Schedule
from gluon_tricks.tricks import Draw, Loss

Shares = list[tuple[mx.nd.NDArray, mx.nd.NDArray]]  # per device: network input (n, 3, H, W), target (n, K)


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
        keep: how many of the newest checkpoints stay, besides the best.
        extra_log: one more file for the log lines.
        notes: lines the journal starts with.
        should_stop: asked after every step; True ends the run resumably.
    """

    contexts: Sequence[mx.Context] | None = None
    threads: int | None = None
    resume: bool = False
    log_interval: int = 50
    checkpoint_epochs: int = 1
    checkpoint_steps: int = 0
    keep: int = 2
    extra_log: pathlib.Path | None = None
    notes: tuple[str, ...] = ()
    should_stop: Callable[[], bool] = lambda: False

    def __post_init__(self) -> None:
        for name in ("log_interval", "checkpoint_epochs", "keep"):
            if getattr(self, name) < 1:
                raise Refused(f"{name} is {getattr(self, name)}: it takes 1 or more")
        if self.checkpoint_steps < 0:
            raise Refused(f"checkpoint_steps is {self.checkpoint_steps}: it takes 0 (never) or more")


@dataclasses.dataclass
class Job:
    """A run ready to go."""

    recipe: Recipe
    options: Options
    contexts: list[mx.Context]
    journal: Journal
    train: Loader
    val: Loader
    preprocess: Preprocess
    net: mx.gluon.HybridBlock
    trainer: mx.gluon.Trainer
    loss: Loss
    lr_at: Schedule
    plan: Plan
    scale: LossScale
    progress: checkpoint.Progress

    @property
    def epochs(self) -> range:
        """The epochs that are not finished."""
        return range(self.recipe.start_epoch + len(self.progress.history), self.recipe.epochs)

    def training_shares(self, batch: Batch, epoch: int) -> Shares:
        """A loader's batch as the devices get it: augmented, mixed, smoothed."""
        recipe, draw = self.recipe, Draw(self.recipe.seed, self.progress.step, self.plan)
        matrix, flip = coefficients(recipe.augment, recipe.seed, epoch, batch.indices, recipe.mean, recipe.std)
        shares = []
        for context, *share in zip(self.contexts, *self._split(batch.images, matrix, flip, batch.labels)):
            images, labels = self.preprocess(*(_array(part, context) for part in share[:3])), share[3]
            target = mx.nd.one_hot(_array(labels, context), recipe.classes)  # (n, K)
            for trick in recipe.tricks:
                images, target = trick.batch(images, target, draw)
            shares.append((images, target))
        return shares

    def evaluation_input(self, images: np.ndarray, context: mx.Context) -> mx.nd.NDArray:
        """Images (n, H, W, 3) uint8 as the network sees them: normalised, not augmented."""
        matrix, flip = coefficients("none", 0, 0, range(len(images)), self.recipe.mean, self.recipe.std)
        return self.preprocess(*(_array(part, context) for part in (images, matrix, flip)))

    def checkpoint(self) -> None:
        """Writes a checkpoint of this moment (rank 0) and removes those that are no longer kept."""
        if distributed.rank() != 0:
            return
        folder = self.journal.folder / "checkpoints"
        self.progress.loss_scale, self.progress.good_steps = self.scale.value, self.scale.good_steps
        path = checkpoint.checkpoint_path(folder, self.progress.step)
        digest = self.train.records.digest
        checkpoint.save_checkpoint(path, self.net, self.trainer, self.progress, self.recipe, digest)
        checkpoint.prune(folder, self.options.keep, self.progress.best[0])
        self.journal.event("checkpoint", step=self.progress.step, file=path.name)

    def _split(self, *parts: np.ndarray) -> list[list[np.ndarray]]:
        return [np.split(part, len(self.contexts)) for part in parts]


def _array(part: np.ndarray, context: mx.Context) -> mx.nd.NDArray:
    return mx.nd.array(part, ctx=context, dtype=part.dtype)
