"""MobileNets: depthwise separable convolutions, in four widths.

    stem -> stage1 -> stage2 -> stage3 -> stage4 -> stage5 -> global average pool -> head
    stride  2         2         4         8         16        32

A stage is a sequence of separable blocks; the first block of stages 2 to 5 halves the size.
"""

from __future__ import annotations

import functools

from mxnet.gluon import HybridBlock, nn

from model_zoo.classifier import Classifier, Peer, built_there, check_drop, first_dilation
from model_zoo.norm import BATCH_NORM, Norm

STEM_WIDTH = 32
STAGES = ((64, 1), (128, 2), (256, 2), (512, 6), (1024, 2))  # channels, blocks of stage 1 to 5
STRIDES_AND_DILATIONS = {  # dilated -> strides, dilations of stage 1 to 5
    False: ((1, 2, 2, 2, 2), (1, 1, 1, 1, 1)),
    True: ((1, 2, 2, 1, 1), (1, 1, 1, 2, 4)),
}


class SeparableBlock(HybridBlock):
    """A 3x3 convolution of each channel by itself, then a 1x1 convolution across channels, each with norm and ReLU.

    Args:
        norm: makes the normalisation layers.
        in_channels, channels: into and out of the block.
        stride, dilation: of the 3x3 convolution.
    """

    def __init__(self, norm: Norm, in_channels: int, channels: int, stride: int, dilation: int):
        super().__init__()
        with self.name_scope():
            grid = dict(padding=dilation, dilation=dilation, groups=in_channels, in_channels=in_channels)
            self.depthwise = nn.Conv2D(in_channels, 3, stride, use_bias=False, **grid)
            self.bn1 = norm(in_channels=in_channels)
            self.relu1 = nn.Activation("relu")
            self.pointwise = nn.Conv2D(channels, 1, use_bias=False, in_channels=in_channels)
            self.bn2 = norm(in_channels=channels)
            self.relu2 = nn.Activation("relu")

    def hybrid_forward(self, F, x):
        out = self.relu1(self.bn1(self.depthwise(x)))
        return self.relu2(self.bn2(self.pointwise(out)))


class MobileNet(Classifier):
    """A MobileNet (the first version) for classification.

    Args:
        name: as in the registry.
        multiplier: width multiplier: every layer has this part of the channels of mobilenet1.0.
        classes: number of logits, at least 1.
        norm: makes the normalisation layers.
        dilated: output stride 8 for segmentation: stages 4 and 5 have stride 1 and dilations 2 and 4.
        final_drop: probability with which Dropout zeroes a feature before the head, in [0, 1).

    Returns: called with images (N, 3, H, W): logits (N, classes), both of the parameters' dtype.

    Raises:
        Refused: an argument out of its range; images of another shape.

    Source: Howard et al., MobileNets: efficient convolutional neural networks for mobile vision applications
        (arXiv:1704.04861), table 1.
    Differs: table 1 gives the last depthwise convolution stride 2, which its own output size rules out: it is 1.
        GluonCV has neither dilated, use_global_stats nor final_drop. timm's published weights are for ReLU6.
    """

    def __init__(
        self,
        name: str,
        multiplier: float,
        *,
        classes: int = 1000,
        norm: Norm = BATCH_NORM,
        dilated: bool = False,
        final_drop: float = 0.0,
    ):
        super().__init__(name, classes=classes, peers=built_there(_peers(name), gluoncv=not dilated))
        in_channels = int(STEM_WIDTH * multiplier)
        with self.name_scope():
            self.stem = nn.HybridSequential(prefix="stem_")
            with self.stem.name_scope():
                self.stem.add(nn.Conv2D(in_channels, 3, 2, padding=1, use_bias=False, in_channels=3))
                self.stem.add(norm(in_channels=in_channels), nn.Activation("relu"))
            stages = zip(STAGES, *STRIDES_AND_DILATIONS[bool(dilated)])
            for i, ((width, count), stride, dilation) in enumerate(stages, start=1):
                channels = (in_channels, int(width * multiplier))
                setattr(self, f"stage{i}", _make_stage(i, norm, count, channels, stride, dilation))
                in_channels = channels[1]
            self.neck = nn.HybridSequential(prefix="neck_")
            self.neck.add(nn.GlobalAvgPool2D())
            if check_drop(name, final_drop):
                self.neck.add(nn.Dropout(final_drop))
            self.head = nn.Dense(classes, in_units=in_channels)


def _make_stage(number: int, norm: Norm, count: int, channels: tuple[int, int], stride: int, dilation: int):
    """A sequence of separable blocks; channels: into and out of the stage."""
    stage = nn.HybridSequential(prefix=f"stage{number}_")
    with stage.name_scope():
        stage.add(SeparableBlock(norm, *channels, stride, first_dilation(dilation)))
        for _ in range(count - 1):
            stage.add(SeparableBlock(norm, channels[1], channels[1], 1, dilation))
    return stage


def _gluoncv() -> dict[str, str]:
    """GluonCV has all layers in one sequence: three of the stem, then six of every block."""
    table = {"stem.0": "features.0", "stem.1": "features.1", "head": "output"}
    blocks = [f"stage{i}.{k}" for i, (_, count) in enumerate(STAGES, start=1) for k in range(count)]
    for first, block in zip(range(3, 3 + 6 * len(blocks), 6), blocks):
        for offset, layer in {0: "depthwise", 1: "bn1", 3: "pointwise", 4: "bn2"}.items():
            table[f"{block}.{layer}"] = f"features.{first + offset}"
    return table


_TIMM = {
    **{"stem.0": "conv_stem", "stem.1": "bn1", "head": "classifier"},
    **{f"stage{i + 1}": f"blocks.{i}" for i in range(len(STAGES))},
    **{"depthwise": "conv_dw", "pointwise": "conv_pw"},
}


def _peers(name: str) -> dict[str, Peer]:
    peers = {"gluoncv": Peer(name, _gluoncv())}
    if name == "mobilenet1.0":
        peers["timm"] = Peer("mobilenetv1_100", _TIMM)  # built with act_layer="relu": its own default is ReLU6
    return peers


MODELS = {f"mobilenet{m}": functools.partial(MobileNet, f"mobilenet{m}", m) for m in (1.0, 0.75, 0.5, 0.25)}
