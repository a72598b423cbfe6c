"""What a training asks before anything is built: of its recipe, the machine, the ranks and the disk."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
from collections.abc import Callable, Sequence

import mxnet as mx
import numpy as np

import gluon_tricks
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import CannotWrite, require_folder, require_writable
from gluon_tricks.core.owned import require_unowned
from gluon_tricks.core.wording import byte_size, plural, quoted
from gluon_tricks.machine import doctor
from gluon_tricks.machine.checks import PROBLEM, WARNING
from gluon_tricks.machine.devices import choose_precision
from gluon_tricks.networks import checkpoint
from gluon_tricks.networks.of_recipe import parameters_by_name
from gluon_tricks.networks.parts import freeze, multiply_rates
from gluon_tricks.ranks import distributed
from gluon_tricks.recipes.kinds import read_recipe
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.tasks.protocol import Task
from gluon_tricks.tasks.registry import task_of
from gluon_tricks.training.journal import RUNS


def require_readable(recipe: Settings) -> None:
    """Refuses what is no recipe, and one that a run could not be read back by, such as one with a program's trick."""
    if not isinstance(recipe, Settings):
        raise Refused(f"train takes a recipe, such as get_recipe('imagenette'), but got {quoted(recipe)}")
    try:
        type(recipe).from_json(json.loads(json.dumps(recipe.to_json())))
    except (Refused, TypeError) as error:
        raise Refused(
            f"the run could not be read back from its recipe.json ({error}): a trick of your own goes into TRICKS of "
            "gluon_tricks/tricks/__init__.py, or into a loop of your own"
        ) from None


def require_place(run_dir: pathlib.Path | None, extra_log: pathlib.Path | None, resume: bool) -> None:
    """Refuses, before photos are packed, a place in which a run cannot begin or go on; rank 0 looks for all.

    Args:
        run_dir: None: a new folder of RUNS.
        extra_log, resume: as of Options.
    """

    def look() -> None:
        if run_dir:
            require_no_run(run_dir, resume)
        try:
            require_folder(run_dir or RUNS, "--save-dir" if run_dir else "the folder of runs")
            if extra_log:
                _require_log_of_its_own(extra_log, run_dir)
            if extra_log and not _is_made_with(run_dir or RUNS, extra_log):
                require_writable(extra_log, "--logging-file", over_owned=True)
        except CannotWrite as error:
            raise Refused(f"{error}: give another place for it") from None

    refused_by_rank_0(look)


def refused_by_rank_0(look: Callable[[], None]) -> None:
    """Rank 0 looks for all, and what it refuses all refuse."""
    refusal = ""
    try:
        if distributed.rank() == 0:
            look()
    except Refused as error:
        refusal = str(error)
    refusal = distributed.broadcast(refusal.encode()).decode()
    if refusal:
        raise Refused(refusal)


def require_its_precision(run_dir: pathlib.Path, contexts: Sequence[mx.Context]) -> None:
    """Refuses to go on with a run of another precision than what the devices compute in its place."""
    try:
        begun = read_recipe(run_dir / "recipe.json")
    except Refused:  # it is gone or damaged: the checkpoint has it too
        return
    try:
        here, _ = choose_precision(begun.dtype, contexts)
    except Refused:
        here = "float16 or float32"  # bfloat16 on GPUs
    if here != begun.dtype:
        anew = "" if begun.based else " --resume-params FILE"
        raise Refused(
            f"{run_dir} was begun in {begun.dtype}, and this machine computes in {here}: go on with it on a machine of "
            f"the first one's kind, or start another run: --save-dir NEW{anew}"
        )


def require_no_run(run_dir: pathlib.Path, resume: bool) -> None:
    """Refuses the folder of a run that is not to go on."""
    if (run_dir / "recipe.json").exists() and not resume:
        raise Refused(f"{run_dir} holds a run already: continue it with --resume auto, or give another --save-dir")


def _require_log_of_its_own(extra_log: pathlib.Path, run_dir: pathlib.Path | None) -> None:
    """Refuses to append the log to what a run or records need; to the run's own log it may go a second time."""
    log, run = (pathlib.Path(os.path.realpath(path)) if path else None for path in (extra_log, run_dir))
    if log != (run and run / "log.txt"):
        require_unowned(log, "--logging-file", run)


def _is_made_with(run_dir: pathlib.Path, file: pathlib.Path) -> bool:
    """Whether a file is there, or the folder that it lies in is made for the run."""
    folder, run = (pathlib.Path(os.path.realpath(path)) for path in (file.parent, run_dir))
    return file.is_file() or not folder.exists() and (folder in run.parents or run in (folder, *folder.parents))


def look_at_the_machine(files: int) -> list[str]:
    """What gluon-tricks doctor would warn of that concerns a training; the disk is looked at when its need is known.

    Raises:
        Refused: what it would call a problem.
    """
    findings = doctor.examine_memory(), doctor.examine_descriptors(files)
    for finding in findings:
        if finding.level == PROBLEM:
            raise Refused(f"{finding.what}: {finding.remedy}")
    return [f"{finding.what}: {finding.remedy}" for finding in findings if finding.level == WARNING]


def require_alike(task: Task) -> None:
    """Refuses ranks that would train something else than rank 0 does; where their files lie may differ."""
    digests = task.train.records.digest, task.val.records.digest
    odd = distributed.differing(
        json.dumps([task.recipe.deciding("ranks"), digests, gluon_tricks.__version__, mx.__version__])
    )
    if odd:
        raise Refused(
            f"of {distributed.ranks()} ranks, {', '.join(map(str, odd))} have another recipe, precision, version or "
            "other records than rank 0: give all the same command, the same installation and the same files"
        )


def require_one_teacher(task: Task) -> None:
    """Refuses ranks that would learn from another network than rank 0 does, which lies in the same place there."""
    odd = distributed.differing(task.learnt_from)
    if odd:
        raise Refused(
            f"of {distributed.ranks()} ranks, {', '.join(map(str, odd))} have a teacher with other numbers than rank "
            "0's: give all machines the same file"
        )


def require_devices(recipe: Settings, contexts: Sequence[mx.Context]) -> None:
    """Refuses what a new run on these devices would be refused for: its batch, its SyncBatchNorm or its mixing."""
    require_splittable(recipe, contexts)
    require_one_device(recipe, contexts)
    require_mixing(recipe, len(contexts) * distributed.ranks())


def require_splittable(recipe: Settings, contexts: Sequence[mx.Context]) -> None:
    """Refuses a batch that does not split evenly over the devices."""
    devices = len(contexts) * distributed.ranks()
    parts = devices * (recipe.bn_batch or recipe.accumulate)
    if recipe.bn_batch and recipe.batch_size % parts:
        raise Refused(
            f"a batch of {recipe.batch_size} cannot be split over {plural(devices, 'device')} in rounds of bn_batch "
            f"{recipe.bn_batch} each: make it a multiple of {parts}, use other devices, or set bn_batch=null"
        )
    if recipe.batch_size % parts:
        rounds = f", {recipe.accumulate} micro-batches each" if recipe.accumulate > 1 else ""
        raise Refused(
            f"a batch of {recipe.batch_size} cannot be split evenly over {plural(devices, 'device')} "
            f"({len(contexts)} on each of {plural(distributed.ranks(), 'rank')}{rounds}): make it a multiple of "
            f"{parts}, or use fewer"
        )


def require_one_device(recipe: Settings, contexts: Sequence[mx.Context]) -> None:
    """Refuses SyncBatchNorm over several devices of one rank, and over ranks where nothing is hybridized."""
    if recipe.net.get("norm_layer") != "SyncBatchNorm":
        return
    if len(contexts) > 1:
        raise Refused(
            f"SyncBatchNorm is over ranks and this one has {len(contexts)} devices: start a rank for each, or use one"
        )
    if distributed.ranks() > 1 and recipe.mode == "imperative":
        raise Refused(
            "SyncBatchNorm over ranks in the mode imperative: MXNet overwrites there what it computes with; "
            "give --mode hybrid, or --set net.norm_layer=BatchNorm"
        )


def require_mixing(recipe: Settings, devices: int) -> None:
    """Refuses to mix images of which a device has one at a time, or up to an epoch that nobody knows.

    Args:
        devices: over all ranks.
    """
    trick = next((trick for trick in recipe.tricks if trick.slot() == "mixing"), None)
    mixing = trick.label() if trick else ""
    if trick and recipe.batch_size // (devices * recipe.rounds(devices)) == 1:
        raise Refused(
            f"{mixing}: a device has one image at a time and none to mix it with: use a larger batch, fewer devices "
            f"or rounds, or --set {mixing}=off"
        )
    if off := recipe.open_ended and getattr(trick, "off_epochs", 0):
        raise Refused(
            f"{mixing} is off in the last {plural(off, 'epoch')} and validation results end the run, so nobody knows "
            f"before which they are: set {mixing}.off_epochs=0, or another schedule"
        )


def require_startable(recipe: Settings, devices: int, precision: str) -> None:
    """Refuses what no run can begin with, before its task goes through all images for their mean.

    Args:
        devices: over all ranks.
        precision: that the devices compute in.

    Raises:
        Refused: as of require_mixing and require_network; or steps of a gradient ascent would round away in float16.
    """
    require_mixing(recipe, devices)
    climbing = next((trick.label() for trick in recipe.tricks if trick.climbs), "")
    if climbing and precision == "float16":
        raise Refused(
            f"{climbing} and float16, in which its step is mostly rounded away when it is added to the weights: give "
            f"--dtype float32, or --set {climbing}=off"
        )
    require_network(recipe)


def require_network(recipe: Settings) -> mx.gluon.HybridBlock:
    """Refuses what the network is not made for, before it gets its numbers, from images maybe; returns its outline.

    Raises:
        Refused: as Task.outline; parts of it are named that it has not, or tricks that are not for the optimiser.
    """
    net = task_of(recipe).outline(recipe)
    freeze(net, recipe.freeze)
    multiply_rates(net, recipe.lr_mult)
    recipe.optimizer_and_numbers()
    return net


def require_space(net: mx.gluon.Block, run_dir: pathlib.Path, keep: int, recipe: Settings) -> None:
    """Refuses a disk without room for the checkpoints that will lie there at once. Args: keep: as of Options."""
    numbers = sum(int(np.prod(parameter.shape)) for parameter in parameters_by_name(net).values())
    there = len(checkpoint.list_checkpoints(run_dir / "checkpoints"))
    checkpoints = max(keep + 3 - there, 1)  # and the best, one to roll back to, and one being written
    each = 4 * recipe.kept_copies() + (2 if recipe.dtype == "float16" else 0)  # which has a float32 master besides
    needed = numbers * (each * checkpoints + 8)  # and the final and the exported one
    folder = next(path for path in (run_dir.absolute(), *run_dir.absolute().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise Refused(
            f"{folder} has {byte_size(free)} free and the checkpoints need {byte_size(needed)}: "
            "make room, keep fewer, or give another --save-dir"
        )
