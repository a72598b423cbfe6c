"""What the flags of images mean: which records, and what is subtracted from them."""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import expanded
from gluon_tricks.data.recipe_records import IMAGENET_FOLDER, imagenet_is_here
from gluon_tricks.data.record_file import require_rec
from gluon_tricks.data.shards import in_shell_order, record_paths
from gluon_tricks.recipes.recipe import Recipe


def with_records(recipe: Recipe, args: argparse.Namespace) -> Recipe:
    """The recipe on the records that are named."""
    for split in ("train", "val"):
        files, index = getattr(args, f"rec_{split}"), getattr(args, f"rec_{split}_idx")
        expected = [str(pathlib.Path(file).with_suffix(".idx")) for file in files or []]
        if index and [str(pathlib.Path(path)) for path in index] != expected:
            raise Refused(f"--rec-{split}-idx {' '.join(index)}: the .idx must lie beside its .rec, with the same name")
        if files:
            paths = _paths(files, f"--rec-{split}: ")
            before = getattr(recipe, split)
            if sorted(paths) == sorted(before):  # a shell may list a run's shards in another order than it has them
                paths = before
            recipe = recipe.set(data="records", photos={}, **{split: paths})
    if args.use_rec and not args.rec_train and not imagenet_is_here():
        raise Refused(
            f"--use-rec: there is no train.rec and val.rec in {IMAGENET_FOLDER}: name the records with --rec-train "
            "and --rec-val"
        )
    return recipe


def _paths(files: Sequence[str], flag: str) -> tuple[str, ...]:
    """The records that the words of a flag mean, from the root on: patterns fit the same, quoted or not."""
    named = [str(expanded(file)) for file in in_shell_order(files)]
    places = record_paths(named, flag)
    for place in places:
        require_rec(place, flag)
    return tuple(str(place.absolute()) for place in places)


def require_one_mean(recipe: Recipe, args: argparse.Namespace) -> None:
    """Refuses a mean that the command line says where the recipe takes that of the images."""
    settings = [setting.partition("=")[0] for setting in args.set]
    if recipe.mean_of and ("mean" in settings or args.rgb_mean):
        given = "--set mean" if "mean" in settings else "--rgb-mean"
        raise Refused(
            f"{given} and mean_of={recipe.mean_of}, which is the images' own mean: leave out one (--set mean_of="
            " takes the recipe's away)"
        )
