"""The mean over runs of what they have recorded of their epochs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def mean_history(histories: Sequence[Sequence[float]]) -> np.ndarray:
    """The mean over runs of each epoch; one that ended earlier keeps what it had, as its network does."""
    longest = max(map(len, histories))
    return np.mean([[*history, *history[-1:] * (longest - len(history))] for history in histories], axis=0)
