"""From a network and images to the logits of each class, and to their scores over all ranks."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Sequence

import mxnet as mx
import numpy as np
import scipy.special

from gluon_tricks.data.label_vectors import ABSENT, IGNORED, PRESENT, LabelledImages
from gluon_tricks.networks.of_recipe import restore_plain_layout
from gluon_tricks.tasks.average_precision import gather
from gluon_tricks.tasks.classification.auxiliary import own
from gluon_tricks.tasks.findings import Arrays, curve
from gluon_tricks.tasks.multi_label.metrics import MultiLabelScores, score

_MISTAKES = 12  # of each kind, that are kept


def evaluate_tags(
    net: mx.gluon.HybridBlock, batches: Iterable, preprocess: Callable, contexts: Sequence[mx.Context],
    records: LabelledImages, names: Sequence[str], found: Arrays | None = None,
) -> MultiLabelScores:  # fmt: skip
    """MultiLabelScores of a network over all batches of all ranks, each image by the mean of its crops' logits.

    Args:
        net: in any layout; left in the plain one (see restore_plain_layout).
        batches: of TagLoader(train=False), every image once over all ranks.
        preprocess: (images uint8 NHWC ndarray, context) -> the network's input on that device.
        contexts: each batch is split over them.
        records: what the batches' indices are of.
        names: of the classes.
        found: is given what was found, the arrays of report.FIELDS; None: that is not wanted.

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
    of_all = gather(np.concatenate(rows))
    if not len(of_all):
        raise RuntimeError("there is no image to evaluate on: every one of the records was undecodable")
    of_all = of_all[np.argsort(of_all[:, 0], kind="stable")]
    images, logits = of_all[:, 0].astype(np.int32), of_all[:, 1:]
    scores = score(logits, records.vectors[images], names)
    if found is not None:
        found.update(_found(images, logits, records.vectors[images]), average_precision=scores.areas())
    return scores


def _found(images: np.ndarray, logits: np.ndarray, labels: np.ndarray) -> Arrays:
    """A curve of each class, and the surest of the tags that are wrong and of those that are missing.

    Args:
        images: (n,) int32.
        logits, labels: (n, K).
    """
    logits = np.where(np.isnan(logits), -np.inf, logits)
    counted = [labels[:, k] != IGNORED for k in range(labels.shape[1])]
    curves = [
        curve(logits[own, k], labels[own, k] == PRESENT, int((labels[:, k] == PRESENT).sum()))
        for k, own in enumerate(counted)
    ]
    sure = scipy.special.expit(logits).astype(np.float32)
    wrong = np.where(labels == ABSENT, sure, -1.0)
    missing = np.where(labels == PRESENT, 1 - sure, -1.0)
    places = [_largest(array) for array in (wrong, missing)]
    rows, of_class = (np.concatenate(axis) for axis in zip(*places))
    return {
        "curves": np.stack(curves),
        "objects": (labels == PRESENT).sum(axis=0).astype(np.int32),
        "mistake_image": images[rows],
        "mistake_class": of_class.astype(np.int32),
        "mistake_probability": sure[rows, of_class],
        "mistake_present": (labels[rows, of_class] == PRESENT).astype(np.int32),
    }


def _largest(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places of the largest numbers of 0.5 and more, at most _MISTAKES: rows and columns."""
    order = np.argsort(-array, axis=None, kind="stable")[:_MISTAKES]
    rows, of_class = np.unravel_index(order, array.shape)
    there = array[rows, of_class] >= 0.5
    return rows[there], of_class[there]


def _mean_logits(net, preprocess: Callable, context: mx.Context, images: np.ndarray) -> mx.nd.NDArray:
    """(n, K) float32 of images (n, crops * size, size, 3)."""
    side, count = images.shape[2], len(images)
    logits = own(net(preprocess(images.reshape(-1, side, side, 3), context)))
    return logits.astype("float32").reshape((count, -1, logits.shape[1])).mean(axis=1)


def _rows(indices: np.ndarray, logits: list[mx.nd.NDArray]) -> np.ndarray:
    """(n, 1 + K) float64: image and logits of each, padding left out."""
    whole = np.concatenate([part.asnumpy() for part in logits])
    return np.column_stack([indices, whole[: len(indices)]]).astype(np.float64)
