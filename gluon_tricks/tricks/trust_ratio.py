"""A rate for each layer, by the lengths of its weights and of their change."""

from __future__ import annotations

import dataclasses

from gluon_tricks.core.bounds import within
from gluon_tricks.core.errors import Refused
from gluon_tricks.tricks.base import Trick, require

LARS_COEFFICIENT = 0.001
_BECOMES = {"sgd": ("lars", LARS_COEFFICIENT), "adamw": ("lamb", 1.0)}


@dataclasses.dataclass(frozen=True)
class TrustRatio(Trick):
    """The rate of each weight array w is multiplied by a ratio, 1 where a length is 0.

    LARS, of SGD with momentum m:  v = m v + lr ratio (g + wd w),  w = w - v,  ratio = c |w| / (|g| + wd |w|).
    LAMB, of Adam with decoupled decay:  w = w - lr ratio u,  u = m' / (sqrt(v') + eps) + wd w,  ratio = c |w| / |u|.

    Biases, gamma and beta, and whatever else has one dimension or wd_mult 0, keep the rate as it is. The lengths stay
    on the device.

    Args:
        coefficient: c; None: 0.001 for LARS and 1 for LAMB.

    Source: You et al., Large batch training of convolutional networks (2017), equation 6 and algorithm 1; You et al.,
        Large batch optimization for deep learning (ICLR 2020), algorithm 2, with phi(x) = x.
    Differs: MXNet's LARS corrects the momentum for a changed rate, in the first four arrays of a step alone, which also
        makes two devices' weights part; and tells biases by their names. Neither optimiser's lengths are exact there
        (see norms.length).
    Avoid where: the batch is at most a few thousand images, where linear scaling does as well.
    """

    coefficient: float | None = within(0, 1e6, default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.coefficient is None or self.coefficient > 0, self, "coefficient must be more than 0")

    def optimizer(self, name: str, numbers: dict) -> tuple[str, dict]:
        if name not in _BECOMES:
            raise Refused(
                "trust_ratio is for SGD with momentum (LARS), or for Adam with decoupled decay (LAMB), and the "
                f"optimiser is {name}: set optimizer=sgd, or optimizer=adam with decoupled_decay=on before it"
            )
        becomes, usual = _BECOMES[name]
        return becomes, {**numbers, "coefficient": usual if self.coefficient is None else self.coefficient}
