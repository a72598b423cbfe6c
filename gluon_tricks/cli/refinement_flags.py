"""The flags of the refinements of section 5 and of those that came after the paper, and what they make of a recipe."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.load import SOURCE
from gluon_tricks.networks.source import as_kept
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.tricks import (
    CutMix,
    Distillation,
    LabelSmoothing,
    Mixup,
    MixupOrCutMix,
    NoBiasDecay,
    RandomErasing,
    SigmoidLoss,
    StochasticDepth,
    Trick,
    ZeroGamma,
)


def one_class_flags(group) -> None:
    """Of the refinements that take images of one class each."""
    group.add_argument(
        "--label-smoothing",
        nargs="?",
        type=float,
        const=0.1,
        metavar="EPS",
        help="smoothing of the target (off; EPS: 0.1)",
    )
    group.add_argument("--teacher", metavar="SRC", help=f"distillation: {SOURCE}")
    group.add_argument("--temperature", type=float, metavar="T", help="temperature of distillation (20)")
    group.add_argument("--hard-weight", type=float, metavar="W", help="weight of the hard loss in GluonCV's form (0.5)")
    group.add_argument(
        "--bce", nargs="?", type=float, const=True, metavar="T",
        help="a sigmoid for each class in place of the softmax (off; T: targets above it count as 1)",
    )  # fmt: skip


def refinement_flags(group) -> None:
    """Of those that any classifier takes."""
    group.add_argument("--mixup", action="store_true", help="train on mixed pairs of images")
    group.add_argument("--mixup-alpha", type=float, metavar="A", help="alpha of mixup's Beta distribution (0.2)")
    group.add_argument("--mixup-off-epoch", type=int, metavar="N", help="no mixup in the last N epochs (0)")
    group.add_argument("--cutmix", action="store_true", help="paste parts of other images; with --mixup: either")
    group.add_argument("--cutmix-alpha", type=float, metavar="A", help="alpha of CutMix's Beta distribution (1)")
    group.add_argument(
        "--random-erasing", nargs="?", type=float, const=0.25, metavar="P",
        help="erase a rectangle of some images (off; P: of a share of 0.25)",
    )  # fmt: skip
    group.add_argument(
        "--drop-path", nargs="?", type=float, const=0.1, metavar="P",
        help="stochastic depth: drop residual branches, the last one with probability P (off; P: 0.1)",
    )  # fmt: skip


def with_refinements(recipe: Recipe, args: argparse.Namespace, form: str, begun: Settings | None) -> Recipe:
    """The recipe with what these flags say.

    Args:
        form: of label smoothing and distillation, where one is added.
        begun: the recipe of a run that goes on, whose teacher stays where it is of a hub; None: a new run.
    """
    if args.last_gamma:
        recipe = recipe.add(ZeroGamma())
    if args.no_wd:
        recipe = recipe.add(NoBiasDecay())
    if args.label_smoothing is not None:
        recipe = _with_trick(recipe, LabelSmoothing, True, {"form": form}, {"eps": args.label_smoothing})
    given = {"temperature": args.temperature, "hard_weight": args.hard_weight}
    teachers = (trick.teacher for trick in getattr(begun, "tricks", ()) if isinstance(trick, Distillation))
    given["teacher"] = as_kept(args.teacher, next(teachers, "")) if args.teacher else None
    if args.hard_weight is not None:
        given["form"] = "gluoncv"  # the one that has such a weight
    flags = "--temperature and --hard-weight go with --teacher RUN"
    recipe = _with_trick(recipe, Distillation, bool(args.teacher), {"form": form}, given, flags)
    recipe = _with_mixing(recipe, args)
    if args.random_erasing is not None:
        recipe = _with_trick(recipe, RandomErasing, True, {}, {"probability": args.random_erasing})
    if args.drop_path is not None:
        recipe = _with_trick(recipe, StochasticDepth, True, {}, {"rate": args.drop_path})
    if args.bce is not None:
        recipe = _with_trick(recipe, SigmoidLoss, True, {}, {"threshold": None if args.bce is True else args.bce})
    return recipe


def _with_mixing(recipe: Recipe, args: argparse.Namespace) -> Recipe:
    """With mixup, CutMix, or both: then each batch has one of the two."""
    present = next((trick for trick in recipe.tricks if trick.slot() == Mixup.slot()), None)
    mixes = args.mixup or isinstance(present, (Mixup, MixupOrCutMix))
    cuts = args.cutmix or isinstance(present, (CutMix, MixupOrCutMix))
    if not mixes and args.mixup_alpha is not None:
        raise Refused("--mixup-alpha and --mixup-off-epoch go with --mixup")
    if not cuts and args.cutmix_alpha is not None:
        raise Refused("--cutmix-alpha goes with --cutmix")
    off = {"off_epochs": args.mixup_off_epoch}
    if mixes and cuts:
        alpha = {Mixup: "mixup_alpha", CutMix: "cut_mix_alpha"}.get(type(present))  # of the one that is there
        both = {field: getattr(present, field) for field in ("off_epochs", "per", "partner")} if alpha else {}
        kept = {alpha: present.alpha, **both} if alpha else {}
        given = {"mixup_alpha": args.mixup_alpha, "cut_mix_alpha": args.cutmix_alpha, **off}
        return _with_trick(recipe, MixupOrCutMix, True, kept, given)
    if cuts:
        return _with_trick(recipe, CutMix, True, {}, {"alpha": args.cutmix_alpha, **off})
    words = "--mixup-alpha and --mixup-off-epoch go with --mixup"
    return _with_trick(recipe, Mixup, args.mixup, {}, {"alpha": args.mixup_alpha, **off}, words)


def _with_trick(
    recipe: Recipe, kind: type[Trick], asked: bool, default: dict[str, Any], given: dict[str, Any], flags: str = ""
) -> Recipe:
    """The recipe with a trick added, or changed where it has it: what no flag gives stays as the recipe has it.

    Args:
        asked: whether it is to be added.
        default: fields of one that is added.
        given: fields by flags, None where a flag is not given.
        flags: what to say where they are given and there is no such trick.
    """
    present = next((trick for trick in recipe.tricks if isinstance(trick, kind)), None)
    given = {field: value for field, value in given.items() if value is not None}
    if present:
        return recipe.add(dataclasses.replace(present, **given))
    if not asked and given:
        raise Refused(flags)
    return recipe.add(kind(**{**default, **given})) if asked else recipe
