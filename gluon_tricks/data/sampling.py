"""Balanced sampling: the order of an epoch in which every class comes equally often."""

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


def repeats(order: np.ndarray) -> np.ndarray:
    """How often the image at each place has come before, (n,): [7, 3, 7, 7] -> [0, 0, 1, 2]."""
    by_image = np.argsort(order, kind="stable")
    _, firsts, counts = np.unique(order[by_image], return_index=True, return_counts=True)
    before = np.empty(len(order), np.int64)
    before[by_image] = np.arange(len(order)) - np.repeat(firsts, counts)
    return before
