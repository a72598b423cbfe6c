"""From a network and images to the logits of each class, and to their scores over all ranks."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Sequence

import mxnet as mx
import numpy as np

from gluon_tricks.data.label_vectors import LabelledImages
from gluon_tricks.networks.of_recipe import restore_plain_layout
from gluon_tricks.tasks.average_precision import gather
from gluon_tricks.tasks.classification.auxiliary import own
from gluon_tricks.tasks.multi_label.metrics import MultiLabelScores, score


def evaluate_tags(
    net: mx.gluon.HybridBlock, batches: Iterable, preprocess: Callable, contexts: Sequence[mx.Context],
    records: LabelledImages, names: Sequence[str],
) -> MultiLabelScores:  # fmt: skip
    """MultiLabelScores of a network over all batches of all ranks, each image by the mean of its crops' logits.

    Args:
        net: in any layout; left in the plain one (see restore_plain_layout).
        batches: of TagLoader(train=False), every image once over all ranks.
        preprocess: (images uint8 NHWC ndarray, context) -> the network's input on that device.
        contexts: each batch is split over them.
        records: what the batches' indices are of.
        names: of the classes.

    Source: Krähenbühl et al., section 4.2; that logits are averaged, their program.
    """
    rows, pending = [np.zeros((0, 1 + len(names)))], collections.deque()
    for batch in batches:
        shards = zip(contexts, np.array_split(batch.images, len(contexts)))
        pending.append((batch.indices[: batch.count], [_mean_logits(net, preprocess, *shard) for shard in shards]))
        if len(pending) > 2:  # the device is never more than two batches behind
            rows.append(_rows(*pending.popleft()))
    rows += [_rows(*waiting) for waiting in pending]
    restore_plain_layout(net)
    found = gather(np.concatenate(rows))
    if not len(found):
        raise RuntimeError("there is no image to evaluate on: every one of the records was undecodable")
    found = found[np.argsort(found[:, 0], kind="stable")]
    return score(found[:, 1:], records.vectors[found[:, 0].astype(int)], names)


def _mean_logits(net, preprocess: Callable, context: mx.Context, images: np.ndarray) -> mx.nd.NDArray:
    """(n, K) float32 of images (n, crops * size, size, 3)."""
    side, count = images.shape[2], len(images)
    logits = own(net(preprocess(images.reshape(-1, side, side, 3), context)))
    return logits.astype("float32").reshape((count, -1, logits.shape[1])).mean(axis=1)


def _rows(indices: np.ndarray, logits: list[mx.nd.NDArray]) -> np.ndarray:
    """(n, 1 + K) float64: image and logits of each, padding left out."""
    whole = np.concatenate([part.asnumpy() for part in logits])
    return np.column_stack([indices, whole[: len(indices)]]).astype(np.float64)
