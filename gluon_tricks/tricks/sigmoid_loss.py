"""Label-wise sigmoid loss."""

from __future__ import annotations

import dataclasses
import math

import mxnet as mx

from gluon_tricks.core.bounds import within
from gluon_tricks.tricks.base import Loss, Trick, require


@dataclasses.dataclass(frozen=True)
class SigmoidLoss(Trick):
    """l = -sum_k (q_k log p_k + (1 - q_k) log(1 - p_k)), p = sigmoid(z): each class is a question of its own.

    In the place of the cross-entropy of the softmax, -sum_k q_k log p_k. Of a mixed image two classes can be there.

    Args:
        threshold: None: q is the smoothed and mixed target. t: q_k is 1 where that is above t, else 0, so that both
            classes of a mixed image are wholly there.
        over: "mean" over the classes, whose gradients are K times smaller, as the source has it for optimisers that do
            not mind (LAMB, Adam); or their "sum", which goes with the learning rates of the softmax's loss.

    The class that is told is still that of the largest logit. Validation losses, and the percentages of predictions,
    stay those of the softmax, for which these logits are not made.

    Source: Wightman et al., ResNet strikes back (2021), section 3.1; timm's thresholds (0.2 in A3's recipe).
    Differs: timm can start the last biases at -log(K - 1); here they start at 0, as in its recipes.
    Avoid where: the probabilities are to be those of one class among all. SGD at the softmax's rates needs over=sum.
    """

    one_class = True

    threshold: float | None = within(0, 1, default=None)
    over: str = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.threshold is None or 0 <= self.threshold < 1, self, "threshold must lie in [0, 1), or be null")
        require(self.over in ("mean", "sum"), self, "over must be 'mean' or 'sum'")

    def criterion(self, criterion: Loss) -> Loss:
        def sigmoid_loss(images, logits, target):
            whole = target.sum(axis=1, keepdims=True)  # (N, 1): 1, or what the label weighs
            share = mx.nd.broadcast_div(target, mx.nd.maximum(whole, 1e-12))  # rows sum to 1
            q = share if self.threshold is None else share > self.threshold
            each = mx.nd.Activation(logits, act_type="softrelu") - q * logits  # log(1 + e^z) - q z
            loss = each.mean(axis=1) if self.over == "mean" else each.sum(axis=1)
            return whole.reshape((-1,)) * loss

        return sigmoid_loss

    def least_loss(self, least: float, classes: int) -> float:
        """0: of a smoothed target it is more, which is left out."""
        return 0.0

    def chance_loss(self, chance: float, classes: int) -> float:
        """Of logits of 0, where each question is open."""
        return classes * self.loss_share(classes) * math.log(2)

    def loss_share(self, classes: int) -> float:
        return 1 / classes if self.over == "mean" else 1.0
