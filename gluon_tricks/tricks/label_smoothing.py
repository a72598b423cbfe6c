"""Label smoothing."""

from __future__ import annotations

import dataclasses
import math

import mxnet as mx

from gluon_tricks.tricks.base import StepContext, Trick, require, require_batch


@dataclasses.dataclass(frozen=True)
class LabelSmoothing(Trick):
    """q_i = 1 - eps for the true class, eps / (K - 1) for the others.

    Args:
        eps: in [0, 1).
        form: "paper" as above; "gluoncv": 1 - eps + eps/K and eps/K, whose eps is the paper's eps (K-1)/K.

    Source: section 5.2, equation 4.
    Avoid where: the network's probabilities are to be those of the labels, or it is to teach another by distillation.
    """

    one_class = True

    eps: float = 0.1
    form: str = "paper"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.eps < 1, self, "eps must lie in [0, 1)")
        require(self.form in ("paper", "gluoncv"), self, "form must be 'paper' or 'gluoncv'")

    def shares(self, classes: int) -> tuple[float, float]:
        """q of the true class, and of every other one. Args: classes: K."""
        off = self.eps / (classes - 1 if self.form == "paper" else classes)
        return 1 - (classes - 1) * off, off

    def least_loss(self, least: float, classes: int) -> float:
        """The entropy of q, which p = q attains."""
        on, off = self.shares(classes)
        return least - on * math.log(on) - ((classes - 1) * off * math.log(off) if off else 0.0)

    def batch(self, images, target, step: StepContext):
        require_batch(images, target)
        on, off = self.shares(target.shape[1])
        whole = target.sum(axis=1, keepdims=True)  # (N, 1): 1, or what the label weighs
        return images, mx.nd.broadcast_add(target * (on - off), off * whole)  # (N, K): rows sum to as much
