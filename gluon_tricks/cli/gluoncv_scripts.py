"""What a command line means to one of GluonCV's scripts for classifiers that it does not mean to train_imagenet.

`Differs:` train_horovod crops images of 320 px and more as EfficientNet does, and resizes them by cubic interpolation;
here they are cropped as at 224 px.
"""

from __future__ import annotations

import argparse
from typing import Any

from gluon_tricks.cli import gluoncv_flags
from gluon_tricks.cli.schedule_flags import OF_STEPS
from gluon_tricks.core.errors import Refused
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.settings import Settings
from model_zoo import keywords

_RECIPES = {"train_cifar10": "cifar10", "train_mixup_cifar10": "cifar10_mixup"}
# Where train_imagenet has others, or where ours without a flag is another.
_HOROVOD = dict(lr=0.05, epochs=90, batch_size=128, warmup_epochs=10.0, lr_mode="cosine", init="kaiming")
_EFFICIENT = 320  # px


def recipe_of(script: str) -> str | None:
    """The named recipe that a script trains, unless --recipe names another."""
    return _RECIPES.get(script)


def as_train_imagenet(
    args: argparse.Namespace, devices: int, begun: Settings | None
) -> tuple[argparse.Namespace, list[str]]:
    """The flags by which train_imagenet does what the script does with the given ones, and lines to tell.

    Args:
        devices: over all ranks, by which train_horovod multiplies its rate; of a run that goes on those that it began
            on.
        begun: the recipe of a run that goes on, which has the script's defaults, unless --recipe takes its place.

    Raises:
        Refused: a flag that asks for what there is not.
    """
    lines = gluoncv_flags.look_at(args, gluoncv_flags.CLASSIFICATION)
    if args.script != "train_horovod":
        return args, lines
    given = {name: value for name, value in vars(args).items() if value is not None}
    defaults = _HOROVOD if begun is None else {**_HOROVOD, "epochs": begun.epochs} if args.recipe else {}
    flags: dict[str, Any] = {**vars(args), **defaults, **given}
    if flags["lr_mode"] is None:
        lines += _without_decay(flags)
    if flags["lr"] is not None:
        flags["lr"] *= devices
    if (args.input_size or 0) >= _EFFICIENT:
        lines.append(
            f"--input-size {args.input_size}: images are cropped as at 224 px, where GluonCV's script crops those of "
            f"{_EFFICIENT} px and more as EfficientNet does"
        )
    return argparse.Namespace(**flags), lines


def _without_decay(flags: dict[str, Any]) -> list[str]:
    """Takes out the flags of a step decay, which the script's cosine has left out when the run began; lines to tell."""
    given = {name: flags[name] for name in OF_STEPS if flags[name] is not None}
    flags.update(dict.fromkeys(given))
    return [f"--{name.replace('_', '-')} {value}: not used without --lr-mode step" for name, value in given.items()]


def with_dropout(recipe: Recipe, rate: float | None) -> Recipe:
    """The recipe with --drop-rate, which 0 leaves as it is."""
    if not rate:
        return recipe
    if "drop_rate" not in keywords(recipe.model):
        raise Refused(f"--drop-rate {rate:g}: {recipe.model} has no dropout that can be set: leave it out")
    return recipe.set(net={**recipe.net, "drop_rate": rate})
