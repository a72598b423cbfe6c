"""Convert a network's parameters between our names and those of GluonCV, timm and torchvision.

    %(prog)s resnet50_v1d-117a384e.params resnet50d.safetensors --to timm
    %(prog)s resnet50_v1d/117a384e resnet50d.safetensors --to timm      a published file, by name and tag
    %(prog)s runs/imagenet-3 final.safetensors --to timm                a run of ours, or a checkpoint
    %(prog)s resnet50.pth resnet50_v1b.params --to gluoncv              what torch.save wrote
    %(prog)s net.caffemodel net.safetensors --model cvjena_resnet10     Caffe's, with net.prototxt beside it

DST ends in .safetensors, which also keeps mean, deviation, image size, crop ratio and class names, or in
.params, which does not. The numbers stay as they are. Names of a library that cannot build the network
with its keywords, such as a blurred one, are refused. Exit code: 0 done, 1 DST cannot be
written, 2 refused.
"""

from __future__ import annotations

import argparse

import numpy as np

from gluon_tricks.core.arguments import Parser
from gluon_tricks.core.commands import command
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.owned import require_unowned
from gluon_tricks.core.reading import expanded
from gluon_tricks.core.wording import plural
from gluon_tricks.networks.load import SOURCE, open_classifier, require_classifier
from model_zoo import built_with, caffe_files, formats, get_model, naming, weights
from model_zoo.classifier import Classifier


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("src", metavar="SRC", help=SOURCE)
    parser.add_argument("dst", metavar="DST", type=expanded, help="the file to write")
    parser.add_argument("--model", metavar="NAME", help="the network, where SRC's parameters fit several")
    parser.add_argument("--to", choices=weights.NAMINGS, default="ours", help="whose names to write (ours)")
    return parser.parse_args(argv)


def open_source(src: str, model: str | None) -> tuple[Classifier, dict[str, np.ndarray]]:
    """The network that SRC means, and its parameters under our names.

    Raises:
        Refused: there is no such thing, or it does not say which network it is.
    """
    if caffe_files.is_caffe(src):
        net = _open_caffe(src, model)
        return net, weights.values_of(net)
    trained = open_classifier(src, model=model)
    net = require_classifier(trained, src)
    if trained.file is None:
        return net, weights.values_of(net)
    values = formats.read(trained.file, tell=False)  # again, as the network's own are float32 by now
    return net, weights.as_ours(net, values, trained.file)


def _open_caffe(src: str, model: str | None) -> Classifier:
    """The network with the numbers of a .caffemodel, which does not say its name, but how many classes it has."""
    if model is None:
        raise Refused(f"{src} does not say which network it holds: name it with --model, such as cvjena_resnet10")
    caffe = caffe_files.read(src, get_model(model).input_size)
    net = get_model(model, classes=caffe.logits.shape[1])
    caffe_files.assign(net, caffe, src)
    return net


@command
def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    formats.require_place(args.dst)
    if args.dst.exists():  # else a run may get its network back
        require_unowned(args.dst.resolve(), "DST")
    net, values = open_source(args.src, args.model)
    values = weights.as_theirs(net, values, args.to)
    formats.write(args.dst, values, weights.about(net, args.to))
    numbers = sum(value.size for value in values.values())
    print(
        f"{net.name} with {plural(net.classes, 'class')}: {plural(len(values), 'tensor')}, {numbers:,} numbers, "
        f"from {args.src} to {args.dst}, named as {args.to}"
    )
    if args.dst.suffix == ".params" and net.preprocessing != net.usual:
        print(f"{args.dst} keeps no mean, deviation, image size and class names: write .safetensors to keep them")
    unsaid = built_with.hidden(net.keywords, net.usual_epsilon)
    if unsaid and (args.dst.suffix == ".params" or args.to in naming.TORCH):
        told = ", ".join(f"{name.removeprefix('norm_kwargs.')}={value}" for name, value in unsaid.items())
        if args.dst.suffix == ".params":
            print(f"{args.dst} does not say {told}: whoever reads it has to, or write .safetensors, which does")
        else:
            print(f"{args.dst} says {told} where {args.to} does not look: build the network there with the same")
    return 0
