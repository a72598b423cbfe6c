"""Testing as the ILSVRC winners did: which views of an image a classifier is asked about, and what each adds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import plural, some
from gluon_tricks.data.crop import resized_edge
from gluon_tricks.data.views import CENTRE, LARGEST_WHOLE, PLACES, View
from model_zoo.preprocessing import LARGEST_RESIZED, Preprocessing

CROPS = ("1", "flip", "5", "10")
MOST_SCALES = 64  # the views of all of them are held of an image at a time


@dataclasses.dataclass(frozen=True)
class Step:
    """One of the things that are added to each other: a mean over views.

    Args:
        label: what it is, in words.
        weights: of each view in the mean; their sum is 1.
    """

    label: str
    weights: Mapping[View, float]


@dataclasses.dataclass(frozen=True)
class Views:
    """How an image is looked at in testing. Over all views probabilities, the softmax of the logits, are averaged.

    Args:
        crops: "1" (the centre), "flip" (and its mirror image), "5" (the corners besides) or "10" (and mirror images).
        scales: px of the shorter edge, each of which is taken; (): the network's own. What is averaged over the scales
            is each one's mean over its crops.
        dense: the whole image in place of crops (see model_zoo.dense); then crops is "1" or "flip".

    Raises:
        Refused: there are no such crops, a scale is out of range or there twice, more than 64 scales, or crops of whole
            images are meant.

    Source: ILSVRC winners, "Testing" of AlexNet (10 crops), VGG (3 scales) and ResNet (5 scales); the whole images are
        those of the papers (see model_zoo.dense).
    Differs: AlexNet's images are 256 x 256; here the corners are those of the middle square of the resized image, which
        is the same thing for a photo of any shape.
    """

    crops: str = "1"
    scales: tuple[int, ...] = ()
    dense: bool = False

    def __post_init__(self):
        object.__setattr__(self, "crops", str(self.crops))
        object.__setattr__(self, "scales", tuple(self.scales))
        if self.crops not in CROPS:
            raise Refused(f"there are no crops {self.crops!r}: choose one of {', '.join(CROPS)}")
        if len(set(self.scales)) < len(self.scales):
            raise Refused(f"scales {_listed(self.scales)}: one of them is named twice")
        if len(self.scales) > MOST_SCALES:
            raise Refused(f"there are {len(self.scales)} scales, and {MOST_SCALES} are the most: choose some of them")
        most = LARGEST_WHOLE if self.dense else LARGEST_RESIZED
        if any(type(edge) is not int or not 1 <= edge <= most for edge in self.scales):
            raise Refused(f"scales {_listed(self.scales)}: the shorter edge takes 1 to {most} px")
        if self.dense and self.crops in ("5", "10"):
            raise Refused(
                f"--dense looks at whole images, which have no {self.crops} crops: leave out --crops, or flip"
            )

    @property
    def plain(self) -> bool:
        """The centre crop at the network's own scale and nothing else."""
        return self == Views()

    def require(self, name: str, seen_as: Preprocessing, least_side: int) -> None:
        """Refuses scales that are too small for a network.

        Args:
            name: of the network.
            seen_as: its preprocessing.
            least_side: px of the whole images that it takes.
        """
        size, least = seen_as.input_size, least_side if self.dense else seen_as.input_size
        small = [edge for edge in self._edges(seen_as) if edge < least]
        if small and self.dense:
            raise Refused(f"--dense: {name} takes images of at least {least} px, and {_listed(small)} px is less")
        if small:
            raise Refused(
                f"{name} sees crops of {size} px, which are larger than images of {_listed(small)} px: give scales of "
                f"at least {size}, or --dense"
            )
        if self.crops in ("5", "10") and max(self._edges(seen_as)) == size:
            raise Refused(
                f"--crops {self.crops}: the crops of {name} are as large as its images, {size} px, so that all are the "
                "same: give larger --scales, or a smaller --crop-ratio"
            )

    def _edges(self, seen_as: Preprocessing) -> tuple[int, ...]:
        return self.scales or (resized_edge(seen_as.input_size, seen_as.crop_ratio),)

    def steps(self, seen_as: Preprocessing) -> tuple[Step, ...]:
        """From the centre crop of plain evaluation to what was asked for, one addition after another.

        Crops, and whole images, are added at the scale that is nearest to the network's own, then the other scales.
        """
        size, edges = seen_as.input_size, self._edges(seen_as)
        own = resized_edge(size, seen_as.crop_ratio)
        base = min(edges, key=lambda edge: (abs(edge - own), edge))
        side = None if self.dense else size
        at = f" at {base} px" if base != own else ""
        steps = [Step("1 crop", {View(own, size): 1.0})]
        steps.append(Step(f"the whole image{at}" if self.dense else f"1 crop{at}", _mean([base], side, 1, False)))
        if self.crops in ("flip", "10"):
            steps.append(Step("with its mirror image", _mean([base], side, 1, True)))
        if self.crops in ("5", "10"):
            steps.append(Step(f"{self.crops} crops", _mean([base], side, len(PLACES), self.crops == "10")))
        if len(edges) > 1:
            places = len(PLACES) if self.crops in ("5", "10") else 1
            label = f"{plural(len(edges), 'scale')} ({_listed(edges)} px)"
            steps.append(Step(label, _mean(edges, side, places, self.crops in ("flip", "10"))))
        return tuple(step for k, step in enumerate(steps) if not k or step.weights != steps[k - 1].weights)


def _mean(edges: Sequence[int], size: int | None, places: int, mirrored: bool) -> dict[View, float]:
    """The mean over edges of the mean over places and mirror images; where a crop is the whole square, of one place."""
    weights = {}
    for edge in edges:
        at = PLACES[:places] if edge != size else (CENTRE,)
        views = [View(edge, size, place, flip) for flip in (False, True)[: 1 + mirrored] for place in at]
        weights |= {view: 1 / (len(edges) * len(views)) for view in views}
    return weights


def views_of(steps: Sequence[Step]) -> tuple[View, ...]:
    """All views that any of the steps has, each once."""
    return tuple(dict.fromkeys(view for step in steps for view in step.weights))


def weights_of(steps: Sequence[Step], views: Sequence[View]) -> np.ndarray:
    """(S, V): the weight of each view in each step."""
    return np.array([[step.weights.get(view, 0.0) for view in views] for step in steps])


def _listed(edges: Sequence[int]) -> str:
    return some(edges, most=10)


# --- averaging, in logarithms: the probability of a class may be less than any number


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """The logarithm of the softmax over the last axis, in float64."""
    logits = logits.astype(np.float64)
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def mixed(logs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The logarithms of weighted means of probabilities.

    log sum_v w_v p_v

    Args:
        logs: (N, V, K) log p.
        weights: (S, V), each row's sum 1. A view of weight 0 does not matter, whatever it is.

    Returns: (N, S, K).
    """
    means = []
    for row in weights:
        chosen = np.flatnonzero(row)
        parts = logs[:, chosen]
        if len(chosen) == 1:
            means.append(parts[:, 0])
            continue
        largest = parts.max(axis=1, keepdims=True)
        largest = np.where(np.isfinite(largest), largest, 0)
        with np.errstate(divide="ignore"):  # log 0 of a class that no view gives anything
            mean = np.log((np.exp(parts - largest) * row[chosen, None]).sum(axis=1)) + largest[:, 0]
        means.append(mean)
    return np.stack(means, axis=1)


def positions(logs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many classes come before an image's own, 0: it is the likeliest. Of equal ones the lower class comes first.

    What is not a number comes before everything, as in evaluation.count_correct.

    Args:
        logs: (N, ..., K).
        labels: (N,) class indices.

    Returns: (N, ...) whole numbers.
    """
    labels = labels.reshape(-1, *[1] * (logs.ndim - 1))
    own = np.take_along_axis(logs, np.broadcast_to(labels, (*logs.shape[:-1], 1)), axis=-1)
    before = ~(logs <= own) | ((logs == own) & (np.arange(logs.shape[-1]) < labels))
    return before.sum(axis=-1)
