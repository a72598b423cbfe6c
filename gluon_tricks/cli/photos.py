"""--data, --data-dir and --val-split of gluon-tricks train: a person's own photos, packed once by one process."""

from __future__ import annotations

import argparse
import contextlib
import functools
import math
import os
import pathlib
from collections.abc import Callable, Mapping

import mxnet as mx

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import CannotWrite
from gluon_tricks.core.wording import plural, printable
from gluon_tricks.data.own_photos import FRACTION, OwnPhotos, are_there, photos_of, require_same, stored_edge
from gluon_tricks.data.records import Records
from gluon_tricks.ranks import distributed
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.registry import is_file
from gluon_tricks.tasks.classification.beforehand import require_trainable, training_counts
from gluon_tricks.training.journal import RUNS
from gluon_tricks.training.requirements import require_devices, require_network, require_space

_IMAGES = 50_000  # that the recipe `photos` trains on in all its epochs, of which it has 10 to 100
_LEAST_STEPS = 4  # of an epoch, where the recipe decides the batch


def photo_flags(group) -> None:
    """Adds the two that are ours to a group."""
    group.add_argument(
        "--data",
        metavar="PHOTOS",
        help="a folder with a folder of photos for each class, or train/ and val/ of such; packed once into "
        "~/.cache/gluon_tricks. Without --recipe: the recipe `photos`",
    )
    group.add_argument(
        "--val-split",
        type=float,
        metavar="F",
        help=f"without a val/: validate on about this fraction of each class, by the files' content ({FRACTION})",
    )


def _flag(args: argparse.Namespace) -> tuple[str, str]:
    """The flag that names a folder of photos, and the folder; "": none does."""
    records = args.rec_train or args.rec_val or args.use_rec
    return ("--data", args.data) if args.data else ("--data-dir", "" if records else args.data_dir or "")


def photos_named(args: argparse.Namespace, recipe: Recipe) -> bool:
    """Whether a flag names a folder of photos, or the recipe has one and no flag names records."""
    return bool(_flag(args)[1] or recipe.photos and not (args.rec_train or args.rec_val or args.use_rec))


def require_one_set_of_images(args: argparse.Namespace) -> None:
    """Refuses photos and records at once, a folder without a name, and a split of what is no folder of photos."""
    records = "--rec-train" if args.rec_train else "--rec-val" if args.rec_val else "--use-rec" if args.use_rec else ""
    if args.data and (records or args.data_dir):
        raise Refused(f"--data {args.data} and {records or '--data-dir'} name two sets of images: give one of them")
    for flag, folder in (("--data", args.data), ("--data-dir", args.data_dir)):
        if folder is not None and not folder.strip():
            raise Refused(f"{flag} names no folder: perhaps a variable of a script is empty; name the photos' folder")
    fraction = args.val_split
    if fraction is not None and not 0 < fraction < 1:
        raise Refused(f"--val-split {fraction:g}: it takes a fraction between 0 and 1, such as {FRACTION}")
    if not (_flag(args)[1] or args.resume or args.recipe):
        refuse_split(args)  # before anything is opened


def refuse_split(args: argparse.Namespace) -> None:
    """Refuses --val-split where no photos are named."""
    if args.val_split is not None:
        raise Refused(f"--val-split {args.val_split:g} goes with --data PHOTOS, whose photos it splits")


def with_photos(
    recipe: Recipe, asked: Recipe, args: argparse.Namespace, devices: int, begun: Recipe | None
) -> tuple[Recipe, int, list[str]]:
    """The recipe on the photos that are named, packed unless --plan is given.

    Args:
        recipe: that the flags will change.
        asked: what they make of it, which says how large photos are stored.
        devices: over all ranks.
        begun: the recipe of the run that goes on, whose records stay while they are there; None: a new run.

    Returns: the recipe, how many photos it trains on, and lines to tell.

    Raises:
        Refused, CannotWrite: as OwnPhotos.
    """
    flag, folder = _flag(args)
    if begun is not None and asked.name == begun.name:  # the same command: what followed from the photos' number stays
        if not (args.recipe and is_file(args.recipe)):
            recipe = recipe.set(epochs=begun.epochs, batch_size=begun.batch_size)
        elif begun.batch_size < recipe.batch_size:  # a file says its own, which few photos have made smaller
            recipe = recipe.set(batch_size=begun.batch_size)
    if begun is not None and begun.photos and (not folder or _same(folder, begun.photos["folder"])):
        return _of_run(recipe, args, begun)
    before = recipe.photos if not folder else {}
    fraction = before.get("val_split") if args.val_split is None else args.val_split
    at_most = before.get("at_most") or stored_edge(max(asked.input_size, asked.own_size), asked.crop_ratio)
    photos = OwnPhotos(folder or before["folder"], flag if folder else "the photos of the recipe,", fraction, at_most)
    look = functools.partial(_look_before_packing, photos, asked, args, devices) if begun is None else lambda: None
    if args.plan:
        look()
    else:
        _pack_once(photos, look)
    train, val = photos.paths
    counts = photos.counts()
    about = {"folder": str(photos.folder), "val_split": photos.fraction, "at_most": at_most}
    about |= {"classes": [*counts], "digests": photos.digests()}
    recipe = recipe.set(data="records", train=train, val=val, photos={} if photos.is_records else about)
    count = _training_photos(counts, recipe, str(photos.folder))
    said = photos.said()
    if args.plan and not photos.is_packed:
        said.append(f"{plural(count, 'photo')} to train on; all would be packed into {printable(photos.place)}")
    if recipe.name == "photos" and args.recipe in (None, "photos") and begun is None:
        recipe = recipe.set(epochs=_epochs(count))
    return recipe, count, said


def _of_run(recipe: Recipe, args: argparse.Namespace, begun: Recipe) -> tuple[Recipe, int, list[str]]:
    """The recipe on the records of the run that goes on, whatever has happened to the photos since."""
    photos = begun.photos
    if args.val_split is not None and args.val_split != photos["val_split"]:
        split = f"with {photos['val_split']:g}" if photos["val_split"] else "on a folder that has its own val/"
        raise Refused(f"--val-split {args.val_split:g}: the run was begun {split}; leave it out")
    recipe, said = recipe.set(data="records", train=begun.train, val=begun.val, photos=photos), []
    gone = photos_of(begun) if not are_there(begun) else None
    if distributed.agree(gone is not None):  # on this machine or on another, for whose packing all wait
        _pack_once(gone)
    if gone:
        require_same(gone, begun)
        return recipe.set(train=gone.paths[0], val=gone.paths[1]), 0, gone.said()
    with contextlib.suppress(Refused):  # the photos are gone, and the run needs them no more
        now = OwnPhotos(photos["folder"], "--data", photos["val_split"], photos["at_most"])
        if not now.were_packed_in(pathlib.Path(begun.train[0]).parent):
            said.append(f"{printable(now.folder)} has changed: the run goes on with the photos as it began with them")
    return recipe, 0, said


def _same(folder: str, other: str) -> bool:
    return os.path.abspath(os.path.expanduser(folder)) == os.path.abspath(other)


def _look_before_packing(photos: OwnPhotos, asked: Recipe, args: argparse.Namespace, devices: int) -> None:
    """Refuses what a training that begins would be refused for after minutes of packing."""
    if photos.is_packed:
        return
    counts = training_counts(asked, photos.counts(), str(photos.folder))
    if _says_batch(asked, args):
        _require_a_batch(asked, sum(counts.counts))
    fitting, _ = with_fitting_batch(asked, args, sum(counts.counts), devices)
    require_devices(fitting, [mx.cpu(k) for k in range(devices // distributed.ranks())])
    require_trainable(asked, counts, str(photos.folder))
    net = require_network(asked.set(classes=len(counts.names)))
    if distributed.rank() == 0 and not args.plan:
        require_space(net, args.save_dir or RUNS, args.keep, asked)


def _pack_once(photos: OwnPhotos | None, look: Callable[[], None] = lambda: None) -> None:
    """Packs what is not packed: the first rank of each machine, while the others wait. None: nothing, on this one.

    Args:
        look: refuses what need not be packed.
    """
    refusal: Exception | None = None
    if photos and distributed.local_rank() == 0:
        try:
            look()
            photos.pack()
        except (Refused, CannotWrite) as error:
            refusal = error
    others = distributed.agree(refusal is not None)
    if refusal:
        raise refusal
    if others:
        raise Refused("another rank could not pack the photos, and has said why")


def _training_photos(counts: Mapping[str, list[int]], recipe: Recipe, place: str) -> int:
    """How many photos there are to train on, of the classes and as many of each as the recipe takes."""
    if not counts:  # records without a manifest
        return len(Records(recipe.train))
    return sum(training_counts(recipe, counts, place).counts)


def _epochs(count: int) -> int:
    """Of the recipe `photos`: 10 to 100, in tens."""
    return min(max(10 * math.ceil(_IMAGES / max(count, 1) / 10), 10), 100)


def with_fitting_batch(recipe: Recipe, args: argparse.Namespace, count: int, devices: int) -> tuple[Recipe, list[str]]:
    """The recipe with a batch of which an epoch has some, unless a flag names it; and a line on what was chosen.

    It is the same on any number of devices that it can be split over.

    Raises:
        Refused: of --plan: there are fewer photos than a batch.
    """
    if not _says_batch(recipe, args) and count < _LEAST_STEPS * recipe.batch_size:
        most = min(max(count // _LEAST_STEPS, min(count, 8)), recipe.batch_size)
        fitting, parts = 2 ** int(math.log2(max(most, 1))), devices * recipe.accumulate
        least = 2 if any(trick.slot() == "mixing" for trick in recipe.tricks) else 1  # images of a device at a time
        evenly = max(fitting // parts, least if count >= least * parts else 1) * parts
        recipe = recipe.set(batch_size=evenly)
    if args.plan:  # else training says so, of whatever it has in the end
        _require_a_batch(recipe, count)
    steps = count // recipe.batch_size
    return recipe, [
        f"recipe {recipe.name} on {plural(count, 'training photo')}: {plural(recipe.epochs, 'epoch')} of "
        f"{plural(steps, 'step')}, batch {recipe.batch_size}, {recipe.sizes_in_short()}"
    ]


def _says_batch(recipe: Recipe, args: argparse.Namespace) -> bool:
    """Whether a flag or the recipe holds to a batch, however few photos there are."""
    named = args.batch_size is not None or any(setting.startswith("batch_size=") for setting in args.set)
    return named or recipe.bn_batch is not None


def _require_a_batch(recipe: Recipe, count: int) -> None:
    if count < recipe.batch_size:
        raise Refused(
            f"{plural(count, 'training photo')} are not one batch of {recipe.batch_size}: make the batch smaller "
            "(--batch-size), or add photos"
        )
