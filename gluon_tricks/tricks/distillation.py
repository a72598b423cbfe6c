"""Knowledge distillation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from mxnet import autograd

from gluon_tricks.tricks.base import Loss, Trick, require


@dataclasses.dataclass(frozen=True)
class Distillation(Trick):
    """l(p, softmax(z)) + T^2 l(softmax(r/T), softmax(z/T)), r the teacher's logits for the student's own images.

    Args:
        teacher: a run directory or a parameter file, as load_network takes it.
        temperature: T > 0.
        hard_weight: None for the paper's unweighted sum; h in [0, 1] for GluonCV's
            h l(hard) + (1 - h) T^2 l(soft).

    Source: section 5.3, equation 6 (T = 20).
    """

    teacher: str = ""
    temperature: float = 20.0
    hard_weight: float | None = None

    def __post_init__(self) -> None:
        require(bool(self.teacher), self, "teacher must name a run directory or a parameter file")
        require(self.temperature > 0, self, "temperature must be positive")
        require(self.hard_weight is None or 0 <= self.hard_weight <= 1, self, "hard_weight must lie in [0, 1]")

    def loss(self, loss: Loss, load_network: Callable) -> Loss:
        teacher = load_network(self.teacher)
        teacher.hybridize(static_alloc=True, static_shape=True)
        hard, soft = (1.0, 1.0) if self.hard_weight is None else (self.hard_weight, 1.0 - self.hard_weight)
        temperature = self.temperature

        def distilled(images, logits, target):
            with autograd.pause():
                teacher_logits = teacher(images.astype("float32")).astype("float32")
            teacher_target = (teacher_logits / temperature).softmax()  # (N, K)
            soft_loss = -((logits / temperature).log_softmax() * teacher_target).sum(axis=1)  # (N,)
            return hard * loss(images, logits, target) + soft * temperature**2 * soft_loss

        return distilled
