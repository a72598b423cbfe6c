"""What a trained classifier, detector or segmenter says of a photo: in words, in numbers and as a picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.given import require_number, require_path
from gluon_tricks.core.wording import plural
from gluon_tricks.data import sources
from gluon_tricks.data.class_names import imagenet_names, in_words
from gluon_tricks.networks.load import Trained, require_classifier
from gluon_tricks.tasks.prediction import Prediction
from gluon_tricks.tasks.registry import TASKS, task_of_network
from gluon_tricks.trained.found_photos import Photo, folder_classes
from gluon_tricks.trained.load import open_to_ask
from model_zoo.contexts import context_of


@dataclasses.dataclass(frozen=True)
class Predictor:
    """A network with all that it takes to ask it.

    Args:
        network: its name, for a detector or segmenter that of its base network.
        kind: its task, such as "detection".
        names: of its classes.
        predict: image (H, W, 3) uint8 RGB of any size -> Prediction; see Task.look.
        folder_classes: how folders of the classes of single images are called -> the class; {}: it names several.
    """

    network: str
    kind: str
    names: tuple[str, ...]
    predict: Callable[..., Prediction]
    folder_classes: Mapping[str, int]

    def of_photo(self, image: np.ndarray, photo: Photo) -> Prediction:
        """Of a photo that was found, with its pixels; where its folder says its class, also whether that is right."""
        truth = photo.truth(self.folder_classes)
        return self.predict(image, **({} if truth is None else {"truth": truth}))


def open_predictor(
    source: str, *, model: str | None = None, class_file: str | None = None, context: mx.Context | None = None,
    threshold: float | None = None, multi_scale: bool = False, crops: str = "1", scales: Sequence[int] = (),
    dense: bool = False, members: Sequence[tuple[str, Trained | None]] = (), trained: Trained | None = None,
) -> Predictor:  # fmt: skip
    """The predictor of a run, or of a classifier's parameter file.

    Args:
        source, model: as open_network takes them.
        class_file: other names than those known, one a line or a manifest of packed records.
        context: the CPU by default.
        threshold: the least score of a box that a detector tells of, or of a class that a tagger does, in [0, 1];
            default: 0.5.
        multi_scale: a segmenter's mean over six scales and their mirror images.
        crops, scales, dense: a classifier's mean over views of the photo, see classification.views.Views.
        members: other classifiers as they are called, and they themselves if they are open: the mean over all is told.
        trained: the network, if it is open already; it is left as it is.

    Raises:
        Refused: nothing trained there, names that do not fit, a threshold out of range.
    """
    if threshold is not None and not 0 <= require_number("the threshold", threshold) <= 1:
        raise Refused(f"the threshold is {threshold}: it lies in [0, 1]")
    context = context_of(context)
    trained = trained or open_to_ask(source, model=model, ctx=context)
    net, recipe = trained.net, trained.recipe
    if isinstance(net, mx.gluon.SymbolBlock):
        require_classifier(trained, source)
    names, ids = names_of(trained, source, class_file)
    opened = tuple((name, other or open_to_ask(name, model=model, ctx=context)) for name, other in members)
    views = dict(crops=crops if crops != "1" else None, scales=tuple(scales) or None, dense=dense or None)
    asked = dict(threshold=threshold, multi_scale=multi_scale or None, **views, members=opened or None)
    task, given = task_of_network(trained), {option: value for option, value in asked.items() if value is not None}
    for option in given:
        if option not in task.prediction_options:
            others = " and ".join(f"{other.noun}s" for other in TASKS if option in other.prediction_options)
            said = "an ensemble" if option == "members" else f"--{option.replace('_', '-')}"
            raise Refused(f"{said} is for {others}, and {source} is a {task.noun}")
    look = task.look(trained, names, context, **given)
    folders = folder_classes(names, ids) if task.names_one(trained) else {}
    return Predictor(recipe.model if recipe else net.name, task.kind.task, names, look, folders)


def names_of(trained: Trained, source: str, class_file: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a network's classes are called, and what the data call them.

    The former is by a file, else as in the training data, else ImageNet's, else numbers.
    """
    net = trained.net
    classes = net.classes if isinstance(net.classes, int) else len(net.classes)
    known = task_of_network(trained).class_names(trained)
    if not known or len(known) != classes:
        known = imagenet_names() if classes == 1000 else (f"class {k}" for k in range(classes))
    known = tuple(known)
    if class_file is not None:
        require_path("class_file", class_file)
        names = sources.read_classes(class_file)
        if len(names) != classes:
            raise Refused(
                f"{class_file} has {plural(len(names), 'name')} and {source} has {plural(classes, 'class')}: give "
                "one for each, in the order of the labels"
            )
        return names, known
    return in_words(known), known
