"""Data-dependent initialisation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from gluon_tricks.core.bounds import within as bounded
from gluon_tricks.initialise.data import initialise_from_data
from gluon_tricks.initialise.within import FILTERS
from gluon_tricks.tricks.base import Trick, require


@dataclasses.dataclass(frozen=True)
class DataDependentInit(Trick):
    """Weights from the first training images, so that all layers of the network learn at about the same rate.

    within: W_k(i, :) / std(i), b_k(i) = beta - mean(i) / std(i), so that every channel has unit variance and mean beta;
    between: each layer scaled until all change at the same rate. See initialise_from_data.

    Args:
        filters: of convolutions: "gaussian", "pca" or "kmeans" of the patches that they see.
        within, between: which of the two algorithms.
        images: how many: the first of the first epoch's order, augmented as in training and not mixed; of detectors
            and segmenters their centre crops, of the base network's size.
        beta: mean of every channel.
        rounds: of the second algorithm.
        damping: alpha of it, in (0, 1].
        last_zero: the layers that give the logits start at 0, after both.

    Source: Krähenbühl et al., ICLR 2016, algorithms 1 and 2; section 4.5 for last_zero.
    Differs: see initialise_between. Of several ranks the first computes, and the others get what it has.
    Avoid where: the network has batch normalisation, which does the same work, or starts from trained weights.
    """

    filters: str = "gaussian"
    within: bool = True
    between: bool = True
    images: int = bounded(2, 10_000, default=160)
    beta: float = bounded(-1e3, 1e3, default=0.0)
    rounds: int = bounded(0, 1000, default=10)
    damping: float = bounded(0, 1, default=0.25)
    last_zero: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.filters in FILTERS, self, f"filters must be one of {', '.join(FILTERS)}")
        require(0 < self.damping <= 1, self, "damping must lie in (0, 1]")

    @property
    def replaces_weights(self) -> bool:
        return self.within or self.filters != "gaussian"

    @property
    def start_images(self) -> int:
        return self.images

    def from_images(self, net, sample: Callable[[int], Any], seed: int) -> None:
        initialise_from_data(
            net, sample(self.images), filters=self.filters, within=self.within, between=self.between, beta=self.beta,
            rounds=self.rounds, damping=self.damping, last_zero=self.last_zero, seed=seed,
            tell=lambda line: print(f"initialising: {line}"),
        )  # fmt: skip
