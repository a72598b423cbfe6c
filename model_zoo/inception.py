"""Inception-V3, written in the grammar of branches.py.

stem -> stage1 -> stage2 -> stage3 -> stage4 -> average pool -> head
stride  2         4         8         16        32
"""

from __future__ import annotations

import functools

from mxnet.gluon import nn

from model_zoo.branches import Conv, NormedConv, make_sequence, places
from model_zoo.classifier import Classifier, Peer, check_drop
from model_zoo.norm import BATCH_NORM, Norm
from model_zoo.preprocessing import Preprocessing

HALVING_FLOOR = functools.partial(nn.MaxPool2D, 3, 2)
SMOOTHING = functools.partial(nn.AvgPool2D, 3, 1, 1)


def _a(pooled: int) -> list:
    """5x5, two 3x3; figure 5 of the paper. pooled: channels of the branch that starts with a pool."""
    return [
        [Conv(64, 1)],
        [Conv(48, 1), Conv(64, 5)],
        [Conv(64, 1), Conv(96, 3), Conv(96, 3)],
        [SMOOTHING, Conv(pooled, 1)],
    ]


def _c(width: int) -> list:
    """7x7 convolutions as pairs of 1x7 and 7x1; figure 6."""
    wide, high = (1, 7), (7, 1)
    return [
        [Conv(192, 1)],
        [Conv(width, 1), Conv(width, wide), Conv(192, high)],
        [Conv(width, 1), Conv(width, high), Conv(width, wide), Conv(width, high), Conv(192, wide)],
        [SMOOTHING, Conv(192, 1)],
    ]


_FORK = [[Conv(384, (1, 3))], [Conv(384, (3, 1))]]
_B = [[Conv(384, 3, 2)], [Conv(64, 1), Conv(96, 3), Conv(96, 3, 2)], [HALVING_FLOOR]]
_D = [
    [Conv(192, 1), Conv(320, 3, 2)],
    [Conv(192, 1), Conv(192, (1, 7)), Conv(192, (7, 1)), Conv(192, 3, 2)],
    [HALVING_FLOOR],
]
_E = [  # figure 7
    [Conv(320, 1)],
    [Conv(384, 1), _FORK],
    [Conv(448, 1), Conv(384, 3), _FORK],
    [SMOOTHING, Conv(192, 1)],
]
PARTS = {
    "stem": [Conv(32, 3, 2), Conv(32, 3, padding=0), Conv(64, 3)],
    "stage1": [HALVING_FLOOR, Conv(80, 1), Conv(192, 3, padding=0)],
    "stage2": [HALVING_FLOOR, _a(32), _a(64), _a(64)],
    "stage3": [_B, _c(128), _c(160), _c(160), _c(192)],
    "stage4": [_D, _E, _E],
}


class InceptionV3(Classifier):
    """Inception-V3 for classification.

    Args:
        name: as in the registry.
        classes: number of logits, at least 1.
        norm: makes the normalisation layers, with epsilon=0.001 unless its own arguments say otherwise.
        final_drop: probability with which Dropout zeroes a feature before the head, in [0, 1).

    Returns: called with images (N, 3, H, W), sides from 299 to 554 px: logits (N, classes), both of the parameters'
        dtype.

    Raises:
        Refused: an argument out of its range; images of another shape or size.

    Source: Szegedy et al., Rethinking the Inception architecture for computer vision (CVPR 2016), section 6 and
        table 1; Bag of Tricks, section 5.
    Differs: as GluonCV's: without the paper's auxiliary classifier; dropout of 0.5 before the head; the neck averages
        the 8x8 numbers at the top left of the last map, which for images of more than 330 px is not all of it.
    """

    usual_epsilon = 0.001

    def __init__(self, name: str, *, classes: int = 1000, norm: Norm = BATCH_NORM, final_drop: float = 0.5):
        sides = dict(smallest_side=299, smallest_for_features=75, largest_side=554)  # a last map of 8x8 to 15x15
        super().__init__(name, classes=classes, preprocessing=Preprocessing(299), peers=_peers(name), **sides)
        norm = norm.defaulting_to(epsilon=self.usual_epsilon)
        with self.name_scope():
            channels = 3
            for part, parts in PARTS.items():
                block, channels = make_sequence(parts, channels, functools.partial(NormedConv, norm), f"{part}_")
                setattr(self, part, block)
            self.neck = nn.HybridSequential(prefix="neck_")
            self.neck.add(nn.AvgPool2D(8), nn.Dropout(check_drop(name, final_drop)))
            self.head = nn.Dense(classes, in_units=channels)


def _gluoncv() -> dict[str, str]:
    """GluonCV has the parts of stem and stages in one sequence; only its branches that fork are built another way."""
    flat = [f"{part}.{k}" for part, parts in PARTS.items() for k in range(len(parts))]
    table = {place: f"features.{k}" for k, place in enumerate(flat)}
    forking = {"1.0": "1.0.0", "2.0": "2.0.0", "2.1": "2.0.1", "2.2": "2.1"}
    for place in ("stage4.1", "stage4.2"):
        table.update({f"{place}.{ours}": f"{table[place]}.{theirs}" for ours, theirs in forking.items()})
    return {**table, "conv": "0", "bn": "1", "head": "output"}


_TORCH_BRANCHES = {  # kind of module -> names of its convolutions, in our order
    "a": "branch1x1 branch5x5_1 branch5x5_2 branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3 branch_pool",
    "b": "branch3x3 branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3",
    "c": "branch1x1 branch7x7_1 branch7x7_2 branch7x7_3 "
    "branch7x7dbl_1 branch7x7dbl_2 branch7x7dbl_3 branch7x7dbl_4 branch7x7dbl_5 branch_pool",
    "d": "branch3x3_1 branch3x3_2 branch7x7x3_1 branch7x7x3_2 branch7x7x3_3 branch7x7x3_4",
    "e": "branch1x1 branch3x3_1 branch3x3_2a branch3x3_2b "
    "branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3a branch3x3dbl_3b branch_pool",
}
_TORCH_MODULES = {**dict.fromkeys(("5b", "5c", "5d"), "a"), "6a": "b", **dict.fromkeys(("6b", "6c", "6d", "6e"), "c")}
_TORCH_MODULES.update({"7a": "d", "7b": "e", "7c": "e"})


def _torch() -> dict[str, str]:
    """timm and torchvision name every convolution."""
    names = [f"Conv2d_{place}" for place in ("1a_3x3", "2a_3x3", "2b_3x3", "3b_1x1", "4a_3x3")]
    for module, kind in _TORCH_MODULES.items():
        names += [f"Mixed_{module}.{branch}" for branch in _TORCH_BRANCHES[kind].split()]
    ours = [place for part, parts in PARTS.items() for place in places(parts, part)]
    return {**dict(zip(ours, names)), "head": "fc"}


def _peers(name: str) -> dict[str, Peer]:
    torch = Peer("inception_v3", _torch())
    return {"gluoncv": Peer(name, _gluoncv()), "timm": torch, "torchvision": torch}


MODELS = {"inceptionv3": functools.partial(InceptionV3, "inceptionv3")}
