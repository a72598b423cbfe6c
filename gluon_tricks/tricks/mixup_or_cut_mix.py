"""Mixup or CutMix, drawn for each batch."""

from __future__ import annotations

import dataclasses

from gluon_tricks.core.bounds import within
from gluon_tricks.tricks.base import StepContext, Trick, require, require_batch, require_step
from gluon_tricks.tricks.cut_mix import CutMix
from gluon_tricks.tricks.mixup import Mixup
from gluon_tricks.tricks.schedule import Plan


@dataclasses.dataclass(frozen=True)
class MixupOrCutMix(Trick):
    """Each batch is mixed as CutMix does with probability `cut`, else as mixup does.

    Args:
        mixup_alpha, cut_mix_alpha: of their Beta distributions.
        cut: the share of the batches that are cut, in [0, 1].
        off_epochs: the last epochs, which train on images as they are.
        per: of both, one draw for the global "batch", or one for each "image".
        partner: of both, the image at the mirrored place of the device's shard ("reversed"), or at a place of a random
            permutation of it ("permuted").

    Source: timm, and with it Wightman et al., ResNet strikes back (2021), section 3: mixup's alpha 0.1 (A3) or 0.2,
        CutMix's 1.0, each for half of the batches.
    Avoid where: the run is short, as of either of the two.
    """

    mixup_alpha: float = within(0, 1000, default=0.2)
    cut_mix_alpha: float = within(0, 1000, default=1.0)
    cut: float = within(0, 1, default=0.5)
    off_epochs: int = within(0, 1_000_000, default=0)
    per: str = "batch"
    partner: str = "reversed"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.cut <= 1, self, "cut must lie in [0, 1]")
        self._either()  # which look at their own numbers

    @classmethod
    def slot(cls) -> str:
        return "mixing"

    def doubt(self, plan: Plan) -> str:
        return self._either()[0].doubt(plan).replace("mixup", self.label(), 1)

    def batch(self, images, target, step: StepContext):
        require_batch(images, target)
        require_step(step)
        mixup, cut_mix = self._either()
        chosen = cut_mix if step.generator("mixup or cut_mix").random() < self.cut else mixup
        return chosen.batch(images, target, step)

    def _either(self) -> tuple[Mixup, CutMix]:
        both = (self.off_epochs, self.per, self.partner)
        return Mixup(self.mixup_alpha, *both), CutMix(self.cut_mix_alpha, *both)
