"""`--plan` of the commands that train: the recipe that the flags mean, and how its learning rate goes; nothing else."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

import mxnet as mx

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import one_line, plural
from gluon_tricks.ranks import distributed
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.tasks.registry import task_of
from gluon_tricks.training.requirements import require_devices, require_network

_STEPS = 1000  # of an epoch: the rates at its ends do not depend on it, but for the last digits
_MOST = 12  # rates that are told


def show(args: argparse.Namespace, recipe_from_flags: Callable) -> int:
    """Prints the recipe as JSON, which --recipe FILE takes, and on stderr its learning rates; returns the exit code.

    Args:
        args, recipe_from_flags: as of training.train. The devices that --batch-size is for are the ranks, of which the
            first one prints; without a launcher --num-gpus, or one.

    Raises:
        Refused: what a training would refuse before it looks at images.
    """
    if args.resume:
        raise Refused("--plan is for a new run: what a run was started with is in RUN/recipe.json")
    distributed.start()
    contexts = [mx.cpu(k) for k in range(1 if distributed.ranks() > 1 else args.num_gpus or 1)]
    devices = len(contexts) * distributed.ranks()
    recipe, notes = recipe_from_flags(args, devices, None)
    require_devices(recipe, contexts)
    require_network(recipe)
    notes = [*notes, *task_of(recipe).told_of(recipe)]
    if distributed.rank():
        return 0
    found = {"mean": None} if getattr(recipe, "mean_of", "") else {}  # in the images, by a run
    print(json.dumps({**recipe.to_json(), **found}, indent=2), flush=True)
    for line in filter(None, (*notes, rates_in_words(recipe), recipe.sizes_in_words())):
        print(one_line(line), file=sys.stderr)
    return 0


def rates_in_words(recipe: Settings) -> str:
    """The learning rate over the run, at the beginning of epochs."""
    lr_at, plan = recipe.schedule(_STEPS)
    first, last = recipe.start_epoch, recipe.epochs
    rates = {epoch + 1: f"{lr_at(epoch * _STEPS):.4g}" for epoch in range(first, last)}
    changes = [epoch for epoch in rates if rates[epoch] != rates.get(epoch - 1)]
    if len(changes) > _MOST:
        changes = sorted({first + 1 + round(k * (last - first - 1) / (_MOST - 1)) for k in range(_MOST)})
    told = ", ".join(f"{rates[epoch]} in epoch {epoch}" for epoch in changes)
    ends = "; it falls where the validation error stops improving, which may also end the run"
    return (
        f"{plural(recipe.epochs, 'epoch')} of batches of {recipe.batch_size}; learning rate {told}"
        f"{ends if recipe.open_ended else ''}"
    )
