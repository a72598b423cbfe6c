"""A classifier on batches of views: its logits of every view of every image."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Iterator, Sequence

import mxnet as mx
import numpy as np

from gluon_tricks.data.views import View, ViewBatch, by_size
from gluon_tricks.networks.of_recipe import dtype_of, input_dtype
from gluon_tricks.tasks.classification.evaluation import network_logits
from gluon_tricks.tasks.classification.evaluation_set import EvaluationSet
from gluon_tricks.tasks.classification.views import Step, log_probabilities, mixed, views_of, weights_of

# Logits on the device, and of which images and views they are; behind them there may be padding.
Part = tuple[mx.nd.NDArray, np.ndarray, np.ndarray]

_WAITING = 8


@dataclasses.dataclass(frozen=True)
class Member:
    """A network with the views that it is asked about.

    Args:
        source: what the network is called.
        evaluated: the network with its preprocessing; it sees the crops.
        dense: it as convolutions, for whole images; None: there are none.
        steps: the means that are wanted, the last one being that which counts.
    """

    source: str
    evaluated: EvaluationSet
    dense: mx.gluon.HybridBlock | None
    steps: tuple[Step, ...]

    @property
    def views(self) -> tuple[View, ...]:
        return views_of(self.steps)

    def set_precision(self, precision: str) -> None:
        """Makes the network compute in it, fast."""
        self.evaluated.net.hybridize(static_alloc=True, static_shape=True)
        self.evaluated.net.cast(input_dtype(precision))
        if self.dense:
            self.dense.hybridize(static_alloc=True)  # the shapes of whole images differ
            self.dense.cast(input_dtype(precision))


class Looking:
    """Asks a member about one batch after another.

    Args:
        member: in the precision that it is to compute in.
        loaded: the views that batches have.
        contexts: devices, which take parts of a batch in turn.
        most: crops on a device at a time; of whole images as many as have no more pixels.
    """

    def __init__(self, member: Member, loaded: Sequence[View], contexts: Sequence[mx.Context], most: int):
        self.member, self.loaded, self.contexts, self.most = member, loaded, contexts, most
        dtype = dtype_of(member.evaluated.net)
        self._of_crops = member.evaluated.preprocess(dtype)
        self._of_whole = member.evaluated.preprocess(dtype, one_shape=False)
        self._places = {  # of a member's views of a size among those loaded
            size: [by_size(loaded)[size].index(view) for view in same] for size, same in by_size(member.views).items()
        }
        self._weights = weights_of(member.steps, member.views)
        self._order = {view: k for k, view in enumerate(member.views)}

    def start(self, batch: ViewBatch) -> list[Part]:
        """Hands a batch to the devices."""
        parts = []
        for size, same in by_size(self.member.views).items():
            columns = np.array([self._order[view] for view in same])
            made = self._whole(batch, columns) if size is None else self._crops(batch, size, columns)
            for images, slots, of_view in made:
                context = self.contexts[len(parts) % len(self.contexts)]
                net = self.member.dense if size is None else self.member.evaluated.net
                preprocess = self._of_whole if size is None else self._of_crops
                parts.append((network_logits(net, preprocess(images, context)), slots, of_view))
        return parts

    def read(self, parts: list[Part], count: int) -> np.ndarray:
        """The logarithms of the probabilities of each step, (count, S, K) float64, once the devices are done."""
        logits = None
        for values, slots, of_view in parts:
            values = values.asnumpy()[: len(slots)]
            if logits is None:
                logits = np.full((count, len(self._order), values.shape[1]), np.nan, np.float32)
            real = slots < count
            logits[slots[real], of_view[real]] = values[real]
        return mixed(log_probabilities(logits), self._weights)

    def _crops(self, batch: ViewBatch, size: int, columns: np.ndarray) -> Iterator[tuple]:
        """The crops of one size in pieces of one shape, filled up with zeros; which images' and views' they are."""
        images = batch.crops[size]
        places = self._places[size]
        if places != list(range(images.shape[1])):
            images = images[:, places]
        count, views = images.shape[:2]
        images = images.reshape(-1, size, size, 3)
        slots, of_view = np.repeat(np.arange(count), views), np.tile(columns, count)
        pieces = math.ceil(len(images) / (self.most * len(self.contexts))) * len(self.contexts)
        each = math.ceil(len(images) / pieces)
        for first in range(0, len(images), each):
            piece = images[first : first + each]
            if len(piece) < each:
                piece = np.concatenate([piece, np.zeros((each - len(piece), size, size, 3), np.uint8)])
            yield piece, slots[first : first + each], of_view[first : first + each]

    def _whole(self, batch: ViewBatch, columns: np.ndarray) -> Iterator[tuple]:
        """The whole images, those of one shape together; which images' and views' they are."""
        of_shape = collections.defaultdict(list)
        for slot, images in enumerate(batch.whole[: batch.count]):
            for place, column in zip(self._places[None], columns):
                of_shape[images[place].shape].append((images[place], slot, column))
        crop = self.member.evaluated.preprocessing.input_size**2
        for (height, width, _), found in of_shape.items():
            each = max(1, self.most * crop // (height * width))
            for first in range(0, len(found), each):
                images, slots, of_view = zip(*found[first : first + each])
                yield np.stack(images), np.array(slots), np.array(of_view)


def loaded_views(members: Sequence[Member]) -> tuple[View, ...]:
    """All views that any of the networks is asked about, each once."""
    return tuple(dict.fromkeys(view for member in members for view in member.views))


def images_in_a_step(members: Sequence[Member], devices: int, most: int) -> int:
    """How many images a step takes, so that no member has more crops of them than the devices take at a time.

    Whole images are handed to the devices in smaller parts, and may wait on the host: a step may have _WAITING times
    the pixels of those crops, so that there are several of one shape.

    Args:
        most: crops on a device at a time.
    """
    counts = []
    for member in members:
        of_size, crop = by_size(member.views), member.evaluated.preprocessing.input_size**2
        whole = sum(view.pixels for view in of_size.pop(None, []))
        crops = sum(len(views) for views in of_size.values())
        counts.append(most * devices // crops)
        if whole:
            counts.append(int(_WAITING * most * devices * crop // whole))
    return max(1, min(counts))
