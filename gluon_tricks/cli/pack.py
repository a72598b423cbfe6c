"""Pack images into RecordIO, check packed files, or make a lost .idx again.

    %(prog)s FOLDER OUT_PREFIX                       class folders FOLDER/<class>/*
    %(prog)s FOLDER OUT_PREFIX --list FILE           an im2rec list: index<tab>label<tab>path, or with several labels
    %(prog)s VOCdevkit OUT_PREFIX --voc 2007_test    the classes of VOC's images, several each (gluon-tricks tag)
    %(prog)s FOLDER OUT_PREFIX --ground-truth FILE   ImageNet's flat validation folder
    %(prog)s FOLDER OUT_PREFIX --places365 LIST --classes categories_places365.txt
    %(prog)s FOLDER OUT_FOLDER --cifar               CIFAR's binary files: OUT_FOLDER/train.rec and val.rec
    %(prog)s FOLDER OUT_PREFIX --shards 1000         many files: OUT_PREFIX-00000-of-01000.rec and so on
    %(prog)s --check FILE.rec ...                    look for what would spoil a training
    %(prog)s --index FILE.rec ...                    make each FILE.idx again

Packing writes OUT_PREFIX.rec, .idx, .json (the manifest), .labels and .files (the photos' names), globally shuffled.
Every image is decoded, and broken ones are left out. Exit code: 0 done, 2 refused, or --check found a problem; 130
interrupted (143 by SIGTERM); 1 anything else.
"""

from __future__ import annotations

import argparse
import pathlib
import re
import sys

from gluon_tricks.core.arguments import MOST_THREADS, Parser, whole
from gluon_tricks.core.commands import command
from gluon_tricks.core.errors import REFUSED, Refused
from gluon_tricks.core.wording import byte_size, one_line, plural, quoted, some
from gluon_tricks.data import sources
from gluon_tricks.data.check import check
from gluon_tricks.data.cifar import is_cifar
from gluon_tricks.data.folders import class_folders
from gluon_tricks.data.pack import left_out_lines, pack
from gluon_tricks.data.packed import pack_cifar
from gluon_tricks.data.places365 import categories, places365
from gluon_tricks.data.record_file import write_index, write_labels
from gluon_tricks.data.records import BadRecord, Records
from gluon_tricks.data.shard_writer import MOST_SHARDS
from gluon_tricks.data.shards import record_paths, shard_name

_LEAST = 10**6  # bytes of a shard
_NAMES = {"folder": "FOLDER", "out_prefix": "OUT_PREFIX"} | {  # what takes the name of a file or a list
    flag: f"--{flag.replace('_', '-')}" for flag in ("list", "voc", "ground_truth", "places365", "meta", "classes")
}
INTERRUPTED = "interrupted: nothing was written"


def _parser() -> Parser:
    parser = Parser(__doc__)
    parser.add_argument("folder", nargs="?", help="the images")
    parser.add_argument("out_prefix", nargs="?", help="the packed files' name without ending")
    parser.add_argument("--list", metavar="FILE", help="pack what an im2rec list names, paths relative to FOLDER")
    parser.add_argument(
        "--voc", metavar="LISTS", help="pack the images of lists of a VOC folder, with a label for each class"
    )
    parser.add_argument(
        "--ground-truth",
        metavar="FILE",
        help="pack ImageNet's validation images: ILSVRC2012_validation_ground_truth.txt (with --meta), "
        'or lines "image wnid" or "image label"',
    )
    parser.add_argument("--places365", metavar="LIST", help="pack what one of the official lists of Places365 names")
    parser.add_argument(
        "--cifar", action="store_true", help="pack the binary version of CIFAR-10 or CIFAR-100 (fine labels), as PNG"
    )
    parser.add_argument("--meta", metavar="FILE", help='the development kit\'s meta.mat, or lines "ILSVRC2012_ID wnid"')
    parser.add_argument("--classes", metavar="FILE", help="class names in label order: train.json, or one name a line")
    parser.add_argument(
        "--resize", type=whole(1, 65500), metavar="N", help="make the shorter edge N px (default: as it is)"
    )
    parser.add_argument(
        "--quality", type=whole(1, 100), metavar="Q", help="quality of the JPEGs that --resize makes (default: 95)"
    )
    parser.add_argument(
        "--seed", type=whole(0, (1 << 63) - 1), default=0, metavar="N", help="seed of the shuffle (default: 0)"
    )
    parser.add_argument("--jobs", type=whole(1, MOST_THREADS), metavar="N", help="threads (default: all cores)")
    parser.add_argument(
        "--no-verify", dest="verify", action="store_false", help="do not decode the images: faster, keeps broken ones"
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--shards",
        type=whole(1, MOST_SHARDS),
        metavar="N",
        help="write N files, OUT_PREFIX-00000-of-0000N.rec and so on",
    )
    group.add_argument(
        "--shard-size", type=_bytes, metavar="SIZE", help="write files of at most this size, such as 1GB or 500MB"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.add_argument("--check", nargs="+", metavar="FILE", help="report on packed files")
    parser.add_argument("--index", nargs="+", metavar="FILE", help="make the .idx of .rec files again")
    parser.add_argument(
        "--labels", nargs="+", metavar="FILE", help="write the .labels of files that were packed before version 0.9"
    )
    parser.add_argument("--verbose", action="store_true", help="list every class, file and record")
    return parser


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = _parser()
    options = parser.parse_args(argv)
    for name, called in _NAMES.items():
        if getattr(options, name) is not None and not getattr(options, name).strip():
            parser.error(f"{called} names nothing: perhaps a variable of a script is empty; give a name")
    if sum(given is not None for given in (options.out_prefix, options.check, options.index, options.labels)) != 1:
        parser.error("give FOLDER and OUT_PREFIX, or --check, --index or --labels")
    for flag, heeded in {"check": ("jobs", "verbose"), "index": (), "labels": ()}.items():
        if getattr(options, flag):
            parser.require_alone(options, f"--{flag}", (flag, *heeded))
    if options.folder is not None and options.out_prefix is None:
        parser.error("give FOLDER and OUT_PREFIX")
    if sum(map(bool, (options.list, options.ground_truth, options.places365, options.voc))) > 1:
        parser.error("give one of --list, --ground-truth, --places365 and --voc")
    if options.meta and not options.ground_truth or options.places365 and not options.classes:
        parser.error("--meta belongs to --ground-truth, and --places365 takes --classes categories_places365.txt")
    others = (options.list, options.ground_truth, options.places365, options.classes, options.resize, options.quality)
    others += (options.shards, options.shard_size, options.voc)
    if options.cifar and (any(others) or not options.verify):
        parser.error("--cifar goes with FOLDER, OUT_FOLDER, --seed, --jobs and --overwrite alone")
    return options


def _bytes(text: str) -> int:
    """A size in words: 1GB, 500 MB, 1.5TB, or a number of bytes."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,3})?) ?([kMGT]?)B?", text)
    size = int(float(match[1]) * 1000 ** "_kMGT".index(match[2] or "_")) if match else 0
    if size < _LEAST:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is no size of at least 1 MB: write it as 1GB or 500MB")
    return size


def find(options: argparse.Namespace) -> sources.Source:
    if options.places365:
        return places365(options.folder, options.places365, categories(options.classes))
    classes = sources.read_classes(options.classes) if options.classes else None
    if options.list:
        return sources.list_file(options.folder, options.list, classes)
    if options.voc:
        return sources.voc_labels(options.folder, options.voc.split(","), classes)
    if options.ground_truth:
        return sources.imagenet_validation(options.folder, options.ground_truth, options.meta, classes)
    if is_cifar(options.folder):
        raise Refused(f"{options.folder} has the files of CIFAR: give --cifar, and a folder in place of OUT_PREFIX")
    return class_folders(options.folder, classes)


def pack_and_tell(options: argparse.Namespace) -> int:
    if options.cifar:
        folder = pathlib.Path(options.out_prefix)
        how = dict(seed=options.seed, jobs=options.jobs, overwrite=options.overwrite)
        for split, manifest in pack_cifar(pathlib.Path(options.folder), folder, **how).items():
            _tell(str(folder / split), manifest)
        return 0
    manifest, left_out = pack(
        find(options),
        options.out_prefix,
        resize=options.resize,
        quality=options.quality,
        seed=options.seed,
        jobs=options.jobs,
        overwrite=options.overwrite,
        verify=options.verify,
        shards=options.shards,
        shard_bytes=options.shard_size,
    )
    for line in left_out_lines(left_out, options.out_prefix, options.verbose):
        print(line)
    empty = [name for name, count in zip(manifest["classes"], manifest["images_per_class"]) if count == 0]
    if empty:
        print(f"classes without images: {some(empty, len(empty) if options.verbose else 10)}")
    _tell(options.out_prefix, manifest)
    return 0


def _tell(prefix: str, manifest: dict) -> None:
    images, classes = plural(manifest["count"], "image"), plural(len(manifest["classes"]), "class")
    count = manifest.get("shards")
    name = f"{shard_name(prefix, 0, count)} and so on, {plural(count, 'shard')}" if count else f"{prefix}.rec"
    print(f"{name}: {images}, {classes}, {byte_size(manifest['rec']['bytes'])}")


def look_at_packed(options: argparse.Namespace) -> int:
    """--check, --index or --labels, file by file; one that is refused keeps no other from its turn."""
    code = 0
    for path in record_paths(options.check or options.index or options.labels):
        try:
            if options.index:
                print(f"{path}: the .idx lists {plural(write_index(path), 'record')}", flush=True)
            elif options.labels:
                print(f"{path}: its .labels has {plural(write_labels(path), 'label')}", flush=True)
            else:
                report = check(Records(path), jobs=options.jobs)
                print(f"{path}: " + "\n".join(report.lines(options.verbose)), flush=True)
                code = 2 if report.problems else code
        except (Refused, BadRecord) as error:
            print(f"{REFUSED}{one_line(error)}", file=sys.stderr, flush=True)
            code = 2
    return code


@command
def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    try:
        return look_at_packed(options) if options.out_prefix is None else pack_and_tell(options)
    except BadRecord as error:
        raise Refused(str(error)) from None
