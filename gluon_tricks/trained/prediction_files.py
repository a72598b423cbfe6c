"""Photos in, pictures, JSON and a page of them out: the files of gluon-tricks predict."""

from __future__ import annotations

import contextlib
import functools
import html
import json
import os
import pathlib
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import PIL.Image

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import no_empty_folders, write_atomically, write_text, writing
from gluon_tricks.core.reading import IMAGE_BYTES, JSON_BYTES, read_bytes, read_text
from gluon_tricks.core.wording import as_utf8, one_line, plural, printable
from gluon_tricks.data.annotations.annotated import ENDINGS
from gluon_tricks.data.records import decode_image
from gluon_tricks.tasks import pictures
from gluon_tricks.tasks.prediction import Prediction

_LONGEST_NAME = 230  # bytes
_ENDINGS = (*ENDINGS, ".webp", ".tif", ".tiff")


def find_images(places: Sequence[str | os.PathLike]) -> list[pathlib.Path]:
    """The files that are named, and those of folders that end as images do, each once.

    Raises:
        Refused: a place that is not there, or no image at all.
    """
    found: dict[str, pathlib.Path] = {}
    for place in map(pathlib.Path, places):
        found.update({os.path.abspath(path): path for path in _images_of(place)})
    if not found:
        deeper = next((inside for place in places for inside in _folders_with_images(place)), None)
        raise Refused(
            f"no images found: {', '.join(map(str, places))} holds no file that ends in {', '.join(_ENDINGS)}"
            + (f", but its folders do: name them, such as {deeper}" if deeper else "")
        )
    return list(found.values())


def _images_of(place: pathlib.Path) -> list[pathlib.Path]:
    try:
        if place.is_file():
            return [place]
        inside = sorted(place.iterdir())
        return [path for path in inside if path.suffix.lower() in _ENDINGS and path.name[0] != "." and path.is_file()]
    except OSError as error:
        raise Refused(f"{place} is no file or folder that can be read ({error.strerror}): check the name") from None


def _folders_with_images(place: str | os.PathLike) -> Iterator[pathlib.Path]:
    """The folders below a place that hold images, in order; links are not followed."""
    for folder, below, files in os.walk(place):
        below.sort()
        if any(pathlib.Path(name).suffix.lower() in _ENDINGS for name in files):
            yield pathlib.Path(folder)


def read_photo(path: pathlib.Path) -> np.ndarray | None:
    """The (H, W, 3) uint8 RGB pixels of an image file, turned as its EXIF says; None if it is no image."""
    try:
        pixels = decode_image(read_bytes(path, IMAGE_BYTES))
    except OSError:
        return None
    return None if pixels is None else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


class Results:
    """A folder of predictions: of each image NAME.png, NAME.json and, of a segmenter, masks/NAME.png.

    Two images of one name get NAME and NAME-2, whether they come in one run or in two; one that comes again takes the
    place that it had.

    Args:
        folder: made if it is not there.

    Attributes:
        said: file name of each picture -> what was said of it.
    """

    def __init__(self, folder: pathlib.Path):
        self.folder, self.said = folder, {}
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def add(self, path: pathlib.Path, prediction: Prediction, about: dict[str, Any]) -> pathlib.Path:
        """Writes what was said of an image; returns the JSON's path.

        Args:
            about: what the JSON says besides the image's file and the prediction.
        """
        file = as_utf8(os.path.abspath(path))
        picture, data, mask = self._place(path, file)
        values = {"file": file, **about, **prediction.values}
        if prediction.mask is not None:
            values["mask"] = f"masks/{mask.name}"
        text = json.dumps(values, indent=2) + "\n"
        write_text(data, text)  # first: it says whose
        pictures.save_png(picture, prediction.picture)
        if prediction.mask is not None:
            with no_empty_folders(mask.parent):
                with writing(mask.parent):
                    mask.parent.mkdir(exist_ok=True)
                write_atomically(mask, functools.partial(_save_indices, prediction.mask))
        else:
            with writing(mask):  # of an earlier network
                mask.unlink(missing_ok=True)
        self.said[picture.name] = prediction.words
        return data

    def _place(self, path: pathlib.Path, file: str) -> list[pathlib.Path]:
        """The three files of an image that are free, or its own from before."""
        number, stem = 1, _fitting(one_line(path.stem))
        while True:
            name = stem + (f"-{number}" if number > 1 else "")
            paths = [self.folder / place for place in (f"{name}.png", f"{name}.json", f"masks/{name}.png")]
            if not any(map(os.path.lexists, paths)) or _told_of(paths[1]) == file:
                return paths
            number += 1


def _fitting(name: str) -> str:
    """The beginning of a name that leaves room for an ending in the 255 bytes that a file's name may have."""
    return name.encode()[:_LONGEST_NAME].decode("utf-8", "ignore")


def contact_sheet(folder: pathlib.Path, title: str = "Pictures", said: Mapping[str, str] | None = None) -> pathlib.Path:
    """Writes index.html in a folder: its PNGs, small, with their names, each linked to itself and to its JSON.

    Args:
        said: file name of each picture, in their order -> what is said of it; None: all PNGs by name, without words.

    Returns: the page's path. It needs nothing but the folder.
    """
    said, items = dict.fromkeys(sorted(path.name for path in folder.glob("*.png")), "") if said is None else said, []
    for picture, words in ((folder / name, words) for name, words in said.items()):
        link, name = _link(picture), html.escape(printable(picture.stem))
        data = picture.with_suffix(".json")
        more = f' <a href="{_link(data)}">JSON</a>' if data.exists() else ""
        items.append(
            f'<figure><a href="{link}"><img src="{link}" alt="{name}" loading="lazy"></a>'
            f"<figcaption>{name}{more}{'<br>' if words else ''}{html.escape(one_line(words))}</figcaption></figure>"
        )
    page = _PAGE.format(
        title=html.escape(printable(title)), count=plural(len(items), "picture"), items="\n".join(items)
    )
    write_text(folder / "index.html", page)
    return folder / "index.html"


def _link(path: pathlib.Path) -> str:
    return urllib.parse.quote(os.fsencode(path.name))


_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 15px sans-serif; margin: 24px; color: #222; background: #fff }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(280px, 1fr)); gap: 16px }}
figure {{ margin: 0; padding: 8px; border: 1px solid #ddd; border-radius: 6px }}
img {{ width: 100%; height: 240px; object-fit: contain }}
figcaption {{ margin-top: 6px; overflow-wrap: anywhere }}
</style>
<h1>{title}</h1>
<p>{count}</p>
<main>
{items}
</main>
</html>
"""


def _told_of(path: pathlib.Path) -> str | None:
    """The image that a JSON file tells of."""
    with contextlib.suppress(OSError, ValueError, AttributeError, RecursionError):
        return json.loads(read_text(path, JSON_BYTES)).get("file")
    return None


def _save_indices(mask: np.ndarray, path: pathlib.Path) -> None:
    """As a PNG whose pixels are the indices; up to 255 classes, they show as the picture's colours."""
    image = PIL.Image.fromarray(mask)
    if mask.dtype == np.uint8:
        image.putpalette([level for k in range(255) for level in pictures.colour(k)] + [0, 0, 0])
    image.save(path, format="png")
