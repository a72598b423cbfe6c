"""Weight decay beside Adam's gradient."""

from __future__ import annotations

import dataclasses
import fnmatch

from gluon_tricks.core.bounds import within
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import quoted
from gluon_tricks.tricks.base import Trick, require


@dataclasses.dataclass(frozen=True)
class DecoupledDecay(Trick):
    """AdamW: w = w - lr (m' / (sqrt(v') + eps) + wd w), m' and v' being corrected for their beginning; needs "adam".

    The recipe's momentum is beta_1. What has wd_mult 0, as by NoBiasDecay, does not decay.

    Args:
        beta2: of the mean square, in [0, 1).
        eps: more than 0.
        no_decay: what else does not decay: names of parameters or parts, with * and ? as file names have them.

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
        parameters = net._collect_params_with_prefix()
        for pattern in self.no_decay:
            meant = [name for name in parameters if _names(pattern, name)]
            if not meant:
                raise Refused(
                    f"decoupled_decay.no_decay: {quoted(pattern)} names no parameter; there are {', '.join(parameters)}"
                    if len(parameters) <= 5 else
                    f"decoupled_decay.no_decay: {quoted(pattern)} names no parameter, such as {next(iter(parameters))}"
                )  # fmt: skip
            for name in meant:
                parameters[name].wd_mult = 0.0


def _names(pattern: str, name: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) or name.startswith(f"{pattern}.")
