"""Which .rec files are meant: names, patterns, folders of shards, and lists of them.

    train-*.rec        every file that the pattern fits, in natural order (2 before 10)
    @shards.txt        the files that a list names, one a line, in its order; relative to the list's folder
    records/train      a folder that holds the shards of one series, such as train-00000-of-01000.rec, and no others

Of a series NAME-00000-of-01000.rec all must be there, wherever more than one of it is meant.
"""

from __future__ import annotations

import glob
import itertools
import os
import pathlib
import re
from collections.abc import Iterable, Sequence

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.given import require_path
from gluon_tricks.core.reading import expanded
from gluon_tricks.core.wording import some
from gluon_tricks.data.lists import read_lines

_SHARD = re.compile(r"(?P<stem>.*)-(?P<number>\d+)-of-(?P<of>\d+)\.rec", re.DOTALL)
LIST = "@"
_NAMED = 3  # of many files, in a line


def shard_name(stem: str, number: int, of: int, ending: str = ".rec") -> str:
    """The name of one of so many shards, counted from 0."""
    return f"{stem}-{number:05d}-of-{of:05d}{ending}"


def natural(name: str) -> list[tuple[bool, int, str]]:
    """A key by which names are sorted as a person would: x-2 before x-10."""
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", name)]


def means_several(name: str | os.PathLike) -> bool:
    """Whether a name is a pattern, a list or a folder of shards, and not one file."""
    text = os.fspath(name)
    if os.path.isfile(text):
        return False
    return text.startswith(LIST) or glob.has_magic(text) or bool(_series_in(pathlib.Path(text)))


def record_paths(names: str | os.PathLike | Sequence[str | os.PathLike], flag: str = "") -> list[pathlib.Path]:
    """The files, in order, that one or several names mean; a name that is one file stays as it is.

    Args:
        flag: what a message begins with.

    Raises:
        Refused: a pattern fits nothing, a list is empty or names what is not there, a file is meant twice, or one of a
            series is missing.
    """
    names = [names] if isinstance(names, (str, os.PathLike)) or not isinstance(names, Iterable) else names
    texts = [require_path(f"{flag}paths", name, "names of .rec files") for name in names]
    paths = [path for text in texts for path in _meant(text, flag)]
    _require_once(paths, flag)
    if len(paths) > 1:  # one file alone may be meant so
        _require_whole_series(paths, flag)
    return paths


def packed_as(prefix: pathlib.Path) -> list[pathlib.Path]:
    """PREFIX.rec, or the shards PREFIX-00000-of-01000.rec and so on, in order; []: there are neither.

    Raises:
        Refused: there are both, shards of two series, or some of a series without the others.
    """
    whole = prefix.with_name(f"{prefix.name}.rec")
    beside = sorted(prefix.parent.glob(f"{glob.escape(prefix.name)}-*.rec"), key=lambda path: natural(path.name))
    matches = [(path, _SHARD.fullmatch(path.name)) for path in beside]
    shards = {path: shard["of"] for path, shard in matches if shard and shard["stem"] == prefix.name}
    kinds = [*[whole] * whole.is_file(), *{of: path for path, of in shards.items()}.values()]
    if len(kinds) > 1:
        raise Refused(f"{kinds[0]} and {kinds[1].name} are two packings of the same name: take one of them away")
    _require_whole_series([*shards])
    return [*shards] or kinds


def in_words(names: Sequence[object]) -> str:
    """The first few of the files, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(str, names[:_NAMED])) + more


def shards_of(path: pathlib.Path) -> int:
    """How many shards there are by a file's name; 1: it is the only one, or none."""
    shard = _SHARD.fullmatch(path.name)
    return int(shard["of"]) if shard else 1


def in_shell_order(names: Sequence[str]) -> list[str]:
    """Names as a shell lists what a pattern fits in natural order; others stay as a person has ordered them."""
    return sorted(names, key=natural) if list(names) == sorted(names) else list(names)


def _require_whole_series(paths: Sequence[pathlib.Path], flag: str = "") -> None:
    """Refuses some of a numbered series without the others. A series may lie in several folders."""
    series: dict[tuple[str, str], set[int]] = {}
    places: dict[tuple[str, str], pathlib.Path] = {}
    for path in paths:
        if shard := _SHARD.fullmatch(path.name):
            key = shard["stem"], shard["of"]
            series.setdefault(key, set()).add(int(shard["number"]))
            places.setdefault(key, path.parent)
    for (stem, of), numbers in series.items():
        missing = itertools.islice((k for k in range(int(of)) if k not in numbers), _NAMED)
        names = [str(places[stem, of] / f"{stem}-{k:0{len(of)}d}-of-{of}.rec") for k in missing]
        if names:
            count = int(of) - sum(k < int(of) for k in numbers)
            more = f" and {count - len(names)} more" if count > len(names) else ""
            raise Refused(
                f"{flag}{', '.join(names)}{more} of {int(of)} shards {'are' if count > 1 else 'is'} missing: copy or "
                "pack them again; to take a part of a series on purpose, name one file alone"
            )


def _meant(name: str, flag: str) -> list[pathlib.Path]:
    if os.path.isfile(name):
        return [pathlib.Path(name)]
    if name.startswith(LIST):
        return _listed(expanded(name[len(LIST) :]), flag)
    if series := _series_in(expanded(name)):
        return series
    if not glob.has_magic(name):
        return [pathlib.Path(name)]
    found = sorted((path for path in glob.glob(str(expanded(name))) if os.path.isfile(path)), key=natural)
    others = [path for path in found if not path.endswith(".rec")]
    if others:
        raise Refused(f"{flag}{name} fits {some(others[:3])} too: end the pattern in .rec")
    if not found:
        raise Refused(f"{flag}no file fits {name}: check the folder and the pattern")
    return [pathlib.Path(path) for path in found]


def _series_in(folder: pathlib.Path) -> list[pathlib.Path]:
    """The .rec files of a folder if all of them are shards of one series."""
    if not os.path.isdir(folder):
        return []
    found = sorted(folder.glob("*.rec"), key=lambda path: natural(path.name))
    shards = [_SHARD.fullmatch(path.name) for path in found]
    return found if all(shards) and len({(shard["stem"], shard["of"]) for shard in shards}) == 1 else []


def _listed(path: pathlib.Path, flag: str) -> list[pathlib.Path]:
    """The files of a list; lines that begin with # are passed over."""
    lines = [(number, line.strip()) for number, line in read_lines(path) if not line.lstrip().startswith("#")]
    places: dict[str, int] = {}
    for number, line in lines:
        file = str(path.parent / expanded(line))
        if not os.path.isfile(file):
            what = "is a folder" if os.path.isdir(file) else "is not there"
            raise Refused(f"{flag}{path} line {number}: {file} {what}: name one .rec a line")
        if file in places:
            raise Refused(f"{flag}{path} line {number}: {file} is named in line {places[file]} already: name it once")
        places[file] = number
    if not places:
        raise Refused(f"{flag}{path} names no file: write one .rec a line")
    return [pathlib.Path(file) for file in places]


def _require_once(paths: Iterable[pathlib.Path], flag: str) -> None:
    seen: set[str] = set()
    for path in paths:
        real = os.path.realpath(path)
        if real in seen:
            raise Refused(f"{flag}{path} is named twice: name every shard once")
        seen.add(real)
