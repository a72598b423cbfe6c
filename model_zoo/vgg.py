"""VGG: stacks of 3x3 convolutions, each closed by a 2x2 max pool; every member is one line of STAGES.

stage1 -> ... -> stage5 -> two hidden dense layers -> head
stride  2 4 8 16 32
"""

from __future__ import annotations

import functools

import mxnet as mx
from mxnet.gluon import nn

from model_zoo.classifier import Peer, check_drop
from model_zoo.hidden_layers import (
    HIDDEN_WIDTH,
    BiasedConv,
    HiddenLayersClassifier,
    Start,
    add_convolutions,
    check_width,
    make_hidden_layers,
)
from model_zoo.norm import BATCH_NORM, Norm

STAGES = {  # depth -> convolutions in stage 1 to 5
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
WIDTHS = (64, 128, 256, 512, 512)  # channels of stage 1 to 5


def make_stages(depth: int, start: Start, norm: Norm | None = None, ceil_mode: bool = False):
    """The five stages of a VGG.

    Args:
        depth: a key of STAGES.
        start: of all convolutions.
        norm: makes the normalisation layers between convolutions and their relus; None: there are none.
        ceil_mode: a pool keeps an odd last row.
    """
    for number, (in_channels, width, count) in enumerate(zip((3, *WIDTHS), WIDTHS, STAGES[depth]), start=1):
        stage = nn.HybridSequential(prefix=f"stage{number}_")
        with stage.name_scope():
            add_convolutions(stage, in_channels, [BiasedConv(width, start=start)] * count, norm)
            stage.add(nn.MaxPool2D(2, 2, ceil_mode=ceil_mode))
        yield stage


class VGG(HiddenLayersClassifier):
    """A VGG network.

    Args:
        name: as in the registry.
        depth: a key of STAGES: layers with weights.
        norm: makes the normalisation layers between convolutions (not dense layers) and their relus, as GluonCV has
            them; None: there are none.
        classes: number of logits, at least 1.
        hidden: outputs of each of the two hidden dense layers.
        hidden_drop: probability with which Dropout zeroes a number after each hidden dense layer, in [0, 1).

    Returns: called with images (N, 3, H, W): logits (N, classes), both of the parameters' dtype. The first images
        decide the size for which the dense layers are made.

    Raises:
        Refused: an argument out of its range; images of another shape, too small, or of another size than the first.

    Source: Simonyan and Zisserman, Very deep convolutional networks for large-scale image recognition (ICLR 2015),
        section 2 and table 1 (A, B, D and E).
    Differs: the convolutions start as in GluonCV, Gaussian with a variance of 2 / (9 * channels); the paper has 0.01
        for all layers and trains a shallow network first.
    """

    def __init__(
        self, name: str, depth: int, norm: Norm | None, *, classes: int = 1000, hidden: int = HIDDEN_WIDTH,
        hidden_drop: float = 0.5,
    ):  # fmt: skip
        peers = _peers(name, depth, norm is not None, hidden == HIDDEN_WIDTH)
        super().__init__(name, classes=classes, smallest_side=32, peers=peers)
        he = Start(mx.init.Xavier(rnd_type="gaussian", factor_type="out", magnitude=2))
        gauss = Start(mx.init.Normal(0.01))
        with self.name_scope():
            for number, stage in enumerate(make_stages(depth, he, norm), start=1):
                setattr(self, f"stage{number}", stage)
            self.neck = make_hidden_layers(gauss, check_width(name, hidden), check_drop(name, hidden_drop))
            self.head = nn.Dense(classes, in_units=hidden, **gauss.initializers)


def _peers(name: str, depth: int, normalised: bool, usual_width: bool) -> dict[str, Peer]:
    """The others number the layers of all stages through, as features; their hidden layers have the usual width."""
    layers = [3 * count + 1 if normalised else 2 * count + 1 for count in STAGES[depth]]
    stages = {}
    for number, count in enumerate(layers, start=1):
        stages.update({f"stage{number}.{i}": f"features.{len(stages) + i}" for i in range(count)})
    dense = {
        "gluoncv": {"neck.1": f"features.{len(stages)}", "neck.4": f"features.{len(stages) + 2}", "head": "output"},
        "torchvision": {"neck.1": "classifier.0", "neck.4": "classifier.3", "head": "classifier.6"},
        "timm": {"neck.1": "pre_logits.fc1", "neck.4": "pre_logits.fc2", "head": "head.fc"},
    }
    return {library: Peer(name, {**stages, **names}, can_build=usual_width) for library, names in dense.items()}


MODELS = {
    **{f"vgg{depth}": functools.partial(VGG, f"vgg{depth}", depth, None) for depth in STAGES},
    **{f"vgg{depth}_bn": functools.partial(VGG, f"vgg{depth}_bn", depth, norm=BATCH_NORM) for depth in STAGES},
}
