"""Export a network to ONNX, or to MXNet's symbol and parameters, with its preprocessing as JSON beside it.

    %(prog)s RUN_DIRECTORY resnet.onnx --to onnx
    %(prog)s weights.params out/resnet --to symbol --model resnet50_v1d
    %(prog)s resnet50_v1d/117a384e resnet50_v1d.onnx --to onnx

SRC may be a classifier, a tagger, a detector or a segmenter. What is written was read back and gives the same outputs:
in onnxruntime (if it is installed) or in MXNet.
Exit codes: 0 done; 1 the files cannot be written, 2 refused, with nothing written.
"""

from __future__ import annotations

import argparse
import dataclasses

import mxnet as mx

from gluon_tricks.core.arguments import Parser, real, whole
from gluon_tricks.core.commands import command
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import quoted
from gluon_tricks.data import sources
from gluon_tricks.networks.load import SOURCE, Trained
from gluon_tricks.networks.of_recipe import require_images
from gluon_tricks.tasks.protocol import Task
from gluon_tricks.tasks.registry import TASKS, task_of_network
from gluon_tricks.trained.load import open_network
from model_zoo.export import export_onnx, export_symbol, require_place
from model_zoo.preprocessing import LARGEST_INPUT, Preprocessing


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("source", metavar="SRC", help=SOURCE)
    parser.add_argument("target", metavar="DST", help="FILE.onnx, or the beginning of the names of a symbol's files")
    parser.add_argument("--to", required=True, choices=("onnx", "symbol"), help="which form")
    parser.add_argument("--model", metavar="NAME", help="the network, where SRC's parameters fit several")
    parser.add_argument(
        "--classes", type=whole(1, 1 << 20), metavar="K", help="number of logits; another than SRC's is refused"
    )
    parser.add_argument(
        "--input-size", type=whole(1, LARGEST_INPUT), metavar="PX", help="default: the run's, else the network's own"
    )
    parser.add_argument(
        "--batch-size",
        type=whole(1, 1 << 20),
        metavar="N",
        help="fix it in an ONNX file (default: any; a detector takes one)",
    )
    parser.add_argument("--crop-ratio", type=real(0, 1), metavar="R", help="crop / shorter edge (default: the run's)")
    for name in ("mean", "std"):
        parser.add_argument(f"--rgb-{name}", metavar="R,G,B", help=f"{name} on the 0..255 scale (default: the run's)")
    parser.add_argument("--class-names", metavar="FILE", help="a manifest of packed records, or one name a line")
    options = parser.parse_args(argv)
    if options.batch_size is not None and options.to == "symbol":
        parser.error("--batch-size belongs to --to onnx: a symbol takes any")
    return options


def of_classifier(options: argparse.Namespace, start: Preprocessing | None) -> Preprocessing:
    """A classifier's preprocessing, with what the flags say in place of its own."""
    if start is None and not options.input_size:  # a symbol does not say it
        raise Refused(f"{options.source} does not say which images it takes: give --input-size")
    start = start or Preprocessing(options.input_size)
    given = {
        "input_size": options.input_size,
        "crop_ratio": options.crop_ratio,
        "mean": _three(options.rgb_mean, "--rgb-mean"),
        "std": _three(options.rgb_std, "--rgb-std"),
        "classes": sources.read_classes(options.class_names) if options.class_names is not None else None,
    }
    given = {key: value for key, value in given.items() if value is not None}
    return dataclasses.replace(start, **given, **({"mean_image": None} if "mean" in given else {}))


def _refuse_flags(options: argparse.Namespace, task: type[Task]) -> None:
    """Refuses those of the flags that were given and are of other tasks."""
    for flag in dict.fromkeys(flag for other in TASKS for flag in other.export_flags):
        if flag not in task.export_flags and getattr(options, flag) is not None:
            raise Refused(f"--{flag.replace('_', '-')} does not apply: {options.source} is a {task.noun}")


def _three(text: str | None, flag: str) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        r, g, b = map(float, text.split(","))
    except ValueError:
        raise Refused(f"{flag} takes three numbers such as 123.68,116.779,103.939, but got {quoted(text)}") from None
    return r, g, b


def _whose(trained: Trained, options: argparse.Namespace) -> str:
    """Where the mean and the deviation come from, in words."""
    flags = [f"--rgb-{name}" for name in ("mean", "std") if getattr(options, f"rgb_{name}") is not None]
    if len(flags) == 2:
        return "of the flags"
    stated = "of the file" if "mean" in getattr(trained.net, "stated", ()) else "assumed"
    return " but for ".join(["of the run" if trained.recipe else stated, *flags])


@command
def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    require_place(options.target, options.to)
    trained = open_network(options.source, model=options.model, classes=options.classes)
    task = task_of_network(trained)
    _refuse_flags(options, task)
    net, steps = task.exported_form(trained)
    if "input_size" in task.export_flags:
        steps = of_classifier(options, steps)
        require_images(net, (max(options.batch_size or 2, 1), steps.input_size, steps.input_size), mx.cpu())
    if options.to == "onnx":
        difference = export_onnx(net, options.target, steps, options.batch_size)
    else:
        difference = export_symbol(net, options.target, steps)
    checked = "not checked: onnxruntime is not installed"
    if difference is not None:
        checked = f"read back, its {steps.outputs_called} differ by at most {difference:.1e} of the largest"
    print(f"{options.target}: {net.name}, {steps.in_words}; {checked}")
    whole = "" if getattr(steps, "mean_image", None) is None else " at every pixel (mean_image)"
    print(f"preprocessing {_whose(trained, options)}: mean {steps.mean}{whole}, std {steps.std} (RGB, 0..255)")
    return 0
