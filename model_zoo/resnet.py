"""ResNets: one family, every member of it one line of STAGES and one line of VARIANTS.

    stem -> stage1 -> stage2 -> stage3 -> stage4 -> global average pool -> head
    stride  4         4         8         16        32

A stage is a sequence of residual blocks relu(residual(x) + shortcut(x)); its first block changes the size.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Callable

import mxnet as mx
from mxnet.gluon import HybridBlock, nn
from mxnet.gluon.contrib.nn import Identity

from gluon_tricks.runtime import Refused


@dataclasses.dataclass(frozen=True)
class Variant:
    """What the variants differ in.

    Args:
        stride_on_3x3: a bottleneck that changes the size has its stride on the 3x3 convolution, not on the first 1x1
            (which drops three quarters of its input).
        biased_1x1: the 1x1 convolutions of a bottleneck have biases (the BatchNorm after them makes them idle).
        deep_stem: three 3x3 convolutions (32, 32, 64 channels) in place of one 7x7 (64).
        pooled_shortcut: a shortcut that changes the size averages 2x2 before its 1x1 convolution.

    Source: Bag of Tricks, section 4.1 and figure 2.
    """

    stride_on_3x3: bool = False
    biased_1x1: bool = False
    deep_stem: bool = False
    pooled_shortcut: bool = False


_B = Variant(stride_on_3x3=True)
_C = dataclasses.replace(_B, deep_stem=True)
_D = dataclasses.replace(_C, pooled_shortcut=True)
VARIANTS = {"v1": Variant(biased_1x1=True), "v1b": _B, "v1c": _C, "v1d": _D}

WIDTHS = (64, 128, 256, 512)  # of the 3x3 convolutions of stage 1 to 4; a stage's output has expansion times as many
GRIDS = {  # dilated -> strides, dilations of stage 1 to 4
    False: ((1, 2, 2, 2), (1, 1, 1, 1)),
    True: ((1, 2, 1, 1), (1, 1, 2, 4)),
}


def conv3x3(in_channels: int, channels: int, stride: int = 1, dilation: int = 1) -> nn.Conv2D:
    return nn.Conv2D(channels, 3, stride, padding=dilation, dilation=dilation, use_bias=False, in_channels=in_channels)


def conv1x1(in_channels: int, channels: int, stride: int = 1, use_bias: bool = False) -> nn.Conv2D:
    return nn.Conv2D(channels, 1, stride, use_bias=use_bias, in_channels=in_channels)


def make_shortcut(variant: Variant, norm: Callable, in_channels: int, channels: int, stride: int):
    """A projection, [average pool,] 1x1 convolution, norm, where size or channels change; None for the identity."""
    if stride == 1 and in_channels == channels:
        return None
    shortcut = nn.HybridSequential(prefix="shortcut_")
    with shortcut.name_scope():
        if variant.pooled_shortcut:
            # ceil_mode keeps an odd last row, as the 3x3 convolution does; its window averages the pixels there are.
            # Without padding count_include_pad changes nothing; set to False, oneDNN reports on stderr at every step.
            pool = nn.AvgPool2D(stride, stride, ceil_mode=True)
            shortcut.add(pool if stride > 1 else Identity())  # Identity: parameters are named alike in all stages
        shortcut.add(conv1x1(in_channels, channels, 1 if variant.pooled_shortcut else stride))
        shortcut.add(norm(in_channels=channels))
    return shortcut


class BasicBlock(HybridBlock):
    """Two 3x3 convolutions (18 and 34 layers).

    Args:
        norm: in_channels -> normalisation layer; last_norm: the same for the layer that closes the residual branch.
        width: channels of the 3x3 convolutions.
        dilations: of the convolution with the stride, and of the other one.
    """

    expansion = 1  # channels of the output / width

    def __init__(self, variant: Variant, norm: Callable, last_norm: Callable, in_channels, width, stride, dilations):
        super().__init__()
        with self.name_scope():
            self.conv1 = conv3x3(in_channels, width, stride, dilations[0])
            self.bn1 = norm(in_channels=width)
            self.relu1 = nn.Activation("relu")
            self.conv2 = conv3x3(width, width, 1, dilations[1])
            self.bn2 = last_norm(in_channels=width)
            self.relu2 = nn.Activation("relu")
            self.shortcut = make_shortcut(variant, norm, in_channels, width, stride)

    def hybrid_forward(self, F, x):
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu2(out + (x if self.shortcut is None else self.shortcut(x)))


class Bottleneck(HybridBlock):
    """1x1, 3x3 and 1x1 convolution, the last with four times the channels (50 layers and more). Args: as BasicBlock."""

    expansion = 4

    def __init__(self, variant: Variant, norm: Callable, last_norm: Callable, in_channels, width, stride, dilations):
        super().__init__()
        channels = width * self.expansion
        stride_1x1, stride_3x3 = (1, stride) if variant.stride_on_3x3 else (stride, 1)
        with self.name_scope():
            self.conv1 = conv1x1(in_channels, width, stride_1x1, variant.biased_1x1)
            self.bn1 = norm(in_channels=width)
            self.relu1 = nn.Activation("relu")
            self.conv2 = conv3x3(width, width, stride_3x3, dilations[0])
            self.bn2 = norm(in_channels=width)
            self.relu2 = nn.Activation("relu")
            self.conv3 = conv1x1(width, channels, 1, variant.biased_1x1)
            self.bn3 = last_norm(in_channels=channels)
            self.relu3 = nn.Activation("relu")
            self.shortcut = make_shortcut(variant, norm, in_channels, channels, stride)

    def hybrid_forward(self, F, x):
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.relu2(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return self.relu3(out + (x if self.shortcut is None else self.shortcut(x)))


STAGES = {  # depth -> block, blocks in stage 1 to 4
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


class ResNet(HybridBlock):
    """A residual network for classification; net.stem, net.stage1 .. net.stage4 and net.head are its parts.

    Args:
        depth: a key of STAGES.
        variant: a key of VARIANTS.
        classes: number of logits, at least 1.
        last_gamma: zero gamma: the last norm of every residual branch starts at gamma = 0, so each block starts as
            relu(shortcut(x)). Not the shortcut's own norm.
        use_global_stats: BatchNorm normalises by its running statistics in training too.
        norm_layer: class of the normalisation layers, called with in_channels=..., **norm_kwargs.
        norm_kwargs: further arguments for norm_layer.
        dilated: output stride 8 for segmentation: stages 3 and 4 have stride 1 and dilations 2 and 4. Not for v1.
        final_drop: probability with which Dropout zeroes a feature before the head, in [0, 1).

    Returns: called with images (N, 3, H, W): logits (N, classes), both of the parameters' dtype.

    Raises:
        Refused: an argument out of its range; images of another shape or too small for the network.

    Source: He et al., Deep residual learning (CVPR 2016); Bag of Tricks, section 4 (v1b, v1c, v1d are its ResNet-B, C
        and D), 3.1 (zero gamma) and 6.2 (a dilated base network for FCN).
    Differs: GluonCV ignores last_gamma in the basic blocks of v1b; it has no v1c and v1d of 18 and 34 layers, and in
        v1 neither use_global_stats nor final_drop.
    """

    def __init__(
        self,
        depth: int,
        variant: str,
        *,
        classes: int = 1000,
        last_gamma: bool = False,
        use_global_stats: bool = False,
        norm_layer: Callable = nn.BatchNorm,
        norm_kwargs: dict | None = None,
        dilated: bool = False,
        final_drop: float = 0.0,
    ):
        name, traits, (block, counts) = f"resnet{depth}_{variant}", VARIANTS[variant], STAGES[depth]
        if classes < 1:
            raise Refused(f"{name}: classes={classes}, but a classifier needs at least 1 class")
        if not 0 <= final_drop < 1:
            raise Refused(f"{name}: final_drop={final_drop}, but a probability to drop lies in [0, 1)")
        if dilated and not traits.stride_on_3x3:
            raise Refused(f"{name} has no dilated form: with dilated=True use resnet{depth}_v1b, _v1c or _v1d")
        super().__init__(prefix=f"{name}_")
        self.family, self.variant = "resnet", variant  # which name tables of weights.py hold for it
        norm_kwargs = dict(norm_kwargs or {}, **({"use_global_stats": True} if use_global_stats else {}))
        norm = functools.partial(norm_layer, **norm_kwargs)
        last_norm = functools.partial(norm, gamma_initializer="zeros") if last_gamma else norm
        # MXNet refuses a 2x2 pool on a 1x1 map; the last such pool sees the images at stride 16 (4 if dilated).
        self.smallest_side = 1 if not traits.pooled_shortcut else 5 if dilated else 17
        with self.name_scope():
            self.stem = _make_stem((32, 32, 64) if traits.deep_stem else (64,), norm)
            in_channels = WIDTHS[0]
            for i, (width, count, stride, dilation) in enumerate(zip(WIDTHS, counts, *GRIDS[bool(dilated)]), start=1):
                build = functools.partial(block, traits, norm, last_norm, width=width)
                channels = (in_channels, width * block.expansion)
                setattr(self, f"stage{i}", _make_stage(i, build, count, channels, stride, dilation))
                in_channels = channels[1]
            self.pool = nn.GlobalAvgPool2D()
            self.drop = nn.Dropout(final_drop) if final_drop else None
            self.head = nn.Dense(classes, in_units=in_channels)

    def forward(self, images, *args):
        if isinstance(images, mx.nd.NDArray):
            shape, side = images.shape, self.smallest_side
            if len(shape) != 4 or shape[1] != 3:
                raise Refused(f"{self.name} takes images of shape (N, 3, height, width), but got {shape}")
            if min(shape[2:]) < side:
                raise Refused(
                    f"{self.name} takes images of at least {side}x{side} pixels, but got {shape[2]}x{shape[3]}"
                )
        return super().forward(images, *args)

    def hybrid_forward(self, F, images):
        x = self.stem(images)
        x = self.stage4(self.stage3(self.stage2(self.stage1(x))))
        x = self.pool(x)
        return self.head(x if self.drop is None else self.drop(x))


def _make_stem(widths: tuple[int, ...], norm: Callable) -> nn.HybridSequential:
    """(N, 3, H, W) -> (N, 64, H/4, W/4): one 7x7 or several 3x3 convolutions, the first of stride 2, and a max pool."""
    stem = nn.HybridSequential(prefix="stem_")
    with stem.name_scope():
        if len(widths) == 1:
            stem.add(nn.Conv2D(widths[0], 7, 2, padding=3, use_bias=False, in_channels=3))
            stem.add(norm(in_channels=widths[0]), nn.Activation("relu"))
        else:
            for in_channels, width in zip((3, *widths), widths):
                stem.add(conv3x3(in_channels, width, 2 if in_channels == 3 else 1))
                stem.add(norm(in_channels=width), nn.Activation("relu"))
        stem.add(nn.MaxPool2D(3, 2, padding=1))
    return stem


def _make_stage(number: int, build: Callable, count: int, channels: tuple[int, int], stride: int, dilation: int):
    """A sequence of blocks made by build(in_channels=, stride=, dilations=); channels: into and out of the stage."""
    stage = nn.HybridSequential(prefix=f"stage{number}_")
    with stage.name_scope():
        # The convolution that would have had the stride still sees the grid of the stage before: half the dilation.
        dilations = (max(1, dilation // 2), dilation)
        stage.add(build(in_channels=channels[0], stride=stride, dilations=dilations))
        for _ in range(count - 1):
            stage.add(build(in_channels=channels[1], stride=1, dilations=(dilation, dilation)))
    return stage


MODELS = {f"resnet{d}_{v}": functools.partial(ResNet, d, v) for d in STAGES for v in VARIANTS}
