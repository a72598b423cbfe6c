"""Trained classifiers tested as the ILSVRC winners did: over many views of each image, and several networks."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import Any

import mxnet as mx

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import as_utf8, first_difference, plural
from gluon_tricks.data.base_loader import ReadOptions
from gluon_tricks.data.requirements import of_one_class
from gluon_tricks.data.views import View, ViewLoader
from gluon_tricks.networks.load import Trained
from gluon_tricks.networks.of_recipe import require_images
from gluon_tricks.tasks.classification.class_report import class_lines, class_values, names_of
from gluon_tricks.tasks.classification.evaluation_set import EvaluationSet, open_evaluation_set
from gluon_tricks.tasks.classification.looking import Member, images_in_a_step, loaded_views
from gluon_tricks.tasks.classification.view_scores import ViewScores, score_views
from gluon_tricks.tasks.classification.views import Views
from gluon_tricks.tasks.protocol import ScoringOptions
from model_zoo.dense import fully_convolutional


def open_set(
    source: str, contexts: Sequence[mx.Context], options: ScoringOptions, trained: Trained | None
) -> EvaluationSet:
    """A network and the images that the options say. Args and Raises: as for open_evaluation_set."""
    return open_evaluation_set(
        source, contexts, model=options.model, classes=options.classes, rec_val=options.rec_val,
        input_size=options.input_size, crop_ratio=options.crop_ratio, trained=trained, batch_size=options.batch_size,
    )  # fmt: skip


def open_view_validation(
    source: str, contexts: Sequence[mx.Context], options: ScoringOptions, views: Views, trained: Trained | None
) -> ViewValidation:
    """A network, or several, with the images that they are scored on. Args and Raises: as for Task.open_validation."""
    first = open_set(source, contexts, options, trained)
    members = [open_member(source, first, views, contexts[0])]
    for name, other in options.members:
        own = other is not None and other.recipe is not None and not options.rec_val
        images = options if own else dataclasses.replace(options, rec_val=first.records.paths)
        opened = open_set(name, contexts, images, other)
        if opened.records.digest != first.records.digest:
            raise Refused(f"{source} and {name} have other validation images: name those to score on with --rec-val")
        members.append(open_member(name, opened, views, contexts[0]))
    require_same_outputs(members)
    return ViewValidation(tuple(members), views, contexts, options.batch_size, options.threads)


def open_member(source: str, evaluated: EvaluationSet, views: Views, context: mx.Context) -> Member:
    """A network ready to be asked about views of images.

    Args:
        evaluated: the network with its preprocessing.

    Raises:
        Refused: a scale is too small for the network, or its images too large for the memory; or it cannot see whole
            images.
    """
    if evaluated.preprocessing.probabilities != "softmax":
        raise Refused(
            f"{source} gives each class a probability of its own (sigmoid), and crops and ensembles average a softmax"
        )
    dense = fully_convolutional(evaluated.net) if views.dense else None
    views.require(evaluated.net.name, evaluated.preprocessing, dense.smallest_side if dense else 0)
    steps = views.steps(evaluated.preprocessing)
    if dense:
        edge = max(view.edge for view in steps[-1].weights)
        require_images(dense, (1, edge, edge), context)
    return Member(source, evaluated, dense, steps)


def require_same_outputs(members: Sequence[Member]) -> None:
    """Refuses an ensemble whose networks have other classes, or in another order, as far as they have names."""
    first = members[0]
    for other in members[1:]:
        one, two = (member.evaluated.net.classes for member in (first, other))
        if one != two:
            raise Refused(
                f"an ensemble averages networks of the same classes, and {first.source} has {one}, {other.source} {two}"
            )
        names, theirs = (member.evaluated.net.preprocessing.classes for member in (first, other))
        if names and theirs and (odd := first_difference(names, theirs)):
            raise Refused(
                f"an ensemble averages networks of the same classes in the same order, and {first.source} has others "
                f"than {other.source} ({odd})"
            )


@dataclasses.dataclass(frozen=True)
class ViewValidation:
    """See protocol.Validation.

    Args:
        members: the networks, of whose records the first one's are taken.
        views: what of each image they see.
        contexts: devices.
        most: crops on a device at a time.
        threads: of the loader; None: all cores.
    """

    members: tuple[Member, ...]
    views: Views
    contexts: Sequence[mx.Context]
    most: int
    threads: int | None

    @property
    def _first(self) -> EvaluationSet:
        return self.members[0].evaluated

    @functools.cached_property
    def _loaded(self) -> tuple[View, ...]:
        return loaded_views(self.members)

    @functools.cached_property
    def loader(self) -> ViewLoader:
        images = images_in_a_step(self.members, len(self.contexts), self.most)
        return ViewLoader(
            self._first.records, self._loaded, batch_size=images, classes=self._first.net.classes,
            options=ReadOptions(threads=self.threads),
        )  # fmt: skip

    def score(self, batches: Iterable, precision: str | None = None) -> ViewScores:
        for member in self.members if precision else ():
            member.set_precision(precision)
        return score_views(self.members, self._loaded, batches, self.contexts, self.most)

    def doubts(self) -> list[str]:
        said = of_one_class(self._first.records)
        return [said] if said else []

    def result(self, scores: ViewScores, precision: str, seconds: float) -> dict[str, Any]:
        last = scores.ensemble or scores.members[0][-1]
        numbers = {key: value for key, value in last.to_json().items() if not key.endswith("gain")}
        return {
            "records": [*map(as_utf8, self._first.records.paths)],
            "classes": self._first.net.classes,
            "crops": self.views.crops,
            "scales": self.views.scales,
            "dense": self.views.dense,
            "dtype": precision,
            "images": scores.images,
            "undecodable": len(self.loader.undecodable),
            **numbers,
            "members": [_about(*pair) for pair in zip(self.members, scores.members)],
            "ensemble": scores.ensemble.to_json() if scores.ensemble else None,
            "images_per_second": scores.images / seconds,
            **class_values(scores.guesses, names_of(self._first)),
        }

    def lines(self, scores: ViewScores, result: dict[str, Any]) -> list[str]:
        told, images = [], f"{plural(scores.images, 'image')} of {', '.join(result['records'])}"
        for about, additions in zip(result["members"], scores.members):
            told.append(f"{about['model']} ({about['pretrained']}) at {about['input_size']} px on {images}")
            told += [addition.line(scores.few) for addition in additions]
        if scores.ensemble:
            told.append(f"{scores.ensemble.line(scores.few)} over the best of them")
        last = scores.ensemble or scores.members[0][-1]
        if last.over and last.over.over:  # what one addition gains has been said
            told.append(f"all of it gains {last.whole_gain(1)} points in the top-1 over {last.first.label}")
        views, rate = plural(result["views"], "view"), result["images_per_second"]
        told.append(f"loss {scores.loss:.4f}; {rate:.1f} images/s, {views} of each averaged, {result['dtype']}")
        return told + class_lines(scores.guesses, names_of(self._first))


def _about(member: Member, additions) -> dict[str, Any]:
    evaluated = member.evaluated
    return {
        "model": evaluated.net.name,
        "pretrained": as_utf8(member.source),
        "input_size": evaluated.preprocessing.input_size,
        "crop_ratio": evaluated.preprocessing.crop_ratio,
        "published": dataclasses.asdict(evaluated.published) if evaluated.published else None,
        "additions": [addition.to_json() for addition in additions],
    }
