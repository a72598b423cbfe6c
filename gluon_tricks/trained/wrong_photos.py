"""The photos that a classifier named wrongly, copied out of their records into folders TRUE/NAMED."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import tqdm

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import distinct_names, file_name, opened_anew, require_folder, writing
from gluon_tricks.core.reading import JSON_BYTES, read_text
from gluon_tricks.core.wording import plural, printable
from gluon_tricks.data.headers import image_header
from gluon_tricks.data.records import Records
from gluon_tricks.tasks.classification.guesses import Guesses
from gluon_tricks.trained.contact_sheet import PAGE, Shown, contact_sheet

_TITLE = "Photos named wrongly"
_LONGEST_NAME = 200  # bytes of a photo's own name; what stands before and behind it fits into the other 55
_ENDINGS = {  # of the image's format; the first one is added where a name has none of them
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"), "png": (".png",), "bmp": (".bmp",), "webp": (".webp",),
    "tiff": (".tif", ".tiff"),
}  # fmt: skip


def require_new_folder(folder: pathlib.Path, flag: str) -> None:
    """Refuses, before any work, a folder that holds something, or that cannot be made.

    Args:
        flag: that names it, for the message.
    """
    require_folder(folder, flag)
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    try:
        earlier = f"<title>{_TITLE}</title>" in read_text(folder / PAGE, JSON_BYTES, "replace")
    except OSError:
        earlier = False
    what = "the wrong photos of an earlier evaluation" if earlier else "other files"
    raise Refused(f"{flag} {folder}: the folder holds {what}: remove it, or name a new one")


def write_wrong_photos(folder: pathlib.Path, records: Records, guesses: Guesses, names: Sequence[str]) -> str:
    """Copies the images, byte by byte as they lie in the records, to FOLDER/TRUE/NAMED/NUMBER_CONFIDENCE_NAME.

    The numbers begin with the most confident mistake. index.html shows all of them.

    Args:
        names: of the classes.

    Returns: what was done, in a line.

    Raises:
        BadRecord: the records have changed since they were scored.
        CannotWrite: the disk is full.
    """
    mistakes, places = guesses.mistakes(), distinct_names(names)
    if not len(mistakes):
        return f"no image was named wrongly: there is nothing to write to {printable(folder)}"
    shown = []
    for number, k in enumerate(tqdm.tqdm(mistakes, desc="wrong photos", unit="photo", disable=None), 1):
        image, true, named = (int(part[k]) for part in (guesses.images, guesses.labels, guesses.named))
        data, told = records.read(image)[2], records.name(image)
        before = f"{number:0{len(str(len(mistakes)))}}_{guesses.confidence[k]:.3f}_"
        place = pathlib.PurePath(places[true], places[named], before + _name(told or f"image-{image}", data))
        _copy(folder / place, data)
        words = f"{names[true]}, taken for {names[named]} with {100 * guesses.confidence[k]:.1f} %"
        about = {"truth": names[true], "named": names[named], "confidence": float(guesses.confidence[k])}
        shown.append(Shown(place, told or f"image {image}", words, right=False, **about))
    page = contact_sheet(folder, _TITLE, shown)
    return f"{printable(page)} shows the {plural(len(shown), 'photo')} that were named wrongly, copied into TRUE/NAMED"


def _name(told: str, data: bytes) -> str:
    """What a copy is called: as the photo was, with an ending that fits what it is now."""
    path, endings = pathlib.PurePath(told), _ENDINGS.get(image_header(data).format, ("",))
    if path.suffix.lower() in endings:
        return file_name(path.stem, _LONGEST_NAME) + path.suffix
    return file_name(path.name, _LONGEST_NAME) + endings[0]


def _copy(path: pathlib.Path, data: bytes) -> None:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with opened_anew(path) as file:
                file.write(data)
        except OSError:
            path.unlink(missing_ok=True)
            raise
