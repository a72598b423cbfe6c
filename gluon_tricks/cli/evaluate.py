"""The scores of a trained network: each validation image exactly once, nothing else.

    %(prog)s --model resnet50_v1d --pretrained 117a384e --rec-val val.rec   a file that GluonCV published
    %(prog)s --pretrained FILE --rec-val val.rec                            a parameter file
    %(prog)s --pretrained runs/imagenet-3                                   a run, on its own validation images
    %(prog)s --pretrained runs/imagenet-3 --form int8                       how much 8-bit integers change
    %(prog)s --pretrained RUN --rec-val test.rec --places365 places365_test.txt --submission FILE   for its server
    %(prog)s --pretrained runs/faster_rcnn_voc-1                            a detector's run: mAP, and of each class
    %(prog)s --pretrained runs/fcn_ade20k-1 --multi-scale                   a segmenter's: pixAcc, mIoU, each IoU

The scores of a classifier are top-1 and top-5 on packed images, with Wilson's intervals of 95 percent. Images are
prepared as in GluonCV: the shorter edge becomes ceil(input size / crop ratio), the middle is cut out, and the data
set's mean and deviation normalise it; a run has its own. Exit code: 0 done, 1 a file cannot be written, 2 refused.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import pathlib
import sys
import time

import mxnet as mx
import tqdm

from gluon_tricks.core.arguments import MOST_GPUS, MOST_THREADS, Parser, real, whole
from gluon_tricks.core.commands import command
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import require_writable, write_text
from gluon_tricks.core.wording import plural
from gluon_tricks.data.places365 import complete, image_names, write_submission
from gluon_tricks.data.records import BadRecord, Records
from gluon_tricks.data.requirements import of_one_class
from gluon_tricks.machine.devices import choose_contexts, choose_precision, start_precision
from gluon_tricks.networks.load import SOURCE, Trained, is_there, open_network, recipe_of
from gluon_tricks.networks.of_recipe import architecture
from gluon_tricks.recipes.transfer import DetectionRecipe, TransferRecipe
from gluon_tricks.tasks.classification.evaluation import collect_logits, evaluate, wilson
from gluon_tricks.trained import transfer_scores
from gluon_tricks.trained.evaluation_set import EvaluationSet, open_evaluation_set
from model_zoo.inference import fuse, quantise
from model_zoo.preprocessing import LARGEST_INPUT

OF_CLASSIFIERS = (
    "rec_val", "batch_size", "input_size", "crop_ratio", "form", "calibration", "calibration_batches", "places365",
    "submission",
)  # fmt: skip
OF_THE_OTHERS = ("data", "multi_scale")


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("--model", metavar="NAME", help="the network, where --pretrained does not say it")
    parser.add_argument(
        "--pretrained", default="true", metavar="SRC",
        help=f"{SOURCE}; beside --model also a TAG (true: GluonCV's default file)",
    )  # fmt: skip
    parser.add_argument(
        "--classes", type=whole(1, 1 << 20), metavar="N", help="number of logits; another than the file's is refused"
    )
    parser.add_argument(
        "--rec-val", nargs="+", default=(), metavar="FILE", help="records; of a run, by default its own"
    )
    parser.add_argument(
        "--batch-size", type=whole(1, 1 << 20), default=64, metavar="N", help="images on each device (64)"
    )
    parser.add_argument(
        "--input-size", type=whole(1, LARGEST_INPUT), metavar="PX", help="side of the network's input (its own)"
    )
    parser.add_argument("--crop-ratio", type=real(0, 1), help="input size over the shorter edge (the network's)")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32", help="(float32)")
    parser.add_argument(
        "--form", choices=("fused", "int8"), help="evaluate it twice, as it is and in this faster form (CPU, float32)"
    )
    parser.add_argument(
        "--calibration",
        nargs="+",
        metavar="FILE",
        help="images that determine the scales of int8 (of a run: its training set)",
    )
    parser.add_argument("--calibration-batches", type=whole(1), default=4, help="number of batches of them (4)")
    parser.add_argument("--places365", metavar="LIST", help="the list that Places365's test images were packed by")
    parser.add_argument(
        "--submission", type=pathlib.Path, metavar="FILE", help="5 classes for each of them, for the test server"
    )
    parser.add_argument("--data", metavar="PATH", help="of a detector or segmenter: another folder than its run's")
    parser.add_argument("--multi-scale", action="store_true", help="of a segmenter: the mean over 6 scales and flips")
    parser.add_argument(
        "--num-gpus",
        type=whole(0, MOST_GPUS),
        metavar="N",
        help="number of GPUs; 0: the CPU (all usable GPUs, else the CPU)",
    )
    parser.add_argument(
        "-j", "--num-data-workers", type=whole(1, MOST_THREADS), metavar="N", help="threads of the loader (all cores)"
    )
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the result there too")
    return parser.parse_args(argv)


def measure(evaluated: EvaluationSet, args: argparse.Namespace, contexts: list[mx.Context], precision: str) -> dict:
    """Runs the network over the images; what was found."""
    loader, started = evaluated.loader(args.batch_size * len(contexts), args.num_data_workers), time.monotonic()
    preprocess = evaluated.preprocess("float16" if precision == "float16" else "float32")
    scores = evaluate(evaluated.net, _shown(loader), preprocess, contexts)
    return {
        **dataclasses.asdict(scores),
        "undecodable": len(loader.undecodable),
        "top1_interval": wilson(scores.top1, scores.images),
        "top5_interval": wilson(scores.top5, scores.images),
        "images_per_second": scores.images / (time.monotonic() - started),
    }


def submit(evaluated: EvaluationSet, args: argparse.Namespace, context: mx.Context, precision: str) -> dict:
    """Writes the file for the server of Places365; what was done. The labels, and so the scores, are the server's."""
    names = image_names(args.places365, evaluated.records)
    loader, started = evaluated.loader(args.batch_size, args.num_data_workers), time.monotonic()
    preprocess = evaluated.preprocess("float16" if precision == "float16" else "float32")
    logits, _ = collect_logits(evaluated.net, complete(_shown(loader), loader, names), preprocess, context)
    write_submission(args.submission, names, logits)
    rate = len(names) / (time.monotonic() - started)
    return {"images": len(names), "submission": str(args.submission), "images_per_second": rate}


def compare(evaluated: EvaluationSet, args: argparse.Namespace, context: mx.Context) -> dict:
    """The network as it is and in a faster form: how often each is right, and how often they say the same."""
    preprocess, found, net = evaluated.preprocess("float32"), {}, evaluated.net
    for form in ("float32", args.form):
        loader = evaluated.loader(args.batch_size, args.num_data_workers)
        if form == "fused":
            fuse(net, mx.nd.zeros((args.batch_size, 3, *[evaluated.preprocessing.input_size] * 2)))
        elif form == "int8":
            net = quantise(net, _calibration_images(evaluated, args, preprocess, context))
        started = time.monotonic()
        logits, labels = collect_logits(net, _shown(loader), preprocess, context)
        seconds = time.monotonic() - started
        guess = logits.argmax(axis=1)
        found[form] = {"top1": float((guess == labels).mean()), "images_per_second": len(labels) / seconds}
        found.setdefault("guesses", []).append(guess)
    one, other = found.pop("guesses")
    return {**found, "images": len(one), "agreement": float((one == other).mean())}


def measure_transfer(
    trained: Trained, args: argparse.Namespace, contexts: list[mx.Context], precision: str
) -> tuple[dict, list[str]]:
    """Runs a detector or segmenter over the validation images of its recipe; what was found, and as it is printed."""
    data = args.data and str(pathlib.Path(args.data).expanduser().absolute())
    validation = transfer_scores.open_validation(
        trained.recipe, args.pretrained, data=data, batch_size=len(contexts), threads=args.num_data_workers
    )
    names, started = validation.records.classes, time.monotonic()
    scores = transfer_scores.score(
        trained.net, validation, _shown(validation.loader), contexts, precision, args.multi_scale
    )
    seconds = time.monotonic() - started
    result = {
        "model": trained.recipe.model,
        "task": trained.recipe.task,
        "pretrained": args.pretrained,
        "data": validation.place,
        "dtype": precision,
        "multi_scale": args.multi_scale,
        **transfer_scores.values(scores, names),
        "undecodable": len(validation.loader.undecodable),
        "images_per_second": scores.images / seconds,
    }
    kind = {"detection": "Faster-RCNN", "segmentation": "FCN"}[result["task"]]
    return result, [
        f"{kind} on {result['model']} ({args.pretrained}) on {plural(scores.images, 'image')} of {validation.place}",
        f"{scores}{' over 6 scales and flips' if args.multi_scale else ''}",
        transfer_scores.table(scores, names),
        f"{result['images_per_second']:.1f} images/s, {precision}",
        *_undecodable(result),
    ]


def _calibration_images(evaluated: EvaluationSet, args: argparse.Namespace, preprocess, context) -> list[mx.nd.NDArray]:
    """Batches of images other than those that are scored."""
    records = Records(args.calibration) if args.calibration else evaluated.train
    if records is None:
        raise Refused("--form int8 needs images to find its scales on, others than the scored: name --calibration FILE")
    loader = dataclasses.replace(evaluated, records=records).loader(args.batch_size)
    return [preprocess(batch.images, context) for batch in itertools.islice(loader.epoch(), args.calibration_batches)]


def _shown(loader):
    """The loader's batches, with a progress bar in a terminal."""
    return tqdm.tqdm(loader.epoch(), total=loader.steps_per_epoch, unit="batch", disable=None)


def lines(result: dict) -> list[str]:
    """A classifier's result as it is printed."""
    images = plural(result["images"], "image")
    out = [f"{result['model']} ({result['pretrained']}) on {images} of {', '.join(result['records'])}"]
    if "agreement" in result:
        for form in (form for form in ("float32", "fused", "int8") if form in result):
            numbers = result[form]
            out.append(f"{form}: top-1 {numbers['top1']:.2%}, {numbers['images_per_second']:.0f} images/s")
        return [*out, f"both name the same class for {result['agreement']:.2%} of the images"]
    if "submission" in result:
        return [*out, f"{result['submission']} has their 5 surest classes, for the server, which alone can score them"]
    theirs = result["published"] or {}
    for kind in ("top1", "top5") if result["classes"] > 5 else ("top1",):
        low, high = result[f"{kind}_interval"]
        beside = f", published {theirs[kind]:.2f}%" if theirs.get(kind) is not None else ""
        out.append(f"top-{kind[3]} {result[kind]:.2%} (95 % interval {low:.2%} to {high:.2%}){beside}")
    out.append(
        f"loss {result['loss']:.4f}; {result['images_per_second']:.0f} images/s at {result['input_size']} px, "
        f"{result['dtype']}"
    )
    return out + _undecodable(result)


def _undecodable(result: dict) -> list[str]:
    count = result["undecodable"]
    return [f"not counted, for they cannot be decoded: {plural(count, 'image')}"] if count else []


def _refuse_flags(args: argparse.Namespace, flags: tuple[str, ...], what: str) -> None:
    """Refuses those of the flags that were given."""
    default = parse([])
    for flag in flags:
        if getattr(args, flag) != getattr(default, flag):
            raise Refused(f"--{flag.replace('_', '-')} does not apply: {args.pretrained} is a {what}")


def run(args: argparse.Namespace) -> tuple[dict, list[str]]:
    """Everything from the flags to the result, and the result as it is printed."""
    for flag, path in (("--json", args.json), ("--submission", args.submission)):
        if path:
            require_writable(path, flag)
    if bool(args.submission) != bool(args.places365) or args.submission and args.form:
        raise Refused("--submission FILE and --places365 LIST go together, and without --form")
    contexts = choose_contexts(args.num_gpus)
    precision, why = choose_precision(args.dtype, contexts)
    if args.form and (precision != "float32" or contexts[0].device_type != "cpu"):
        raise Refused(f"--form {args.form} is for CPUs, and beside float32: use --num-gpus 0 --dtype float32")
    local = is_there(args.pretrained)
    recipe = recipe_of(args.pretrained) if local and precision != "float32" else None
    if precision == "float16" and isinstance(recipe, DetectionRecipe):
        raise Refused(f"--dtype float16: {args.pretrained} is a detector, whose boxes need more: use --dtype float32")
    start_precision(precision, architecture(recipe) if isinstance(recipe, TransferRecipe) else None)
    if why:
        print(why)
    trained = None
    if local:
        trained = open_network(args.pretrained, model=args.model, classes=args.classes, ctx=contexts)
        if isinstance(trained.recipe, TransferRecipe):
            detecting = trained.recipe.task == "detection"
            flags = (*OF_CLASSIFIERS, "multi_scale") if detecting else OF_CLASSIFIERS
            _refuse_flags(args, flags, "detector" if detecting else "segmenter")
            return measure_transfer(trained, args, contexts, precision)
    _refuse_flags(args, OF_THE_OTHERS, "classifier")
    result = run_classifier(trained, args, contexts, precision)
    return result, lines(result)


def run_classifier(
    trained: Trained | None, args: argparse.Namespace, contexts: list[mx.Context], precision: str
) -> dict:
    """From the flags to the result of a classifier. Args: trained: it, if it is no published one."""
    evaluated = open_evaluation_set(
        args.pretrained, contexts, model=args.model, classes=args.classes, rec_val=args.rec_val,
        input_size=args.input_size, crop_ratio=args.crop_ratio, trained=trained, batch_size=args.batch_size,
    )  # fmt: skip
    if args.submission and evaluated.net.classes < 5:
        raise Refused(f"--submission: {evaluated.net.name} has {plural(evaluated.net.classes, 'class')}, fewer than 5")
    if not args.submission and (said := of_one_class(evaluated.records)):  # the server's images have no labels
        print(f"warning: {said}", file=sys.stderr)
    evaluated.net.hybridize(static_alloc=True, static_shape=True)
    evaluated.net.cast("float16" if precision == "float16" else "float32")
    if args.submission:
        measured = submit(evaluated, args, contexts[0], precision)
    else:
        measured = compare(evaluated, args, contexts[0]) if args.form else measure(evaluated, args, contexts, precision)
    return {
        "model": evaluated.net.name,
        "pretrained": args.pretrained,
        "records": [str(path) for path in evaluated.records.paths],
        "classes": evaluated.net.classes,
        "input_size": evaluated.preprocessing.input_size,
        "crop_ratio": evaluated.preprocessing.crop_ratio,
        "dtype": precision,
        **measured,
        "published": dataclasses.asdict(evaluated.published) if evaluated.published else None,
    }


@command
def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    try:
        result, said = run(args)
    except BadRecord as error:
        raise Refused(str(error)) from None
    print(*said, sep="\n")
    if args.json:
        write_text(args.json, json.dumps(result, indent=2) + "\n")
    return 0
