"""Reads damaged documents: started by test_hostile_documents.py in a process of its own. Arguments: FOLDER COUNT."""

import hashlib
import json
import os
import pathlib
import shutil
import sys
import zipfile

import cv2
import numpy as np
import scipy.io
from mutate import generator, judge, limit_memory, of_bytes, of_json, of_text

from gluon_tricks.core.errors import Refused
from gluon_tricks.data import places365, sources
from gluon_tricks.data.base_loader import ReadOptions
from gluon_tricks.data.check import check
from gluon_tricks.data.class_names import kept_names, names_of_run
from gluon_tricks.data.label_vectors import LabelledRecords
from gluon_tricks.data.loader import RecordLoader
from gluon_tricks.data.record_file import write_index
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.data.records import BadRecord, Records, decode_image
from gluon_tricks.networks.normalisation import read_mean_image
from gluon_tricks.recipes.kinds import read_recipe
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.report.told import read_step_losses
from gluon_tricks.tasks.multi_label.loader import TagLoader
from gluon_tricks.tricks import TRICKS
from model_zoo import published
from model_zoo.mean_image import MeanImage

CLASSES = ("n00000011", "n00000022", "n00000033", "n00000044")
NAMES = [f"ILSVRC2012_val_{k:08d}" for k in range(1, 9)]
PUBLISHED = generator(1).bytes(200) + bytes(5000)
TAG = hashlib.sha1(PUBLISHED, usedforsecurity=False).hexdigest()[:8]
ARCHIVE = f"cifar_resnet20_v1-{TAG}.zip"
IMAGES = ("photo.jpg", "progressive.jpg", "photo.png", "photo.bmp", "photo.webp", "photo.tiff")
LINES = {
    "list.lst": [f"{k}\t{k % 4}\t{name}.JPEG" for k, name in enumerate(NAMES)],
    "classes.txt": CLASSES,
    "truth.txt": [str(1 + k % 4) for k in range(8)],
    "pairs.txt": [f"{name} {CLASSES[k % 4]}" for k, name in enumerate(NAMES)],
    "labels.txt": [f"{name}.JPEG {k % 4}" for k, name in enumerate(NAMES)],
    "meta.txt": [f"{k + 1} {wnid}" for k, wnid in enumerate(CLASSES)],
    "categories.txt": [f"/a/{wnid} {k}" for k, wnid in enumerate(CLASSES)],
    "places.txt": [f"/{name}.JPEG {k % 4}" for k, name in enumerate(NAMES)],
}


def make(folder):
    """Writes a good file of each kind, and the photos that the lists name."""
    (folder / "photos").mkdir(parents=True)
    pixels = np.full((8, 8, 3), 90, np.uint8)
    for name in IMAGES:
        options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1] if name == "progressive.jpg" else []
        (folder / name).write_bytes(cv2.imencode(pathlib.Path(name).suffix, pixels, options)[1])
    for name in NAMES:
        shutil.copy(folder / "photo.jpg", folder / "photos" / f"{name}.JPEG")
    with RecordWriter(folder / "packed", CLASSES, about={"resize": None, "seed": 0}) as writer:
        for k in range(8):
            writer.add(k % 4, k, (folder / "photo.jpg").read_bytes())
    with RecordWriter(folder / "tags", CLASSES) as writer:
        for k in range(8):
            writer.add((1, k % 2, -1, 0), k, (folder / "photo.jpg").read_bytes())
    for ending in (".rec", ".idx"):
        shutil.copy(folder / f"tags{ending}", folder / f"im2rec_tags{ending}")
    for ending in (".rec", ".idx"):
        shutil.copy(folder / f"packed{ending}", folder / f"im2rec{ending}")  # they have no manifest
    for name, lines in LINES.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
    kinds = [("ILSVRC2012_ID", "f8"), ("WNID", "O"), ("words", "O"), ("num_children", "f8")]
    synsets = np.array([(k + 1, wnid, "some words", 0) for k, wnid in enumerate(CLASSES)], kinds)
    scipy.io.savemat(folder / "meta.mat", {"synsets": synsets})
    scipy.io.savemat(folder / "compressed.mat", {"synsets": synsets}, do_compression=True)
    (folder / "classes.json").write_text(kept_names(("one", "Käfer"))["classes.json"])
    (folder / "mean_image.json").write_text(json.dumps(MeanImage.of(np.full((4, 4, 3), 117.0)).to_json()))
    (folder / "steps.csv").write_text("step,loss\n" + "".join(f"{k},{2 / k:.6g}\n" for k in range(1, 9)))
    recipe = Recipe(tricks=tuple(trick() for trick in TRICKS[:2]), net={"classes": 4})
    (folder / "recipe.json").write_text(json.dumps(recipe.to_json()))
    (folder / "gluon" / "models").mkdir(parents=True)
    with zipfile.ZipFile(folder / "gluon" / "models" / ARCHIVE, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(ARCHIVE.replace(".zip", ".params"), PUBLISHED)


def look_through(rec):
    records = Records(rec)
    records.labels()
    check(records, jobs=1)
    for train in (True, False):
        for batch in RecordLoader(records, size=8, batch_size=4, train=train, threads=1).epoch():
            assert 0 <= batch.labels.min() and batch.labels.max() < 1 << 20


def look_through_tags(rec):
    records = LabelledRecords(rec)
    check(Records(rec), jobs=1)
    for train in (True, False):
        for batch in TagLoader(records, size=8, batch_size=4, train=train, options=ReadOptions(threads=1)).epoch():
            assert set(batch.labels.ravel().tolist()) <= {-1, 0, 1}


def fetch(archive):
    (archive.parents[2] / "models" / ARCHIVE.replace(".zip", ".params")).unlink(missing_ok=True)
    published.fetch("cifar_resnet20_v1", TAG)


def readers(good):
    """The name of a file -> what reads it, given its path."""
    photos, truth, meta = good / "photos", good / "truth.txt", good / "meta.txt"
    validation = sources.imagenet_validation
    return {
        "packed.json": lambda path: (sources.read_classes(path), look_through(path.with_suffix(".rec"))),
        "packed.idx": lambda path: look_through(path.with_suffix(".rec")),
        "packed.rec": look_through,
        "im2rec.idx": lambda path: look_through(path.with_suffix(".rec")),
        "im2rec.rec": lambda path: (write_index(path), look_through(path)),
        "tags.json": lambda path: look_through_tags(path.with_suffix(".rec")),
        "tags.rec": look_through_tags,
        "im2rec_tags.rec": lambda path: (write_index(path), look_through_tags(path)),
        "mean_image.json": lambda path: read_mean_image(path.with_name("final.params")),
        "classes.json": lambda path: names_of_run(path.with_name("final.params")),
        "steps.csv": lambda path: read_step_losses(path.parent),
        "list.lst": lambda path: sources.list_file(photos, path),
        "classes.txt": sources.read_classes,
        "truth.txt": lambda path: validation(photos, path, meta),
        "pairs.txt": lambda path: validation(photos, path),
        "labels.txt": lambda path: validation(photos, path),
        "meta.txt": lambda path: validation(photos, truth, path),
        "meta.mat": lambda path: validation(photos, truth, path),
        "compressed.mat": lambda path: validation(photos, truth, path),
        "categories.txt": places365.categories,
        "places.txt": lambda path: places365.places365(photos, path, CLASSES),
        "recipe.json": read_recipe,
        f"gluon/models/{ARCHIVE}": fetch,
        **{name: lambda path: decode_image(path.read_bytes()) for name in IMAGES},
    }


def main(folder, count):
    good, now = folder / "good", folder / "now"
    make(good)
    shutil.copytree(good, now)
    os.environ.update(MXNET_HOME=str(now), MXNET_GLUON_REPO=now.as_uri())
    kinds = readers(good)
    for name, read in kinds.items():  # the good ones are read; and whatever a first use allocates
        read(now / name)
    limit_memory()
    for number, (name, read) in enumerate(kinds.items()):
        content, rng = (good / name).read_bytes(), generator(number)
        mutations = list(of_bytes(content, rng, count))
        if name.endswith(".json"):
            mutations += of_json(content, rng, count)
        elif name.endswith((".txt", ".lst", ".idx")):
            mutations += of_text(content, rng, count)
        for what, damaged in mutations:
            (now / name).write_bytes(damaged)
            judge(name, what, lambda: read(now / name), (Refused, BadRecord))  # noqa: B023
        shutil.copy(good / name, now / name)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
