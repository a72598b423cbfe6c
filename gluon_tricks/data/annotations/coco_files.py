"""Where the annotations of a data set in COCO's format lie, and where its images may be, by how people lay them out."""

from __future__ import annotations

import glob
import os
import pathlib
from collections.abc import Sequence

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import expanded, why_unseen
from gluon_tricks.core.wording import quoted, some
from gluon_tricks.data.annotations.annotated import OtherData

_FILES = (
    *("annotations/instances_{}.json", "annotations/{}.json", "instances_{}.json", "{}.json"),
    *("{}/_annotations.coco.json", "{}/annotations.json"),
)
_OTHER_WORDS = {"val": ("valid", "validation"), "train": ("training",)}
_ANY = ("annotations/*.json", "*.json", "*/*.coco.json")
_SURE = ("annotations/*.json", "*/_annotations.coco.json")  # of this format whatever they are called
_OF_VOC = ("JPEGImages", "VOC*/JPEGImages", "VOCdevkit/VOC*/JPEGImages")
_FOLDERS = ("{}", "images/{}", "images", ".")


def looks_like_coco(root: str | os.PathLike, splits: Sequence[str] = ()) -> bool:
    """Whether a folder has annotations of this format for training, and none in VOC's layout; or a split names a file.

    Args:
        root: the data's folder.
        splits: as they are given for training and validation; a word says nothing of the format.
    """
    root = expanded(root)
    if any(map(_names_file, splits)):
        return True
    if not os.path.isdir(root) or any(next(root.glob(pattern), None) for pattern in _OF_VOC):
        return False
    words = ("train", *_OTHER_WORDS["train"])
    files = (pattern.format(word) for word in words for pattern in _FILES)
    return any(next(root.glob(pattern), None) for pattern in (*_SURE, *files))


def _names_file(split: str) -> bool:
    return split.lower().endswith(".json")


def find_coco(root: str | os.PathLike, split: str) -> tuple[pathlib.Path, list[pathlib.Path]]:
    """The annotations of a split, and the folders its images may be in.

    Args:
        root: the data's folder.
        split: a JSON file, from `root` on; or a word such as "train" for annotations/instances_train.json,
            annotations/instances_train2017.json, train/_annotations.coco.json and so on; "val" is "valid" too.

    Raises: Refused when there is none, or there are several.
    """
    root = expanded(root)
    if not split or "\0" in split:
        raise Refused(f"the split is {quoted(split)}: name a JSON file, or a word such as train")
    if _names_file(split):
        path = root / split
        word = path.stem.removeprefix("instances_")
        if not os.path.isfile(path):
            raise OtherData(f"there is no {path}", ": name the files with --train-splits and --val-splits")
    else:
        path, word = _of_word(root, split)
    folders = [root / pattern.format(word) for pattern in _FOLDERS]
    return path, [path.parent, *folders] if path.parent != root / "annotations" else folders


def _of_word(root: pathlib.Path, split: str) -> tuple[pathlib.Path, str]:
    if pathlib.PurePath(split).name != split:
        raise Refused(f"the split is {quoted(split)}: name a JSON file, or a word such as train")
    for word in (split, *_OTHER_WORDS.get(split, ())):
        for pattern in _FILES:
            if os.path.isfile(root / pattern.format(word)):
                return root / pattern.format(word), word
        dated = _matching(root, f"annotations/instances_{glob.escape(word)}*.json")
        if len(dated) > 1:
            raise OtherData(
                f"{root} has several annotations for {split} ({some([path.name for path in dated])})",
                ": name one of them with --train-splits or --val-splits",
            )
        if dated:
            return dated[0], dated[0].stem.removeprefix("instances_")
    there = some([str(path.relative_to(root)) for path in _matching(root, *_ANY)], 10)
    raise OtherData(
        f"{root} has no annotations/instances_{split}.json{why_unseen(root)} (there are {there or 'no JSON files'})",
        ": name the files with --train-splits and --val-splits",
    )


def _matching(root: pathlib.Path, *patterns: str) -> list[pathlib.Path]:
    """The files of a folder that match, sorted; none where it is none, of which glob makes errors of the system."""
    return sorted(path for pattern in patterns for path in root.glob(pattern)) if os.path.isdir(root) else []
