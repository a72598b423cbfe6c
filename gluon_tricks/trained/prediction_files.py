"""Photos in, pictures and JSON out: the files of gluon-tricks predict."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import PIL.Image

from gluon_tricks.core.files import file_name, no_empty_folders, write_atomically, write_text, writing
from gluon_tricks.core.json_text import to_json
from gluon_tricks.core.reading import IMAGE_BYTES, JSON_BYTES, read_bytes, read_text
from gluon_tricks.core.wording import as_utf8
from gluon_tricks.data.encoding import NoImage, decoded
from gluon_tricks.tasks import pictures
from gluon_tricks.tasks.prediction import Prediction
from gluon_tricks.trained.contact_sheet import Shown

_LONGEST_NAME = 230  # bytes


def read_photo(path: pathlib.Path) -> np.ndarray:
    """The (H, W, 3) uint8 RGB pixels of an image file, turned as its EXIF says.

    Raises:
        NoImage: it is none, or cannot be read.
    """
    try:
        return cv2.cvtColor(decoded(read_bytes(path, IMAGE_BYTES)), cv2.COLOR_BGR2RGB)
    except OSError as error:
        raise NoImage(error.strerror) from None


class Results:
    """A folder of predictions: of each image NAME.png, NAME.json and, of a segmenter, masks/NAME.png.

    Images of trees keep their folders: NAME may be a/b/x. Two images of one name get NAME and NAME-2, whether they come
    in one run or in two; one that comes again takes the place that it had.

    Args:
        folder: made if it is not there.

    Attributes:
        shown: what contact_sheet takes, of each image that came, in their order.
    """

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self._shown: dict[pathlib.PurePath, Shown] = {}
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def shown(self) -> list[Shown]:
        return [*self._shown.values()]

    def add(
        self, path: pathlib.Path, prediction: Prediction, about: dict[str, Any], name: pathlib.PurePath | None = None
    ) -> pathlib.Path:  # fmt: skip
        """Writes what was said of an image; returns the JSON's path.

        Args:
            about: what the JSON says besides the image's file and the prediction.
            name: where it is to lie in the folder, as the image does in its own; default: in the folder itself.
        """
        file, name = as_utf8(os.path.abspath(path)), name or pathlib.PurePath(path.name)
        picture, data, mask = self._place(name, file)
        values = {"file": file, **about, **prediction.values}
        if prediction.mask is not None:
            values["mask"] = mask.relative_to(self.folder).as_posix()
        with _made(data.parent):
            write_text(data, to_json(values, indent=2) + "\n")  # first: it says whose
            pictures.save_png(picture, prediction.picture)
        if prediction.mask is not None:
            with _made(mask.parent):
                write_atomically(mask, functools.partial(_save_indices, prediction.mask))
        else:
            with writing(mask):  # of an earlier network
                mask.unlink(missing_ok=True)
        place = picture.relative_to(self.folder)
        self._shown[place] = Shown(
            place, str(place.with_suffix("")), prediction.words, place.with_suffix(".json"), prediction.truth,
            prediction.named, prediction.right, prediction.confidence,
        )  # fmt: skip
        return data

    def _place(self, name: pathlib.PurePath, file: str) -> list[pathlib.Path]:
        """The three files of an image that are free, or its own from before."""
        number, folder, stem = 1, self._folder(name.parent), _called(name.stem)
        while True:
            place = folder / (stem + (f"-{number}" if number > 1 else ""))
            picture, data, mask = (place.with_name(place.name + ending) for ending in (".png", ".json", ".png"))
            paths = [self.folder / picture, self.folder / data, self.folder / "masks" / mask]
            if not any(map(os.path.lexists, paths)) or self._is_own(paths, file):
                return paths
            number += 1

    def _folder(self, parent: pathlib.PurePath) -> pathlib.PurePath:
        """The folder, seen from that of the results, for images of a folder: another where something has its name."""
        found = pathlib.PurePath()
        for part in map(_called, parent.parts):
            number, name = 1, part
            while os.path.lexists(self.folder / found / name) and not (self.folder / found / name).is_dir():
                number += 1
                name = f"{part}-{number}"
            found /= name
        return found

    def _is_own(self, paths: Sequence[pathlib.Path], file: str) -> bool:
        """Whether the files are those that an image had before, and no other's picture lies where its mask would."""
        told, mask = _told_in(paths[1]), paths[2].relative_to(self.folder).as_posix()
        return told.get("file") == file and (not os.path.lexists(paths[2]) or told.get("mask") == mask)


@contextlib.contextmanager
def _made(folder: pathlib.Path) -> Iterator[None]:
    """Makes a folder to write into; where nothing could be written into it, it goes again."""
    with no_empty_folders(folder):
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        yield


def _called(name: str) -> str:
    """What is called after a photo or its folder, with room for an ending in the 255 bytes of a file's name."""
    return file_name(name, _LONGEST_NAME)


def is_result(folder: pathlib.Path, image: pathlib.Path) -> bool:
    """Whether an image in a folder of results is a picture, or a mask, that a prediction wrote there."""
    folder, image = folder.resolve(), image.parent.resolve() / image.name
    name = image.relative_to(folder)
    told = _told_in(image.with_suffix(".json"))
    if name.parts[0] == "masks" and not told:
        told = _told_in(folder / pathlib.PurePath(*name.parts[1:]).with_suffix(".json"))
        return "params" in told and told.get("mask") == name.as_posix()
    return image.suffix == ".png" and {"file", "params"} <= told.keys()


def _told_in(path: pathlib.Path) -> dict[str, Any]:
    """What a JSON file tells; nothing where it is none of ours."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        told = json.loads(read_text(path, JSON_BYTES))
        return told if isinstance(told, dict) else {}
    return {}


def _save_indices(mask: np.ndarray, path: pathlib.Path) -> None:
    """As a PNG whose pixels are the indices; up to 255 classes, they show as the picture's colours."""
    image = PIL.Image.fromarray(mask)
    if mask.dtype == np.uint8:
        image.putpalette([level for k in range(255) for level in pictures.colour(k)] + [0, 0, 0])
    image.save(path, format="png")
