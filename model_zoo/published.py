"""The parameter files that GluonCV published: which there are, how accurate they were, and how to get one."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import http.client
import logging
import os
import pathlib
import re
import urllib.error
import urllib.request
from collections.abc import Iterator

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import CannotWrite, writing
from gluon_tricks.core.reading import expanded, opened
from gluon_tricks.core.scratch import scratch_folder
from gluon_tricks.core.wording import some, without_password
from model_zoo import hub, timm_files
from model_zoo.download import Download, Unusable, unpack
from model_zoo.gluoncv_files import FILE_NAMES, FILES

log = logging.getLogger("model_zoo")


@dataclasses.dataclass(frozen=True)
class Published:
    """A published parameter file.

    Args:
        tag: the first 8 hex digits of its sha1, which are part of its name.
        sha1: all of them; None: only the tag is known.
        top1, top5: accuracy on the validation images as published, percent; None: not published.
        note: how it was trained, where that was said.
    """

    tag: str
    sha1: str | None
    top1: float | None = None
    top5: float | None = None
    note: str = ""


def _file(sha1: str, top1: float | None = None, top5: float | None = None, note: str = "") -> Published:
    return Published(sha1[:8], sha1 if len(sha1) == 40 else None, top1, top5, note)


_MIXUP, _SMOOTHING = "mixup, label smoothing", "label smoothing"
_CIFAR = "CIFAR-10, mixup (as GluonCV's page says of its files; without mixup {})"

# The first of a name is its default.
# Source: digests: gluoncv 0.10.5, model_zoo/model_store.py; accuracies, further tags and which of two files had mixup:
#     gluon-cv, docs/model_zoo/csv_tables/Classifications/*.csv.
PUBLISHED: dict[str, tuple[Published, ...]] = {
    "resnet18_v1": (_file("a0666292f0a30ff61f857b0b66efc0228eb6a54b", 70.93, 89.92),),
    "resnet34_v1": (_file("48216ba99a8b1005d75c0f3a0c422301a0473233", 74.37, 91.87),),
    "resnet50_v1": (_file("cc729d95031ca98cf2ff362eb57dee4d9994e4b2", 77.36, 93.57),),
    "resnet101_v1": (_file("d988c13d6159779e907140a638c56f229634cb02", 78.34, 94.01),),
    "resnet152_v1": (_file("acfd09703b113143af9c33898bad8b6154fd6fb0", 79.22, 94.64),),
    "resnet18_v1b": (_file("2d9d980c990442f826f20781ed039851e78dabe3", 70.94, 89.83),),
    "resnet34_v1b": (_file("8e16b84814e84f64d897854003f049872991eaa6", 74.65, 92.08),),
    "resnet50_v1b": (_file("0ecdba34691be172036ddf244ff1b2eade75ffde", 77.67, 93.82),),
    "resnet101_v1b": (_file("a455932aa95cb7dcfa05fd040b9b5a5660733c39", 79.20, 94.61),),
    "resnet152_v1b": (_file("a5a61ee1ce5ab7c09720775b223360f3c60e211d", 79.69, 94.74),),
    "resnet50_v1c": (_file("2a4e070854db538595cc7ee02e1a914bdd49ca02", 78.03, 94.09),),
    "resnet101_v1c": (_file("064858f23f9878bfbbe378a88ccb25d612b149a1", 79.60, 94.75),),
    "resnet152_v1c": (_file("75babab699e1c93f5da3c1ce4fd0092d1075f9a0", 80.01, 94.96),),
    "resnet50_v1d": (
        _file("117a384ecf61490eb31ea147eb0e61e6d2b8a449", 79.15, 94.58, _MIXUP),
        _file("00319ddc", 78.48, 94.20, _SMOOTHING),
    ),
    "resnet101_v1d": (
        _file("1b2b825feff86b0354642a4ab59f9b6e35e47338", 80.51, 95.12, _MIXUP),
        _file("8659a9d6", 79.78, 94.80, _SMOOTHING),
    ),
    "resnet152_v1d": (
        _file("cddbc86ff24a5544f57242ded0acb14ef1fbd437", 80.61, 95.34, _MIXUP),
        _file("cfe0220d", 80.26, 95.00, _SMOOTHING),
    ),
    "resnext50_32x4d": (_file("4ecf62e29336e0cbc5a2f844652635a330928b5a", 79.32, 94.53),),
    "resnext101_32x4d": (_file("8654ca5d0ba30a7868c5b42a7d4cc0ff2ba04dbc", 80.37, 95.06),),
    "se_resnext50_32x4d": (_file("7906e0e16013ef8d195cbc05463cc37783ec7a8a", 79.95, 94.93),),
    "inceptionv3": (
        _file("a5050dbcbfc54908fc1b7700698eb7ffbc150417", 78.77, 94.39, _MIXUP),
        _file("e132adf2", 78.41, 94.13, _SMOOTHING),
    ),
    "mobilenet1.0": (
        _file("efbb2ca3881998d5a8c5cb6c457a28c1e085fed5", 73.28, 91.30, _MIXUP),
        _file("cce75496", 72.93, 91.14, _SMOOTHING),
    ),
    "mobilenet0.75": (_file("84c801e27b1ac5040b6e945c0d1f8d49e9a59f3d", 70.25, 89.49),),
    "mobilenet0.5": (_file("0130d2aa2f7e3a63db35579b243e25f512172371", 65.20, 86.34),),
    "mobilenet0.25": (_file("f0046a3da4e150b85da58ea31913dbb86e7540d1", 52.91, 76.94),),
    "densenet121": (_file("f27dbf2dbd5ce9a80b102d89c7483342cd33cb31", 74.97, 92.25),),
    "densenet169": (_file("2603f878403c6aa5a71a124c4a3307143d6820e9", 76.17, 93.17),),
    "densenet201": (_file("1cdbc116bc3a1b65832b18cf53e1cb8e7da017eb", 77.32, 93.62),),
    "googlenet": (_file("c7c89366fb4410c0aeb34827795f7dab9423f950", 72.87, 91.17, _MIXUP),),
    "alexnet": (_file("44335d1f0046b328243b32a26a4fbd62d9057b45", 54.92, 78.03),),
    "vgg11": (_file("dd221b160977f36a53f464cb54648d227c707a05", 66.62, 87.34),),
    "vgg13": (_file("6bc5de58a05a5e2e7f493e2d75a580d83efde38c", 67.74, 88.11),),
    "vgg16": (_file("e660d4569ccb679ec68f1fd3cce07a387252a90a", 73.23, 91.31),),
    "vgg19": (_file("ad2f660d101905472b83590b59708b71ea22b2e5", 74.11, 91.35),),
    "vgg11_bn": (_file("ee79a8098a91fbe05b7a973fed2017a6117723a8", 68.59, 88.72),),
    "vgg13_bn": (_file("7d97a06c3c7a1aecc88b6e7385c2b373a249e95e", 68.84, 88.82),),
    "vgg16_bn": (_file("7f01cf050d357127a73826045c245041b0df7363", 73.10, 91.76),),
    "vgg19_bn": (_file("f360b758e856f1074a85abd5fd873ed1d98297c3", 74.33, 91.85),),
    "cifar_resnet20_v1": (
        _file("121e1579d811b091940b3b1fa033e1f0d1dca40f", 92.9, None, _CIFAR.format(92.1)),
    ),
    "cifar_resnet56_v1": (
        _file("2fb251e60babdceb103e9659b3baa0dea20a14d7", 94.2, None, _CIFAR.format(93.6)),
    ),
    "cifar_resnet110_v1": (
        _file("a0e1f860475bf5369f6da07e0c2e03a4ae9cff9c", 95.2, None, _CIFAR.format(93.0)),
    ),
    **{name: tuple(_file(*file) for file in files) for name, files in FILES.items()},
}  # fmt: skip

REPOSITORY = "https://apache-mxnet.s3-accelerate.dualstack.amazonaws.com/"
_WAITS = (1.0, 3.0, 9.0)  # seconds before the second, third and fourth try
_LARGEST = 1 << 30  # bytes, of a file and of the archive it comes in; VGG-19's have 5.7e8


def is_tag(text: object) -> bool:
    """Whether it is a tag: 8 hex digits, as in resnet50_v1d-117a384e.params."""
    return isinstance(text, str) and re.fullmatch("[0-9a-f]{8}", text) is not None


def tags(name: str) -> str:
    """The tags of a network's files, for a sentence."""
    return ", ".join(file.tag for file in PUBLISHED.get(name, ())) or "none"


def lookup(name: str, tag: str | None = None) -> Published:
    """What is known of a published file; of a tag that is not in the table, the tag.

    Args:
        name: of a network; tag: None for the default.

    Raises:
        Refused: no tag is given and no file of that network is in the table.
    """
    known = PUBLISHED.get(name, ())
    if tag is None and not known:
        theirs = [file.reference for file in timm_files.FILES.get(name, ())]
        raise Refused(
            f"no parameters of {name} were published: give pretrained='FILE', "
            f"{f'or of timm {some(theirs)}, ' if theirs else ''}or one of {', '.join(PUBLISHED)}"
        )
    return next((file for file in known if tag in (None, file.tag)), None) or Published(str(tag), None)


def fetch(name: str, tag: str | None = None) -> pathlib.Path:
    """The parameter file that GluonCV published of a network: the one on this machine, else downloaded.

    It lies in $MXNET_HOME/models, else in ~/.mxnet/models, as GluonCV's own. Any number of processes may fetch it at
    once: each downloads for itself, and the name appears when the file is whole and its digest right. Of a default
    file timm may have a copy at the Hugging Face hub, with timm's names for the parameters: it is taken from the hub's
    cache, or where GluonCV's server fails from the hub. A line says what was taken, unless it is GluonCV's
    file on this machine.

    Args:
        name: of a network; tag: None for the default.

    Raises:
        Refused: there is no such file, or it cannot be downloaded; the message then says what to put where.
        CannotWrite: the disk is full or read-only.
    """
    file = lookup(name, tag)
    name_of_file = f"{FILE_NAMES.get(name, name)}-{file.tag}"
    path = folder() / f"{name_of_file}.params"
    there = _sha1(path) if path.is_file() else ""
    if there.startswith(file.sha1 or file.tag):
        return path
    copy = timm_files.copy_of(name) if file in PUBLISHED.get(name, ())[:1] else None
    if copy and hub.cached(copy.reference):
        return hub.fetch(copy.reference, name)
    try:
        _fetch(name, file, path, patient=copy is None)
        log.warning("parameters of %s: GluonCV's file %s, from its server", name, path)
        return path
    except _Failed as failure:
        if copy is None:
            said = f"{failure}"
        else:
            log.warning("%s: timm's copy of it is tried, %s", failure, copy.reference)
            try:
                return hub.fetch(copy.reference, name)
            except (Refused, CannotWrite) as error:
                said = f"{failure}; nor is there timm's copy of it: {error}"
    wrong = f"; the file that is at {path} has the sha1 {there} and is not it" if there else ""
    raise Refused(
        f"{said}{wrong}: put the file whose sha1 {f'is {file.sha1}' if file.sha1 else f'starts with {file.tag}'} at "
        f"{path}, or give the path of another; published tags of {name}: {tags(name)}"
    )


class _Failed(Exception):
    """Why GluonCV's server does not give a file, in a sentence."""


def _fetch(name: str, file: Published, path: pathlib.Path, patient: bool) -> None:
    """Downloads a file from GluonCV's server to path.

    Args:
        patient: the server is asked again and again; else once more where it answers with an error, and no more.

    Raises:
        _Failed: it cannot be downloaded.
        CannotWrite: the disk is full or read-only.
    """
    repository = os.environ.get("MXNET_GLUON_REPO", REPOSITORY).rstrip("/")
    url = f"{repository}/gluon/models/{path.stem}.zip"
    try:
        with _scratch(path) as scratch:
            archive, unpacked = pathlib.Path(scratch, "archive"), pathlib.Path(scratch, "unpacked")
            Download(url, archive, _WAITS if patient else _WAITS[:1], _LARGEST, patient).run()
            unpack(archive, path.name, unpacked, _LARGEST)
            if not _sha1(unpacked).startswith(file.sha1 or file.tag):
                raise Unusable(f"what is there has the sha1 {_sha1(unpacked)}")
            with writing(path):
                os.replace(unpacked, path)
    except (Unusable, OSError, http.client.HTTPException, ValueError) as error:
        said = without_password(f"{url} ({error})", url, *urllib.request.getproxies().values())
        raise _Failed(f"{path.name} cannot be downloaded from {said}") from None


def folder() -> pathlib.Path:
    """Where published files lie."""
    return expanded(os.environ.get("MXNET_HOME") or "~/.mxnet") / "models"


@contextlib.contextmanager
def _scratch(path: pathlib.Path) -> Iterator[str]:
    """A temporary folder beside the file."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(path.parent, f".{path.stem}") as scratch:
        yield str(scratch)


def _sha1(path: pathlib.Path) -> str:
    digest = hashlib.sha1(usedforsecurity=False)
    with opened(path) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
