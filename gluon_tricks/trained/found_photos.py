"""The photos that a person names, files or trees of folders, and the class that their folders say."""

from __future__ import annotations

import errno
import os
import pathlib
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, NoReturn

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import KINDS
from gluon_tricks.core.wording import composed, plural, printable, some
from gluon_tricks.data.folder_entries import is_leaving, is_output, looks_like_image
from gluon_tricks.data.photo_folder import is_part


class Photo(NamedTuple):
    """A photo that was found.

    Attributes:
        path: its file.
        name: the path below the folder that was named; of a file that was named its name.
        folders: the names of the folders that it lies in, up to the one that was named, the nearest first; of a file
            that was named that of its folder.
    """

    path: pathlib.Path
    name: pathlib.PurePath
    folders: tuple[str, ...]

    def truth(self, classes: Mapping[str, int]) -> int | None:
        """The class that its folders say: of those with a class's name the outermost, as training has it.

        One that may be a part of a data set, such as train, is passed over where a folder in it has a class's name.

        Args:
            classes: of folder_classes.

        Returns: None if no folder has a class's name.
        """
        named = [name for name in map(composed, self.folders[::-1]) if name in classes]
        while len(named) > 1 and is_part(named[0]):
            named.pop(0)
        return classes[named[0]] if named else None


def folder_classes(*names: Sequence[str]) -> dict[str, int]:
    """How folders of the classes may be called -> the class.

    Args:
        names: what the classes are called, of each in the same order, such as by ids and in words. What several classes
            are called says none of them.
    """
    found: dict[str, set[int]] = {}
    for several in names:
        for k, name in enumerate(map(composed, several)):
            found.setdefault(name, set()).add(k)
    return {name: min(classes) for name, classes in found.items() if len(classes) == 1}


def find_photos(places: Sequence[str | os.PathLike], out: pathlib.Path | None = None) -> list[Photo]:
    """The files that are named, and the images below folders, each once, in the order of their names.

    An image is what training takes for one, by its ending or its first bytes. Links to folders are followed, but no
    folder is looked through twice. What is hidden, and what file managers leave, is passed over; so are this program's
    runs and predictions in a folder that is named, and it says so.

    Args:
        out: the folder of results to come, of which without_results decides.

    Raises:
        Refused: a place that is not there or cannot be read, or no image at all.
    """
    found: dict[str, Photo] = {}
    for place in map(pathlib.Path, places):
        above = pathlib.Path(os.path.abspath(place)).parent
        for path in [place] if os.path.isfile(place) else sorted(_below(place, out)):
            absolute = pathlib.Path(os.path.abspath(path))
            inside = absolute.relative_to(above).parent.parts or (above.name,)
            name = pathlib.PurePath(path.name) if path == place else path.relative_to(place)
            found.setdefault(str(absolute), Photo(path, name, inside[::-1]))
    if not found:
        where = ", ".join(map(printable, places))
        raise Refused(f"no images found: {where} holds no file that is an image by its ending or its first bytes")
    return list(found.values())


def without_results(
    photos: Sequence[Photo], places: Sequence[str | os.PathLike], out: pathlib.Path, what: str,
    are_results: Callable[[pathlib.Path, Sequence[Photo]], bool], deep: bool = True,
) -> list[Photo]:  # fmt: skip
    """The photos but for a command's earlier results, whose folder --out lies in one that was named; it says so.

    Args:
        what: the command made: "prediction".
        are_results: (out, the photos in it) -> whether they are such results.
        deep: whether results lie in folders of --out too.

    Raises:
        Refused: the folder for the results holds what is to be looked at.
    """
    results = out.resolve()

    def holds(place: pathlib.Path) -> bool:
        return results == place or deep and results in place.parents

    real = {folder: folder.resolve() for folder in {photo.path.parent for photo in photos}}
    inside = {folder for folder, place in real.items() if holds(place)}
    if not inside:
        return list(photos)
    named = [(place if os.path.isdir(place) else place.parent).resolve() for place in map(pathlib.Path, places)]
    held = [photo for photo in photos if photo.path.parent in inside]
    if any(map(holds, named)) or not are_results(out, held):
        raise Refused(f"--out {out} is where images lie that are to be looked at: name another folder")
    if len(held) == len(photos):
        raise Refused(f"no images found but the pictures of an earlier {what} in --out {out}: name other ones")
    print(f"left out: {plural(len(held), 'picture')} of an earlier {what} in --out {printable(out)}", file=sys.stderr)
    return [photo for photo in photos if photo.path.parent not in inside]


def _below(place: pathlib.Path, out: pathlib.Path | None) -> Iterator[pathlib.Path]:
    """The image files below a folder. A folder that lies there and that a link leads to comes under its own name."""
    seen, waiting = set(), [str(place)]
    _require_folder(place)
    while waiting:
        for folder, below, files in os.walk(waiting.pop(0), onerror=_refuse):
            state = os.stat(folder)
            if (state.st_dev, state.st_ino) in seen:
                below.clear()
                continue
            seen.add((state.st_dev, state.st_ino))
            below[:] = sorted(name for name in below if name[0] != "." and not is_leaving(name))
            outputs = [name for name in below if _is_earlier_output(os.path.join(folder, name), out)]
            if outputs:
                told = some([printable(os.path.join(folder, name)) for name in outputs])
                print(f"left out: {told} (results of gluon-tricks)", file=sys.stderr)
                below[:] = [name for name in below if name not in outputs]
            inside = [os.path.join(folder, name) for name in below]
            waiting += [path for path in inside if os.path.islink(path)]  # which os.walk does not go into
            paths = (pathlib.Path(folder, name) for name in files if name[0] != ".")
            yield from (path for path in paths if os.path.isfile(path) and looks_like_image(path))


def _require_folder(place: pathlib.Path) -> None:
    try:
        kind = stat.S_IFMT(os.stat(place).st_mode)
    except OSError as error:
        _refuse(error)
    except ValueError:
        _refuse(OSError(errno.EINVAL, "no file can have this name", str(place)))
    if kind != stat.S_IFDIR:
        _refuse(OSError(errno.EINVAL, KINDS.get(kind, "it is no file"), str(place)))


def _is_earlier_output(folder: str, out: pathlib.Path | None) -> bool:
    return is_output(folder) and not (out and os.path.realpath(folder) == os.path.realpath(out))


def _refuse(error: OSError) -> NoReturn:
    raise Refused(
        f"{printable(error.filename)} is no file or folder that can be read ({error.strerror}): check the name"
    ) from None
