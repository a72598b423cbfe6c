"""GoogLeNet: as GluonCV has it (with norms), and as it was in 2014.

    stem -> stage1 -> stage2 -> stage3 -> stage4 -> average pool -> head
    stride  2         4         8         16        32

Written in the grammar of branches.py. Stage 2 has the paper's modules 3a and 3b, stage 3 4a to 4e, stage 4 5a and 5b.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import mxnet as mx
from mxnet.gluon import nn

from gluon_tricks.core.errors import Refused
from model_zoo.branches import Conv, NormedConv, make_sequence
from model_zoo.classifier import Classifier, Peer, check_drop
from model_zoo.lrn import CAFFE_LRN
from model_zoo.norm import BATCH_NORM, Norm
from model_zoo.preprocessing import CAFFE, Preprocessing

HALVING_CEIL = functools.partial(nn.MaxPool2D, 3, 2, ceil_mode=True)
NEIGHBOURHOOD = functools.partial(nn.MaxPool2D, 3, 1, 1)
MODULES = {  # channels of 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection: table 1 of the paper
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def _modules(names: str, kernel: int) -> list:
    """The modules of MODULES; kernel: side of the convolution that the paper calls 5x5."""
    found = []
    for one, reduce3, three, reduce5, five, pooled in (MODULES[name] for name in names.split()):
        branch5 = [Conv(reduce5, 1), Conv(five, kernel)]
        found.append([[Conv(one, 1)], [Conv(reduce3, 1), Conv(three, 3)], branch5, [NEIGHBOURHOOD, Conv(pooled, 1)]])
    return found


def _make_trunk(net: Classifier, unit: Callable, *, kernel: int, last_pool: Callable, norms: list) -> int:
    """Gives the network its stem and stages; returns the channels of the last map.

    Args:
        unit: (in_channels, conv) -> the block for a convolution.
        kernel: side of the convolution that the paper calls 5x5.
        last_pool: before stage 4.
        norms: layers without parameters after the first pool and the third convolution.
    """
    trunk = {
        "stem": [Conv(64, 7, 2, padding=3)],
        "stage1": [HALVING_CEIL, *norms, Conv(64, 1), Conv(192, 3), *norms],
        "stage2": [HALVING_CEIL, *_modules("3a 3b", kernel)],
        "stage3": [HALVING_CEIL, *_modules("4a 4b 4c 4d 4e", kernel)],
        "stage4": [last_pool, *_modules("5a 5b", kernel)],
    }
    channels = 3
    for name, parts in trunk.items():
        block, channels = make_sequence(parts, channels, unit, f"{name}_")
        setattr(net, name, block)
    return channels


class GoogLeNet(Classifier):
    """GoogLeNet with a norm after every convolution, as GluonCV (and torchvision) have it.

    Args:
        name: as in the registry.
        classes: number of logits, at least 1.
        norm: makes the normalisation layers, with epsilon=0.001 unless its own arguments say otherwise.
        final_drop: probability with which Dropout zeroes a feature before the head, in [0, 1).

    Returns: called with images (N, 3, H, W), sides from 223 to 446 px: logits (N, classes), both of the parameters'
        dtype.

    Raises:
        Refused: an argument out of its range; images of another shape or size.

    Source: Szegedy et al., Going deeper with convolutions (CVPR 2015), table 1; Ioffe and Szegedy, Batch normalization
        (ICML 2015).
    Differs: as GluonCV's: norms in place of biases and LRN; 3x3 convolutions where the paper has 5x5; the last pool is
        2x2; the neck averages the 7x7 numbers at the top left of the last map, which for images of more than 254 px is
        not all of it. No auxiliary classifiers (see googlenet_2014_aux).
    """

    usual_epsilon = 0.001

    def __init__(self, name: str, *, classes: int = 1000, norm: Norm = BATCH_NORM, final_drop: float = 0.4):
        sides = dict(smallest_side=223, smallest_for_features=31, largest_side=446)  # a last map of 7x7 to 13x13
        super().__init__(name, classes=classes, peers=_peers(name), **sides)
        norm = norm.defaulting_to(epsilon=self.usual_epsilon)
        unit, last_pool = functools.partial(NormedConv, norm), functools.partial(nn.MaxPool2D, 2, 2)
        with self.name_scope():
            channels = _make_trunk(self, unit, kernel=3, last_pool=last_pool, norms=[])
            self.neck = nn.HybridSequential(prefix="neck_")
            self.neck.add(nn.AvgPool2D(7), nn.Dropout(check_drop(name, final_drop)))
            self.head = nn.Dense(classes, in_units=channels)
        self.register_child(self.head, "output")  # GluonCV's network holds its head under two names, as do its files


def _caffe(bias: float = 0.2) -> dict:
    """Caffe's initial parameters: uniform weights of variance 1 / fan-in, constant biases."""
    xavier = mx.init.Xavier(rnd_type="uniform", factor_type="in", magnitude=3)
    return dict(weight_initializer=xavier, bias_initializer=mx.init.Constant(bias))


def _biased_conv(in_channels: int, conv: Conv) -> nn.Conv2D:
    return nn.Conv2D(*conv, in_channels=in_channels, activation="relu", **_caffe())


class GoogLeNet2014(Classifier):
    """GoogLeNet as of 2014: biases, LRN, no batch normalisation, no auxiliary classifiers.

    Args:
        name: as in the registry.
        classes: number of logits, at least 1.
        final_drop: probability with which Dropout zeroes a feature before the head, in [0, 1).

    Returns: called with images (N, 3, H, W), sides of at least 47 px: logits (N, classes), both of the parameters'
        dtype. The LRN is made for pixels from 0 to 255 with the mean subtracted: on images scaled to variance 1 it does
        almost nothing.

    Raises:
        Refused: an argument out of its range; images of another shape or too small for the network.

    Source: Szegedy et al., Going deeper with convolutions (CVPR 2015), table 1; Kraehenbuehl et al., Data-dependent
        initializations (ICLR 2016), section 4.5, which trains it with and without the auxiliary classifiers.
    Differs: what the paper leaves open (initial weights and biases, the numbers of the LRN, pools that round up, no
        auxiliary LRN) is as in Caffe's bvlc_googlenet; the average pool is global, for sizes other than 224 too.
    """

    def __init__(self, name: str, *, classes: int = 1000, final_drop: float = 0.4):
        sides = dict(smallest_side=47)  # 3x3 before the last pool
        super().__init__(name, classes=classes, preprocessing=Preprocessing(224, **CAFFE), **sides)
        with self.name_scope():
            channels = _make_trunk(self, _biased_conv, kernel=5, last_pool=HALVING_CEIL, norms=[CAFFE_LRN])
            self.neck = nn.HybridSequential(prefix="neck_")
            self.neck.add(nn.GlobalAvgPool2D(), nn.Dropout(check_drop(name, final_drop)))
            self.head = nn.Dense(classes, in_units=channels, **_caffe(bias=0))


class GoogLeNet2014Aux(GoogLeNet2014):
    """GoogLeNet as of 2014 with its two auxiliary classifiers, for training.

    Args:
        name, classes, final_drop: as GoogLeNet2014.
        aux_drop: the same as final_drop for the auxiliary classifiers.

    Returns: called with images (N, 3, H, W), sides from 191 to 238 px: a tuple of three logits (N, classes): of the
        head, of the classifier at 4a and of the one at 4d. Always, in prediction too: a hybrid network is traced once,
        and cannot know for which mode. Their losses count 1, 0.3 and 0.3 in training.

    Raises:
        Refused: an argument out of its range; images of another shape or size.

    Source: Szegedy et al., Going deeper with convolutions (CVPR 2015), section 5.
    Differs: as GoogLeNet2014.
    """

    output_parts = (*GoogLeNet2014.output_parts, "aux1", "aux2")

    def __init__(self, name: str, *, classes: int = 1000, final_drop: float = 0.4, aux_drop: float = 0.7):
        super().__init__(name, classes=classes, final_drop=final_drop)
        # 4a and 4d have maps of 12x12 to 14x14, of which the pool makes 4x4: the hidden layer takes no other.
        self.smallest_side, self.largest_side = 191, 238
        drop = check_drop(name, aux_drop)
        with self.name_scope():
            self.aux1 = _make_auxiliary("aux1_", 512, classes, drop)
            self.aux2 = _make_auxiliary("aux2_", 528, classes, drop)

    @property
    def heads(self) -> list[mx.gluon.HybridBlock]:
        return [self.head, self.aux1[-1], self.aux2[-1]]

    def _check_head(self, head: object) -> None:
        if hasattr(self, "aux1"):
            raise Refused(f"{self.name}.output: the auxiliary classifiers would stay; get_model has classes=K")
        super()._check_head(head)

    def forward(self, images, *args):
        return tuple(super().forward(images, *args))  # hybridized, MXNet makes it a list

    def hybrid_forward(self, F, images):
        auxiliary = {self.stage3[1]: self.aux1, self.stage3[4]: self.aux2}  # after 4a and 4d; stage3[0] is the pool
        x, logits = images, []
        for layer in itertools.chain(*self.trunk):
            x = layer(x)
            if layer in auxiliary:
                logits.append(auxiliary[layer](x))
        return (self.head(self.neck(x)), *logits)


def _make_auxiliary(prefix: str, in_channels: int, classes: int, drop: float) -> nn.HybridSequential:
    """(N, C, 12 to 14, 12 to 14) -> logits."""
    auxiliary = nn.HybridSequential(prefix=prefix)
    with auxiliary.name_scope():
        auxiliary.add(nn.AvgPool2D(5, 3, ceil_mode=True))
        auxiliary.add(_biased_conv(in_channels, Conv(128, 1).resolved))
        auxiliary.add(nn.Dense(1024, activation="relu", in_units=128 * 4 * 4, **_caffe()), nn.Dropout(drop))
        auxiliary.add(nn.Dense(classes, in_units=1024, **_caffe(bias=0)))
    return auxiliary


def _peers(name: str) -> dict[str, Peer]:
    modules = [f"inception{module}" for module in MODULES]
    ours = ["stage2.1", "stage2.2", *(f"stage3.{k}" for k in range(1, 6)), "stage4.1", "stage4.2"]
    stem = {"stem.0": "conv1", "stage1.1": "conv2", "stage1.2": "conv3"}
    gluoncv = {**stem, **dict(zip(ours, modules)), "conv": "0", "bn": "1", "head": "head.2"}
    torch = {**stem, "head": "fc", "output": "fc"}
    for place, module in zip(ours, modules):
        torch[f"{place}.0.0"] = f"{module}.branch1"  # of one convolution, which has no number there
        torch.update({f"{place}.{k}": f"{module}.branch{k + 1}" for k in (1, 2, 3)})
    return {"gluoncv": Peer(name, gluoncv), "torchvision": Peer(name, torch)}


MODELS = {
    "googlenet": functools.partial(GoogLeNet, "googlenet"),
    "googlenet_2014": functools.partial(GoogLeNet2014, "googlenet_2014"),
    "googlenet_2014_aux": functools.partial(GoogLeNet2014Aux, "googlenet_2014_aux"),
}
