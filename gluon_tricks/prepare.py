"""What has to be in place before the first line of Algorithm 1: every check, then the job."""

from __future__ import annotations

import functools
import json
import pathlib
import platform
import shutil
from collections.abc import Sequence

import mxnet as mx
import numpy as np

import gluon_tricks
from gluon_tricks import checkpoint, distributed, doctor
from gluon_tricks.data.augment import Preprocess
from gluon_tricks.data.catalog import count_classes, find_records
from gluon_tricks.data.loader import Loader
from gluon_tricks.devices import choose_contexts, choose_precision, require_usable, start_precision
from gluon_tricks.divergence import Watch
from gluon_tricks.findings import PROBLEM, WARNING
from gluon_tricks.gradients import Gradients
from gluon_tricks.job import Job, Options
from gluon_tricks.journal import Journal
from gluon_tricks.loss_scale import LossScale
from gluon_tricks.network import initialized, parameters_by_name, share_parameters, untrained
from gluon_tricks.recipe import Recipe
from gluon_tricks.runtime import Refused
from gluon_tricks.trained import open_network


def prepare(recipe: Recipe, run_dir: pathlib.Path, options: Options) -> Job:
    """Checks everything that can be checked, then builds a job.

    Raises:
        Refused: one sentence on what cannot work; nothing has been written but the empty run directory.
    """
    distributed.start()
    said = list(options.notes)
    contexts = _contexts(options, said)
    precision, why = choose_precision(recipe.dtype, contexts)
    start_precision(precision, untrained(recipe))
    recipe, train, val = _loaders(recipe.set(dtype=precision), contexts, options)
    said += _look_at_the_machine(len(train.records.paths) + len(val.records.paths))
    _require_alike(recipe, train, val)
    net = _network(recipe, contexts)
    loss = recipe.loss(cross_entropy, functools.partial(_load_teacher, recipe=recipe, contexts=contexts))
    lr_at, plan = recipe.schedule(train.steps_per_epoch)
    trainer = _trainer(net, recipe, contexts)
    # In the order of the layers, which a Trainer's own list, sorted by name, has not.
    gradients = Gradients(list(net.collect_params().values()), accumulate=recipe.accumulate > 1)
    preprocess = Preprocess(_input_dtype(precision))
    if recipe.mode == "hybrid":
        preprocess.hybridize(static_alloc=True, static_shape=True)
    journal = _open_run(net, run_dir, options)
    try:
        job = Job(
            recipe, options, contexts, journal, train, val, preprocess, net, trainer, gradients, loss, lr_at, plan,
            LossScale(precision == "float16"), checkpoint.Progress(step=recipe.start_epoch * plan.steps_per_epoch),
            Watch(recipe),
        )  # fmt: skip
        _announce(job, [*said, why], resumed_from=_resume(job))
    except BaseException:
        journal.close()
        raise
    return job


def _loaders(recipe: Recipe, contexts: Sequence[mx.Context], options: Options) -> tuple[Recipe, Loader, Loader]:
    """The recipe with its number of classes, and the loaders of its records."""
    train, val = find_records(recipe)
    recipe = recipe.set(classes=count_classes(train, val, recipe.classes))
    common = dict(
        size=recipe.input_size, batch_size=_rank_batch(recipe, contexts), seed=recipe.seed, threads=options.threads,
        rank=distributed.rank(), ranks=distributed.ranks(), classes=recipe.classes,
    )  # fmt: skip
    return (
        recipe,
        Loader(train, train=True, area=(recipe.min_area, 1.0), **common),
        Loader(val, train=False, crop_ratio=recipe.crop_ratio, **common),
    )


def _look_at_the_machine(files: int) -> list[str]:
    """What scripts/doctor.py would warn of that concerns a training; the disk is looked at when its need is known.

    Raises:
        Refused: what it would call a problem.
    """
    findings = doctor.examine_memory(), doctor.examine_descriptors(files)
    for finding in findings:
        if finding.level == PROBLEM:
            raise Refused(f"{finding.what}: {finding.remedy}")
    return [f"{finding.what}: {finding.remedy}" for finding in findings if finding.level == WARNING]


def _require_alike(recipe: Recipe, train: Loader, val: Loader) -> None:
    """Refuses ranks that would train something else than rank 0 does; where their files lie may differ."""
    recipe = recipe.set(train=(), val=())
    digests = train.records.digest, val.records.digest
    odd = distributed.differing(json.dumps([recipe.to_json(), digests, gluon_tricks.__version__, mx.__version__]))
    if odd:
        raise Refused(
            f"of {distributed.ranks()} ranks, {', '.join(map(str, odd))} have another recipe, precision, version or "
            "other records than rank 0: give all the same command, the same installation and the same files"
        )


def _open_run(net: mx.gluon.Block, run_dir: pathlib.Path, options: Options) -> Journal:
    """Claims the run directory: rank 0 for all, so that all are refused if it is."""
    journal, refusal = None, ""
    try:
        if distributed.rank() == 0:
            _require_space(net, run_dir, options)
            if (run_dir / "recipe.json").exists() and not options.resume:
                raise Refused(
                    f"{run_dir} holds a run already: continue it with --resume auto, or give another --save-dir"
                )
        journal = Journal(run_dir, silent=distributed.rank() != 0, extra_log=options.extra_log)
    except Refused as error:
        refusal = str(error)
    refusal = distributed.broadcast(refusal.encode()).decode()
    if refusal:
        raise Refused(refusal)
    return journal


def _resume(job: Job) -> str:
    """Goes to the newest checkpoint, if resuming was asked for and there is one; returns its name."""
    folder, name, data = job.journal.folder / "checkpoints", "", b""
    if distributed.rank() == 0:
        checkpoint.remove_leftovers(folder)
        saved = checkpoint.list_checkpoints(folder) if job.options.resume else []
        name, data = (saved[-1].name, saved[-1].read_bytes()) if saved else ("", b"")
    name = distributed.broadcast(name.encode()).decode()
    if not name:
        share_parameters(job.net)
        return ""
    job.restore(folder / name, distributed.broadcast(data))
    return name


def cross_entropy(images, logits, target):
    """-sum_i q_i log p_i per image: (N, K), (N, K) -> (N,). Source: equation 3."""
    return -(logits.log_softmax(axis=1) * target).sum(axis=1)


def _load_teacher(source: str, recipe: Recipe, contexts: Sequence[mx.Context]) -> mx.gluon.Block:
    """A trained network that takes the recipe's images and knows its classes.

    Raises:
        Refused: there is none, or it was trained on images of another size or on other classes.
    """
    trained = open_network(source, ctx=contexts)
    teacher, wanted = trained.net, recipe.teacher_size or recipe.input_size
    seen = trained.recipe.input_size if trained.recipe else teacher.preprocessing.input_size if trained.published else 0
    if seen not in (0, wanted):
        raise Refused(
            f"the teacher {source} was trained on images of {seen} px and these have {wanted} px: train one on such "
            f"images, or say that it is meant with --set teacher_size={seen}"
        )
    try:
        shape = teacher(mx.nd.zeros((1, 3, recipe.input_size, recipe.input_size), ctx=contexts[0])).shape
    except mx.MXNetError as error:
        raise Refused(
            f"the teacher {source} does not take images of {recipe.input_size} px: {str(error).splitlines()[-1]}"
        ) from None
    if shape != (1, recipe.classes):
        raise Refused(
            f"the teacher {source} tells {shape[-1]} classes apart and the data has {recipe.classes}: "
            "train it on this data"
        )
    return teacher


def _contexts(options: Options, said: list[str]) -> list[mx.Context]:
    if options.contexts is None:
        contexts = choose_contexts(None, say=said.append)
    else:
        contexts = list(options.contexts)
    if not contexts or len({context.device_type for context in contexts}) > 1:
        raise Refused(f"the devices are {contexts}: give at least one, all CPUs or all GPUs")
    if contexts[0].device_type == "gpu":
        require_usable(contexts)
        if distributed.ranks() > 1:
            if distributed.local_rank() >= len(contexts):
                raise Refused(f"rank {distributed.rank()} has no GPU: start {len(contexts)} ranks on each machine")
            return [contexts[distributed.local_rank()]]
    return contexts


def _rank_batch(recipe: Recipe, contexts: Sequence[mx.Context]) -> int:
    """Images of this rank in each step."""
    parts = len(contexts) * distributed.ranks() * recipe.accumulate
    if recipe.batch_size % parts:
        rounds = f", {recipe.accumulate} rounds each" if recipe.accumulate > 1 else ""
        raise Refused(
            f"a batch of {recipe.batch_size} cannot be shared by {len(contexts) * distributed.ranks()} devices "
            f"({len(contexts)} on each of {distributed.ranks()} ranks{rounds}): make it a multiple of {parts}"
        )
    return recipe.batch_size // distributed.ranks()


def _network(recipe: Recipe, contexts: Sequence[mx.Context]) -> mx.gluon.HybridBlock:
    if recipe.net.get("norm_layer") == "SyncBatchNorm" and len(contexts) > 1:
        raise Refused(f"SyncBatchNorm is over ranks and this one has {len(contexts)} devices: start a rank for each")
    net = initialized(recipe, contexts)
    smallest = getattr(net, "smallest_side", 1)
    if recipe.input_size < smallest:
        raise Refused(f"{recipe.model} takes images of at least {smallest} px and input_size is {recipe.input_size}")
    if isinstance(net(mx.sym.Variable("data")), (list, tuple)):
        raise Refused(f"{recipe.model} has auxiliary classifiers, which this loop does not train: use one without")
    net.cast(_input_dtype(recipe.dtype))
    if recipe.mode == "hybrid":
        net.hybridize(static_alloc=True, static_shape=True)
    return net


def _input_dtype(precision: str) -> str:
    """What the network is fed: under AMP float32, which the first layer turns into bfloat16."""
    return "float16" if precision == "float16" else "float32"


def _trainer(net, recipe: Recipe, contexts: Sequence[mx.Context]) -> mx.gluon.Trainer:
    numbers = {"learning_rate": recipe.base_lr(), "momentum": recipe.momentum, "wd": recipe.wd}
    store = None if len(contexts) == 1 else "device" if contexts[0].device_type == "gpu" else "local"
    numbers["multi_precision"] = recipe.dtype == "float16"  # the float32 master copy of section 3.2
    return mx.gluon.Trainer(net.collect_params(), recipe.optimizer, numbers, kvstore=store, update_on_kvstore=False)


def _require_space(net: mx.gluon.Block, run_dir: pathlib.Path, options: Options) -> None:
    """Refuses a disk without room for the checkpoints that will lie there at once."""
    numbers = sum(int(np.prod(parameter.shape)) for parameter in parameters_by_name(net).values())
    there = len(checkpoint.list_checkpoints(run_dir / "checkpoints"))
    checkpoints = max(options.keep + 3 - there, 1)  # and the best, one to roll back to, and one being written
    needed = numbers * (10 * checkpoints + 8)  # float16: 2 + 4 master + 4 momentum bytes; final and exported
    folder = next(path for path in (run_dir.absolute(), *run_dir.absolute().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise Refused(
            f"{folder} has {free / 1e9:.1f} GB free and the checkpoints need {needed / 1e9:.1f} GB: "
            "make room, keep fewer, or give another --save-dir"
        )


def _announce(job: Job, lines: Sequence[str], resumed_from: str) -> None:
    """Tells what is going to happen, to the person and to the record."""
    recipe, journal = job.recipe, job.journal
    for line in filter(None, lines):
        journal.say(line)
    devices = ", ".join(map(str, job.contexts)) + (
        f" on {distributed.ranks()} ranks" if distributed.ranks() > 1 else ""
    )
    journal.say(
        f"{recipe.model} on {len(job.train.records)} images of {recipe.classes} classes at {recipe.input_size} px: "
        f"{recipe.epochs} epochs of {job.plan.steps_per_epoch} steps, batch {recipe.batch_size}, "
        f"{recipe.dtype}, {devices}"
    )
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
        base_lr=recipe.base_lr(),
        steps_per_epoch=job.plan.steps_per_epoch,
        versions={
            "gluon_tricks": gluon_tricks.__version__,
            "mxnet": mx.__version__,
            "python": platform.python_version(),
        },
        machine=platform.platform(),
    )
    journal.start(recipe.to_json(), job.progress.history)
    journal.start_steps(job.plan, recipe.batch_size, job.progress.step, job.options.log_interval)
