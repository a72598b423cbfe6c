"""The order of an epoch: every class equally often, or every image several times in one batch."""

from __future__ import annotations

import numpy as np


def balanced_order(labels: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Which image comes when, where every class that has images is drawn equally often.

    Each of K classes comes count // K times; which of them come once more is drawn, as is the order of all. The images
    of a class come in random order, all of them before any comes again: of a large class only some are there, of a
    small one each several times.

    Args:
        labels: (n,) int, of the images.
        count: how many are drawn, >= 1.
        random: of all draws.

    Returns:
        (count,) places in `labels`.
    """
    found, sizes = np.unique(labels, return_counts=True)
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])  # of each class
    often = np.full(len(found), count // len(found))
    often[random.permutation(len(found))[: count % len(found)]] += 1
    when = np.argsort(random.permutation(np.repeat(np.arange(len(found)), often)), kind="stable")  # class by class
    order = np.empty(count, np.int64)
    order[when] = np.concatenate([_taken(images, times, random) for images, times in zip(members, often)])
    return order


def _taken(images: np.ndarray, times: int, random: np.random.Generator) -> np.ndarray:
    """So many of the images, all of them in random order before any of them again."""
    rounds = -(-times // len(images))
    return random.permuted(np.tile(images, (rounds, 1)), axis=1).ravel()[:times]


def repeated_order(order: np.ndarray, times: int, batch: int) -> np.ndarray:
    """Which image comes when, where every image of an order comes so many times in one batch.

    Each batch has the next B / M images of the order once, then all of them again: [7, 3, 5, ...] -> [7, 3, 7, 3, 5,
    ...] for M = 2 and B = 4. So ranks, devices and what batch normalisation sees together have different images, as far
    as there are. Where M does not divide B, the copies of the last image of a batch go on in the next one.

    Args:
        order: (n,).
        times: M >= 1.
        batch: B >= 1, images of all ranks in a step.

    Returns: (n times,).

    Source: Hoffer et al., Augment your batch (CVPR 2020), section 3: M differently augmented copies of B / M images.
    Differs: their batch is M times as large; here it stays, as in the samplers of timm and torchvision, and so does
        the length of an epoch. Those give the copies to different ranks.
    """
    in_turn = np.repeat(order, times)
    steps = (in_turn[first : first + batch] for first in range(0, len(in_turn), batch))
    return np.concatenate([images[np.argsort(repeats(images), kind="stable")] for images in steps])


def repeats(order: np.ndarray) -> np.ndarray:
    """How often the image at each place has come before, (n,): [7, 3, 7, 7] -> [0, 0, 1, 2]."""
    by_image = np.argsort(order, kind="stable")
    _, firsts, counts = np.unique(order[by_image], return_index=True, return_counts=True)
    before = np.empty(len(order), np.int64)
    before[by_image] = np.arange(len(order)) - np.repeat(firsts, counts)
    return before
