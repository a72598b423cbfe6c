"""Progressive resizing: small images first."""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Sequence

from gluon_tricks.core.bounds import within
from gluon_tricks.tricks.base import Trick, require
from gluon_tricks.tricks.schedule import Plan


@dataclasses.dataclass(frozen=True)
class Resizing(Trick):
    """Training images are small in the first epochs and grow to the size S of the recipe; the batch stays as it is.

    With sizes s_0, ..., s_k-1 and s_k = S, which belong to the epochs e_0 = 0, e_1, ..., e_k:

        linear:  e_j <= e < e_j+1:   m round((s_j + (s_j+1 - s_j) (e - e_j) / (e_j+1 - e_j)) / m),   at most S
        steps:   e_j <= e < e_j+1:   s_j
        e >= e_k:                    S

    A step's work is about proportional to the pixels of its images. Validation images have the recipe's input_size.

    Args:
        sizes: s_0 and those between it and S, px, none smaller than the one before; S is the recipe's train_size, or
            its input_size. (): 4/7 S, in whole m, as 128 px are of 224.
        epochs: e_1 to e_k, counted from the start of the run: as many as sizes, rising. (): evenly over the run, so
            that S is that of its last epoch ("linear"), or of the last of k + 1 parts ("steps").
        form: "linear" or "steps".
        multiple: m of "linear", px: networks halve their maps up to five times, and each size is a graph of its own.
            0: 32 where S is 128 px or more, 16 where it is 64 or more, else 8.

    Source: Howard, Training ImageNet in 3 hours for 25 minutes (fast.ai, 2018), the entry to DAWNBench: 128 px, then
        224, then 288 ("steps"). "linear" is FFCV's form of it (Leclerc et al., FFCV, 2023).
    Differs: DAWNBench's entries also change the batch with the size, so that a step has about as many pixels.
    Avoid where: the parts by which classes are recognised are only a few pixels large, or the loader and not the
        network sets the speed: a photo is decoded as a whole, however small it is made.
    """

    sizes: tuple[int, ...] = within(1, 4096, default=())
    epochs: tuple[int, ...] = within(1, 1_000_000, default=())
    form: str = "linear"
    multiple: int = within(0, 4096, default=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(tuple(sorted(self.sizes)) == tuple(self.sizes), self, "sizes must not fall")
        require(tuple(sorted({*self.epochs})) == tuple(self.epochs), self, "epochs must rise")
        require(len(self.epochs) in (0, len(self.sizes or (1,))), self, "epochs must be as many as sizes, or none")
        require(self.form in ("linear", "steps"), self, "form must be 'linear' or 'steps'")

    def doubt(self, plan: Plan) -> str:
        epochs, first_at_last = plan.epochs, math.ceil(self._from(plan.epochs)[-1])
        if first_at_last >= epochs:
            return f"resizing reaches the last size at epoch {first_at_last} only, and the run ends at epoch {epochs}"
        if plan.first_epoch and first_at_last <= plan.first_epoch:
            return f"resizing has no effect in a run from epoch {plan.first_epoch} on, which has the last size"
        return "" if first_at_last else "resizing has no effect in a run of one epoch, which has the last size"

    def image_size(self, size: int, epoch: int, epochs: int) -> int:
        before = self.sizes or (self._whole(size * 4 / 7, size),)
        require(before[-1] <= size, self, f"sizes grow to the recipe's own, {size} px, and may not be larger")
        begins, sizes = self._from(epochs), (*before, size)
        stage = bisect.bisect_right(begins, epoch) - 1
        if stage == len(before) or self.form == "steps":
            return sizes[stage]
        share = (epoch - begins[stage]) / (begins[stage + 1] - begins[stage])
        return self._whole(sizes[stage] + (sizes[stage + 1] - sizes[stage]) * share, size)

    def _whole(self, exact: float, size: int) -> int:
        """The nearest multiple of m px, at least m and at most `size`."""
        multiple = self.multiple or (32 if size >= 128 else 16 if size >= 64 else 8)
        return min(max(int(exact / multiple + 0.5), 1) * multiple, size)

    def _from(self, epochs: int) -> Sequence[float]:
        """From which epoch on each size belongs there, S last."""
        count = len(self.sizes or (1,))
        parts, length = (count + 1, epochs) if self.form == "steps" else (count, epochs - 1)
        return (0, *(self.epochs or (k * length / parts for k in range(1, count + 1))))
