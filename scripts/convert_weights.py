#!/usr/bin/env python
"""Convert a network's parameters between our names and those of GluonCV, timm and torchvision.

    convert_weights.py resnet50_v1d-117a384e.params resnet50d.safetensors --to timm
    convert_weights.py resnet50_v1d/117a384e resnet50d.safetensors --to timm      a published file, by name and tag
    convert_weights.py runs/imagenet-3 final.safetensors --to timm                a run directory of ours
    convert_weights.py resnet50.pth resnet50_v1b.params --to gluoncv              what torch.save wrote

DST ends in .safetensors or .params. The numbers stay as they are. Exit code: 0 done, 2 refused.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys

import numpy as np
from mxnet.gluon import HybridBlock

from gluon_tricks.checkpoint import load_network
from gluon_tricks.runtime import Refused
from model_zoo import formats, get_model, published, recognise, weights
from model_zoo.classifier import Classifier


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("src", metavar="SRC", help="a parameter file of any kind, a run directory, or NAME/TAG")
    parser.add_argument("dst", metavar="DST", type=pathlib.Path, help="the file to write")
    parser.add_argument("--model", metavar="NAME", help="the network, where SRC's names fit several")
    parser.add_argument("--to", choices=weights.NAMINGS, default="ours", help="whose names to write (ours)")
    return parser.parse_args(argv)


def open_source(src: str, model: str | None) -> tuple[HybridBlock, dict[str, np.ndarray]]:
    """The network that SRC belongs to, and its parameters under our names.

    Raises:
        Refused: there is no such thing, or it does not say which network it is.
    """
    if os.path.isdir(src):
        net = load_network(src)
        if not isinstance(net, Classifier):
            raise Refused(f"{src} holds an exported graph only: give a parameter file, and --model")
        return net, weights.values_of(net)
    name, slash, tag = src.rpartition("/")
    if slash and published.is_tag(tag) and not os.path.exists(src):
        src, model = str(published.fetch(name, tag)), name
    values = formats.read(src)
    net = _network(src, values, model)
    return net, weights.as_ours(net, values, src)


def _network(src: str, values: dict[str, np.ndarray], model: str | None) -> HybridBlock:
    if model is None:
        model = formats.metadata(src).get("model")
    if model is not None:
        classes = weights.head_classes(get_model(model), values)
        return get_model(model, **({"classes": classes} if classes else {}))
    found = recognise(values)
    if len(found) != 1:
        names = " or ".join(name for name, _ in found) or "no network of the zoo"
        raise Refused(f"the names and shapes in {src} are those of {names}: name the network with --model")
    return get_model(found[0][0], classes=found[0][1])


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    try:
        net, values = open_source(args.src, args.model)
        values = weights.as_theirs(net, values, args.to)
        formats.write(args.dst, values, weights.about(net, args.to))
    except Refused as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2
    numbers = sum(value.size for value in values.values())
    print(
        f"{net.name} with {net.classes} classes: {len(values)} tensors, {numbers:,} numbers, "
        f"from {args.src} to {args.dst}, named as {args.to}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
