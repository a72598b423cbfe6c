"""The grammar in which Inception-v3 and GoogLeNet are written.

A network is written as parts: a convolution, a layer without parameters, or a module, which is a list of branches;
a branch is a list of parts again. The outputs of a module's branches are concatenated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from mxnet.gluon import HybridBlock, nn
from mxnet.gluon.contrib.nn import HybridConcurrent

from model_zoo.norm import Norm


class Conv(NamedTuple):
    """A convolution with what follows it. padding None: stride 1 keeps the size, another stride has no padding."""

    channels: int
    kernel: int | tuple[int, int]
    stride: int = 1
    padding: int | tuple[int, int] | None = None

    @property
    def resolved(self) -> Conv:
        """With kernel and padding as pairs."""
        kernel = (self.kernel, self.kernel) if isinstance(self.kernel, int) else self.kernel
        same = tuple(side // 2 if self.stride == 1 else 0 for side in kernel)
        return Conv(self.channels, kernel, self.stride, same if self.padding is None else self.padding)


def make_sequence(parts: Sequence, in_channels: int, unit: Callable, prefix: str | None = None):
    """The parts one after the other.

    Args:
        parts: Conv, list of branches, or constructor of a layer without parameters.
        in_channels: into the first part.
        unit: (in_channels, conv) -> the block for a Conv.
        prefix: of the parameters' names.

    Returns: the block, and the channels of its output.
    """
    sequence = nn.HybridSequential(prefix=prefix)
    channels = in_channels
    with sequence.name_scope():
        for part in parts:
            if isinstance(part, Conv):
                sequence.add(unit(channels, part.resolved))
                channels = part.channels
            elif isinstance(part, list):
                module, channels = make_module(part, channels, unit)
                sequence.add(module)
            else:
                sequence.add(part())
    return sequence, channels


def make_module(branches: list, in_channels: int, unit: Callable):
    """The branches side by side, concatenated along the channels. Args, Returns: as make_sequence."""
    module, total = HybridConcurrent(axis=1), 0
    with module.name_scope():
        for parts in branches:
            branch, channels = make_sequence(parts, in_channels, unit)
            module.add(branch)
            total += channels
    return module, total


def places(parts: Sequence, path: str) -> Iterator[str]:
    """The places of all convolutions, in the order in which make_sequence makes them."""
    for k, part in enumerate(parts):
        if isinstance(part, Conv):
            yield f"{path}.{k}"
        elif isinstance(part, list):
            for j, branch in enumerate(part):
                yield from places(branch, f"{path}.{k}.{j}")


class NormedConv(HybridBlock):
    """Convolution without bias, norm, ReLU."""

    def __init__(self, norm: Norm, in_channels: int, conv: Conv):
        super().__init__()
        with self.name_scope():
            self.conv = nn.Conv2D(*conv, use_bias=False, in_channels=in_channels)
            self.bn = norm(in_channels=conv.channels)
            self.relu = nn.Activation("relu")

    def hybrid_forward(self, F, x):
        return self.relu(self.bn(self.conv(x)))
