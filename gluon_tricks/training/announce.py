"""What a run tells of itself before its first step: to the person, and to its events."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any

import mxnet as mx

import gluon_tricks
from gluon_tricks.core.commit import commit
from gluon_tricks.core.environment import threads, usable_cores
from gluon_tricks.core.wording import plural
from gluon_tricks.networks.moved import digests_of_networks
from gluon_tricks.ranks import distributed
from gluon_tricks.training.job import Job
from gluon_tricks.training.rounds import doubt_of_norms, images_of_a_norm


def announce(job: Job, lines: Sequence[str], resumed_from: str, of_precision: str) -> None:
    """Tells what is going to happen, to the person and to the record. Args: of_precision: words that follow it."""
    recipe, journal = job.recipe, job.journal
    for line in filter(None, lines):
        journal.say(line)
    devices = ", ".join(map(str, job.contexts)) + (
        f" on {distributed.ranks()} ranks" if distributed.ranks() > 1 else ""
    )
    count = len(job.contexts) * distributed.ranks()
    seen = images_of_a_norm(recipe, job.net, count)
    norm = f"; batch normalisation over {plural(seen, 'image')}" if seen not in (None, recipe.batch_size) else ""
    journal.say(
        f"{job.task.describe()}: {plural(recipe.epochs, 'epoch')} of {plural(job.plan.steps_per_epoch, 'step')}, "
        f"batch {recipe.batch_size}, {recipe.dtype}{of_precision}, {devices}{norm}"
    )
    for line in job.task.told:
        journal.say(line)
    if resumed_from:
        journal.say(f"going on from {resumed_from}, after step {job.progress.step} of {job.plan.steps}")
    if job.options.restarted:
        journal.event("restart", reason=job.options.restarted)
    journal.event(
        "resume" if resumed_from else "start",
        step=job.progress.step,
        precision=recipe.dtype,
        contexts=[str(context) for context in job.contexts],
        ranks=distributed.ranks(),
        cores=usable_cores(),
        threads=threads(),
        bn_batch=seen,
        what=job.task.describe(),
        records=job.task.train.records.digest,
        val_records=job.task.val.records.digest,
        val_images=len(job.task.val.records),
        **job.task.recorded,
        **({} if resumed_from else _begun_from(job)),
        base_lr=recipe.base_lr(),
        steps_per_epoch=job.plan.steps_per_epoch,
        versions={
            "gluon_tricks": gluon_tricks.__version__,
            "mxnet": mx.__version__,
            "python": platform.python_version(),
        },
        machine=platform.platform(),
        commit=commit(),
    )
    if doubt := doubt_of_norms(recipe, seen, count):
        journal.warn(doubt)
    journal.start(recipe.to_json(), job.progress.history)
    journal.start_steps(job.plan, recipe.batch_size, job.progress.step, job.options.log_interval)


def _begun_from(job: Job) -> dict[str, Any]:
    """For the record of a start: the trained networks that the recipe names, and the images that it is found in."""
    images = {
        "images": job.recipe.start_images,
        "of": "training",
        "records": job.task.train.records.digest,
        "seconds": job.start_seconds,
    }
    found = {"networks": digests_of_networks(job.recipe), "initialised_from": images if job.recipe.start_images else {}}
    return {name: value for name, value in found.items() if value}
