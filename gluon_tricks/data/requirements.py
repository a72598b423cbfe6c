"""What training and evaluating a classifier ask of its records: labels that are classes, and validation apart."""

from __future__ import annotations

import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.manifest import read_manifest
from gluon_tricks.data.records import Records
from gluon_tricks.data.shards import shards_of


def require_start(asked: int, there: int) -> None:
    """Refuses fewer training images than a network starts from. Args: asked: Settings.start_images; 0: none."""
    if there < asked:
        raise Refused(f"the network starts from {asked} images, and there are {there}: set images to fewer")


def class_labels(records: Records, classes: int | None = None, said_by: str = "") -> np.ndarray:
    """The labels (n,) float32: whole numbers in [0, classes), or from 0 on if that is None.

    Args:
        said_by: who says that there are so many classes, for the message.

    Raises: Refused naming the first image that has several labels, or one that is no class.
    """
    counts, labels = records.label_counts(), records.labels()
    several = np.flatnonzero(counts > 1)
    if len(several):
        raise Refused(
            f"{_image(records, several[0])} has {counts[several[0]]} labels ({len(several)} of {len(records)} records "
            "have several): classification takes one label for each image, gluon-tricks tag one for each class; see "
            "gluon-tricks pack --check"
        )
    known = np.isfinite(labels) & (labels >= 0) & (labels == np.floor(labels))
    why = "classification needs whole numbers from 0: pack again (gluon-tricks pack --check finds all such)"
    if known.all() and classes is not None:
        known, why = labels < classes, f"{said_by} has the classes 0 to {classes - 1}: pack again with --classes"
    if not known.all():
        i = int(np.flatnonzero(~known)[0])
        raise Refused(f"{_image(records, i)} has label {labels[i]:g}, and {why}")
    return labels


def _image(records: Records, i: int) -> str:
    return records.describe(int(i), records.read(int(i))[1])


def of_one_class(records: Records) -> str:
    """That all images of the records have one label, in words; "" where they have several."""
    labels = records.labels()
    if len(labels) < 2 or not (labels == labels[0]).all():
        return ""
    classes = records.classes or ()
    name = f" ({classes[int(labels[0])]})" if 0 <= labels[0] < len(classes) else ""
    if len(classes) > 1 and _of_own_photos(records):
        return (
            f"all {len(labels)} images of {records.paths[0]} are of one class{name}, and there are {len(classes)}: add "
            "photos, as a class needs two different ones, one to train on and one to validate on"
        )
    return (
        f"all {len(labels)} images of {records.paths[0]} have label {labels[0]:g}{name}; if an unlabelled folder was "
        "packed as one class, pack class folders, or give --ground-truth for ImageNet's validation images"
    )


def is_shard(records: Records) -> bool:
    """Whether they are one shard of several, which may show fewer classes than all of them."""
    return len(records.paths) == 1 and "classes_of" in _manifest(records) and shards_of(records.paths[0]) > 1


def _of_own_photos(records: Records) -> bool:
    """Whether they were packed and split from a person's photos, which their manifest then says."""
    return "split" in _manifest(records)


def _manifest(records: Records) -> dict:
    """Of their first file; {}: there is none."""
    path = records.paths[0].with_suffix(".json")
    return read_manifest(path)[0] if path.is_file() else {}


def require_apart(train: Records, val: Records) -> None:
    """Refuses records that are trained and validated on, or named twice: the same files, or copies of them."""
    for one, other in train.copies(val):
        raise Refused(
            f"{other} is trained on too{'' if one == other else f', as {one}'}: the scores would be those of images "
            "that the network has learnt; name other validation records"
        )
    for records in (train, val):
        for one, other in records.copies(records):
            raise Refused(f"{one} and {other} hold the same images: name them once")
