"""Random numbers keyed by what they are for and where: the same whoever asks, in whatever order."""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, stream: str, *index: int) -> np.random.Generator:
    """A random generator for one purpose at one place: the same numbers whoever asks, in whatever order.

    Philox is counter based: key = (seed, stream), the upper half of the counter = index, so every index has
    2**128 draws of its own and no state has to be kept, sent or saved.

    Args:
        seed: 0 <= seed < 2**64.
        stream: what the numbers are for ("shuffle", "crop", ...).
        index: at most two whole numbers, such as (epoch, image) or (step,).

    Source: Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
    """
    place = (*index, 0, 0)[:2]
    return np.random.Generator(np.random.Philox(key=[seed, zlib.crc32(stream.encode())], counter=[0, 0, *place]))
