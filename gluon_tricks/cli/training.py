"""What the commands that train have in common: from parsed flags to an exit code.

Exit codes: 0 done, 2 refused before any work, 75 interrupted and resumable (--resume auto), 1 anything else;
a signal before anything was started ends them with 130 or 143 (gluon_tricks_command).
"""

from __future__ import annotations

import argparse
import contextlib
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

from gluon_tricks.cli.command_line import options_from_flags, with_batch_of_run
from gluon_tricks.core.commands import why_stopped
from gluon_tricks.core.errors import RESUMABLE, Refused
from gluon_tricks.core.files import CannotWrite, require_name
from gluon_tricks.core.wording import harmless_output, one_line, plural
from gluon_tricks.data.records import BadRecord
from gluon_tricks.machine.devices import choose_contexts
from gluon_tricks.networks.checkpoint import list_checkpoints
from gluon_tricks.ranks import distributed, heartbeat, launcher
from gluon_tricks.recipes.recipe import read_recipe, recipe_from_json
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.training.divergence import Diverged
from gluon_tricks.training.job import Options
from gluon_tricks.training.journal import make_run_directory, newest_run_directory
from gluon_tricks.training.loop import train_and_evaluate
from gluon_tricks.training.steps import Interrupted

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
        for number in _STOP:
            signal.signal(number, lambda number, frame: None)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        first = 0.0
        while number := self._ear.recv(1)[0]:
            if number in _STOP and self.made and time.monotonic() - first > 1:
                os._exit(128 + number)
            if number in _STOP and not self.made:
                self.made, first = True, time.monotonic()

    def __call__(self) -> bool:
        return self.made


@harmless_output()
def train(
    args: argparse.Namespace,
    start: Callable[[argparse.Namespace], tuple[Settings, list[str]]],
    recipe_from_flags: Callable[[argparse.Namespace, int, Settings | None], tuple[Settings, list[str]]],
    chatty: bool = False,
) -> int:
    """Trains what the flags say; returns the exit code, having told the person why.

    Args:
        args: with the flags of flags.run_flags and --num-gpus.
        start: args -> the recipe that the flags change, and lines to tell.
        recipe_from_flags: (args, devices over all ranks, the recipe of the run that goes on or None) -> the recipe, and
            lines to tell.
        chatty: see distributed.start.
    """
    started, run = time.monotonic(), None
    try:
        recipe, run, options = _what_to_train(args, start, recipe_from_flags, chatty)
        scores = train_and_evaluate(recipe, run, options)
    except Refused as error:
        print(f"refused: {one_line(error)}", file=sys.stderr)
        return 2
    except Interrupted as stop:
        if distributed.rank() == 0:
            print(f"{stop}; go on with the same command and --resume auto --save-dir {run}", flush=True)
        distributed.wait_for_all()  # a rank that leaves ends the others: rank 0 has now written and said everything
        return RESUMABLE
    except mx.MXNetError as error:
        if "Horovod has been shut down" not in str(error):
            raise
        print("another rank has ended, so this one cannot go on", file=sys.stderr, flush=True)
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
        shares = {label: scores.row()[column] for column, label in scores.labels.items() if column != "val_loss"}
        said = " and ".join(f"{share:.2%} {label}" for label, share in shares.items())
        print(
            f"{recipe.model} has {said} on {scores.images} held-out images after "
            f"{plural(recipe.epochs, 'epoch')}, in {minutes}:{seconds:02d}; everything about it is in {run}"
        )
    return 0


def _cannot_write(wrong: str, run: pathlib.Path | None) -> int:
    saved = list_checkpoints(run / "checkpoints") if run else []
    remedy = "there is no checkpoint to go on from"
    if saved:
        go_on = f"the same command and --resume auto --save-dir {run} go on from {saved[-1].name}"
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
    distributed.start(chatty=chatty)
    restarted = os.environ.get(launcher.RESTARTED, "")
    notes = [f"started again: {restarted}"] if restarted else []
    contexts = choose_contexts(args.num_gpus, say=notes.append)
    devices = (1 if distributed.ranks() > 1 else len(contexts)) * distributed.ranks()
    run, begun = _run_to_go_on_with(args, start) if args.resume else (args.save_dir, None)
    recipe, more = recipe_from_flags(args, devices, begun)
    if begun is not None:
        recipe, changed = with_batch_of_run(recipe, begun.batch_size, devices * recipe.accumulate)
        more += changed
    elif args.resume and not args.recipe:  # whoever leaves everything to the run may have mistyped its name
        more.insert(0, f"--resume auto: no run has begun in {run or 'runs'}, so a new one starts")
    rest = dict(contexts=contexts, notes=(*notes, *more), restarted=restarted)
    options = Options(**options_from_flags(args, **rest, should_stop=StopRequest()))
    return recipe, run or _new_run(recipe.name), options


def _new_run(name: str) -> pathlib.Path:
    """A new run directory, which rank 0 makes for all."""
    made = str(make_run_directory(name)) if distributed.rank() == 0 else ""
    return pathlib.Path(distributed.broadcast(made.encode()).decode())


def _run_to_go_on_with(args: argparse.Namespace, start: Callable) -> tuple[pathlib.Path | None, Settings | None]:
    """The run directory that --resume auto means, and its recipe; None where there is none.

    Rank 0 looks, which may be the only one to see it.
    """
    name = next((setting[5:] for setting in args.set if setting.startswith("name=")), None)
    run = args.save_dir or newest_run_directory(name or start(args)[0].name)
    there = distributed.rank() == 0 and run is not None and os.path.lexists(run / "recipe.json")
    found = str(run or ""), read_recipe(run / "recipe.json").to_json() if there else None
    run, stored = json.loads(distributed.broadcast(json.dumps(found).encode()))
    return pathlib.Path(run) if run else None, recipe_from_json(stored) if stored else None
