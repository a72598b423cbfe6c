"""The flags of testing as the ILSVRC winners did, which evaluate and predict share."""

from __future__ import annotations

import argparse

from gluon_tricks.core.arguments import Parser, whole
from gluon_tricks.tasks.classification.views import CROPS
from model_zoo.preprocessing import LARGEST_RESIZED


def add_view_flags(parser: Parser) -> None:
    """--crops, --scales and --dense."""
    parser.add_argument(
        "--crops", choices=CROPS, default="1",
        help="of a classifier: the mean over the centre and its mirror image (flip), or over the centre and the "
        "corners (5) and their mirror images (10); the centre alone (1)",
    )  # fmt: skip
    parser.add_argument(
        "--scales", type=_edges, default=(), metavar="PX,PX",
        help="of a classifier: the mean over images whose shorter edge is so long (the network's own)",
    )  # fmt: skip
    parser.add_argument(
        "--dense", action="store_true", help="of a classifier: whole images, the dense layers as convolutions"
    )


def _edges(text: str) -> tuple[int, ...]:
    """224,256,384 -> (224, 256, 384)"""
    edges = tuple(map(whole(1, LARGEST_RESIZED), text.split(",")))
    if len(set(edges)) < len(edges):
        raise argparse.ArgumentTypeError(f"{text} names one of them twice")
    return edges
