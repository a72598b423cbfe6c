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
from gluon_tricks.tasks.average_precision import gather
from gluon_tricks.tasks.classification.auxiliary import own
from gluon_tricks.tasks.classification.guesses import Guesses, guess, guesses_of
from gluon_tricks.tasks.findings import Arrays


@dataclasses.dataclass(frozen=True)
class ClassificationScores:
    """Fractions of images, the mean cross-entropy in nats, and how many images they are over.

    Attributes:
        guesses: what each image was taken for, of the images of this rank; None: of scores that were read.
    """

    columns: ClassVar[tuple[str, ...]] = ("val_loss", "val_top1", "val_top5")
    in_tables: ClassVar[tuple[str, str]] = ("val_top1", "val_top5")
    compared: ClassVar[str] = "val_top1"
    at_end: ClassVar[dict[str, str]] = {}
    labels: ClassVar[dict[str, str]] = {"val_loss": "loss", "val_top1": "top-1", "val_top5": "top-5"}

    top1: float
    top5: float
    loss: float
    images: int
    guesses: Guesses | None = dataclasses.field(default=None, repr=False, compare=False)

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
            is more of, counted by class weights if there are such. Of equal shares it is the lower class.

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
    found: Arrays | None = None,
) -> ClassificationScores:
    """ClassificationScores a network over all batches of all ranks.

    Args:
        net: in any layout; left in the plain one (see restore_plain_layout).
        batches: of data.loader.Loader(train=False).
        preprocess: (images uint8 NHWC ndarray, context) -> the network's input on that device.
        contexts: each batch is split over them.
        kind: of scores, see scores_of.
        found: is given what was found of each image, the arrays of report.FIELDS; None: that is not wanted.
    """
    sums, seen, owns, pending = np.zeros(4), [], [np.zeros(0)], collections.deque()

    def read(batch, shards) -> None:
        sums[:3] += np.sum([counts.asnumpy() for counts, _ in shards], axis=0, dtype="float64")
        named, confidence, own = np.concatenate([of_each.asnumpy() for _, of_each in shards])[: batch.count].T
        seen.append(guesses_of(batch, named, confidence))
        owns.append(own)

    for batch in batches:
        real = np.arange(len(batch.labels)) < batch.count
        shards = zip(contexts, *(np.array_split(part, len(contexts)) for part in (batch.images, batch.labels, real)))
        pending.append((batch, [_count_shard(net, preprocess, *shard) for shard in shards]))
        sums[3] += batch.count
        if len(pending) > 2:  # the device is never more than two batches behind
            read(*pending.popleft())
    for waiting in pending:
        read(*waiting)
    restore_plain_layout(net)
    top1, top5, loss, images = distributed.total(sums)
    if images == 0:
        raise RuntimeError(
            "there is no image to evaluate on: every one of the records was undecodable or none was given"
        )
    guesses = Guesses.joined(seen)
    if found is not None:
        told = (guesses.images, guesses.labels, guesses.named, guesses.confidence, np.concatenate(owns))
        found.update(_of_each(gather(np.column_stack(told))))
    return kind(top1 / images, top5 / images, loss / images, int(images), guesses)


def _of_each(rows: np.ndarray) -> Arrays:
    """(n, 5): image, class, guess and two probabilities -> an array of each, in the order of the images."""
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    whole = {name: rows[:, k].astype(np.int32) for k, name in enumerate(("image", "truth", "guess"))}
    shares = np.clip(np.nan_to_num(rows[:, 3:]), 0, 1).astype(np.float32)
    return {**whole, "confidence": shares[:, 0], "of_truth": shares[:, 1]}


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


def _count_shard(net, preprocess, context, images, labels, real) -> tuple[mx.nd.NDArray, mx.nd.NDArray]:
    """What adds up, (3,), and what is kept of each image, (N, 3): its guess and the probability of its own class."""
    logits = network_logits(net, preprocess(images, context))
    labels = mx.nd.array(labels, ctx=context, dtype="float32")
    own = logits.softmax(axis=1).pick(labels, axis=1, keepdims=True)
    counts = count_correct(logits, labels, mx.nd.array(real, ctx=context, dtype="float32"))
    return counts, mx.nd.concat(guess(logits), own, dim=1)


def network_logits(net: mx.gluon.HybridBlock, images: mx.nd.NDArray) -> mx.nd.NDArray:
    """The network's logits in float32; those of auxiliary classifiers, which come after its own, are left out."""
    return own(net(images)).astype("float32")


def probabilities(net: mx.gluon.HybridBlock, batches, preprocess: Callable, context: mx.Context) -> np.ndarray:
    """The softmax of a classifier's logits, (N, K) float64. Args: as for collect_logits."""
    logits = collect_logits(net, batches, preprocess, context)[0].astype(np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
