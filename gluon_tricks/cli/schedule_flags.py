"""--lr-mode, --lr-decay..., --warmup-... of classifiers: how the learning rate goes."""

from __future__ import annotations

import argparse
import dataclasses

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import quoted
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.tricks import Cosine, LinearDecay, Plateau, PolyDecay, StepDecay, Warmup

OF_STEPS = ("lr_decay", "lr_decay_epoch", "lr_decay_period")
_WITHOUT_STEPS = ("cosine", "poly", "linear", "constant")


def with_schedule(recipe: Recipe, args: argparse.Namespace) -> tuple[Recipe, list[str]]:
    """The recipe with what these flags say, and lines on those that are not used, which GluonCV's commands may have.

    Raises:
        Refused: flags that do not go together.
    """
    return _with_warmup(_with_decay(recipe, args), args), _not_used(args)


def _with_decay(recipe: Recipe, args: argparse.Namespace) -> Recipe:
    decays = {"cosine": Cosine, "poly": PolyDecay, "linear": LinearDecay}
    stepped = any(getattr(args, flag) is not None for flag in OF_STEPS)
    present = [trick for trick in recipe.tricks if isinstance(trick, StepDecay)]
    plateaus = [trick for trick in recipe.tricks if isinstance(trick, Plateau)]
    if args.lr_mode in decays:
        old = (trick for trick in recipe.tricks if isinstance(trick, decays[args.lr_mode]))
        return recipe.add(next(old, decays[args.lr_mode]()))
    if args.lr_mode == "constant":
        for trick in recipe.tricks:
            recipe = recipe.without(trick.label()) if trick.slot() == StepDecay.slot() else recipe
        return recipe
    if args.lr_mode == "plateau" or (args.lr_mode is None and args.lr_decay is not None and plateaus):
        if args.lr_decay_period or args.lr_decay_epoch:
            raise Refused("--lr-decay-period and --lr-decay-epoch go with --lr-mode step: a plateau names no epochs")
        old = plateaus[0] if plateaus else Plateau()
        return recipe.add(old if args.lr_decay is None else dataclasses.replace(old, by=args.lr_decay))
    if args.lr_mode == "step" or (stepped and present):
        return recipe.add(_step_decay(args, recipe.epochs, present[0] if present else StepDecay()))
    if stepped:
        raise Refused("--lr-decay, --lr-decay-period and --lr-decay-epoch go with --lr-mode step")
    return recipe


def _not_used(args: argparse.Namespace) -> list[str]:
    given = {flag: getattr(args, flag) for flag in OF_STEPS if getattr(args, flag) is not None}
    beside = f"--lr-mode {args.lr_mode}"
    if args.lr_mode not in _WITHOUT_STEPS:
        given = {flag: value for flag, value in given.items() if flag == "lr_decay_epoch" and args.lr_decay_period}
        beside = f"--lr-decay-period {args.lr_decay_period}"
    return [f"--{flag.replace('_', '-')} {value}: not used with {beside}" for flag, value in given.items()]


def told_of_decay(before: Settings, after: Settings) -> list[str]:
    """A line where --set, which has made one of the other, has put another decay in the place of the recipe's."""
    old, new = (
        next((trick.label() for trick in recipe.tricks if trick.slot() == StepDecay.slot()), "")
        for recipe in (before, after)
    )
    return [f"--set {new} takes the place of {old}"] if old and new not in ("", old) else []


def _with_warmup(recipe: Recipe, args: argparse.Namespace) -> Recipe:
    if args.warmup_epochs is not None or args.warmup_lr is not None:
        old = next((trick for trick in recipe.tricks if isinstance(trick, Warmup)), Warmup(0))
        told = {} if args.warmup_epochs is None else {"epochs": args.warmup_epochs}
        told |= {} if args.warmup_lr is None else {"start_lr": args.warmup_lr, "start_factor": 0.0}
        recipe = recipe.add(dataclasses.replace(old, **told))
    return recipe


def _step_decay(args: argparse.Namespace, epochs: int, old: StepDecay) -> StepDecay:
    at = old.epochs
    if args.lr_decay_epoch:
        at = numbers(args.lr_decay_epoch, "--lr-decay-epoch")
    if args.lr_decay_period:
        if args.lr_decay_period < 1:
            raise Refused(f"--lr-decay-period {args.lr_decay_period}: it takes 1 or more epochs")
        at = tuple(range(args.lr_decay_period, max(epochs, args.lr_decay_period + 1), args.lr_decay_period))
    return StepDecay(at, old.by if args.lr_decay is None else args.lr_decay)


def numbers(text: str, flag: str, kind: type[float] | type[int] = float) -> tuple[float, ...]:
    """The numbers of a flag such as 30,60,90. Args: kind: int: whole ones alone."""
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        wanted = "whole numbers" if kind is int else "numbers"
        raise Refused(f"{flag} takes {wanted} with commas between them, but got {quoted(text)}") from None
