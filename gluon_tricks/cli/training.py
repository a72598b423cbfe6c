"""What the commands that train have in common: from parsed flags to an exit code.

Exit codes: 0 done, 2 refused before any work, 75 interrupted and resumable (--resume auto), 1 anything else;
a signal before anything was started ends them with 130 or 143 (gluon_tricks_command).
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import json
import os
import pathlib
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable

import mxnet as mx

from gluon_tricks.cli import plan
from gluon_tricks.core.commands import why_stopped
from gluon_tricks.core.errors import RESUMABLE, Refused
from gluon_tricks.core.files import CannotWrite, require_name
from gluon_tricks.core.wording import one_line, plural
from gluon_tricks.data.records import BadRecord
from gluon_tricks.machine.devices import choose_contexts
from gluon_tricks.networks.checkpoint import list_checkpoints
from gluon_tricks.ranks import distributed, heartbeat, launcher
from gluon_tricks.ranks.failure import OTHER_ENDED
from gluon_tricks.recipes.kinds import read_recipe, recipe_from_json
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.report.told import read_events
from gluon_tricks.training.divergence import Diverged
from gluon_tricks.training.job import Options
from gluon_tricks.training.journal import last_epoch, make_run_directory, newest_run_directory
from gluon_tricks.training.loop import train_and_evaluate
from gluon_tricks.training.requirements import require_place
from gluon_tricks.training.steps import Interrupted

_WHAT = ("recipe", "model", "rec_train", "rec_val", "data_dir", "use_rec", "dataset", "data", "base", "base_params")
_NEVER = 1 << 40  # epochs: the last one has a checkpoint anyway
_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class StopRequest:
    """SIGINT, SIGTERM or SIGUSR1 asks the run to stop after its step; a second one ends the process at once.

    What follows within a second is the same request: a scheduler signals a launcher and its ranks alike. A thread
    listens, because Python's own handlers wait while the main thread is in MXNet.
    """

    def __init__(self) -> None:
        self.made, (self._ear, mouth) = False, socket.socketpair()
        mouth.setblocking(False)
        self._mouth = mouth  # kept open
        signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
        for number in _STOP:  # what a shell's script ignores in its background stays so; ranks inherit SIGUSR1 ignored
            if number == signal.SIGUSR1 or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, lambda number, frame: None)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        first = 0.0
        while number := self._ear.recv(1)[0]:
            if number in _STOP and self.made and time.monotonic() - first > 1:
                os._exit(128 + number)
            if number in _STOP and not self.made:
                self.made, first = True, time.monotonic()
                heartbeat.stopping()

    def __call__(self) -> bool:
        return self.made


def train(
    args: argparse.Namespace,
    start: Callable[[argparse.Namespace], tuple[Settings, list[str]]],
    recipe_from_flags: Callable[..., tuple[Settings, list[str]]],
    chatty: bool = False,
) -> int:
    """Trains what the flags say; returns the exit code, having told the person why.

    Args:
        args: with the flags of flags.run_flags and --num-gpus.
        start: args -> the recipe that the flags change, and lines to tell.
        recipe_from_flags: (args, devices over all ranks, the recipe of the run that goes on or None, the devices that
            it began on or 0) -> the recipe, and lines to tell.
        chatty: see distributed.start.

    Raises:
        Refused: before any work.
    """
    if args.plan:
        return plan.show(args, recipe_from_flags)
    started, run = time.monotonic(), None
    try:
        recipe, run, options = _what_to_train(args, start, recipe_from_flags, chatty)
        scores = train_and_evaluate(recipe, run, options)
    except Interrupted as stop:
        if distributed.rank() == 0:
            print(f"{stop}; the same command with --resume auto --save-dir {run} continues", flush=True)
        distributed.wait_for_all()  # a rank that leaves ends the others: rank 0 has now written and said everything
        return RESUMABLE
    except mx.MXNetError as error:
        if "Horovod has been shut down" not in str(error):
            raise
        print(OTHER_ENDED, file=sys.stderr, flush=True)
        time.sleep(10)  # the launcher is to see the end of that one first
        return 1
    except (BadRecord, Diverged) as error:
        print(f"stopped: {one_line(error)}", file=sys.stderr)
        return 1
    except (CannotWrite, OSError) as error:
        return _cannot_write(why_stopped(error), run)
    finally:
        if run is not None and run != args.save_dir and distributed.rank() == 0:
            with contextlib.suppress(OSError):  # it is not empty: the run has begun
                run.rmdir()
                run.parent.rmdir()
    if distributed.rank() == 0:
        minutes, seconds = divmod(round(time.monotonic() - started), 60)
        measured = {label: scores.row()[column] for column, label in scores.labels.items() if column != "val_loss"}
        said = " and ".join(f"{value:.2%} {label}" for label, value in measured.items())
        print(
            f"{recipe.model} has {said} on {scores.images} held-out images after "
            f"{plural(last_epoch(run), 'epoch')}, in {minutes}:{seconds:02d}; everything about it is in {run}"
        )
    return 0


def _cannot_write(wrong: str, run: pathlib.Path | None) -> int:
    if run is None:  # photos were to be packed, or built-in pictures to be made
        print(f"stopped: {one_line(wrong)}", file=sys.stderr)
        return 1
    saved = list_checkpoints(run / "checkpoints")
    remedy = "there is no checkpoint to go on from"
    if saved:
        go_on = f"the same command with --resume auto --save-dir {run} continues from {saved[-1].name}"
        remedy = f"once files can be written there, {go_on}"
    print(f"stopped: {one_line(f'{wrong}; {remedy}')}", file=sys.stderr)
    return RESUMABLE if saved else 1


def _what_to_train(
    args: argparse.Namespace, start: Callable, recipe_from_flags: Callable, chatty: bool
) -> tuple[Settings, pathlib.Path, Options]:
    """The recipe, the run directory and the rest, of the arguments of train."""
    for flag, path in (("--save-dir", args.save_dir), ("--logging-file", args.logging_file)):
        if path:
            require_name(path, flag)
    heartbeat.start()
    restarted = os.environ.get(launcher.RESTARTED, "")
    notes = [f"started again: {restarted}"] if restarted else []
    contexts = choose_contexts(args.num_gpus, say=notes.append)
    distributed.start(chatty=chatty or contexts[0].device_type == "gpu")
    devices = (1 if distributed.ranks() > 1 else len(contexts)) * distributed.ranks()
    run, begun, began_on = _run_to_go_on_with(args, start, restarted) if args.resume else (args.save_dir, None, 0)
    require_place(run, args.logging_file, resume=bool(args.resume))
    recipe, more = recipe_from_flags(args, devices, begun, began_on)
    if begun is not None:
        if args.recipe:
            _require_its_recipe(run, recipe, begun)
        recipe, changed = with_batch_of_run(recipe, begun.batch_size, devices)
        more += changed
    elif args.resume and not args.recipe:  # whoever leaves everything to the run may have mistyped its name
        more.insert(0, f"--resume auto: no run has begun in {run or 'runs'}, so a new one starts")
    rest = dict(contexts=contexts, notes=(*notes, *more), restarted=restarted)
    options = Options(**_options_from_flags(args, **rest, should_stop=StopRequest()))
    return recipe, run or _new_run(recipe.name), options


def with_batch_of_run(recipe: Settings, stored: int, devices: int) -> tuple[Settings, list[str]]:
    """The recipe with the global batch that a run was started with, when it goes on with another number of devices.

    Args:
        recipe: what the command line means with this many devices.
        stored: the run's global batch.
        devices: over all ranks.

    Returns:
        the recipe, and a line that tells of the change.

    Raises:
        Refused: the batch cannot be split evenly over so many devices.
    """
    parts = devices * recipe.accumulate
    each = recipe.batch_size // parts
    if stored == recipe.batch_size or each < 1 or stored % each:
        return recipe, []
    rounds = f" in {recipe.accumulate} micro-batches each" if recipe.accumulate > 1 else ""
    if stored % parts:
        remedy = f"a number of devices that divides {stored // recipe.accumulate}"
        if stored % recipe.accumulate:
            remedy = f"an --accumulate that divides {stored}"
        raise Refused(
            f"the run has a global batch of {stored}, which cannot be split evenly over {plural(devices, 'device')}"
            f"{rounds}: go on with {remedy}"
        )
    return recipe.set(batch_size=stored), [
        f"going on with the run's global batch of {stored}: {plural(stored // devices, 'image')} on each of "
        f"{plural(devices, 'device')}{rounds}"
    ]


def _options_from_flags(args: argparse.Namespace, **rest) -> dict:
    """The keyword arguments of train.Options that the flags give."""
    return dict(
        threads=args.num_data_workers,
        resume=args.resume == "auto",
        log_interval=args.log_interval,
        checkpoint_epochs=args.save_frequency or _NEVER,
        checkpoint_steps=args.save_steps,
        picture_epochs=args.picture_epochs,
        keep=args.keep,
        extra_log=args.logging_file,
        dtype_given=args.dtype is not None or any(setting.startswith("dtype=") for setting in args.set),
        **rest,
    )


def _new_run(name: str) -> pathlib.Path:
    """A new run directory, which rank 0 makes for all."""
    made = str(make_run_directory(name)) if distributed.rank() == 0 else ""
    return pathlib.Path(distributed.broadcast(made.encode()).decode())


def _run_to_go_on_with(
    args: argparse.Namespace, start: Callable, restarted: str
) -> tuple[pathlib.Path | None, Settings | None, int]:
    """The run directory that --resume auto means, its recipe (None: there is none), and the devices that it began on.

    Rank 0 looks, which may be the only one to see it.

    Raises:
        Refused: the folder of --save-dir is not there, and the command does not say what a new run would train. The
            scripts of a queue, which have --resume auto from the first start on, do say it; a restart is one of these.
    """
    name = next((setting[5:] for setting in args.set if setting.startswith("name=")), None)
    run = args.save_dir or newest_run_directory(name or start(args)[0].name)
    there = distributed.rank() == 0 and run is not None and os.path.lexists(run / "recipe.json")
    wrong = "" if there or restarted or run is None or _says_what_to_train(args) else _no_such_run(run)
    stored, began_on = (read_recipe(run / "recipe.json").to_json(), _began_on(run)) if there else (None, 0)
    found = str(run or ""), stored, began_on, wrong
    run, stored, began_on, wrong = json.loads(distributed.broadcast(json.dumps(found).encode()))
    if wrong:
        raise Refused(wrong)
    return pathlib.Path(run) if run else None, recipe_from_json(stored) if stored else None, began_on


def _began_on(run: pathlib.Path) -> int:
    """How many devices a run began on, over all ranks; 0: it does not tell."""
    first = next((event for event in read_events(run) if event.get("event") == "start"), {})
    ranks, contexts = first.get("ranks"), first.get("contexts")
    if not isinstance(ranks, int) or not isinstance(contexts, list):
        return 0
    return ranks if ranks > 1 else len(contexts)


def _says_what_to_train(args: argparse.Namespace) -> bool:
    """Whether a flag names a recipe, a network or data, of classifiers or of detectors and segmenters."""
    named = {setting.partition("=")[0] for setting in args.set} & {"model", "data", "train", "dataset", "base_params"}
    return bool(named) or any(getattr(args, flag, None) for flag in _WHAT)


def _no_such_run(run: pathlib.Path) -> str:
    """What is wrong where --save-dir names a folder that is not there; "" where it is."""
    if os.path.isdir(run):
        return ""
    runs = [path.parent.name for path in run.absolute().parent.glob("*/recipe.json")]
    near = [str(run.with_name(name)) for name in difflib.get_close_matches(run.name, runs)]
    meant = f" (did you mean {', '.join(near)}?)" if near else ""
    return (
        f"--resume auto: there is no run {run}{meant}: check the name, or say what a new run is to train by a flag for "
        "its recipe, network or data"
    )


def _require_its_recipe(run: pathlib.Path, recipe: Settings, begun: Settings) -> None:
    """Refuses another recipe by its name, before its batch or its data are found not to fit.

    What flags change in the run's own recipe is looked at when the checkpoint is read.
    """
    differing = recipe.differences(begun, "resume")
    if recipe.name != begun.name and differing:
        raise Refused(
            f"{run} is a run of the recipe {begun.name}, and this is {recipe.name} (they differ in "
            f"{', '.join(differing)}): leave --recipe out to continue the run, or start another with --save-dir NEW"
        )
