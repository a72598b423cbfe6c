"""No bias decay."""

from __future__ import annotations

import dataclasses

from gluon_tricks.tricks.base import Trick


@dataclasses.dataclass(frozen=True)
class NoBiasDecay(Trick):
    """Weight decay on the weights of convolutions and dense layers only: wd_mult = 0 for biases, gamma and beta.

    Source: section 3.1, no bias decay.
    Avoid where: nothing is known against it, though in the paper's table 4 it loses 0.03 points (batch 256) and 0.34
        (1024).
    """

    def after_initialize(self, net) -> None:
        for name, parameter in net.collect_params().items():
            if not name.endswith("weight"):
                parameter.wd_mult = 0.0
