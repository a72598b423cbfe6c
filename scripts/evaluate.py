#!/usr/bin/env python
"""Top-1 and top-5 of a trained network on packed images: each image exactly once, nothing else.

    evaluate.py --model resnet50_v1d --pretrained 117a384e --rec-val val.rec   a file that GluonCV published
    evaluate.py --model resnet50_v1d --pretrained FILE --rec-val val.rec       a parameter file
    evaluate.py --pretrained runs/imagenet-3                                   a run, on its own validation images

Images as in GluonCV: the shorter edge to ceil(input size / crop ratio), the middle, minus ImageNet's mean, over its
standard deviation; a run brings its own. Intervals are Wilson's, of 95 %. Exit code: 0 done, 2 refused.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import pathlib
import re
import sys
import time

import mxnet as mx
import tqdm

from gluon_tricks.checkpoint import load_network
from gluon_tricks.data.augment import MEAN_RGB, STD_RGB, Preprocess, coefficients
from gluon_tricks.data.catalog import find_records
from gluon_tricks.data.loader import Loader
from gluon_tricks.data.records import BadRecord, Records
from gluon_tricks.devices import choose_contexts, choose_precision, start_precision
from gluon_tricks.evaluate import Scores, evaluate
from gluon_tricks.recipe import Recipe, read_recipe
from gluon_tricks.runtime import Refused
from model_zoo import get_model, published

Z = 1.959964  # 95 % of a normal distribution lie within so many standard deviations


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", metavar="NAME", help="a name of the model zoo; a run directory brings its own")
    parser.add_argument(
        "--pretrained", default="true", metavar="WHAT", help="tag, file or run (GluonCV's default file)"
    )
    parser.add_argument("--classes", type=int, metavar="N", help="of the parameter file, where not the model's default")
    parser.add_argument("--rec-val", nargs="+", metavar="FILE", help="records; of a run, by default its own")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="on each device (64)")
    parser.add_argument("--input-size", type=int, metavar="PX", help="side of the network's input (its own)")
    parser.add_argument("--crop-ratio", type=float, help="input size over the shorter edge (0.875)")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32")
    parser.add_argument("--num-gpus", type=int, metavar="N", help="default all usable, else the CPU; 0 is the CPU")
    parser.add_argument("-j", "--num-data-workers", type=int, metavar="N", help="threads of the loader (all cores)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the result there too")
    return parser.parse_args(argv)


@dataclasses.dataclass
class Subject:
    """What is evaluated, on what, and what the network expects its images to be."""

    net: mx.gluon.HybridBlock
    records: Records
    input_size: int
    crop_ratio: float = 0.875
    mean: tuple[float, ...] = MEAN_RGB
    std: tuple[float, ...] = STD_RGB
    published: published.Published | None = None


def open_subject(args: argparse.Namespace, contexts: list[mx.Context]) -> Subject:
    """Everything that --model, --pretrained and --rec-val name, checked to fit together."""
    path = pathlib.Path(args.pretrained).expanduser()
    records = Records(args.rec_val) if args.rec_val else None
    if path.is_dir():
        subject = _open_run(path, records, contexts)
    elif records is None:
        raise Refused("--rec-val is missing: name the packed images to evaluate on")
    elif args.model is None:
        raise Refused(f"--pretrained {args.pretrained} is no run directory: name its network with --model")
    else:
        subject = _open_model(args, records, contexts)
    subject.input_size = args.input_size or subject.input_size
    subject.crop_ratio = args.crop_ratio or subject.crop_ratio
    if subject.input_size < subject.net.smallest_side:
        raise Refused(f"{subject.net.name} takes images of at least {subject.net.smallest_side} px: --input-size")
    _check_labels(subject)
    return subject


def _open_model(args: argparse.Namespace, records: Records, contexts: list[mx.Context]) -> Subject:
    what = {"true": True}.get(args.pretrained.lower(), args.pretrained)
    file = None
    if what is True or published.is_tag(what):
        file = published.lookup(args.model, None if what is True else what)
    kwargs = {} if args.classes is None else {"classes": args.classes}
    net = get_model(args.model, pretrained=what, ctx=contexts, **kwargs)
    names = records.classes or ()
    if file and all(re.fullmatch(r"n\d{8}", name) for name in names) and list(names) != sorted(names):
        raise Refused(
            f"the classes of {records.paths[0]} are not in ImageNet's order, that of their ids: pack it again"
        )
    return Subject(net, records, net.input_size, published=file)


def _open_run(run: pathlib.Path, records: Records | None, contexts: list[mx.Context]) -> Subject:
    recipe = read_recipe(run / "recipe.json")
    train = _training_records(recipe, required=records is None)
    records = records or find_records(recipe)[1]
    if train and train.classes and records.classes and train.classes != records.classes:
        odd = next((a, b) for a, b in zip((*train.classes, None), (*records.classes, None)) if a != b)
        raise Refused(
            f"{run} was trained on other classes than {records.paths[0]} has (the first difference: {odd[0]} and "
            f"{odd[1]}): pack it with --classes and the training records' .json"
        )
    return Subject(
        load_network(run, ctx=contexts), records, recipe.input_size, recipe.crop_ratio, recipe.mean, recipe.std
    )


def _training_records(recipe: Recipe, required: bool) -> Records | None:
    """The records that a run was trained on; None if they are here no more."""
    try:
        return find_records(recipe)[0]
    except Refused:
        if required:
            raise
        return None


def _check_labels(subject: Subject) -> None:
    """Refuses images whose labels are not the network's, before any is read."""
    records, net = subject.records, subject.net
    labels = records.labels()
    found = len(records.classes) if records.classes else int(labels.max()) + 1
    if not (labels >= 0).all() or (labels % 1).any():
        raise Refused(f"{records.paths[0]} has labels that are no classes: see scripts/pack_records.py --check")
    if found > net.classes or (records.classes and found != net.classes) or labels.max() >= net.classes:
        raise Refused(f"{records.paths[0]} has {found} classes and {net.name} tells {net.classes} apart: these differ")


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a probability that was seen as a share of count.

    Source: Wilson, Probable inference, the law of succession, and statistical inference (JASA 1927).
    """
    middle = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return middle - half, middle + half


def score(
    subject: Subject, args: argparse.Namespace, contexts: list[mx.Context], precision: str
) -> tuple[Scores, dict]:
    """Runs the network over the images; what was found, and all about it for --json."""
    net, dtype = subject.net, "float16" if precision == "float16" else "float32"
    preprocess = Preprocess(dtype)
    for block in (net, preprocess):
        block.hybridize(static_alloc=True, static_shape=True)
    net.cast(dtype)
    loader = Loader(
        subject.records, size=subject.input_size, batch_size=args.batch_size * len(contexts), train=False,
        threads=args.num_data_workers, classes=net.classes, crop_ratio=subject.crop_ratio,
    )  # fmt: skip

    def evaluation_input(images, context):
        matrix, flip = coefficients("none", 0, 0, range(len(images)), subject.mean, subject.std)
        return preprocess(*(mx.nd.array(part, ctx=context, dtype=part.dtype) for part in (images, matrix, flip)))

    started = time.monotonic()
    batches = tqdm.tqdm(loader.epoch(), total=loader.steps_per_epoch, unit="batch", disable=None)
    scores = evaluate(net, batches, evaluation_input, contexts)
    return scores, {
        "model": net.name,
        "pretrained": args.pretrained,
        "records": [str(path) for path in subject.records.paths],
        "input_size": subject.input_size,
        "crop_ratio": subject.crop_ratio,
        "dtype": precision,
        **dataclasses.asdict(scores),
        "undecodable": len(loader.undecodable),
        "top1_interval": wilson(scores.top1, scores.images),
        "top5_interval": wilson(scores.top5, scores.images),
        "images_per_second": scores.images / (time.monotonic() - started),
        "published": dataclasses.asdict(subject.published) if subject.published else None,
    }


def lines(result: dict) -> list[str]:
    """The result as it is printed."""
    out = [f"{result['model']} ({result['pretrained']}) on {result['images']} images of {', '.join(result['records'])}"]
    theirs = result["published"] or {}
    for kind in ("top1", "top5"):
        low, high = result[f"{kind}_interval"]
        beside = f", published {theirs[kind]:.2f}%" if theirs.get(kind) is not None else ""
        out.append(f"top-{kind[3]} {result[kind]:.2%} (95 % interval {low:.2%} to {high:.2%}){beside}")
    out.append(
        f"loss {result['loss']:.4f}; {result['images_per_second']:.0f} images/s at {result['input_size']} px, "
        f"{result['dtype']}"
    )
    if result["undecodable"]:
        out.append(f"{result['undecodable']} more images cannot be decoded and are not counted")
    return out


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    try:
        if args.batch_size < 1:
            raise Refused(f"--batch-size {args.batch_size}: it takes 1 or more")
        if args.json and not args.json.absolute().parent.is_dir():
            raise Refused(f"--json {args.json}: there is no such folder")
        contexts = choose_contexts(args.num_gpus)
        precision, why = choose_precision(args.dtype, contexts)
        start_precision(precision)
        if why:
            print(why)
        scores, result = score(open_subject(args, contexts), args, contexts, precision)
    except (Refused, BadRecord) as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2
    print(*lines(result), sep="\n")
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
