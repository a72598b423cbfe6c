"""Stochastic depth."""

from __future__ import annotations

import dataclasses

from gluon_tricks.core.bounds import within
from gluon_tricks.tricks.base import Trick, require


@dataclasses.dataclass(frozen=True)
class StochasticDepth(Trick):
    """In training block l of L is relu(b f(x) / p_l + shortcut(x)), b = 1 with probability p_l = 1 - l/L rate, else 0.

    Prediction, and all that is made of the trained network, is the plain network: b / p_l is 1 in the mean. Networks
    without drop_path are refused: those without residual branches, and GluonCV's own.

    Args:
        rate: 1 - p_L, how often the last branch is dropped, in [0, 1).
        per: b is drawn for each "image", or for the whole "batch" that a device has.

    Source: Huang et al., Deep networks with stochastic depth (ECCV 2016), section 3 (rate 0.5, of 110 layers; per
        batch). Later recipes for ResNet-50 take 0.05 to 0.1, per image.
    Differs: the source multiplies f by p_l in prediction in place of dividing by it in training. See
        model_zoo.stochastic_depth.
    Avoid where: the network is small or trains for few epochs: it then fits the training images too little already.
    """

    rate: float = within(0, 1, default=0.1)
    per: str = "image"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.rate < 1, self, "rate must lie in [0, 1)")
        require(self.per in ("image", "batch"), self, "per must be 'image' or 'batch'")

    def net_kwargs(self) -> dict:
        return {"drop_path": self.rate, "drop_path_per": self.per}
