"""Top-1, top-5 and loss over exactly the images there are."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

import mxnet as mx
import numpy as np

from gluon_tricks.networks.of_recipe import restore_plain_layout
from gluon_tricks.ranks import distributed
from gluon_tricks.tasks.classification.auxiliary import own
from gluon_tricks.tasks.classification.class_scores import confusion_matrix


@dataclasses.dataclass(frozen=True)
class ClassificationScores:
    """Fractions of images, the mean cross-entropy in nats, and how many images they are over.

    `confusion` are counts (K, K), row the true class, column the named one, if they were asked for.
    """

    columns: ClassVar[tuple[str, ...]] = ("val_loss", "val_top1", "val_top5")
    in_tables: ClassVar[tuple[str, str]] = ("val_top1", "val_top5")
    at_end: ClassVar[dict[str, str]] = {}
    labels: ClassVar[dict[str, str]] = {"val_loss": "loss", "val_top1": "top-1", "val_top5": "top-5"}

    top1: float
    top5: float
    loss: float
    images: int
    confusion: np.ndarray | None = dataclasses.field(default=None, compare=False, repr=False)

    @property
    def best(self) -> float:
        """By which checkpoints are compared."""
        return self.top1

    def row(self) -> dict[str, float]:
        """Its columns of metrics.csv."""
        return {"val_loss": self.loss, "val_top1": self.top1, "val_top5": self.top5}

    def per_class(self) -> dict[str, list[float | None]]:
        """Nothing: what is counted is over all images."""
        return {}

    @classmethod
    def from_row(cls, row: dict[str, float], images: int) -> ClassificationScores:
        """The scores of a row of metrics.csv."""
        return cls(row["val_top1"], row["val_top5"], row["val_loss"], images)

    def __str__(self) -> str:
        row = self.row()
        measured = [f"{label} {row[column]:.2%}" for column, label in self.labels.items() if column != "val_loss"]
        return f"{', '.join(measured)}, val loss {self.loss:.3f}"


class ScoresOfFew(ClassificationScores):
    """Of at most five classes, which are all among the top 5: the top 1 alone is told."""

    labels: ClassVar[dict[str, str]] = {"val_loss": "loss", "val_top1": "top-1"}


def scores_of(classes: int) -> type[ClassificationScores]:
    """What scores of so many classes are told as."""
    return ScoresOfFew if classes <= 5 else ClassificationScores


def count_correct(logits: mx.nd.NDArray, labels: mx.nd.NDArray, real: mx.nd.NDArray) -> mx.nd.NDArray:
    """What evaluation adds up over batches, on the device.

    An image is right in the top k if fewer than k classes come before its own; of equal logits the lower class
    comes first, and a logit that is not a number comes before everything, so a broken network is never right.

    Args:
        logits: (N, K) float32.
        labels: (N,) class indices.
        real: (N,) 1 for images, 0 for padding.

    Returns:
        (3,) float32: right in the top 1, right in the top 5, summed loss.
    """
    rank = _classes_before(logits, labels)
    loss = -logits.log_softmax(axis=1).pick(labels, axis=1)
    right = [((rank < k) * real).sum() for k in (1, 5)]
    return mx.nd.concat(*right, mx.nd.where(real, loss, mx.nd.zeros_like(loss)).sum(), dim=0)


def count_wrong(outputs: mx.nd.NDArray | Sequence[mx.nd.NDArray], target: mx.nd.NDArray) -> mx.nd.NDArray:
    """How many images are not right in the top 1, as count_correct has it, on the device.

    Args:
        outputs: logits (N, K) float32; or several such, of which the first count.
        target: (N, K); the right class is the one with the largest share of it, of a mixed image the image that there
            is more of. Of equal shares it is the lower class.

    Returns: (1,) float32, a whole number.
    """
    logits = outputs[0] if isinstance(outputs, (list, tuple)) else outputs
    return (_classes_before(logits, target.argmax(axis=1)) > 0).sum()


def _classes_before(logits: mx.nd.NDArray, labels: mx.nd.NDArray) -> mx.nd.NDArray:
    """How many classes come before an image's own, (N,); see count_correct."""
    own = logits.pick(labels, axis=1).expand_dims(1)  # (N, 1)
    classes = mx.nd.arange(logits.shape[1], ctx=logits.context).expand_dims(0)  # (1, K)
    not_below = 1 - mx.nd.broadcast_lesser_equal(logits, own)
    ties_before = mx.nd.broadcast_equal(logits, own) * mx.nd.broadcast_lesser(classes, labels.expand_dims(1))
    return (not_below + ties_before).sum(axis=1)


def evaluate(
    net: mx.gluon.HybridBlock,
    batches: Iterable,
    preprocess: Callable,
    contexts: Sequence[mx.Context],
    kind: type[ClassificationScores] = ClassificationScores,
    confused: int = 0,
) -> ClassificationScores:
    """Scores a network over all batches of all ranks.

    Args:
        net: in any layout; left in the plain one (see restore_plain_layout).
        batches: of data.loader.Loader(train=False).
        preprocess: (images uint8 NHWC ndarray, context) -> the network's input on that device.
        contexts: each batch is split over them.
        kind: of scores, see scores_of.
        confused: K, to count the confusion matrix too; 0: it is not. An image whose logits are no numbers is not in it.
    """
    sums, pending, matrix = np.zeros(4), collections.deque(), np.zeros((confused, confused))
    for batch in batches:
        real = np.arange(len(batch.labels)) < batch.count
        shards = zip(contexts, *(np.array_split(part, len(contexts)) for part in (batch.images, batch.labels, real)))
        found = [_count_shard(net, preprocess, *shard, bool(confused)) for shard in shards]
        pending.append((found, batch.labels[: batch.count]))
        sums[3] += batch.count
        if len(pending) > 2:  # the device is never more than two batches behind
            _read(*pending.popleft(), sums, matrix)
    for found, labels in pending:
        _read(found, labels, sums, matrix)
    restore_plain_layout(net)
    (top1, top5, loss, images), matrix = np.split(distributed.total(np.append(sums, matrix)), [4])
    if images == 0:
        raise RuntimeError(
            "there is no image to evaluate on: every one of the records was undecodable or none was given"
        )
    counted = matrix.reshape(confused, confused).astype(np.int64) if confused else None
    return kind(top1 / images, top5 / images, loss / images, int(images), counted)


def collect_logits(
    net: mx.gluon.HybridBlock, batches: Iterable, preprocess: Callable, context: mx.Context
) -> tuple[np.ndarray, np.ndarray]:
    """All logits (N, K) float32 and labels (N,), in the order of the batches. Args: as for evaluate."""
    logits, labels = [], []
    for batch in batches:
        logits.append(network_logits(net, preprocess(batch.images, context)).asnumpy()[: batch.count])
        labels.append(batch.labels[: batch.count])
    return np.concatenate(logits), np.concatenate(labels)


Z = 1.959964  # 95 % of a normal distribution lie within so many standard deviations


def wilson(fraction: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a probability that was seen as a fraction of count.

    Source: Wilson, Probable inference, the law of succession, and statistical inference (JASA 1927).
    """
    middle = (fraction + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * math.sqrt(fraction * (1 - fraction) / count + Z**2 / (4 * count**2))
    return middle - half, middle + half


def _count_shard(net, preprocess, context, images, labels, real, confused: bool) -> list[mx.nd.NDArray]:
    """What count_correct gives and, if they are asked for, the named classes (N,), -1 of logits that are no numbers."""
    logits = network_logits(net, preprocess(images, context))
    labels = mx.nd.array(labels, ctx=context, dtype="float32")
    counts = count_correct(logits, labels, mx.nd.array(real, ctx=context, dtype="float32"))
    if not confused:
        return [counts]
    total = logits.sum(axis=1)
    return [counts, mx.nd.where(total == total, logits.argmax(axis=1), -mx.nd.ones_like(total))]


def network_logits(net: mx.gluon.HybridBlock, images: mx.nd.NDArray) -> mx.nd.NDArray:
    """The network's logits in float32; those of auxiliary classifiers, which come after its own, are left out."""
    return own(net(images)).astype("float32")


def _read(shards: list[list[mx.nd.NDArray]], labels: np.ndarray, sums: np.ndarray, matrix: np.ndarray) -> None:
    """Adds what was counted of a batch, once the devices are done. Args: labels: of its images."""
    sums[:3] += np.sum([counts.asnumpy() for counts, *_ in shards], axis=0, dtype="float64")
    if len(matrix):
        named = np.concatenate([guesses.asnumpy() for _, guesses in shards])[: len(labels)]
        matrix += confusion_matrix(labels[named >= 0], named[named >= 0], len(matrix))


def probabilities(net: mx.gluon.HybridBlock, batches, preprocess: Callable, context: mx.Context) -> np.ndarray:
    """The softmax of a classifier's logits, (N, K) float64. Args: as for collect_logits."""
    logits = collect_logits(net, batches, preprocess, context)[0].astype(np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
