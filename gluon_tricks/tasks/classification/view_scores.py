"""The scores of one or several networks over views of the images, and what each addition gains."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import mxnet as mx
import numpy as np

from gluon_tricks.data.views import View
from gluon_tricks.networks.of_recipe import restore_plain_layout
from gluon_tricks.tasks.classification.evaluation import ClassificationScores, scores_of, wilson
from gluon_tricks.tasks.classification.guesses import Guesses, guesses_of
from gluon_tricks.tasks.classification.looking import Looking, Member
from gluon_tricks.tasks.classification.paired import Gain, gain
from gluon_tricks.tasks.classification.views import mixed, positions

TOPS = (1, 5)


@dataclasses.dataclass(frozen=True, eq=False)
class Addition:
    """The scores of one way of testing.

    Args:
        label: what it is, in words.
        views: how many of an image are averaged; of an ensemble those of all members.
        positions: (N,) how many classes come before each image's own.
        loss: mean of -log of the averaged probability of the image's class, nats.
        over: the way that it is an addition to; None: it is the first.
    """

    label: str
    views: int
    positions: np.ndarray = dataclasses.field(repr=False)
    loss: float
    over: Addition | None = dataclasses.field(default=None, repr=False)

    def top(self, k: int) -> float:
        """The fraction of images whose class is among the k likeliest."""
        return float((self.positions < k).mean())

    def interval(self, k: int) -> tuple[float, float]:
        """Wilson's 95 % interval of top(k)."""
        return wilson(self.top(k), len(self.positions))

    def gain(self, k: int) -> Gain | None:
        """What it gains in the top k over what it is an addition to, on the same images."""
        return None if self.over is None else gain(self.over.positions < k, self.positions < k)

    @property
    def first(self) -> Addition:
        """What the additions began with: the single crop, of an ensemble that of the best network."""
        return self if self.over is None else self.over.first

    def whole_gain(self, k: int) -> Gain:
        """What all additions up to this one gain in the top k."""
        return gain(self.first.positions < k, self.positions < k)

    def line(self, few: bool) -> str:
        """Its scores, in words. Args: few: there are at most five classes, which are all in the top 5."""
        said = []
        for k in TOPS[: 1 if few else 2]:
            low, high = self.interval(k)
            over = f", gain {self.gain(k)} points" if self.over else ""
            said.append(f"top-{k} {self.top(k):.2%} (95 % interval {low:.2%} to {high:.2%}){over}")
        return f"{self.label}: {'; '.join(said)}"

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"label": self.label, "views": self.views, "loss": self.loss}
        for k in TOPS:
            found |= {f"top{k}": self.top(k), f"top{k}_interval": self.interval(k)}
            if self.over:
                found[f"top{k}_gain"] = dataclasses.asdict(self.gain(k))
                found[f"top{k}_whole_gain"] = dataclasses.asdict(self.whole_gain(k))
        return found


@dataclasses.dataclass(frozen=True)
class ViewScores(ClassificationScores):
    """Scores over several views or networks: those of the last addition.

    Args:
        members: of each network, one addition after another.
        ensemble: of the mean over the networks, an addition to the best of them by its top 1; None: there is one.
        few: there are at most five classes.
    """

    members: tuple[tuple[Addition, ...], ...] = ()
    ensemble: Addition | None = None
    few: bool = False

    @property
    def labels(self) -> dict[str, str]:
        return scores_of(5 if self.few else 6).labels


def score_views(
    members: Sequence[Member], loaded: Sequence[View], batches: Iterable, contexts: Sequence[mx.Context], most: int
) -> ViewScores:
    """Scores networks over all batches, each image once.

    Args:
        members: in the precision that they are to compute in; left in the plain layout.
        loaded: the views that the batches have.
        batches: of data.views.ViewLoader.
        contexts: devices.
        most: crops on a device at a time.

    Raises:
        RuntimeError: there is no image.
    """
    asked = [Looking(member, loaded, contexts, most) for member in members]
    found: list[list[tuple[np.ndarray, np.ndarray]]] = []  # of each batch, of each member and the ensemble
    seen: list[Guesses] = []
    pending: collections.deque = collections.deque()
    for batch in batches:
        if batch.count:
            pending.append((batch, [looking.start(batch) for looking in asked]))
        if len(pending) > 2:  # the devices are never more than two batches behind
            found.append(_read(asked, *pending.popleft(), seen))
    found += [_read(asked, *one, seen) for one in pending]
    for member in members:
        restore_plain_layout(member.evaluated.net)
    if not found:
        raise RuntimeError("there is no image to evaluate on: every one of the records was undecodable")
    joined = [[np.concatenate(part) for part in zip(*of_one)] for of_one in zip(*found)]
    return _scores(members, joined, Guesses.joined(seen))


def _read(
    asked: Sequence[Looking], batch, started, seen: list[Guesses]
) -> list[tuple[np.ndarray, np.ndarray]]:  # fmt: skip
    """Of each member, and of several also of their mean: positions and losses, (n, S) each.

    `seen` gets what the last of all means takes the images for.
    """
    logs = [looking.read(parts, batch.count) for looking, parts in zip(asked, started)]
    if len(asked) > 1:
        logs.append(
            mixed(np.stack([of_one[:, -1] for of_one in logs], axis=1), np.full((1, len(asked)), 1 / len(asked)))
        )
    last = logs[-1][:, -1]
    seen.append(guesses_of(batch, last.argmax(axis=1), np.exp(last.max(axis=1))))
    labels = batch.labels[: batch.count]
    own = [np.take_along_axis(of_one, labels[:, None, None], axis=2)[:, :, 0] for of_one in logs]
    return [(positions(of_one, labels), -of_own) for of_one, of_own in zip(logs, own)]


def _scores(members: Sequence[Member], found: list[list[np.ndarray]], guesses: Guesses) -> ViewScores:
    """Args: found: positions and losses (N, S) of each member, and of the ensemble."""
    additions = []
    for member, (places, losses) in zip(members, found):
        of_one: list[Addition] = []
        for k, step in enumerate(member.steps):
            over = of_one[-1] if of_one else None
            of_one.append(Addition(step.label, len(step.weights), places[:, k], float(losses[:, k].mean()), over))
        additions.append(tuple(of_one))
    last, ensemble = additions[0][-1], None
    if len(members) > 1:
        best = max((of_one[-1] for of_one in additions), key=lambda addition: addition.top(1))
        (places, losses), views = found[-1], sum(of_one[-1].views for of_one in additions)
        label = f"ensemble of {len(members)}"
        last = ensemble = Addition(label, views, places[:, 0], float(losses[:, 0].mean()), best)
    few = members[0].evaluated.net.classes <= 5
    scores = (last.top(1), last.top(5), last.loss, len(last.positions), guesses)
    return ViewScores(*scores, members=tuple(additions), ensemble=ensemble, few=few)
