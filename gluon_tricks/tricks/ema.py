"""The exponential moving average of the weights."""

from __future__ import annotations

import dataclasses

from gluon_tricks.core.bounds import within
from gluon_tricks.tricks.base import StepContext, Trick, require


@dataclasses.dataclass(frozen=True)
class Ema(Trick):
    """average = d average + (1 - d) weights, d = min(decay, (1 + k) / (warmup + k)) at the k-th time, k from 0.

    It begins as the weights before the first step. Running means and variances of batch normalisation are averaged in
    the same way. The average is kept in float32 whatever the network's precision; training does not see it.

    Args:
        decay: d in the long run, in [0, 1); the average then reaches back over about 1 / (1 - decay) of its updates.
        warmup: how slowly d comes up to it, 1 or more; with 1, and power 0, it is decay from the start.
        power: 0: that warm-up; above 0 timm's: d = min(decay, 1 - (1 + k/warmup)^-power). With warmup=1 and 2/3, as in
            timm, it is 0.99 at the 1000th time and 0.9999 at the millionth.
        every: updates of the weights for one of the average, 1 or more; decay is that of one of the average.
        keep: what final.params, the columns of metrics.csv and the pictures are of: the "average", the weights as they
            were trained ("raw"), or the "better" of the two by the newest validation.

    Source: Polyak & Juditsky, Acceleration of stochastic approximation by averaging (1992); Szegedy et al., Rethinking
        the Inception architecture (2016), section 8. The warm-up is TensorFlow's.
    Differs: timm's own numbers, warmup=1 and power=2/3, have a larger d until k is about 700, and a smaller one from
        then on; torchvision begins anew in every step of the rate's warm-up. Both average the running statistics too,
        other than stochastic weight averaging, which computes them anew.
    Avoid where: the run has few updates: of 0.9999 an average is over about 10,000 of them.
    """

    decay: float = within(0, 1, default=0.9999)
    warmup: float = within(1, 1e9, default=10.0)
    power: float = within(0, 10, default=0.0)
    every: int = within(1, 1 << 20, default=1)
    keep: str = "average"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.decay < 1, self, "decay must lie in [0, 1)")
        require(self.warmup >= 1, self, "warmup must be 1 or more")
        require(self.power >= 0, self, "power must be 0 or more")
        require(self.every >= 1, self, "every must be 1 or more")
        require(self.keep in ("average", "raw", "better"), self, "keep must be 'average', 'raw' or 'better'")

    @property
    def averages(self) -> bool:
        return True

    def average(self, step: StepContext) -> float | None:
        times, left = divmod(step.step - step.plan.first_step + 1, self.every)
        if left:
            return None
        k = times - 1
        return min(self.decay, 1 - (1 + k / self.warmup) ** -self.power if self.power else times / (self.warmup + k))

    def keeps_average(self, raw: float, average: float) -> bool:
        return average >= raw if self.keep == "better" else self.keep == "average"
