"""The scores of a trained network: each validation image exactly once, nothing else.

    %(prog)s --model resnet50_v1d --pretrained 117a384e --rec-val val.rec   a file that GluonCV published
    %(prog)s --pretrained FILE --rec-val val.rec                            a parameter file
    %(prog)s --pretrained runs/imagenet-3                                   a run, on its own validation images
    %(prog)s --pretrained runs/imagenet-3 --form int8                       how much 8-bit integers change
    %(prog)s --pretrained runs/imagenet-3 --crops 10 --scales 224,256,288   what crops and scales gain
    %(prog)s --pretrained runs/a runs/b runs/c --dense --crops flip         an ensemble on whole images
    %(prog)s --pretrained runs/imagenet-3 --errors wrong --json all.json    the wrong photos; every class's scores
    %(prog)s --pretrained RUN --rec-val test.rec --places365 places365_test.txt --submission FILE   for its server
    %(prog)s --pretrained runs/faster_rcnn_voc-1                            a detector's run: mAP, and of each class
    %(prog)s --pretrained runs/fcn_ade20k-1 --multi-scale                   a segmenter's: pixAcc, mIoU, each IoU
    %(prog)s --pretrained runs/voc_classification-1                         a tagger's: mAP, and of each class

The scores of a classifier are top-1 and top-5 on packed images, with Wilson's intervals of 95 percent. Images are
prepared as in GluonCV: the shorter edge becomes ceil(input size / crop ratio), the middle is cut out, and the data
set's mean and deviation normalise it; a run has its own. With --crops, --scales, --dense or several networks the
softmax is averaged, and of each addition the gain over the one before, on the same images, stands beside with its
interval of 95 percent. Then come precision, recall and F1 of each class, of more than 30 classes of the ten worst, and
the ten largest confusions; --json has all of them and the confusion matrix. --errors copies the photos that were named
wrongly into folders TRUE/NAMED, the most confident mistakes first, with index.html. Exit code: 0 done, 1 a file cannot
be written, 2 refused.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any, NamedTuple

import mxnet as mx

from gluon_tricks.cli.forms import add_form_flags, compare, shown
from gluon_tricks.cli.view_flags import add_view_flags
from gluon_tricks.core.arguments import MOST_GPUS, MOST_THREADS, Parser, real, whole
from gluon_tricks.core.commands import command
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import require_writable, write_text
from gluon_tricks.core.json_text import to_lines
from gluon_tricks.core.reading import expanded
from gluon_tricks.core.wording import plural
from gluon_tricks.data.class_names import in_words
from gluon_tricks.data.places365 import complete, image_names, write_submission
from gluon_tricks.data.records import BadRecord
from gluon_tricks.machine.devices import choose_contexts, choose_precision, start_precision
from gluon_tricks.networks.load import SOURCE, recipe_of
from gluon_tricks.networks.source import is_there
from gluon_tricks.recipes.multi_label import MOST_CROPS
from gluon_tricks.tasks.classification.evaluation import collect_logits
from gluon_tricks.tasks.classification.evaluation_set import EvaluationSet
from gluon_tricks.tasks.classification.guesses import Guesses
from gluon_tricks.tasks.classification.validation import ClassificationValidation
from gluon_tricks.tasks.classification.views import Views
from gluon_tricks.tasks.protocol import ScoringOptions, Task, Validation
from gluon_tricks.tasks.registry import TASKS, task_of, task_of_network
from gluon_tricks.trained.load import open_network
from gluon_tricks.trained.wrong_photos import require_new_folder, write_wrong_photos
from model_zoo.preprocessing import LARGEST_INPUT


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("--model", metavar="NAME", help="the network, where --pretrained does not say it")
    parser.add_argument(
        "--pretrained", nargs="+", default="true", metavar="SRC",
        help=f"{SOURCE}; beside --model also a TAG (true: GluonCV's default file); several: their ensemble",
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
    parser.add_argument(
        "--crop-ratio", type=real(0, 1), metavar="R", help="input size over the shorter edge (the network's)"
    )
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32", help="(float32)")
    add_form_flags(parser)
    parser.add_argument("--places365", metavar="LIST", help="the list that Places365's test images were packed from")
    parser.add_argument(
        "--submission", type=expanded, metavar="FILE", help="5 classes for each of them, for the test server"
    )
    add_view_flags(parser)
    parser.add_argument("--data", metavar="PATH", help="of a run on a folder with labels: another one than its own")
    parser.add_argument(
        "--test-crops", type=whole(0, MOST_CROPS), metavar="N",
        help="of a tagger: the mean over so many random crops, 0: the centre crop (the run's)",
    )  # fmt: skip
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
    parser.add_argument(
        "--errors", type=expanded, metavar="DIR",
        help="of a classifier: a new folder for the photos that are named wrongly, as DIR/TRUE/NAMED/...",
    )  # fmt: skip
    parser.add_argument("--json", type=expanded, metavar="FILE", help="write the result there too")
    args = parser.parse_args(argv)
    args.pretrained, *args.members = [args.pretrained] if isinstance(args.pretrained, str) else args.pretrained
    return args


class Found(NamedTuple):
    """What was found.

    Attributes:
        result: for a JSON file.
        lines: as it is printed.
        records: the images.
        guesses: what each of them was taken for; None: nothing was, or it is no classifier that was asked.
    """

    result: dict[str, Any]
    lines: list[str]
    records: Any
    guesses: Guesses | None


def measure(validation: Validation, precision: str) -> Found:
    """Runs the network over the images."""
    started = time.monotonic()
    scores = validation.score(shown(validation.loader), precision)
    result = validation.result(scores, precision, time.monotonic() - started)
    count = result["undecodable"]
    lost = [f"{plural(count, 'image')} not counted, because decoding failed"] if count else []
    lines = [*validation.lines(scores, result), *lost]
    return Found(result, lines, validation.loader.records, getattr(scores, "guesses", None))


def submit(evaluated: EvaluationSet, args: argparse.Namespace, context: mx.Context, precision: str) -> dict:
    """Writes the file for the server of Places365; what was done. The labels, and so the scores, are the server's."""
    names = image_names(args.places365, evaluated.records)
    loader, started = evaluated.loader(args.batch_size, args.num_data_workers), time.monotonic()
    preprocess = evaluated.preprocess("float16" if precision == "float16" else "float32")
    logits, _ = collect_logits(evaluated.net, complete(shown(loader), loader, names), preprocess, context)
    write_submission(args.submission, names, logits)
    rate = len(names) / (time.monotonic() - started)
    return {"images": len(names), "submission": str(args.submission), "images_per_second": rate}


def in_another_way(
    validation: ClassificationValidation, args: argparse.Namespace, context: mx.Context, precision: str
) -> Found:
    """A classifier with --submission or --form."""
    evaluated, guesses = validation.evaluated, None
    if args.submission and evaluated.net.classes < 5:
        raise Refused(f"--submission: {evaluated.net.name} has {plural(evaluated.net.classes, 'class')}, fewer than 5")
    validation.set_precision(precision)
    if args.submission:
        found = submit(evaluated, args, context, precision)
    else:
        found, guesses = compare(evaluated, args, context)
        found |= validation.class_values(guesses)
    result = {**validation.about(precision), **found}
    told = [validation.headline(result)]
    if args.submission:
        told.append(
            f"{result['submission']} has the 5 likeliest classes of each for the test server, which alone can score "
            "them"
        )
        return Found(result, told, evaluated.records, None)
    for form in (form for form in ("float32", "fused", "int8") if form in result):
        numbers = result[form]
        told.append(f"{form}: top-1 {numbers['top1']:.2%}, {numbers['images_per_second']:.0f} images/s")
    told.append(f"both name the same class for {result['agreement']:.2%} of the images")
    told += [f"of the classes by {args.form}:", *validation.class_lines(guesses)]
    return Found(result, told, evaluated.records, guesses)


def _refuse_flags(args: argparse.Namespace, task: type[Task]) -> None:
    """Refuses those of the flags that were given and are of other tasks."""
    default = parse([])
    for flag in dict.fromkeys(flag for other in TASKS for flag in other.evaluation_flags):
        if flag not in task.evaluation_flags and getattr(args, flag) != getattr(default, flag):
            said = "an ensemble" if flag == "members" else f"--{flag.replace('_', '-')}"
            raise Refused(f"{said} does not apply: {args.pretrained} is a {task.noun}")


def _refuse_combinations(args: argparse.Namespace) -> None:
    """Refuses flags that do not go together, before anything is opened."""
    if bool(args.submission) != bool(args.places365) or args.submission and (args.form or args.errors):
        raise Refused("--submission FILE and --places365 LIST go together, and without --form and --errors")
    if args.form != "int8" and (args.calibration or args.calibration_batches):
        raise Refused("--calibration and --calibration-batches go with --form int8: give that too, or leave them out")
    views = Views(args.crops, args.scales, args.dense)
    if (args.form or args.submission) and (args.members or not views.plain):
        flag = "--form" if args.form else "--submission"
        raise Refused(
            f"{flag} takes one network and the centre crop: leave out --crops, --scales, --dense and the rest"
        )


def _begin(args: argparse.Namespace, contexts: list[mx.Context]) -> str:
    """Starts the precision, before any network is built; which one it is."""
    precision, why = choose_precision(args.dtype, contexts)
    if args.form and (args.dtype != "float32" or contexts[0].device_type != "cpu"):
        raise Refused(f"--form {args.form} is for CPUs and is compared with float32: use --num-gpus 0 --dtype float32")
    recipe = recipe_of(args.pretrained) if precision != "float32" and is_there(args.pretrained) else None
    if recipe and precision not in recipe.choices["dtype"]:
        raise Refused(
            f"--dtype {precision}: {args.pretrained} is a {task_of(recipe).noun}, which takes "
            f"{' or '.join(recipe.choices['dtype'])}"
        )
    start_precision(precision, task_of(recipe).architecture(recipe) if recipe and recipe.based else None)
    if why:
        print(why)
    return precision


def run(args: argparse.Namespace) -> Found:
    """Everything from the flags to what was found."""
    for flag, path in (("--json", args.json), ("--submission", args.submission)):
        if path:
            require_writable(path, flag)
    if args.errors:
        require_new_folder(args.errors, "--errors")
    _refuse_combinations(args)
    contexts = choose_contexts(args.num_gpus)
    precision = _begin(args, contexts)
    trained, *others = (
        open_network(source, model=args.model, classes=args.classes, ctx=contexts) if is_there(source) else None
        for source in (args.pretrained, *args.members)
    )
    task = task_of_network(trained)
    _refuse_flags(args, task)
    options = ScoringOptions(
        model=args.model, classes=args.classes, rec_val=args.rec_val, batch_size=args.batch_size,
        data=args.data and str(expanded(args.data).absolute()), input_size=args.input_size,
        crop_ratio=args.crop_ratio, multi_scale=args.multi_scale, crops=args.crops, scales=args.scales,
        dense=args.dense, members=tuple(zip(args.members, others)), test_crops=args.test_crops,
        threads=args.num_data_workers,
    )  # fmt: skip
    validation = task.open_validation(args.pretrained, contexts, options, trained)
    if args.submission:  # the server's images have no labels
        return in_another_way(validation, args, contexts[0], precision)
    for line in validation.doubts():
        print(f"warning: {line}", file=sys.stderr)
    return in_another_way(validation, args, contexts[0], precision) if args.form else measure(validation, precision)


@command
def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    try:
        found = run(args)
        print(*found.lines, sep="\n", flush=True)
        if args.json:
            write_text(args.json, to_lines(found.result), named=True)
        if args.errors:  # last: whatever goes wrong with it, the scores are there
            names = in_words(found.result["class_names"])
            print(write_wrong_photos(args.errors, found.records, found.guesses, names))
    except BadRecord as error:
        raise Refused(str(error)) from None
    return 0
