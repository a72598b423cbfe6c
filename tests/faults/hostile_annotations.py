"""Reads damaged annotations, masks and lists of them: started by test_hostile_documents.py. Arguments: FOLDER COUNT."""

import json
import pathlib
import shutil
import sys

import cv2
import numpy as np
from mutate import generator, judge, limit_memory, of_bytes, of_text

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.annotations.boxes import read_voc
from gluon_tricks.data.annotations.coco import read_coco
from gluon_tricks.data.annotations.image_labels import read_voc_labels
from gluon_tricks.data.annotations.masks import check_values, read_masks
from gluon_tricks.data.base_loader import ReadOptions
from gluon_tricks.data.records import BadRecord
from gluon_tricks.tasks.detection.loader import DetectionLoader
from gluon_tricks.tasks.multi_label.loader import TagLoader
from gluon_tricks.tasks.segmentation.loader import SegmentationLoader

CLASSES = ("cat", "dog")
ONE = ReadOptions(threads=1)
ANNOTATION = """<annotation><folder>VOC2007</folder><filename>a.jpg</filename>
<size><width>48</width><height>32</height><depth>3</depth></size><segmented>0</segmented>
<object><name>cat</name><pose>Left</pose><truncated>0</truncated><difficult>0</difficult>
<bndbox><xmin>3</xmin><ymin>4</ymin><xmax>20</xmax><ymax>30</ymax></bndbox></object>
<object><name>dog</name><difficult>1</difficult>
<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>48</xmax><ymax>32</ymax></bndbox></object>
</annotation>
"""
COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 48, "height": 32}, {"id": 4, "file_name": "b.jpg"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 3, "bbox": [3, 4.5, 20, 25], "iscrowd": 0, "segmentation": [[1, 2]]},
        {"id": 2, "image_id": 4, "category_id": 9, "bbox": [0, 0, 48, 32], "iscrowd": 0},
        {"id": 3, "image_id": 1, "category_id": 9, "bbox": [1, 1, 30, 30], "iscrowd": 1},
    ],
    "categories": [{"id": 3, "name": "cat", "supercategory": "animal"}, {"id": 9, "name": "dog"}],
}
IMAGE, MASK = "JPEGImages/a.jpg", "masks/a.png"
FOLDERS = "JPEGImages", "Annotations", "ImageSets/Main", "masks"


def make(folder):
    """Writes two images in VOC's layout with an annotation and a mask each."""
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
    rng = generator(7)
    for name in "ab":
        pixels = rng.integers(0, 255, (32, 48, 3), np.uint8)
        cv2.imwrite(str(folder / "JPEGImages" / f"{name}.jpg"), pixels)
        (folder / "Annotations" / f"{name}.xml").write_text(ANNOTATION)
        cv2.imwrite(str(folder / "masks" / f"{name}.png"), (pixels[..., 0] // 128).astype(np.uint8))
    (folder / "coco.json").write_text(json.dumps(COCO))
    (folder / "ImageSets" / "Main" / "train.txt").write_text("a\nb\n")
    (folder / "ImageSets" / "Main" / "cat_train.txt").write_text("a  1\nb -1\n")


def detect(folder):
    load(read_voc(folder, ("train",), CLASSES, jobs=1))


def detect_coco(folder):
    load(read_coco(folder / "coco.json", [folder / "JPEGImages"], CLASSES, train=True, jobs=1))


def load(records):
    for train in (True, False):
        batches = DetectionLoader(records, train=train, batch_size=2, short=32, long=64, options=ONE).epoch()
        assert all(batch.boxes[..., 4].max(initial=-1) < 2 for batch in batches)


def segment(folder):
    records = read_masks(folder / "JPEGImages", folder / "masks", CLASSES, void=(255,), jobs=1)
    check_values(records, jobs=1)
    for train in (True, False):
        size = dict(crop=16, base=32) if train else {}
        batches = SegmentationLoader(records, train=train, batch_size=1 + train, options=ONE, **size).epoch()
        assert all(batch.masks.max() < 2 for batch in batches)


def tag(folder):
    records = read_voc_labels(folder, ("train",), CLASSES, jobs=1)
    for train in (True, False):
        for batch in TagLoader(records, size=16, batch_size=2, train=train, options=ONE).epoch():
            assert set(batch.labels.ravel().tolist()) <= {-1, 0, 1}


KINDS = {  # what of it is damaged -> the file, what reads the folder
    "annotation": ("Annotations/a.xml", detect),
    "list": ("ImageSets/Main/train.txt", detect),
    "image with boxes": (IMAGE, detect),
    "mask": (MASK, segment),
    "image with a mask": (IMAGE, segment),
    "list of a class": ("ImageSets/Main/cat_train.txt", tag),
    "COCO's annotations": ("coco.json", detect_coco),
}


def main(folder, count):
    good, now = folder / "good", folder / "now"
    make(good)
    shutil.copytree(good, now)
    for _, read in KINDS.values():
        read(now)
    limit_memory()
    for number, (kind, (name, read)) in enumerate(KINDS.items()):
        content, rng = (good / name).read_bytes(), generator(number)
        mutations = list(of_bytes(content, rng, count))
        if name.endswith((".xml", ".txt", ".json")):
            mutations += of_text(content, rng, count)
        for what, damaged in mutations:
            (now / name).write_bytes(damaged)
            judge(kind, what, lambda: read(now), (Refused, BadRecord))  # noqa: B023
        shutil.copy(good / name, now / name)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
