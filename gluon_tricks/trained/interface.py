"""A trained network from a program of one's own: `evaluate` and `predict` as plain functions."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Iterable, Sequence

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.given import require_kind, require_path
from gluon_tricks.core.reading import expanded
from gluon_tricks.core.wording import plural, printable
from gluon_tricks.data.encoding import NoImage
from gluon_tricks.data.pixels import PHOTO, as_photo
from gluon_tricks.data.records import Records
from gluon_tricks.data.selection import Selection
from gluon_tricks.networks.load import Trained
from gluon_tricks.networks.of_recipe import dtype_of, restore_plain_layout
from gluon_tricks.tasks.prediction import Prediction
from gluon_tricks.tasks.protocol import Scores, ScoringOptions
from gluon_tricks.tasks.registry import task_of_network
from gluon_tricks.trained.found_photos import Photo as Found
from gluon_tricks.trained.found_photos import find_photos
from gluon_tricks.trained.load import open_to_ask
from gluon_tricks.trained.predict import open_predictor
from gluon_tricks.trained.prediction_files import read_photo
from model_zoo.classifier import Classifier
from model_zoo.contexts import contexts_of

log = logging.getLogger("gluon_tricks.trained.interface")

Network = mx.gluon.HybridBlock
Source = "str | os.PathLike | Network"
Images = "str | os.PathLike | Records"
Photo = "str | os.PathLike | np.ndarray | mx.nd.NDArray | PIL.Image.Image"


def evaluate(
    network: Source | Sequence[Source], records: Images | Sequence[Images] = (), *,
    model: str | None = None, classes: int | None = None, batch_size: int = 64, input_size: int | None = None,
    crop_ratio: float | None = None, data: str | os.PathLike | None = None, multi_scale: bool = False,
    test_crops: int | None = None,
    crops: int | str = 1, scales: Sequence[int] = (), dense: bool = False,
    ctx: mx.Context | Sequence[mx.Context] | None = None, threads: int | None = None,
) -> Scores:  # fmt: skip
    """The scores of a trained network, each validation image exactly once, in the network's own precision.

    Images as in GluonCV: the shorter edge to ceil(input_size / crop_ratio), the middle, normalised as
    `network.preprocessing` says.

    Args:
        network: a run directory (a classifier's, tagger's, detector's or segmenter's), a checkpoint, a parameter file,
            NAME or NAME/TAG of a file that GluonCV published; or a network of get_model or load_network with its
            parameters. Of classifiers several: their ensemble.
        records: one .rec file or several, or Records; of a run by default its own validation images. For classifiers
            and taggers.
        model, classes: of a parameter file that fits several networks.
        batch_size: images on each device at a time, of classifiers.
        input_size: side of the input, px; default: the network's, or the run's.
        crop_ratio: input_size over the shorter edge, in (0, 1]; default: the network's, or the run's.
        data: of a detector's, segmenter's or tagger's run: another folder of its kind of data set; default: the run's.
            A tagger that is a network or no run takes a folder too.
        multi_scale: of a segmenter: the mean over six scales and their mirror images.
        test_crops: of a tagger: the mean over so many random crops, 0: the centre crop; default: the run's, or 0.
        crops: of a classifier, over which the softmax is averaged: 1 (the centre), "flip" (and its mirror image), 5
            (and the corners), 10 (and their mirror images).
        scales: of a classifier: px of the shorter edge, over all of which it is averaged; (): the network's own.
        dense: of a classifier: whole images in place of crops (crops 1 or "flip"), its dense layers as convolutions.
        ctx: a context or a list of them for what is loaded; default: the CPU. A network stays where it is.
        threads: of the loader; default: all cores.

    Returns:
        of a classifier `top1`, `top5` (fractions), `loss` (nats), `images` and `guesses`, what each image was taken for
            (`guesses.class_scores(classes)` has precision, recall, F1 and the matrix), and of several views or networks
        `members` and `ensemble`, which say what each addition gains (see ViewScores); of a detector or tagger `map07`
        and `map_area`; of a segmenter `pix_acc` and `miou`.

    Raises:
        Refused: nothing trained there, no images, or images of other classes; in one sentence.
    """
    records = _record_files(records)
    (first, trained, contexts), *others = _opened_all(network, model, classes, ctx)
    named = "" if data is None else require_path("data", data)
    folder = str(expanded(named).absolute()) if named else None
    require_kind("scales", scales, (list, tuple, range), "a list of px")
    task = task_of_network(trained)
    given = dict(rec_val=records, input_size=input_size, crop_ratio=crop_ratio, data=folder, multi_scale=multi_scale)
    given |= dict(crops=str(crops), scales=tuple(scales), dense=dense, members=_named(others), test_crops=test_crops)
    options = ScoringOptions(**given, batch_size=batch_size, threads=threads)
    for option, value in given.items():
        given_one = value not in (None, False, [], ()) and (option, value) != ("crops", "1")
        if given_one and option not in task.evaluation_flags:
            called = {"rec_val": "records", "members": "an ensemble"}.get(option, option)
            raise Refused(f"{called} does not apply: {first} is a {task.noun}")
    if _is_open(network) and not records and not data:
        raise Refused(f"records is missing: name the packed images that {first} is to be evaluated on")
    validation = task.open_validation(first, contexts, options, trained)
    return validation.score(validation.loader.epoch(), None if _is_open(network) else "float32")


def predict(
    network: Source | Sequence[Source], photos: Photo | Sequence[Photo], *, model: str | None = None,
    class_file: str | os.PathLike | None = None, ctx: mx.Context | None = None, threshold: float | None = None,
    multi_scale: bool = False, crops: int | str = 1, scales: Sequence[int] = (), dense: bool = False,
) -> list[Prediction]:  # fmt: skip
    """What a trained classifier, detector or segmenter says of photos.

    Args:
        network: as for evaluate. A network is left as it is; of many photos it is faster when it is hybridized.
        photos: one or several: files, trees of folders of them, images of PIL, or arrays (H, W, 3) uint8 RGB of any
            size, numpy's or MXNet's.
        model: of a parameter file that fits several networks.
        class_file: the classes' names, one a line, or a manifest of packed records; default: those of the run.
        ctx: the device of what is loaded; default: the CPU. A network stays where it is.
        threshold: a detector's or tagger's: the least score of a box or class, in [0, 1]; default 0.5.
        multi_scale: a segmenter's: the mean over six scales and their mirror images.
        crops, scales, dense: a classifier's, as for evaluate.

    Returns:
        a Prediction of each photo, in their order: `words`, a line; `values`, for JSON; `picture`, (H, W, 3) uint8 RGB;
        `mask`, (H, W) class indices, of a segmenter; `file`, the photo's if it has one. Of a file in a folder that is
        called as one of a classifier's classes also `truth`, its name, and `right`.

    Raises:
        Refused: nothing trained there, a photo that cannot be read (one in a folder that is named is left out, which
            is logged), an option of another kind of network, or a network that is not in float32.
    """
    looked_at = _looked_at(photos)
    (name, trained, contexts), *others = _opened_all(network, model, None, ctx)
    for source, of_source, _ in [(name, trained, contexts), *others]:
        dtype = dtype_of(of_source.net)
        if _is_open(network) and dtype != "float32":
            raise Refused(f"{source} has {dtype} parameters: save it and name the file, which is read as float32")
    require_kind("scales", scales, (list, tuple, range), "a list of px")
    predictor = open_predictor(
        name, class_file=class_file, context=contexts[0], threshold=threshold, multi_scale=multi_scale, trained=trained,
        crops=str(crops), scales=scales, dense=dense, members=_named(others),
    )  # fmt: skip
    predictions = [
        dataclasses.replace(predictor.of_photo(image, photo), file=photo.path) if photo else predictor.predict(image)
        for image, photo in looked_at
    ]
    for of_source in [trained, *(other for _, other, _ in others)]:
        restore_plain_layout(of_source.net)  # it may go on being trained
    return predictions


Opened = tuple[str, Trained, list[mx.Context]]  # the network's name in messages, the network and its devices


def _is_open(network: Source | Sequence[Source]) -> bool:
    """Whether any of what was named is a network and no file, which then is left as it is."""
    return any(isinstance(one, mx.gluon.Block) for one in _several(network))


def _several(network: Source | Sequence[Source]) -> list[Source]:
    return list(network) if isinstance(network, (list, tuple)) else [network]


def _opened_all(network: Source | Sequence[Source], model: str | None, classes: int | None, ctx) -> list[Opened]:
    found = [_opened(one, model, classes, ctx) for one in _several(network)]
    if not found:
        raise Refused("there is no network to ask: name at least one")
    for name, _, contexts in found[1:]:
        if contexts != found[0][2]:
            raise Refused(f"{found[0][0]} is on {found[0][2]} and {name} on {contexts}: an ensemble is on one device")
    return found


def _named(others: Sequence[Opened]) -> tuple[tuple[str, Trained], ...]:
    return tuple((name, trained) for name, trained, _ in others)


def _opened(network: Source, model: str | None, classes: int | None, ctx) -> Opened:
    if isinstance(network, (str, os.PathLike)):
        contexts = contexts_of(ctx)
        trained = open_to_ask(network, model=model, classes=classes, ctx=contexts)
        return os.fspath(network), trained, contexts
    if not isinstance(network, Classifier):
        kind = type(network).__name__
        raise Refused(f"this takes a run, a file, or a classifier of get_model or load_network, and got a {kind}")
    parameters = network.collect_params().values()
    if any(parameter._data is None and not parameter._deferred_init for parameter in parameters):
        raise Refused(f"{network.name} has no parameters yet: train it, or load some with pretrained=")
    return network.name, Trained(network), next(iter(parameters)).list_ctx()


def _one_or_several(name: str, given: object, kinds: tuple[type, ...], takes: str) -> list:
    """What an argument names, one by one. Raises: Refused, of what is of none of these kinds."""
    several = [given] if isinstance(given, kinds) or not isinstance(given, Iterable) else list(given)
    for one in several:
        require_kind(name, one, kinds, takes)
    return several


def _record_files(records: Images | Sequence[Images]) -> list[str | os.PathLike]:
    """The files that are named, those of Records too. Raises: Refused, also of a part of Records."""
    named = _one_or_several("records", records, (str, os.PathLike, Records), "names of .rec files, or Records")
    if any(isinstance(one, Selection) for one in named):
        raise Refused("records is a Selection of the images of its files: pack those images into a file of their own")
    return [path for one in named for path in (one.paths if isinstance(one, Records) else [one])]


def _looked_at(photos: Photo | Iterable[Photo]) -> list[tuple[np.ndarray, Found | None]]:
    """Photos one by one, (H, W, 3) uint8 RGB, and the file of each that has one; folders opened."""
    found, kinds = [], (str, os.PathLike, *PHOTO)
    for photo in _one_or_several("photos", photos, kinds, "files, folders, images of PIL, or arrays"):
        found += [(photo, None)] if isinstance(photo, PHOTO) else [(photo, file) for file in find_photos([photo])]
    if not found:
        raise Refused("there are no photos to look at: name at least one")
    looked_at, wrong = [], ""
    for photo, file in found:
        try:
            looked_at.append((read_photo(file.path) if file else as_photo(photo), file))
        except NoImage as why:
            if not os.path.isdir(photo):
                raise Refused(f"{printable(file.path)} is no photo to look at, leave it out: {why}") from None
            log.warning("%s is left out: %s", printable(file.path), why)
            wrong = wrong or f"{printable(file.path)}: {why}"
    if not looked_at:
        raise Refused(f"none of {plural(len(found), 'file')} is a photo to look at, such as {wrong}")
    return looked_at
