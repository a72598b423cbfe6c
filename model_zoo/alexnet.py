"""AlexNet and its kin: ZFNet and CaffeNet.

stage1 -> stage2 -> stage3 (three convolutions) -> two hidden dense layers -> head
Each stage ends with an overlapping max pool, 3x3 with stride 2.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import mxnet as mx
from mxnet.gluon import nn

from model_zoo.classifier import Peer, built_there, check_drop, check_switch
from model_zoo.hidden_layers import (
    HIDDEN_WIDTH,
    BiasedConv,
    HiddenLayersClassifier,
    Start,
    add_convolutions,
    check_width,
    make_hidden_layers,
)
from model_zoo.lrn import CAFFE_LRN, LRN
from model_zoo.norm import BATCH_NORM, Norm
from model_zoo.preprocessing import CAFFE, Preprocessing


@dataclasses.dataclass(frozen=True)
class Variant:
    """What the members of the family differ in.

    Args:
        stages: the convolutions of each stage.
        lrn: the normalisation after the first two stages' convolutions; None: without it.
        norm_first: the normalisation comes before the pool, not after it.
        ceil_mode: a pool's last window may reach beyond the map, so no row is lost.
        hidden, head: where the dense layers start.
        preprocessing: of photos.
        smallest_side: of images, px.
    """

    stages: tuple[tuple[BiasedConv, ...], ...]
    lrn: Callable[[], LRN] | None = None
    norm_first: bool = False
    ceil_mode: bool = False
    hidden: Start = Start()
    head: Start = Start()
    preprocessing: Preprocessing = Preprocessing(224, **CAFFE)
    smallest_side: int = 63


def two_towers(first: Start, second: Start, padding: int) -> tuple[tuple[BiasedConv, ...], ...]:
    """AlexNet's stages with groups; first: start of convolutions 1 and 3, second: of 2, 4, 5; padding: of the first."""
    return (
        (BiasedConv(96, 11, 4, padding, start=first),),
        (BiasedConv(256, 5, padding=2, groups=2, start=second),),
        (
            BiasedConv(384, start=first),
            BiasedConv(384, groups=2, start=second),
            BiasedConv(256, groups=2, start=second),
        ),
    )


def _zfnet(*channels: int) -> Variant:
    gauss = Start(mx.init.Normal(0.01))
    stages = (
        (BiasedConv(96, 7, 2, 1, start=gauss),),
        (BiasedConv(256, 5, 2, 0, start=gauss),),
        tuple(BiasedConv(c, start=gauss) for c in channels),
    )
    return Variant(stages, functools.partial(LRN, k=2, alpha=1e-4), ceil_mode=True, hidden=gauss, head=gauss)


_GAUSS, _GAUSS_1 = Start(mx.init.Normal(0.01)), Start(mx.init.Normal(0.01), bias=1.0)
_CAFFENET = Variant(
    two_towers(_GAUSS, _GAUSS_1, padding=0),
    lrn=CAFFE_LRN,
    ceil_mode=True,
    hidden=Start(mx.init.Normal(0.005), bias=1.0),
    head=_GAUSS,
    preprocessing=Preprocessing(227, crop_ratio=227 / 256, **CAFFE),
    smallest_side=55,
)
VARIANTS = {
    "alexnet": Variant(
        ((BiasedConv(64, 11, 4, 2),), (BiasedConv(192, 5, 1, 2),), (BiasedConv(384), BiasedConv(256), BiasedConv(256))),
        preprocessing=Preprocessing(224),
    ),
    "alexnet_2012": Variant(
        two_towers(_GAUSS, _GAUSS_1, padding=2),
        lrn=functools.partial(LRN, k=2, alpha=1e-4),
        norm_first=True,
        hidden=_GAUSS_1,
        head=_GAUSS,
        preprocessing=Preprocessing(227, crop_ratio=227 / 256, **CAFFE),
    ),
    "zfnet": _zfnet(384, 384, 256),
    "zfnet_512_1024_512": _zfnet(512, 1024, 512),
    "caffenet": _CAFFENET,
    "caffenet_no_lrn": dataclasses.replace(_CAFFENET, lrn=None),
}


class AlexNet(HiddenLayersClassifier):
    """AlexNet or a network of its kind.

    Args:
        name: a key of VARIANTS.
        classes: number of logits, at least 1.
        hidden: outputs of each of the two hidden dense layers.
        hidden_drop: probability with which Dropout zeroes a number after each hidden dense layer, in [0, 1).
        batch_norm: batch normalisation between each convolution or hidden dense layer and its relu; biases, local
            response normalisation and dropout stay.

    Returns: called with images (N, 3, H, W): logits (N, classes), both of the parameters' dtype. The first images
        decide the size for which the dense layers are made.

    Raises:
        Refused: an argument out of its range; images of another shape, too small, or of another size than the first.

    Source:
        alexnet: Krizhevsky, One weird trick for parallelizing convolutional neural networks (2014); Gluon's network.
        alexnet_2012: Krizhevsky et al., ImageNet classification with deep convolutional neural networks (NIPS 2012),
            sections 3.3 to 3.5 and 5.
        zfnet, zfnet_512_1024_512: Zeiler and Fergus, Visualizing and understanding convolutional networks (ECCV 2014),
            figure 3, section 3 and table 2.
        caffenet: the reference network of Jia et al., Caffe (ACM Multimedia 2014); caffenet_no_lrn: Kraehenbuehl et
            al., Data-dependent initializations of convolutional neural networks (ICLR 2016), section 4.5.
    Differs:
        alexnet_2012: with images of 224 pixels the paper's first convolution does not come out even: (224 - 11) / 4 is
            no whole number, and the figure's 253,440 neurons are no square times 96. What follows (27x27, 13x13) needs
            a 55x55 map. Images have 227 pixels, as in Caffe's reference network; they are padded by 2 besides, with
            which those of 224 give 55x55 too, and of the 56x56 at 227 the pool leaves out the last row and column.
            The normalisation runs over all channels, as the formula says;
            on two GPUs the two channels at either side of the towers' border could not see each other. The hidden
            dense layers have biases of 1, the head of 0: it has no relu to keep alive.
        zfnet: the contrast normalisation across maps is given no formula; it is AlexNet's with AlexNet's constants, as
            is common. The paper's sizes (110, 55, 26, 13, 6) need a padding of 1 and pools that round up. Weights start
            Gaussian with a deviation of 0.01, where the paper names 0.01 only.
        caffenet: its alpha of 1e-4 is divided by n = 5, as Caffe does.
        batch_norm: of its "BN" columns (table 1) the document says no more than that; where the layers stand is as in
            Ioffe and Szegedy, Batch normalization (2015).
    """

    def __init__(
        self, name: str, *, classes: int = 1000, hidden: int = HIDDEN_WIDTH, hidden_drop: float = 0.5,
        batch_norm: bool = False,
    ):  # fmt: skip
        variant, norm = VARIANTS[name], BATCH_NORM if check_switch(name, batch_norm=batch_norm) else None
        sizes = dict(preprocessing=variant.preprocessing, smallest_side=variant.smallest_side)
        super().__init__(name, classes=classes, peers=_peers(name, hidden, batch_norm), **sizes)
        with self.name_scope():
            in_channels = 3
            for number, convs in enumerate(variant.stages, start=1):
                setattr(self, f"stage{number}", _make_stage(number, in_channels, convs, variant, norm))
                in_channels = convs[-1].channels
            self.neck = make_hidden_layers(
                variant.hidden, check_width(name, hidden), check_drop(name, hidden_drop), norm
            )
            self.head = nn.Dense(classes, in_units=hidden, **variant.head.initializers)


def _make_stage(
    number: int, in_channels: int, convs: tuple[BiasedConv, ...], variant: Variant, norm: Norm | None
) -> nn.HybridSequential:
    stage = nn.HybridSequential(prefix=f"stage{number}_")
    with stage.name_scope():
        add_convolutions(stage, in_channels, convs, norm)
        closing = [nn.MaxPool2D(3, 2, ceil_mode=variant.ceil_mode)]
        if variant.lrn is not None and number <= 2:
            closing.insert(0 if variant.norm_first else 1, variant.lrn())
        stage.add(*closing)
    return stage


def _peers(name: str, hidden: int, batch_norm: bool) -> dict[str, Peer]:
    """The others have no norms between its layers, and hidden layers of the usual width."""
    if name != "alexnet":
        return {}
    return built_there(_PEERS, **dict.fromkeys(_PEERS, hidden == HIDDEN_WIDTH and not batch_norm))


_PEERS = {
    "gluoncv": Peer(
        "alexnet",
        {
            **{"stage1.0": "features.0", "stage2.0": "features.2"},
            **{"stage3.0": "features.4", "stage3.2": "features.5", "stage3.4": "features.6"},
            **{"neck.1": "features.9", "neck.4": "features.11", "head": "output"},
        },
    ),
    "torchvision": Peer(
        "alexnet",
        {
            **{"stage1.0": "features.0", "stage2.0": "features.3"},
            **{"stage3.0": "features.6", "stage3.2": "features.8", "stage3.4": "features.10"},
            **{"neck.1": "classifier.1", "neck.4": "classifier.4", "head": "classifier.6"},
        },
    ),
}

MODELS = {name: functools.partial(AlexNet, name) for name in VARIANTS}
