"""Zero gamma."""

from __future__ import annotations

import dataclasses

from gluon_tricks.tricks.base import Trick


@dataclasses.dataclass(frozen=True)
class ZeroGamma(Trick):
    """gamma = 0 in the last batch normalisation of every residual block: each block starts as its shortcut.

    Source: section 3.1, zero gamma.
    Differs: from GluonCV, where the basic blocks of v1b ignore it; networks without residual blocks refuse it.
    Avoid where: the network has no residual branches, or starts from trained weights.
    """

    def net_kwargs(self) -> dict:
        return {"last_gamma": True}
