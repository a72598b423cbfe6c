"""Stochastic depth: residual blocks of which training leaves out some branches at random."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Optional

from mxnet.gluon import nn

from gluon_tricks.core.errors import Refused
from model_zoo.classifier import check_drop

# Makes the layer that ends a residual branch, in the name scope of its block; None: the branch is always there.
MakeDropPath = Callable[[], Optional[nn.Dropout]]
_AXES = {"image": (1, 2, 3), "batch": (0, 1, 2, 3)}  # that share a draw


def no_drop_path() -> None:
    """Of a block whose branch is always there."""


class DropPath(nn.Dropout):
    """In training x / (1 - rate), or 0 with probability `rate`; in prediction x. So its mean is x in both.

    Its numbers are Dropout's, so they follow from a run's seed and step, and freezing a part of a network ends it.

    Args:
        rate: in [0, 1).
        per: one draw for each "image", or one for the whole "batch" that a device has.

    Returns: called with (N, C, H, W): the same shape and dtype.
    """

    def __init__(self, rate: float, per: str = "image"):
        super().__init__(rate, axes=_AXES[per])


def drop_paths(name: str, rate: float, per: str, blocks: int) -> Iterator[MakeDropPath]:
    """For each residual block of a network, from the first to the last.

        rate_l = rate l / L    of block l = 1, ..., L

    Args:
        name: of the network, for messages.
        rate: of the last block, in [0, 1); 0: no block has a layer for it.
        per: as of DropPath.
        blocks: L.

    Raises:
        Refused: rate or per is out of its range.

    Source: Huang et al., Deep networks with stochastic depth (ECCV 2016), section 3, equation 4: a branch survives with
        probability p_l = 1 - l/L (1 - p_L), so rate is 1 - p_L; they take 0.5.
    Differs: they draw once for a mini-batch ("batch"), and multiply by p_l in prediction. Here training divides by p_l,
        so that what is evaluated, exported, fused or quantised is the plain network. timm's rates begin with 0 in the
        first block, by (l - 1) / (L - 1).
    """
    check_drop(name, rate)
    if not isinstance(per, str) or per not in _AXES:
        raise Refused(f"{name}: drop_path_per is {per!r}: choose one of {', '.join(_AXES)}")
    return (_maker(rate * block / blocks, per) for block in range(1, blocks + 1))


def _maker(rate: float, per: str) -> MakeDropPath:
    return (lambda: DropPath(rate, per)) if rate else no_drop_path
