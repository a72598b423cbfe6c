"""ImageNet models with batch normalisation: AlexNet, VGG-19 and a generator of ResNets of any depth.

They take images as they are: a BatchNorm on the input finds the mean that others subtract, and follows new data.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator

import mxnet as mx
from mxnet.gluon import HybridBlock, nn

from gluon_tricks.core.errors import Refused
from model_zoo import vgg
from model_zoo.alexnet import two_towers
from model_zoo.classifier import Classifier, first_dilation, is_whole
from model_zoo.hidden_layers import (
    HIDDEN_WIDTH,
    HiddenLayersClassifier,
    Start,
    add_convolutions,
    check_width,
    make_hidden_layers,
    require_vectors,
)
from model_zoo.norm import BATCH_NORM, Norm
from model_zoo.preprocessing import RAW, Preprocessing
from model_zoo.resnet import STRIDES_AND_DILATIONS, WIDTHS
from model_zoo.stochastic_depth import MakeDropPath, drop_paths, no_drop_path

HE = Start(mx.init.MSRAPrelu("in", slope=0))  # Gaussian, variance 2 / inputs of an output


@dataclasses.dataclass(frozen=True)
class Variant:
    """AlexNet or VGG-19.

    Args:
        make_stages: norm= -> the stages, each a sequence of layers.
        hidden, head: where the dense layers start.
        preprocessing: of photos.
        smallest_side: of images, px.
    """

    make_stages: Callable[..., Iterable[nn.HybridSequential]]
    hidden: Start
    head: Start
    preprocessing: Preprocessing
    smallest_side: int


def _make_alexnet_stages(norm: Norm):
    in_channels = 3
    for number, convs in enumerate(two_towers(HE, HE, padding=0), start=1):
        stage = nn.HybridSequential(prefix=f"stage{number}_")
        with stage.name_scope():
            add_convolutions(stage, in_channels, convs, norm)
            stage.add(nn.MaxPool2D(3, 2, ceil_mode=True))
        in_channels = convs[-1].channels
        yield stage


_GAUSS = Start(mx.init.Normal(0.01))
VARIANTS = {
    "cvjena_alexnet": Variant(
        _make_alexnet_stages,
        hidden=HE,
        head=HE,
        preprocessing=Preprocessing(227, crop_ratio=227 / 256, **RAW),
        smallest_side=55,
    ),
    "cvjena_vgg19": Variant(
        functools.partial(vgg.make_stages, 19, _GAUSS, ceil_mode=True),
        hidden=Start(mx.init.Normal(0.005), bias=1.0),
        head=_GAUSS,
        preprocessing=Preprocessing(224, **RAW),
        smallest_side=17,
    ),
}


class NormalisedNet(HiddenLayersClassifier):
    """AlexNet or VGG-19 with a norm on the input and between each convolution or hidden dense layer and its relu.

    There is no dropout and no local response normalisation.

    Args:
        name: a key of VARIANTS.
        classes: number of logits, at least 1.
        hidden: outputs of each of the two hidden dense layers.
        norm: makes the normalisation layers; for batches of 16 images and fewer the paper advises use_global_stats.

    Returns: called with images (N, 3, H, W), of any range: logits (N, classes), both of the parameters' dtype. The
        first images decide the size for which the dense layers are made.

    Raises:
        Refused: an argument out of its range; images of another shape, too small, or of another size than the first.

    Source: Simon et al., ImageNet pre-trained models with batch normalization (2016), section 3; what it leaves open
        (groups, padding, where the weights start) as in the authors' published definitions.
    Differs: the authors' biases learn twice as fast as their weights; here a recipe would have to say so.
    """

    def __init__(self, name: str, *, classes: int = 1000, hidden: int = HIDDEN_WIDTH, norm: Norm = BATCH_NORM):
        require_vectors(name, norm)
        variant = VARIANTS[name]
        sizes = dict(preprocessing=variant.preprocessing, smallest_side=variant.smallest_side)
        super().__init__(name, classes=classes, **sizes)
        with self.name_scope():
            self.stem = nn.HybridSequential(prefix="stem_")
            with self.stem.name_scope():
                self.stem.add(norm(in_channels=3))
            for number, stage in enumerate(variant.make_stages(norm=norm), start=1):
                setattr(self, f"stage{number}", stage)
            self.neck = make_hidden_layers(variant.hidden, check_width(name, hidden), norm=norm)
            self.head = nn.Dense(classes, in_units=hidden, **variant.head.initializers)


def blocks_per_stage(total: int) -> tuple[int, ...]:
    """How many of that many blocks (at least 4) each of the four stages gets.

    They are dealt out to stages 3, 2, 1 and 4 in turn; stages 1 and 4 take three at most and stage 2 four, the rest
    goes to stage 3. This gives what He et al. have for all depths but 152, where stage 2 has eight.
    """
    if total == 50:
        return 3, 8, 36, 3
    counts, most = [0, 0, 0, 0], [3, 4, total, 3]
    for stage in itertools.islice(itertools.cycle((2, 1, 0, 3)), 4 * total):
        if sum(counts) < total and counts[stage] < most[stage]:
            counts[stage] += 1
    return tuple(counts)


def split_depth(name: str, depth: int) -> tuple[bool, tuple[int, ...]]:
    """Whether a ResNet of that depth has bottlenecks, and its blocks in stage 1 to 4."""

    def convolutions(depth):  # in a block
        return 3 if depth >= 50 else 2

    def can_be_built(depth):
        return depth >= 10 and (depth - 2) % convolutions(depth) == 0

    if not is_whole(depth):
        raise Refused(f"{name}: depth={depth!r}, but it is a whole number of layers, such as 26")
    if not can_be_built(depth):
        near = max(depth, 10)
        below = next(d for d in itertools.count(near, -1) if can_be_built(d))
        above = next(d for d in itertools.count(below + 1) if can_be_built(d))
        raise Refused(
            f"{name} cannot have depth={depth}: it is 10, 12, ... 48 (two convolutions in a block) or 50, 53, 56, ... "
            f"(three); near are {below} and {above}"
        )
    return depth >= 50, blocks_per_stage((depth - 2) // convolutions(depth))


class PreactivationBlock(HybridBlock):
    """Norm and relu come before each convolution: body(opened) + shortcut, opened being the input up to the first relu.

    Args:
        norm: makes the normalisation layers.
        in_channels: channels of the input.
        convs: (channels, kernel, stride, dilation) of each convolution.
        projection: stride of the 1x1 convolution of the shortcut, which sees what was opened; None: the shortcut is the
            input itself.
        first: the input was normalised and rectified by the stem: the block begins with its first convolution. The
            authors' generator then projects what comes after that one; the published weights need it so.
        drop_path: makes what ends the residual branch.

    Source: He et al., Identity mappings in deep residual networks (ECCV 2016), figure 4 (e).
    """

    def __init__(
        self, norm: Norm, in_channels: int, convs, projection: int | None, first: bool,
        drop_path: MakeDropPath = no_drop_path,
    ):  # fmt: skip
        super().__init__()
        layers, channels = [], in_channels
        with self.name_scope():
            for width, kernel, stride, dilation in convs:
                if layers or not first:
                    layers += [norm(in_channels=channels), nn.Activation("relu")]
                layers.append(_conv(channels, width, kernel, stride, dilation))
                channels = width
            opening = 3 if first else 2
            self.opening, self.body = nn.HybridSequential(prefix="opening_"), nn.HybridSequential(prefix="body_")
            self.opening.add(*layers[:opening])
            self.body.add(*layers[opening:])
            opened = convs[0][0] if first else in_channels
            self.drop_path = drop_path()
            self.shortcut = None if projection is None else _conv(opened, channels, 1, projection)

    def hybrid_forward(self, F, x):
        opened = self.opening(x)
        out = self.body(opened) if self.drop_path is None else self.drop_path(self.body(opened))
        return out + (x if self.shortcut is None else self.shortcut(opened))


def _conv(in_channels: int, channels: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Conv2D:
    shape = dict(padding=kernel // 2 * dilation, dilation=dilation, in_channels=in_channels)
    return nn.Conv2D(channels, kernel, stride, use_bias=False, weight_initializer=HE.weight, **shape)


class CvjenaResNet(Classifier):
    """A pre-activation ResNet of any depth that its blocks can make.

    Args:
        name: as in the registry.
        depth: layers with weights: 10, 12, ... 48 with basic blocks, 50, 53, 56, ... with bottlenecks.
        classes: number of logits, at least 1.
        norm: makes the normalisation layers.
        dilated: output stride 8 for segmentation: stages 3 and 4 have stride 1 and dilations 2 and 4.
        drop_path, drop_path_per: stochastic depth, see stochastic_depth.drop_paths.

    Returns: called with images (N, 3, H, W), of any range: logits (N, classes), both of the parameters' dtype.

    Raises:
        Refused: an argument out of its range, with the near depths; images of another shape or too small.

    Source: Simon et al., ImageNet pre-trained models with batch normalization (2016), and the authors' generator.
    Differs: the generator knows seven depths; the others follow blocks_per_stage. Its head starts at zero and its
        running statistics keep 0.999 per step; here the head starts as net.initialize says, and the statistics keep
        0.9, as in the other networks (norm_kwargs={"momentum": 0.999} is theirs, but for their correction of the
        start). There is no last_gamma: no norm closes a residual branch.
    """

    def __init__(
        self,
        name: str,
        depth: int = 26,
        *,
        classes: int = 1000,
        norm: Norm = BATCH_NORM,
        dilated: bool = False,
        drop_path: float = 0.0,
        drop_path_per: str = "image",
    ):
        bottleneck, counts = split_depth(name, depth)
        drops = drop_paths(name, drop_path, drop_path_per, sum(counts))
        super().__init__(name, classes=classes, smallest_side=5, preprocessing=Preprocessing(224, **RAW))
        with self.name_scope():
            self.stem = _make_stem(norm)
            channels = WIDTHS[0]
            for number, sizes in enumerate(zip(WIDTHS, counts, *STRIDES_AND_DILATIONS[bool(dilated)]), start=1):
                stage = nn.HybridSequential(prefix=f"stage{number}_")
                with stage.name_scope():
                    channels = _add_blocks(stage, norm, channels, bottleneck, *sizes, drops)
                    if number == 4:
                        stage.add(norm(in_channels=channels), nn.Activation("relu"))
                setattr(self, f"stage{number}", stage)
            self.neck = nn.HybridSequential(prefix="neck_")
            self.neck.add(nn.GlobalAvgPool2D())
            self.head = nn.Dense(classes, in_units=channels)


def _make_stem(norm: Norm) -> nn.HybridSequential:
    """Input norm, 7x7 convolution of stride 2 with biases, norm, relu, max pool without padding."""
    stem = nn.HybridSequential(prefix="stem_")
    with stem.name_scope():
        stem.add(norm(in_channels=3))
        start = mx.init.MSRAPrelu("out", slope=0)
        stem.add(nn.Conv2D(WIDTHS[0], 7, 2, padding=3, in_channels=3, weight_initializer=start))
        stem.add(norm(in_channels=WIDTHS[0]), nn.Activation("relu"), nn.MaxPool2D(3, 2, ceil_mode=True))
    return stem


def _add_blocks(
    stage, norm, channels: int, bottleneck: bool, width: int, count: int, stride: int, dilation: int,
    drops: Iterator[MakeDropPath],
) -> int:  # fmt: skip
    """Adds the stage's blocks; returns the channels they end with. channels: of the stage's input."""
    out = 4 * width if bottleneck else width
    for k in range(count):
        first = width == WIDTHS[0] and k == 0
        step = (stride, first_dilation(dilation)) if k == 0 else (1, dilation)
        if bottleneck:
            convs = [(width, 1, 1, 1), (width, 3, *step), (out, 1, 1, 1)]
        else:
            convs = [(width, 3, *step), (out, 3, 1, dilation)]
        stage.add(PreactivationBlock(norm, channels, convs, None if channels == out else step[0], first, next(drops)))
        channels = out
    return channels


MODELS = {
    **{name: functools.partial(NormalisedNet, name) for name in VARIANTS},
    "cvjena_resnet": functools.partial(CvjenaResNet, "cvjena_resnet"),
    **{f"cvjena_resnet{depth}": functools.partial(CvjenaResNet, f"cvjena_resnet{depth}", depth) for depth in (10, 50)},
}
