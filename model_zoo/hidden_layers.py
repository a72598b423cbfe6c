"""What AlexNet, VGG and their kin are made of: convolutions in a row, then hidden dense layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import mxnet as mx
import numpy as np
from mxnet.gluon import nn

from gluon_tricks.core.errors import Refused
from model_zoo.classifier import Classifier, is_whole
from model_zoo.norm import Norm

HIDDEN_LAYERS, HIDDEN_WIDTH = 2, 4096
MOST_WIDE = 1 << 16


@dataclasses.dataclass(frozen=True)
class Start:
    """What the numbers of a layer are before training.

    Args:
        weight: the weights' initialiser; None: the one given to net.initialize.
        bias: the value of all biases.
    """

    weight: mx.init.Initializer | None = None
    bias: float = 0.0

    @property
    def initializers(self) -> dict:
        return {"weight_initializer": self.weight, "bias_initializer": mx.init.Constant(self.bias)}


@dataclasses.dataclass(frozen=True)
class BiasedConv:
    """A convolution with biases. groups: 2 is AlexNet's two towers, which do not see each other's channels."""

    channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    groups: int = 1
    start: Start = Start()


def add_convolutions(
    stage: nn.HybridSequential, in_channels: int, convs: Sequence[BiasedConv], norm: Norm | None = None
):
    """Adds convolution, [norm(in_channels=),] relu for each of convs."""
    for conv in convs:
        shape = dict(padding=conv.padding, groups=conv.groups, in_channels=in_channels)
        stage.add(nn.Conv2D(conv.channels, conv.kernel, conv.stride, **shape, **conv.start.initializers))
        if norm is not None:
            stage.add(norm(in_channels=conv.channels))
        stage.add(nn.Activation("relu"))
        in_channels = conv.channels


class DenseMap(nn.Dense):
    """A dense layer whose outputs are a map of one pixel, (N, C, 1, 1), for batch normalisation behind it.

    MXNet keeps one of oneDNN's batch normalisations for each shape, and takes vectors (N, C) for what a convolution
    gave as (N, C, 1, 1) in blocks of 16 channels. Where such a map was normalised before them in the same process, it
    reads past the vectors and crashes (MXNet 1.9.1, C of 16 to 256). A map that no convolution gave is told from it.
    """

    def hybrid_forward(self, F, *args, **parameters):
        return F.reshape(super().hybrid_forward(F, *args, **parameters), (0, 0, 1, 1))

    def _alias(self) -> str:
        return "dense"  # by which Gluon names it


def make_hidden_layers(
    start: Start, width: int, drop: float | None = None, norm: Norm | None = None
) -> nn.HybridSequential:
    """The neck: flatten, then HIDDEN_LAYERS times dense(width), [norm(in_channels=),] relu, [dropout]; (N, width)."""
    neck, dense = nn.HybridSequential(prefix="neck_"), nn.Dense if norm is None else DenseMap
    with neck.name_scope():
        neck.add(nn.Flatten())
        for in_units in (0, *[width] * (HIDDEN_LAYERS - 1)):  # 0: the first images decide
            neck.add(dense(width, in_units=in_units, **start.initializers))
            if norm is not None:
                neck.add(norm(in_channels=width))
            neck.add(nn.Activation("relu"))
            if drop is not None:
                neck.add(nn.Dropout(drop))
        if norm is not None:
            neck.add(nn.Flatten())
    return neck


def check_width(name: str, width: int) -> int:
    """The width itself, if hidden dense layers can have it."""
    if not is_whole(width) or not 1 <= width <= MOST_WIDE:
        raise Refused(f"{name}: hidden={width!r}, but the hidden dense layers have 1 to {MOST_WIDE} outputs")
    return width


def require_vectors(name: str, norm: Norm) -> None:
    """Refuses normalisation layers that cannot stand after a dense layer."""
    layer = norm.norm_layer
    if isinstance(layer, type) and issubclass(layer, (nn.GroupNorm, nn.InstanceNorm)):
        raise Refused(f"{name} has norms after its hidden dense layers too, but {layer.__name__} takes maps only")


class HiddenLayersClassifier(Classifier):
    """A classifier whose neck is make_hidden_layers: the first images, or a file, decide for which size it is."""

    _fitting = None  # height and width of the last images that were found to fit

    def check_images(self, shape: tuple[int, ...]) -> None:
        super().check_images(shape)
        first_dense = self.neck[1].weight
        if first_dense.shape[1] <= 0 or shape[2:] == self._fitting:
            return
        seen, wanted = self.count_features(*shape[2:]), first_dense.shape[1]
        if seen != wanted:
            side = self.input_size
            usual = f" ({side}x{side} would)" if self.count_features(side, side) == wanted else ""
            raise Refused(
                f"{self.name}: its dense layers take {wanted} features per image, but images of {shape[2]}x{shape[3]} "
                f"pixels give {seen}: use images of the size that its first images had{usual}"
            )
        self._fitting = shape[2:]

    def count_features(self, height: int, width: int) -> int:
        """How many numbers the last feature map of an image of that size has."""
        x = mx.sym.var("images")
        for part in self.trunk:
            x = part(x)
        return int(np.prod(x.infer_shape(images=(1, 3, height, width))[1][0]))
