"""Residual networks for CIFAR's images of 32 pixels, and their plain twins: the same layers without shortcuts.

    stem -> stage1 -> stage2 -> stage3 -> global average pool -> head
    channels 16  16      32        64
    stride   1   1       2         4

The deeper a plain net, the worse it does, in training too (the degradation problem); a residual net gets better.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from mxnet.gluon import nn

from model_zoo.classifier import Classifier, Peer
from model_zoo.norm import BATCH_NORM, Norm
from model_zoo.preprocessing import CIFAR10, Preprocessing
from model_zoo.resnet import BasicBlock, Variant, conv3x3
from model_zoo.stochastic_depth import drop_paths

DEPTHS = (20, 32, 44, 56, 110)  # 6n + 2: the stem, n blocks of two convolutions in each of three stages, and the head
WIDTHS = (16, 32, 64)  # channels of stage 1 to 3


class _CifarNet(Classifier):
    """Args: block: makes a block from in_channels=, width=, stride=; norm: makes the normalisation layers."""

    def __init__(self, name: str, depth: int, block: Callable, norm: Norm, classes: int, peers: dict):
        super().__init__(name, classes=classes, preprocessing=Preprocessing(32, **CIFAR10), peers=peers)
        with self.name_scope():
            self.stem = nn.HybridSequential(prefix="stem_")
            with self.stem.name_scope():
                self.stem.add(conv3x3(3, WIDTHS[0]), norm(in_channels=WIDTHS[0]))
            for number, (in_channels, width) in enumerate(zip((WIDTHS[0], *WIDTHS), WIDTHS), start=1):
                stage = nn.HybridSequential(prefix=f"stage{number}_")
                with stage.name_scope():
                    stage.add(block(in_channels=in_channels, width=width, stride=1 if number == 1 else 2))
                    for _ in range((depth - 2) // 6 - 1):
                        stage.add(block(in_channels=width, width=width, stride=1))
                setattr(self, f"stage{number}", stage)
            self.neck = nn.HybridSequential(prefix="neck_")
            self.neck.add(nn.GlobalAvgPool2D())
            self.head = nn.Dense(classes, in_units=WIDTHS[-1])


class CifarResNet(_CifarNet):
    """A residual network for CIFAR.

    Args:
        name: as in the registry.
        depth: 6n + 2: layers with weights, projections not counted.
        classes: number of logits, at least 1.
        last_gamma: zero gamma: the last norm of every residual branch starts at gamma = 0.
        norm: makes the normalisation layers.
        drop_path, drop_path_per: stochastic depth, see stochastic_depth.drop_paths.

    Returns: called with images (N, 3, H, W): logits (N, classes), both of the parameters' dtype.

    Raises:
        Refused: an argument out of its range; images of another shape.

    Source: He et al., Deep residual learning for image recognition (CVPR 2016), section 4.2.
    Differs: as GluonCV has it, the stem has no relu, and a shortcut that changes the size is a 1x1 convolution with
        norm; the paper's has no parameters (every other pixel, new channels of zeros).
    """

    def __init__(
        self, name: str, depth: int, *, classes: int = 10, last_gamma: bool = False, norm: Norm = BATCH_NORM,
        drop_path: float = 0.0, drop_path_per: str = "image",
    ):  # fmt: skip
        drops = drop_paths(name, drop_path, drop_path_per, (depth - 2) // 2)
        last_norm = functools.partial(norm, gamma_initializer="zeros") if last_gamma else norm

        def block(**sizes):
            return BasicBlock(Variant(), norm, last_norm, dilations=(1, 1), drop_path=next(drops), **sizes)

        super().__init__(name, depth, block, norm, classes, _peers(name, depth))


class CifarPlain(_CifarNet):
    """A plain network for CIFAR: a residual one without its shortcuts.

    Args: as for CifarResNet; without residual branches there is no last_gamma.

    Source: He et al., section 4.2 and figure 6 (left).
    Differs: as in the residual twin, the stem has no relu.
    """

    def __init__(self, name: str, depth: int, *, classes: int = 10, norm: Norm = BATCH_NORM):
        super().__init__(name, depth, functools.partial(_make_plain_block, norm), norm, classes, {})


def _make_plain_block(norm: Norm, in_channels: int, width: int, stride: int) -> nn.HybridSequential:
    block = nn.HybridSequential()
    with block.name_scope():
        for conv in (conv3x3(in_channels, width, stride), conv3x3(width, width)):
            block.add(conv, norm(in_channels=width), nn.Activation("relu"))
    return block


def _peers(name: str, depth: int) -> dict[str, Peer]:
    table = {
        **{"stem.0": "features.0", "stem.1": "features.1"},
        **{"stage1": "features.2", "stage2": "features.3", "stage3": "features.4"},
        **{"conv1": "body.0", "bn1": "body.1", "conv2": "body.3", "bn2": "body.4"},
        **{"shortcut": "downsample", "head": "output"},
    }
    return {"gluoncv": Peer(name if depth in (20, 56, 110) else None, table)}


MODELS = {
    **{f"cifar_resnet{d}_v1": functools.partial(CifarResNet, f"cifar_resnet{d}_v1", d) for d in DEPTHS},
    **{f"cifar_plain{d}": functools.partial(CifarPlain, f"cifar_plain{d}", d) for d in DEPTHS},
}
