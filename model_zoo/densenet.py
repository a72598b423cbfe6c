"""DenseNets: every layer sees the outputs of all layers before it in its block.

    stem -> stage1 -> stage2 -> stage3 -> stage4 -> average pool -> head
    stride  4         4         8         16        32

A stage is a dense block; stages 2 to 4 begin with the transition that halves channels and size, and stage 4 ends with
a norm and ReLU. The maps of stages 1 to 3 are as the transitions take them: not yet normalised.
"""

from __future__ import annotations

import functools
from typing import Callable

from mxnet.gluon import HybridBlock, nn
from mxnet.gluon.contrib.nn import Identity

from model_zoo.classifier import Classifier, Peer, check_drop
from model_zoo.norm import BATCH_NORM, Norm

STAGES = {  # depth -> layers of dense block 1 to 4
    121: (6, 12, 24, 16),
    169: (6, 12, 32, 32),
    201: (6, 12, 48, 32),
}
STEM_WIDTH = 64
GROWTH = 32  # channels that a layer adds (the paper's k)
BOTTLENECK = 4 * GROWTH  # channels of its 1x1 convolution
WINDOW = 7  # side of the window that the neck averages


class DenseLayer(HybridBlock):
    """The input, and behind it GROWTH channels made of it by norm, ReLU, 1x1, norm, ReLU and 3x3 convolution.

    Args:
        norm: makes the normalisation layers.
        drop: probability with which Dropout zeroes a new number.
    """

    def __init__(self, norm: Norm, in_channels: int, dilation: int, drop: float):
        super().__init__()
        with self.name_scope():
            self.bn1 = norm(in_channels=in_channels)
            self.relu1 = nn.Activation("relu")
            self.conv1 = nn.Conv2D(BOTTLENECK, 1, use_bias=False, in_channels=in_channels)
            self.bn2 = norm(in_channels=BOTTLENECK)
            self.relu2 = nn.Activation("relu")
            grid = dict(padding=dilation, dilation=dilation, in_channels=BOTTLENECK)
            self.conv2 = nn.Conv2D(GROWTH, 3, use_bias=False, **grid)
            self.drop = nn.Dropout(drop) if drop else Identity()

    def hybrid_forward(self, F, x):
        out = self.conv1(self.relu1(self.bn1(x)))
        out = self.conv2(self.relu2(self.bn2(out)))
        return F.concat(x, self.drop(out), dim=1)


class Transition(HybridBlock):
    """Norm, ReLU, a 1x1 convolution to half the channels and, unless pooled is false, a 2x2 average pool."""

    def __init__(self, norm: Norm, in_channels: int, pooled: bool):
        super().__init__()
        with self.name_scope():
            self.bn = norm(in_channels=in_channels)
            self.relu = nn.Activation("relu")
            self.conv = nn.Conv2D(in_channels // 2, 1, use_bias=False, in_channels=in_channels)
            self.pool = nn.AvgPool2D(2, 2) if pooled else Identity()

    def hybrid_forward(self, F, x):
        return self.pool(self.conv(self.relu(self.bn(x))))


class DenseNet(Classifier):
    """A DenseNet (with bottlenecks and compression, growth rate 32) for classification.

    Args:
        name: as in the registry.
        depth: a key of STAGES.
        classes: number of logits, at least 1.
        norm: makes the normalisation layers.
        dilated: output stride 8 for segmentation: the last two transitions do not pool, the 3x3 convolutions of stages
            3 and 4 have dilations 2 and 4, and the neck averages the whole map.
        layer_drop: probability with which Dropout zeroes a number that a dense layer adds, in [0, 1).

    Returns: called with images (N, 3, H, W), sides from 221 to 444 px (at least 5 px if dilated): logits (N, classes),
        both of the parameters' dtype.

    Raises:
        Refused: an argument out of its range; images of another shape or size.

    Source: Huang et al., Densely connected convolutional networks (CVPR 2017), table 1 and section 3; Bag of Tricks,
        table 1.
    Differs: as in GluonCV the neck averages the 7x7 numbers at the top left of the last map, which for images of more
        than 252 px is not all of it (the paper: global average pooling). GluonCV has no dilated.
    """

    def __init__(
        self,
        name: str,
        depth: int,
        *,
        classes: int = 1000,
        norm: Norm = BATCH_NORM,
        dilated: bool = False,
        layer_drop: float = 0.0,
    ):
        # The last map is 7x7 at least and not 14x14, where there would be four windows. If dilated, one 2x2 pool is
        # left, which MXNet refuses on a 1x1 map.
        smallest, features, largest = (5, 5, None) if dilated else (221, 29, 444)
        sides = dict(smallest_side=smallest, smallest_for_features=features, largest_side=largest)
        super().__init__(name, classes=classes, peers=_peers(name, depth, bool(dilated)), **sides)
        drop = check_drop(name, layer_drop)
        pools, dilations = ((1, 0, 0), (1, 1, 2, 4)) if dilated else ((1, 1, 1), (1, 1, 1, 1))
        with self.name_scope():
            self.stem = nn.HybridSequential(prefix="stem_")
            with self.stem.name_scope():
                self.stem.add(nn.Conv2D(STEM_WIDTH, 7, 2, padding=3, use_bias=False, in_channels=3))
                self.stem.add(norm(in_channels=STEM_WIDTH), nn.Activation("relu"), nn.MaxPool2D(3, 2, padding=1))
            channels = STEM_WIDTH
            for i, (count, pooled, dilation) in enumerate(zip(STAGES[depth], (None, *pools), dilations), start=1):
                layer = functools.partial(DenseLayer, norm, dilation=dilation, drop=drop)
                stage, channels = _make_stage(i, norm, layer, channels, count, pooled)
                setattr(self, f"stage{i}", stage)
            self.neck = nn.HybridSequential(prefix="neck_")
            self.neck.add(nn.GlobalAvgPool2D() if dilated else nn.AvgPool2D(WINDOW))
            self.head = nn.Dense(classes, in_units=channels)


def _make_stage(number: int, norm: Norm, layer: Callable, channels: int, count: int, pooled: bool | None):
    """Transition (from stage 2), dense layers, and in stage 4 a last norm; with the channels of the output."""
    stage = nn.HybridSequential(prefix=f"stage{number}_")
    with stage.name_scope():
        if number > 1:
            stage.add(Transition(norm, channels, pooled))
            channels //= 2
        for _ in range(count):
            stage.add(layer(channels))
            channels += GROWTH
        if number == 4:
            stage.add(norm(in_channels=channels), nn.Activation("relu"))
    return stage, channels


# In the files that torchvision distributes; its own loader renames them.
_TORCH_FORMERLY = {"norm1": "norm.1", "conv1": "conv.1", "norm2": "norm.2", "conv2": "conv.2"}


def _peers(name: str, depth: int, dilated: bool) -> dict[str, Peer]:
    """Dilated ones are here alone."""
    last_norm = f"stage4.{1 + STAGES[depth][3]}"
    gluoncv = {
        **{"stem.0": "features.0", "stem.1": "features.1", last_norm: "features.11", "head": "output"},
        **{"bn": "0", "conv": "2", "bn1": "0", "conv1": "2", "bn2": "3", "conv2": "5"},
    }
    torch = {
        **{"stem.0": "features.conv0", "stem.1": "features.norm0", last_norm: "features.norm5", "head": "classifier"},
        **{"bn": "norm", "bn1": "norm1", "bn2": "norm2"},
    }
    for i, count in enumerate(STAGES[depth], start=1):
        first = 0 if i == 1 else 1
        if first:
            gluoncv[f"stage{i}.0"], torch[f"stage{i}.0"] = f"features.{2 * i + 1}", f"features.transition{i - 1}"
        for k in range(count):
            gluoncv[f"stage{i}.{first + k}"] = f"features.{2 * i + 2}.{k}.1"  # .0 is the identity
            torch[f"stage{i}.{first + k}"] = f"features.denseblock{i}.denselayer{k + 1}"
    theirs = Peer(name, torch, _TORCH_FORMERLY, can_build=not dilated)
    return {"gluoncv": Peer(name, gluoncv, can_build=not dilated), "timm": theirs, "torchvision": theirs}


MODELS = {f"densenet{depth}": functools.partial(DenseNet, f"densenet{depth}", depth) for depth in STAGES}
