"""A trained classifier seen from inside: pictures of what its layers look for and of what its answers depend on.

    %(prog)s runs/imagenette-3                                       a run, on its own validation images
    %(prog)s runs/imagenette-3 --views evolution                     how its features came to be
    %(prog)s vgg16/e660d456 --images photos                          a published network, on a folder of photos
    %(prog)s FILE --model zfnet --rec-val val.rec --count 1000       a parameter file, on packed images
    %(prog)s runs/imagenette-3 --views deconvolution --layers stage3.4 --pick 3,17,40

Views: filters, those of the first layer; deconvolution, the strongest activations of deeper layers gone back to pixels
beside the image patches that caused them (networks without branches: AlexNet, ZFNet, VGG and their like); evolution,
both over the checkpoints of a run (training keeps more of them with --keep); occlusion, how probable a class is while a
square hides a part of the image; invariance, how features move as images are shifted, enlarged and turned. --out gets a
PNG of each and index.html, one file that holds them all. Exit code: 0 done, 1 some files are no images (the others are
used) or the disk is full, 2 refused.
"""

from __future__ import annotations

import argparse
import functools
import pathlib
import sys
from collections.abc import Callable, Sequence

import numpy as np

from gluon_tricks.core.arguments import MOST_GPUS, Parser, whole
from gluon_tricks.core.commands import command
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import no_empty_folders, require_folder, writing
from gluon_tricks.core.reading import expanded
from gluon_tricks.core.wording import as_utf8, plural, printable, quoted
from gluon_tricks.data.records import BadRecord
from gluon_tricks.inside import show
from gluon_tricks.inside.page import TITLE, Sheet, is_page, write_page
from gluon_tricks.inside.viewed import (
    Pictures,
    Viewed,
    images_missing,
    open_viewed,
    pictures_of_files,
    pictures_of_records,
)
from gluon_tricks.machine.devices import choose_contexts
from gluon_tricks.networks.checkpoint import list_checkpoints
from gluon_tricks.networks.load import SOURCE
from gluon_tricks.networks.source import is_there, means_published
from gluon_tricks.trained.found_photos import find_photos, without_results

Moments = list[tuple[str, Callable[[], Viewed]]]
_IMAGES = ("deconvolution", "evolution", "occlusion", "invariance")
_VIEWS_OF = {  # flags that not every view uses
    **dict.fromkeys(("images", "rec_val", "count"), _IMAGES),
    **dict.fromkeys(("layers", "channels", "pick", "seed"), ("deconvolution", "evolution")),
    **dict(checkpoints=("evolution",), photos=("occlusion", "invariance"), fill=("occlusion", "invariance")),
    **dict.fromkeys(("patch", "stride"), ("occlusion",)),
}


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("source", metavar="SRC", help=SOURCE)
    parser.add_argument("--model", metavar="NAME", help="the network, where a parameter file fits several")
    parser.add_argument("--classes", metavar="FILE", help="the classes' names, one a line (default: the run's)")
    parser.add_argument(
        "--views", nargs="+", choices=show.VIEWS, metavar="VIEW",
        help=f"{', '.join(show.VIEWS)} (all that the network allows)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=expanded, default=pathlib.Path("look"), metavar="FOLDER", help="folder for the results (look)"
    )
    _add_images(parser.add_argument_group("images"))
    _add_choice(parser.add_argument_group("what is shown of them"))
    parser.add_argument("--batch-size", type=whole(1, 1 << 20), default=16, metavar="N", help="images at a time (16)")
    parser.add_argument(
        "--num-gpus", type=whole(0, MOST_GPUS), metavar="N", help="0: the CPU (default: one GPU, if one is usable)"
    )
    return parser.parse_args(argv)


def _add_images(group) -> None:
    group.add_argument("--images", nargs="+", metavar="IMAGE", help="photos, or trees of folders of them")
    group.add_argument(
        "--rec-val", nargs="+", default=(), metavar="FILE", help="packed images; of a run, by default its own"
    )
    group.add_argument(
        "--count", type=whole(1, 1 << 24), default=200, metavar="N", help="the first N images, no more (200)"
    )


def _add_choice(group) -> None:
    group.add_argument(
        "--layers", nargs="+", default=(), metavar="LAYER",
        help="such as stage3.4 (all of a network with few convolutions, else the last of each stage; and the head)",
    )  # fmt: skip
    group.add_argument(
        "--channels", type=whole(1, 300), metavar="N",
        help="of each layer, drawn from those that fire (6; of an evolution 4)",
    )  # fmt: skip
    group.add_argument("--pick", metavar="K,K", help="these channels instead, counted from 0")
    group.add_argument("--seed", type=whole(0, (1 << 64) - 1), default=0, help="of the draw of channels (0)")
    group.add_argument(
        "--checkpoints", type=whole(2, 20), default=8, metavar="N", help="of a run's evolution, at most (8)"
    )
    group.add_argument(
        "--photos", type=whole(1, 12), default=4, metavar="N", help="images for occlusion and invariance (4)"
    )
    group.add_argument("--patch", type=whole(1), metavar="PX", help="side of the square (2/9 of the image's)")
    group.add_argument("--stride", type=whole(1), metavar="PX", help="between its places (1/14 of the image's side)")
    group.add_argument(
        "--fill", metavar="R,G,B", help="colour of the square and of what comes in from outside (the network's mean)"
    )


def _numbers(text: str, flag: str, most: int, count: int | None = None) -> tuple[int, ...]:
    """Whole numbers with commas between them, from 0. Args: count: how many there must be; None: one or more."""
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or len(found) > 300 or not all(0 <= k <= most for k in found) or count not in (None, len(found)):
        wanted = f"{count or 'up to 300'} whole numbers from 0 to {most} with commas between them"
        raise Refused(f"{flag} takes {wanted}, but got {quoted(text)}")
    return found


def _choice(args: argparse.Namespace) -> show.Choice:
    pick = tuple(dict.fromkeys(_numbers(args.pick, "--pick", 1 << 20))) if args.pick is not None else ()
    fill = _numbers(args.fill, "--fill", 255, 3) if args.fill is not None else None
    return show.Choice(
        tuple(args.layers), args.channels, pick, args.photos, args.patch, args.stride, fill, args.checkpoints, args.seed
    )


def _refuse_unused(args: argparse.Namespace) -> None:
    """Refuses flags of views alone that are not asked for."""
    default = parse([args.source])
    for flag, views in _VIEWS_OF.items() if args.views else ():
        if getattr(args, flag) != getattr(default, flag) and not {*args.views} & {*views}:
            raise Refused(
                f"--{flag.replace('_', '-')} is of {' and '.join(views)}, not of --views {' '.join(args.views)}"
            )


def _moments(args: argparse.Namespace, viewed: Viewed, most: int) -> Moments:
    """The checkpoints of a run, evenly from the first to the last. Raises: Refused: fewer than two."""
    place = expanded(args.source)
    found = (list_checkpoints(place / "checkpoints") or list_checkpoints(place)) if place.is_dir() else []
    if len(found) < 2:
        there = f"{args.source} has {plural(len(found), 'checkpoint')}"
        raise Refused(f"{there}: an evolution takes a run with two or more, which training keeps with --keep")
    chosen = np.unique(np.linspace(0, len(found) - 1, most).round().astype(int))
    opener = functools.partial(open_viewed, context=viewed.context, batch_size=viewed.batch_size)
    steps = [int("".join(filter(str.isdigit, found[k].stem)) or 0) for k in chosen]
    return [(f"step {step:,}", functools.partial(opener, str(found[k]))) for step, k in zip(steps, chosen)]


def _possible(args: argparse.Namespace, viewed: Viewed, choice: show.Choice) -> tuple[list[str], Moments]:
    """The views to draw, and a run's checkpoints; what was asked for by name and is impossible is refused.

    Raises:
        Refused
    """
    asked, moments = [view for view in show.VIEWS if view in (args.views or show.VIEWS)], []
    if choice.layers or choice.pick:
        show.check_pick(show.chosen_layers(viewed.chain(), choice.layers), choice.pick)
    if "occlusion" in asked:
        choice.square(viewed.side)
    needs = {
        "filters": lambda: show.first_filters(viewed),
        "deconvolution": viewed.chain,
        "evolution": lambda: moments.extend(_moments(args, viewed, choice.checkpoints)),
        "invariance": lambda: viewed.net.trunk,
    }
    possible = []
    for view in asked:
        try:
            needs.get(view, lambda: None)()
            possible.append(view)
        except Refused as refused:
            if args.views:
                raise
            print(f"{view} is left out: {refused}", flush=True)
    return possible, moments


def _pictures(args: argparse.Namespace, viewed: Viewed, paths: Sequence[pathlib.Path]) -> Pictures:
    if paths:
        pictures = pictures_of_files(viewed, paths, args.count)
        for path, why in pictures.broken:
            print(f"{printable(path)} is left out: {why}", file=sys.stderr, flush=True)
        return pictures
    return pictures_of_records(viewed, args.source, args.count, args.rec_val)


def _draw(
    args: argparse.Namespace, viewed: Viewed, choice: show.Choice, views: Sequence[str], moments: Moments,
    pictures: Pictures | None,
) -> list[Sheet]:  # fmt: skip
    """Draws the views into --out; returns the sheets and says what it has drawn."""
    out, sheets, chosen = args.out, [], []
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    if {"occlusion", "invariance"} & {*views}:
        chosen, which = show.choose_images(viewed, pictures, choice.photos)
        print(f"occlusion and invariance: {plural(len(chosen), 'image')}, {which}", flush=True)
    for view in views:
        if view == "filters":
            drawn = show.show_filters(viewed, out)
        elif view == "deconvolution":
            drawn = show.show_deconvolution(viewed, pictures, choice, out)
        elif view == "evolution":
            deep = "deconvolution" in views or _is_chain(viewed)
            drawn = show.show_evolution(viewed, moments, pictures, choice, out, deep)
        else:
            shown = show.show_occlusion if view == "occlusion" else show.show_invariance
            drawn = shown(viewed, pictures, chosen, choice, out)
        print(f"{view}: {plural(len(drawn), 'sheet')}", flush=True)
        sheets += drawn
    return sheets


def _is_chain(viewed: Viewed) -> bool:
    try:
        viewed.chain()
    except Refused:
        return False
    return True


def run(args: argparse.Namespace) -> int:
    """Everything from the flags to the page; how many files are no images."""
    choice, out = _choice(args), args.out
    _refuse_unused(args)
    require_folder(out, "--out", "index.html")
    if args.images and args.rec_val:
        raise Refused("--images and --rec-val both say which images: leave one out")
    photos = find_photos(args.images, args.out) if args.images else []
    photos = without_results(photos, args.images, out, "look", lambda out, _: is_page(out / "index.html"), deep=False)
    paths = [photo.path for photo in photos]
    without_images = args.views is not None and {*args.views} == {"filters"}
    published = not is_there(args.source) and means_published(args.source)  # else it is misspelt, which is told below
    if published and not (paths or args.rec_val or without_images):  # before it is downloaded
        raise Refused(images_missing(args.source))
    context = choose_contexts(args.num_gpus)[0]
    viewed = open_viewed(
        args.source, model=args.model, class_file=args.classes, context=context, batch_size=args.batch_size
    )
    views, moments = _possible(args, viewed, choice)
    pictures = None if without_images else _pictures(args, viewed, paths)
    with no_empty_folders(out):
        sheets = _draw(args, viewed, choice, views, moments, pictures)
        page = write_page(out, f"{viewed.net.name} {TITLE}", _facts(args, viewed, pictures), sheets)
    print(f"{printable(page)} shows them all: {plural(len(sheets), 'sheet')}")
    return len(pictures.broken) if pictures else 0


def _facts(args: argparse.Namespace, viewed: Viewed, pictures: Pictures | None) -> list[str]:
    facts = [
        f"The network {viewed.net.name} of {printable(as_utf8(args.source))}: {plural(len(viewed.names), 'class')}, "
        f"images of {viewed.side} px."
    ]
    if pictures:
        facts.append(f"Seen with {plural(len(pictures.pixels), 'image')}: {pictures.called}.")
    return facts


@command
def main(argv: list[str] | None = None) -> int:
    try:
        return 1 if run(parse(argv)) else 0
    except BadRecord as error:
        raise Refused(str(error)) from None
