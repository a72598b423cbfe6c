"""Knowledge distillation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from mxnet import autograd

from gluon_tricks.core.bounds import within
from gluon_tricks.tricks.base import Loss, Trick, require


@dataclasses.dataclass(frozen=True)
class Distillation(Trick):
    """l(p, softmax(z)) + T^2 KL(softmax(r/T) || softmax(z/T)), r the teacher's logits for the student's own images.

    Args:
        teacher: a run directory or a parameter file, as load_network takes it.
        temperature: T > 0.
        form: "paper" as above; "gluoncv": h l(p, softmax(z)) + (1 - h) T^2 KL(softmax(r/T) || softmax(z/T)).
        hard_weight: h in [0, 1] of the form "gluoncv"; None: 0.5.

    Source: section 5.3, equation 6 (T = 20).
    Differs: equation 6 has the cross-entropy l(softmax(r/T), softmax(z/T)), which is the divergence KL plus the entropy
        of the teacher's softmax(r/T). That entropy does not depend on the student, so the gradient is the same; it is
        about T^2 ln K (2763 at T = 20 and K = 1000), beside which no change of the loss would be seen.
    Avoid where: the teacher is no better than the student, or another kind of network: in the paper a ResNet's
        lessons cost MobileNet and Inception-V3 accuracy.
    """

    one_class = True

    teacher: str = dataclasses.field(default="", metadata={"free": ("cells",)})  # a cell's is a cell
    temperature: float = within(0, 1e4, default=20.0)
    form: str = "paper"
    hard_weight: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require(bool(self.teacher), self, "teacher must name a run directory or a parameter file")
        require(self.temperature > 0, self, "temperature must be positive")
        require(self.form in ("paper", "gluoncv"), self, "form must be 'paper' or 'gluoncv'")
        require(self.form == "gluoncv" or self.hard_weight is None, self, "hard_weight goes with form 'gluoncv'")
        require(self.hard_weight is None or 0 <= self.hard_weight <= 1, self, "hard_weight must lie in [0, 1]")

    def loss(self, loss: Loss, load_network: Callable) -> Loss:
        teacher = load_network(self.teacher)
        teacher.hybridize(static_alloc=True, static_shape=True)
        hard, soft = self._weights()
        temperature = self.temperature
        asked: dict = {}  # device -> the last images, and what the teacher said: auxiliary classifiers ask again

        def distilled(images, logits, target):
            if asked.get(images.context, (None,))[0] is not images:
                with autograd.pause():
                    teacher_logits = teacher(images.astype("float32")).astype("float32")
                    asked[images.context] = images, (teacher_logits / temperature).log_softmax()  # (N, K)
            teacher_log = asked[images.context][1]
            ratio = teacher_log - (logits / temperature).log_softmax()
            soft_loss = (teacher_log.exp() * ratio).sum(axis=1)  # (N,)
            return hard * loss(images, logits, target) + soft * temperature**2 * soft_loss

        return distilled

    def least_loss(self, least: float, classes: int) -> float:
        """The divergence is at least 0."""
        return self._weights()[0] * least

    def _weights(self) -> tuple[float, float]:
        if self.form == "paper":
            return 1.0, 1.0
        hard = 0.5 if self.hard_weight is None else self.hard_weight
        return hard, 1.0 - hard
