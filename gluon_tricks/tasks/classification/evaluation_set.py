"""A trained classifier with the images to look at it with: what evaluation and figures start from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import plural
from gluon_tricks.data.augment import coefficients
from gluon_tricks.data.loader import RecordLoader
from gluon_tricks.data.network_input import NetworkInput
from gluon_tricks.data.pixel_mean import PixelMean
from gluon_tricks.data.recipe_records import find_records
from gluon_tricks.data.records import Records
from gluon_tricks.data.requirements import class_labels
from gluon_tricks.data.selection import selected
from gluon_tricks.networks.load import Trained, open_classifier, require_classifier
from gluon_tricks.networks.of_recipe import require_images
from gluon_tricks.networks.source import is_there
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks.classification.classes import require_same_classes, training_records
from model_zoo import published
from model_zoo.preprocessing import Preprocessing


@dataclasses.dataclass
class EvaluationSet:
    """A network, packed images whose labels are its classes, and what it expects images to be.

    Args:
        records: None: none, the network is asked about single photos.
        recipe: of the run that it comes from, if it comes from one.
    """

    net: mx.gluon.HybridBlock
    records: Records | None
    preprocessing: Preprocessing
    published: published.Published | None = None
    recipe: Recipe | None = None

    @property
    def train(self) -> Records | None:
        """The records that it was trained on, a run's photos packed again if need be; None: they are not here."""
        return training_records(self.recipe) if self.recipe else None

    def loader(self, batch_size: int, threads: int | None = None) -> RecordLoader:
        """Every image once, in the order of the records."""
        return RecordLoader(
            self.records, size=self.preprocessing.input_size, batch_size=batch_size, train=False, threads=threads,
            classes=self.net.classes, crop_ratio=self.preprocessing.crop_ratio,
        )  # fmt: skip

    def preprocess(self, dtype: str, one_shape: bool = True) -> Callable[[np.ndarray, mx.Context], mx.nd.NDArray]:
        """(images (n, H, W, 3) uint8, context) -> the network's input (n, 3, H, W) of the dtype.

        Args:
            one_shape: all images that come have one shape.
        """
        normalise = NetworkInput(dtype, one_shape=one_shape)
        mean, std = self.preprocessing.mean, self.preprocessing.std
        pixel_mean = PixelMean(self.preprocessing.mean_image, mean, std)

        def preprocess(images, context):
            matrix, flip = coefficients("none", 0, 0, range(len(images)), mean, std)
            return pixel_mean(normalise(images, matrix, flip, context))

        return preprocess


def open_evaluation_set(
    pretrained: str, contexts: Sequence[mx.Context], *, model: str | None = None, classes: int | None = None,
    rec_val: Sequence[str] = (), input_size: int | None = None, crop_ratio: float | None = None,
    trained: Trained | None = None, batch_size: int = 1,
) -> EvaluationSet:  # fmt: skip
    """A network and the images to look at it with, checked to fit together.

    Args:
        pretrained, model, classes: which network, as open_classifier takes them.
        rec_val: packed images; of a run by default its own.
        input_size, crop_ratio: other ones than the network's, or the run's.
        trained: the network, if it is open already.
        batch_size: how many images a device is to have at a time.

    Raises:
        Refused: something is missing or does not fit; in one sentence.
    """
    records = Records(rec_val) if rec_val else None
    if records is None and not is_there(pretrained):  # only a run brings its own
        missing = f"there is no run {pretrained}, and --rec-val is missing"
        raise Refused(
            f"{'--rec-val is missing' if pretrained.lower() == 'true' else missing}: name a run directory "
            "(--pretrained RUN), or the packed images that a published network is to be evaluated on (--rec-val)"
        )
    trained = trained or open_classifier(pretrained, model=model, classes=classes, ctx=contexts)
    require_classifier(trained, pretrained)
    if trained.recipe is not None:
        evaluated = _of_run(pretrained, trained, records)
    elif records is None:
        raise Refused(f"{pretrained} belongs to no run, so --rec-val is missing: name the packed images")
    else:
        require_same_classes(pretrained, trained, records.classes or (), str(records.paths[0]))
        evaluated = EvaluationSet(trained.net, records, trained.net.preprocessing, trained.published)
    asked = {"input_size": input_size, "crop_ratio": crop_ratio}
    given = {name: value for name, value in asked.items() if value is not None}
    evaluated.preprocessing = dataclasses.replace(evaluated.preprocessing, **given)
    side = evaluated.preprocessing.input_size
    require_images(evaluated.net, (batch_size, side, side), contexts[0])
    _check_labels(evaluated)
    return evaluated


def _of_run(run: str, trained: Trained, records: Records | None) -> EvaluationSet:
    """With the run's preprocessing, and its own validation images unless others are given."""
    recipe = trained.recipe
    if records is None:
        records = find_records(recipe)[1]
    elif records.classes != recipe.only_classes:
        records = selected(records, recipe.only_classes, least=0)
    require_same_classes(run, trained, records.classes or (), str(records.paths[0]))
    return EvaluationSet(trained.net, records, trained.net.preprocessing, recipe=recipe)


def _check_labels(evaluated: EvaluationSet) -> None:
    """Refuses images whose labels are not the network's, before any is read."""
    records, net = evaluated.records, evaluated.net
    path, names = records.paths[0], records.classes
    if names and len(names) != net.classes:
        raise Refused(
            f"{path} has {plural(len(names), 'class')} and {net.name} has {net.classes}: name records of its classes"
        )
    class_labels(records, net.classes, net.name)
