"""Label smoothing."""

from __future__ import annotations

import dataclasses

from gluon_tricks.tricks.base import StepContext, Trick, require


@dataclasses.dataclass(frozen=True)
class LabelSmoothing(Trick):
    """q_i = 1 - eps for the true class, eps / (K - 1) for the others.

    Args:
        eps: in [0, 1).
        form: "paper" as above; "gluoncv": 1 - eps + eps/K and eps/K, whose eps is the paper's eps (K-1)/K.

    Source: section 5.2, equation 4.
    """

    one_class = True

    eps: float = 0.1
    form: str = "paper"

    def __post_init__(self) -> None:
        require(0 <= self.eps < 1, self, "eps must lie in [0, 1)")
        require(self.form in ("paper", "gluoncv"), self, "form must be 'paper' or 'gluoncv'")

    def batch(self, images, target, step: StepContext):
        classes = target.shape[1]
        off = self.eps / (classes - 1 if self.form == "paper" else classes)
        on = 1 - (classes - 1) * off
        return images, target * (on - off) + off  # (N, K): rows still sum to 1
