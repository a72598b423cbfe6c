"""Weight decay beside Adam's gradient."""

from __future__ import annotations

import dataclasses

from gluon_tricks.core.bounds import within
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.named_parts import named_parts
from gluon_tricks.tricks.base import Trick, require


@dataclasses.dataclass(frozen=True)
class DecoupledDecay(Trick):
    """AdamW: w = w - lr (m' / (sqrt(v') + eps) + wd w), m' and v' being corrected for their beginning; needs "adam".

    The recipe's momentum is beta_1. What has wd_mult 0, as by NoBiasDecay, does not decay.

    Args:
        beta2: of the mean square, in [0, 1).
        eps: more than 0.
        no_decay: what else does not decay: parameters or parts, named as for freeze.

    Source: Loshchilov & Hutter, Decoupled weight decay regularization (ICLR 2019), algorithm 2, lr being the schedule's
        rate as in PyTorch.
    Avoid where: SGD with momentum reaches more, as in most published trainings of ResNets.
    """

    beta2: float = within(0, 1, default=0.999)
    eps: float = within(1e-12, 1, default=1e-8)
    no_decay: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.beta2 < 1, self, "beta2 must lie in [0, 1)")
        require(self.eps > 0, self, "eps must be more than 0")

    def optimizer(self, name: str, numbers: dict) -> tuple[str, dict]:
        if name != "adam":
            raise Refused(f"decoupled_decay is for Adam, and the optimiser is {name}: set optimizer=adam")
        return "adamw", {**numbers, "beta2": self.beta2, "epsilon": self.eps}

    def after_initialize(self, net) -> None:
        for pattern in self.no_decay:
            for parameter in named_parts(net, pattern, "decoupled_decay.no_decay").values():
                parameter.wd_mult = 0.0
