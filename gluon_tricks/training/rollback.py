"""Taking a training that has diverged back to a checkpoint from before."""

from __future__ import annotations

import contextlib
import pathlib

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import writing
from gluon_tricks.core.reading import PARAMETER_BYTES, Unreadable, read_bytes
from gluon_tricks.core.wording import printable
from gluon_tricks.networks import checkpoint
from gluon_tricks.networks.moved import STARTS, digests_of_networks
from gluon_tricks.networks.of_recipe import broadcast_parameters, parameters_by_name, set_parameters
from gluon_tricks.networks.optimizer_state import clear_optimizer
from gluon_tricks.ranks import distributed
from gluon_tricks.report.told import networks_told, read_events
from gluon_tricks.training.divergence import Diverged, Watch
from gluon_tricks.training.job import Job
from gluon_tricks.training.loss_scale import LossScale
from gluon_tricks.training.requirements import refused_by_rank_0


def roll_back(job: Job, found: Diverged) -> None:
    """Takes a job back to its newest checkpoint from before, or to its start, and changes what it does next.

    It goes on with another shuffle, and with recipe.rollback_lr times the learning rate (float16: a 16th of the loss
    scale instead).

    Raises:
        Diverged: it has been taken back so often already, or what it started from is needed and not there.
    """
    recipe, earlier = job.recipe, job.progress.rollbacks
    if len(earlier) >= recipe.rollbacks:
        raise Diverged(
            found.step,
            f"{found}, after {len(earlier)} of {recipe.rollbacks} rollbacks: use a lower --lr or a longer warm-up",
        )
    mx.nd.waitall()
    folder = job.journal.folder / "checkpoints"
    name, data, suspect = _newest_good(folder, found.step) if distributed.rank() == 0 else ("", b"", [])
    name = distributed.broadcast(name.encode()).decode()
    if name:
        job.restore(folder / name, distributed.broadcast(data))
    else:
        _start_again(job, found)
    for path in suspect:  # so that a run that is resumed does not go on from them
        with writing(path):
            path.unlink(missing_ok=True)
    if job.scale.active:
        job.scale = LossScale(True, max(job.scale.value / 16, 1.0))
    job.progress.rollbacks = [*earlier, job.progress.step]
    job.apply_rollbacks()
    job.watch = Watch(recipe)
    job.checkpoint()  # so that a resumed run knows of it
    changed = f"loss scale {job.scale.value:g}" if job.scale.active else f"learning rates times {job.lr_factor:g}"
    job.journal.say(f"{found}: back to step {job.progress.step}, with another shuffle and {changed}")
    job.journal.event(
        "rollback", reason=str(found), seen_at=found.step, step=job.progress.step, shuffle_seed=job.task.train.seed,
        lr_factor=job.lr_factor, loss_scale=job.scale.value,
    )  # fmt: skip
    job.journal.start(recipe.to_json(), job.progress.history)
    job.journal.go_to(job.progress.step)


def _newest_good(folder: pathlib.Path, before: int) -> tuple[str, bytes, list[pathlib.Path]]:
    """Name and bytes of the newest whole checkpoint from before a step with finite numbers only, and the newer ones.

    The loss of step s comes from the parameters after step s - 1: the last good ones are those of s - 2.
    """
    newer = []
    for path in reversed(checkpoint.list_checkpoints(folder)):
        try:
            data = read_bytes(path, PARAMETER_BYTES)
        except Unreadable:  # now, perhaps: its numbers may be good
            continue
        with contextlib.suppress(Refused):  # a damaged one
            arrays, header = checkpoint.parse_checkpoint(data, path)
            if header["progress"]["step"] < before - 1 and all(np.isfinite(array).all() for array in arrays.values()):
                return path.name, data, newer
        newer.append(path)
    return "", b"", newer


def _start_again(job: Job, found: Diverged) -> None:
    """The job as it was before its first step. Raises Diverged: what it started from is not there."""
    try:
        arrays = job.start or _found_again(job)
    except Refused as error:
        raise Diverged(
            found.step, f"{found}; no checkpoint is from before, and the run cannot start again: {error}"
        ) from error
    dtypes = {name: p.dtype for name, p in parameters_by_name(job.net).items()}
    set_parameters(job.net, {name: array.astype(dtypes[name]) for name, array in arrays.items()}, "the start")
    broadcast_parameters(job.net)
    job.average.begin()
    clear_optimizer(job.trainer)
    job.progress = checkpoint.Progress(step=job.plan.first_step)


def _found_again(job: Job) -> dict[str, np.ndarray]:
    """The parameters of the first step, of what the recipe names. Raises Refused: it is not there as it was."""
    refused_by_rank_0(lambda: _require_as_begun(job))
    start = parameters_by_name(job.task.network())
    return {name: parameter.list_data()[0].asnumpy() for name, parameter in start.items()}


def _require_as_begun(job: Job) -> None:
    """Refuses trained networks that the run tells it started from, and that have other numbers now or are gone."""
    now, told = digests_of_networks(job.recipe), networks_told(read_events(job.journal.folder))
    for place in STARTS:
        if now.get(place) != told.get(place, now.get(place)):
            raise Refused(
                f"{place} {printable(getattr(job.recipe, place))} is gone, or has other numbers than at the start: put "
                "the file back, and go on with --resume auto"
            )
