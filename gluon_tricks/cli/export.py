"""Export a network to ONNX, or to MXNet's symbol and parameters, with its preprocessing as JSON beside it.

    %(prog)s RUN_DIRECTORY resnet.onnx --to onnx
    %(prog)s weights.params out/resnet --to symbol --model resnet50_v1d
    %(prog)s resnet50_v1d/117a384e resnet50_v1d.onnx --to onnx

What is written was read back and gives the same logits: in onnxruntime (if it is installed) or in MXNet.
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
from gluon_tricks.networks.load import SOURCE, open_classifier
from gluon_tricks.networks.of_recipe import require_images
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
        "--batch-size", type=whole(1, 1 << 20), metavar="N", help="fix it in an ONNX file (default: any)"
    )
    parser.add_argument("--crop-ratio", type=real(0, 1), metavar="R", help="crop / shorter edge (default: the run's)")
    for name in ("mean", "std"):
        parser.add_argument(f"--rgb-{name}", metavar="R,G,B", help=f"{name} on the 0..255 scale (default: the run's)")
    parser.add_argument("--class-names", metavar="FILE", help="a manifest of packed records, or one name a line")
    options = parser.parse_args(argv)
    if options.batch_size is not None and options.to == "symbol":
        parser.error("--batch-size belongs to --to onnx: a symbol takes any")
    return options


def preprocessing(options: argparse.Namespace, net) -> Preprocessing:
    if hasattr(net, "preprocessing"):
        start = net.preprocessing
    elif options.input_size:  # a symbol does not say it
        start = Preprocessing(options.input_size)
    else:
        raise Refused(f"{options.source} does not say which images it takes: give --input-size")
    given = {
        "input_size": options.input_size,
        "crop_ratio": options.crop_ratio,
        "mean": _three(options.rgb_mean, "--rgb-mean"),
        "std": _three(options.rgb_std, "--rgb-std"),
        "classes": sources.read_classes(options.class_names) if options.class_names else None,
    }
    given = {key: value for key, value in given.items() if value is not None}
    return dataclasses.replace(start, **given, **({"mean_image": None} if "mean" in given else {}))


def _three(text: str | None, flag: str) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        r, g, b = map(float, text.split(","))
    except ValueError:
        raise Refused(f"{flag} takes three numbers such as 123.68,116.779,103.939, but got {quoted(text)}") from None
    return r, g, b


@command
def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    require_place(options.target, options.to)
    why = ", and only classifiers can be exported"
    trained = open_classifier(options.source, model=options.model, classes=options.classes, why=why)
    net, recipe = trained.net, trained.recipe
    steps = preprocessing(options, net)
    require_images(net, (max(options.batch_size or 2, 1), steps.input_size, steps.input_size), mx.cpu())
    if options.to == "onnx":
        difference = export_onnx(net, options.target, steps, options.batch_size)
    else:
        difference = export_symbol(net, options.target, steps)
    checked = "not checked: onnxruntime is not installed"
    if difference is not None:
        checked = f"read back, its logits differ by at most {difference:.1e} of the largest"
    print(f"{options.target}: {net.name}, {steps.input_size}x{steps.input_size} px; {checked}")
    whose = "of the run" if recipe else "of the file" if "mean" in getattr(net, "stated", ()) else "assumed"
    whole = "" if steps.mean_image is None else " at every pixel (mean_image)"
    print(f"preprocessing {whose}: mean {steps.mean}{whole}, std {steps.std} (RGB, 0..255)")
    return 0
