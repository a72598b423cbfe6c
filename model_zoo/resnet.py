"""ResNets: one family, every member of it one line of STAGES and one line of VARIANTS.

    stem -> stage1 -> stage2 -> stage3 -> stage4 -> global average pool -> head
    stride  4         4         8         16        32

A stage is a sequence of residual blocks relu(residual(x) + shortcut(x)); its first block changes the size.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Callable

from mxnet.gluon import HybridBlock, nn
from mxnet.gluon.contrib.nn import Identity

from gluon_tricks.core.errors import Refused
from model_zoo.blur_pool import BlurPool
from model_zoo.classifier import Classifier, check_drop, check_switch, first_dilation
from model_zoo.norm import BATCH_NORM, Norm
from model_zoo.resnet_peers import peers
from model_zoo.stochastic_depth import MakeDropPath, drop_paths, no_drop_path


@dataclasses.dataclass(frozen=True)
class Variant:
    """What the variants differ in.

    Args:
        stride_on_3x3: a bottleneck that changes the size has its stride on the 3x3 convolution, not on the first 1x1
            (which drops three quarters of its input).
        biased_1x1: the 1x1 convolutions of a bottleneck have biases (the BatchNorm after them makes them idle).
        deep_stem: three 3x3 convolutions (32, 32, 64 channels) in place of one 7x7 (64).
        pooled_shortcut: a shortcut that changes the size averages 2x2 before its 1x1 convolution.
        groups, widening: the 3x3 convolution of a bottleneck has that many groups and that many times the channels.
        se: squeeze and excitation: every channel of the residual is scaled by a number in (0, 1) that two layers find
            from the means of all channels: "dense" layers without bias, or "conv" 1x1 with biases.
        blur: a convolution of the residual branch that has a stride has none, and what comes after its relu is
            blurred and halved (BlurPool); so is the stem's max pool.

    Source: Bag of Tricks, section 4, figure 1 (which shows the blocks of stage 4) and figure 2; Xie et al., Aggregated
        residual transformations (CVPR 2017), for groups; Hu et al., Squeeze-and-excitation networks, for se.
    """

    stride_on_3x3: bool = False
    biased_1x1: bool = False
    deep_stem: bool = False
    pooled_shortcut: bool = False
    groups: int = 1
    widening: int = 1
    se: str | None = None
    blur: bool = False

    def stride_of(self, stride: int) -> int:
        """Of the convolution that changes the size."""
        return 1 if self.blur else stride

    def make_blur(self, stride: int) -> BlurPool | None:
        """What halves the size after that convolution and its relu; None: the convolution itself."""
        return BlurPool() if self.blur and stride > 1 else None


_A = Variant(biased_1x1=True)
_B = Variant(stride_on_3x3=True)
_C = dataclasses.replace(_B, deep_stem=True)
_D = dataclasses.replace(_C, pooled_shortcut=True)
_X = dataclasses.replace(_B, groups=32, widening=2)  # 32 groups of 4 channels where ResNet-50 has 64 channels
VARIANTS = {
    **{"v1": _A, "v1b": _B, "v1c": _C, "v1d": _D, "32x4d": _X},
    **{"se_v1": dataclasses.replace(_A, se="dense"), "se_32x4d": dataclasses.replace(_X, se="conv")},
}

WIDTHS = (64, 128, 256, 512)  # of the 3x3 convolutions of stage 1 to 4; a stage's output has expansion times as many
REDUCTION = 16  # channels / width of squeeze and excitation's hidden layer
STRIDES_AND_DILATIONS = {  # dilated -> strides, dilations of stage 1 to 4
    False: ((1, 2, 2, 2), (1, 1, 1, 1)),
    True: ((1, 2, 1, 1), (1, 1, 2, 4)),
}


def conv3x3(in_channels: int, channels: int, stride: int = 1, dilation: int = 1, groups: int = 1) -> nn.Conv2D:
    shape = dict(padding=dilation, dilation=dilation, groups=groups, in_channels=in_channels)
    return nn.Conv2D(channels, 3, stride, use_bias=False, **shape)


def conv1x1(in_channels: int, channels: int, stride: int = 1, use_bias: bool = False) -> nn.Conv2D:
    return nn.Conv2D(channels, 1, stride, use_bias=use_bias, in_channels=in_channels)


def make_shortcut(variant: Variant, norm: Norm, in_channels: int, channels: int, stride: int):
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


def make_excitation(kind: str | None, channels: int):
    """Channel means -> factors in (0, 1); None without squeeze and excitation."""
    if kind is None:
        return None
    excitation = nn.HybridSequential(prefix="se_")
    with excitation.name_scope():
        for width, inputs, activation in (
            (channels // REDUCTION, channels, "relu"),
            (channels, channels // REDUCTION, "sigmoid"),
        ):
            if kind == "dense":
                excitation.add(nn.Dense(width, use_bias=False, in_units=inputs))
            else:
                excitation.add(conv1x1(inputs, width, use_bias=True))
            excitation.add(nn.Activation(activation))
    return excitation


def excite(F, x, excitation):
    """x (N, C, H, W) with every channel scaled by what the excitation makes of the channels' means."""
    if excitation is None:
        return x
    factors = excitation(F.Pooling(x, kernel=(1, 1), pool_type="avg", global_pool=True))
    return F.broadcast_mul(x, F.reshape(factors, shape=(0, -1, 1, 1)))


def _through(layer: HybridBlock | None, x):
    """x itself where there is no such layer."""
    return x if layer is None else layer(x)


class BasicBlock(HybridBlock):
    """Two 3x3 convolutions (18 and 34 layers).

    Args:
        norm: makes the normalisation layers; last_norm: the one that closes the residual branch.
        width: channels of the 3x3 convolutions.
        dilations: of the convolution with the stride, and of the other one.
        drop_path: makes what ends the residual branch.
    """

    expansion = 1  # channels of the output / width

    def __init__(
        self, variant: Variant, norm: Norm, last_norm: Callable, in_channels, width, stride, dilations,
        drop_path: MakeDropPath = no_drop_path,
    ):  # fmt: skip
        super().__init__()
        with self.name_scope():
            self.conv1 = conv3x3(in_channels, width, variant.stride_of(stride), dilations[0])
            self.bn1 = norm(in_channels=width)
            self.relu1 = nn.Activation("relu")
            self.blur = variant.make_blur(stride)
            self.conv2 = conv3x3(width, width, 1, dilations[1])
            self.bn2 = last_norm(in_channels=width)
            self.relu2 = nn.Activation("relu")
            self.se = make_excitation(variant.se, width)
            self.drop_path = drop_path()
            self.shortcut = make_shortcut(variant, norm, in_channels, width, stride)

    def hybrid_forward(self, F, x):
        out = _through(self.blur, self.relu1(self.bn1(self.conv1(x))))
        out = _through(self.drop_path, excite(F, self.bn2(self.conv2(out)), self.se))
        return self.relu2(out + _through(self.shortcut, x))


class Bottleneck(HybridBlock):
    """1x1, 3x3 and 1x1 convolution, the last with four times the channels (not 18, 34 layers). Args: as BasicBlock."""

    expansion = 4

    def __init__(
        self, variant: Variant, norm: Norm, last_norm: Callable, in_channels, width, stride, dilations,
        drop_path: MakeDropPath = no_drop_path,
    ):  # fmt: skip
        super().__init__()
        channels, width = width * self.expansion, width * variant.widening
        stride_1x1, stride_3x3 = (1, stride) if variant.stride_on_3x3 else (stride, 1)
        with self.name_scope():
            self.conv1 = conv1x1(in_channels, width, variant.stride_of(stride_1x1), variant.biased_1x1)
            self.bn1 = norm(in_channels=width)
            self.relu1 = nn.Activation("relu")
            self.blur1 = variant.make_blur(stride_1x1)
            self.conv2 = conv3x3(width, width, variant.stride_of(stride_3x3), dilations[0], variant.groups)
            self.bn2 = norm(in_channels=width)
            self.relu2 = nn.Activation("relu")
            self.blur2 = variant.make_blur(stride_3x3)
            self.conv3 = conv1x1(width, channels, 1, variant.biased_1x1)
            self.bn3 = last_norm(in_channels=channels)
            self.relu3 = nn.Activation("relu")
            self.se = make_excitation(variant.se, channels)
            self.drop_path = drop_path()
            self.shortcut = make_shortcut(variant, norm, in_channels, channels, stride)

    def hybrid_forward(self, F, x):
        out = _through(self.blur1, self.relu1(self.bn1(self.conv1(x))))
        out = _through(self.blur2, self.relu2(self.bn2(self.conv2(out))))
        out = _through(self.drop_path, excite(F, self.bn3(self.conv3(out)), self.se))
        return self.relu3(out + _through(self.shortcut, x))


STAGES = {  # depth -> block, blocks in stage 1 to 4
    18: (BasicBlock, (2, 2, 2, 2)),
    26: (Bottleneck, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


class ResNet(Classifier):
    """A residual network for classification.

    Args:
        name: as in the registry.
        depth: a key of STAGES.
        variant: a key of VARIANTS.
        classes: number of logits, at least 1.
        last_gamma: zero gamma: the last norm of every residual branch starts at gamma = 0, so each block starts as
            relu(shortcut(x)). Not the shortcut's own norm.
        norm: makes the normalisation layers.
        dilated: output stride 8 for segmentation: stages 3 and 4 have stride 1 and dilations 2 and 4. Not for v1.
        final_drop: probability with which Dropout zeroes a feature before the head, in [0, 1).
        drop_path, drop_path_per: stochastic depth, see stochastic_depth.drop_paths.
        blur: max pool and strides without aliasing, as timm's resnetblur50 has them (see Variant and BlurPool). The
            parameters are those of the plain network.

    Returns: called with images (N, 3, H, W): logits (N, classes), both of the parameters' dtype.

    Raises:
        Refused: an argument out of its range; images of another shape or too small for the network.

    Source: He et al., Deep residual learning (CVPR 2016); Bag of Tricks, section 4 (v1b, v1c, v1d are its ResNet-B, C
        and D), 3.1 (zero gamma), 6.2 (a dilated base network for FCN) and table 1 (the others); blur: Zhang
        (ICML 2019).
    Differs: the text of section 4.2 gives the first two convolutions of ResNet-C's stem a stride of 2; here the first
        alone has it, as in figure 2b and GluonCV: with both every map would have half its side.
        GluonCV ignores last_gamma in the basic blocks of v1b and turns its meaning round in ResNeXt; it has no
        v1c and v1d of 18 and 34 layers and nothing of 26, in v1 neither use_global_stats nor final_drop, and no
        dilated ResNeXt. 26 layers are timm's: the bottlenecks of ResNet-50, two a stage.
        Zhang blurs the shortcuts that change the size too; timm leaves them as they are, and so does blur here.
    """

    def __init__(
        self,
        name: str,
        depth: int,
        variant: str,
        *,
        classes: int = 1000,
        last_gamma: bool = False,
        norm: Norm = BATCH_NORM,
        dilated: bool = False,
        final_drop: float = 0.0,
        drop_path: float = 0.0,
        drop_path_per: str = "image",
        blur: bool = False,
    ):
        traits, (block, counts) = VARIANTS[variant], STAGES[depth]
        traits = dataclasses.replace(traits, blur=check_switch(name, blur=blur))
        drops = drop_paths(name, drop_path, drop_path_per, sum(counts))
        if dilated and not traits.stride_on_3x3:
            raise Refused(f"{name} has no dilated form: with dilated=True use resnet{depth}_v1b, _v1c or _v1d")
        # MXNet refuses a 2x2 pool on a 1x1 map; the last such pool sees the images at stride 16 (4 if dilated).
        smallest_side = 1 if not (traits.pooled_shortcut or blur) else 5 if dilated else 17
        others = peers(name, depth, variant, blur, bool(dilated))
        super().__init__(name, classes=classes, smallest_side=smallest_side, peers=others)
        last_norm = functools.partial(norm, gamma_initializer="zeros") if last_gamma else norm
        with self.name_scope():
            self.stem = _make_stem(traits, norm)
            in_channels = WIDTHS[0]
            stages = zip(WIDTHS, counts, *STRIDES_AND_DILATIONS[bool(dilated)])
            for i, (width, count, stride, dilation) in enumerate(stages, start=1):
                build = functools.partial(block, traits, norm, last_norm, width=width)
                channels = (in_channels, width * block.expansion)
                setattr(self, f"stage{i}", _make_stage(i, build, count, channels, stride, dilation, drops))
                in_channels = channels[1]
            self.neck = nn.HybridSequential(prefix="neck_")
            self.neck.add(nn.GlobalAvgPool2D())
            if check_drop(name, final_drop):
                self.neck.add(nn.Dropout(final_drop))
            self.head = nn.Dense(classes, in_units=in_channels)


def _make_stem(variant: Variant, norm: Norm) -> nn.HybridSequential:
    """(N, 3, H, W) -> (N, 64, H/4, W/4): one 7x7 or several 3x3 convolutions, the first of stride 2, and a max pool."""
    widths = (32, 32, 64) if variant.deep_stem else (64,)
    stem = nn.HybridSequential(prefix="stem_")
    with stem.name_scope():
        if len(widths) == 1:
            stem.add(nn.Conv2D(widths[0], 7, 2, padding=3, use_bias=False, in_channels=3))
            stem.add(norm(in_channels=widths[0]), nn.Activation("relu"))
        else:
            for in_channels, width in zip((3, *widths), widths):
                stem.add(conv3x3(in_channels, width, 2 if in_channels == 3 else 1))
                stem.add(norm(in_channels=width), nn.Activation("relu"))
        stem.add(nn.MaxPool2D(3, variant.stride_of(2), padding=1))
        if variant.blur:
            stem.add(BlurPool())
    return stem


def _make_stage(
    number: int, build: Callable, count: int, channels: tuple[int, int], stride: int, dilation: int,
    drops: Iterator[MakeDropPath],
):  # fmt: skip
    """A sequence of blocks made by build(in_channels=, stride=, dilations=, drop_path=).

    Args:
        channels: into and out of the stage.
        drops: of this and the following blocks of the network.
    """
    stage = nn.HybridSequential(prefix=f"stage{number}_")
    first = dict(in_channels=channels[0], stride=stride, dilations=(first_dilation(dilation), dilation))
    others = dict(in_channels=channels[1], stride=1, dilations=(dilation, dilation))
    with stage.name_scope():
        for k in range(count):
            stage.add(build(**(others if k else first), drop_path=next(drops)))
    return stage


_NAMES = {
    **{f"resnet{d}_{v}": (d, v) for d in STAGES for v in ("v1", "v1b", "v1c", "v1d")},
    **{f"resnext{d}_32x4d": (d, "32x4d") for d in (50, 101)},
    **{"se_resnet50_v1": (50, "se_v1"), "se_resnext50_32x4d": (50, "se_32x4d")},
}
MODELS = {name: functools.partial(ResNet, name, *parts) for name, parts in _NAMES.items()}
