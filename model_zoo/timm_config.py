"""config.json of timm's repositories: which network the parameters beside it are of, and what images it takes."""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.json_text import parse_json
from gluon_tricks.core.reading import read_bytes
from gluon_tricks.core.wording import plural, quoted
from model_zoo.classifier import MOST_CLASSES
from model_zoo.preprocessing import Preprocessing
from model_zoo.resnet_peers import BLURRED
from model_zoo.timm_files import ARCHITECTURES, FORMERLY

NAME = "config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # what the parameters beside it are called, the best first
CONFIG_BYTES = 1 << 24  # one with the names and descriptions of ImageNet's 21,841 classes has 2e6
# What a model was built with may change what it computes. These do not, with these values; None: with any.
_HARMLESS = {
    **{"num_classes": None, "in_chans": (3,), "global_pool": ("avg",), "output_stride": (32,), "act_layer": ("relu",)},
    **dict.fromkeys(("drop_rate", "drop_path_rate", "drop_block_rate", "zero_init_last", "aux_logits")),
}
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}  # what a config means that says none


@dataclasses.dataclass(frozen=True)
class TimmConfig:
    """What is said of the parameters beside it.

    Args:
        architecture: timm's name of the network; model: ours.
        classes: number of logits.
        notes: in what timm's use of the network differs from ours, each a clause.
        keywords: of get_model, by which ours is that network.
    """

    architecture: str
    model: str
    classes: int
    preprocessing: Preprocessing
    notes: tuple[str, ...] = ()
    keywords: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def beside(path: str | os.PathLike) -> TimmConfig | None:
    """The config of the repository that a parameter file comes from, if one lies beside it and the zoo has its network.

    Raises:
        Refused: it has, and the rest of the config is damaged.
    """
    path = pathlib.Path(path)
    if path.name not in WEIGHTS:
        return None
    config = path.with_name(NAME)
    if not config.is_file():
        return None
    try:
        values = _values(config)
    except (ValueError, OSError):  # of another program: then the file is known by its own names alone
        return None
    return _parsed(values, path) if _plain(_todays(values.get("architecture"))) in ARCHITECTURES.values() else None


def read(path: str | os.PathLike, called: object = "") -> TimmConfig:
    """The config in a file.

    Args:
        called: what an error calls it; "": path.

    Raises:
        Refused: it is damaged, of another library, or of a network that the zoo does not have.
    """
    called = called or path
    try:
        values = _values(path)
    except ValueError as error:
        raise Refused(f"{called} has a {NAME} that cannot be used: {error}") from None
    if not isinstance(values.get("architecture"), str):
        theirs = values.get("architectures") or values.get("model_type")
        whose = f"of transformers ({quoted(theirs)})" if theirs else "that names no architecture of timm's"
        raise Refused(
            f"{called} has a {NAME} {whose}, whose parameters are not read: take a repository of timm's, such as "
            "hf-hub:timm/resnet50.a1_in1k"
        )
    return _parsed(values, called)


def _values(path: str | os.PathLike) -> dict[str, Any]:
    values = parse_json(read_bytes(path, CONFIG_BYTES))
    if not isinstance(values, dict):
        raise ValueError(f"it is {quoted(values)}, not an object")
    return values


def _todays(architecture: object) -> str:
    return FORMERLY.get(architecture, architecture) if isinstance(architecture, str) else ""


def _plain(architecture: str) -> str:
    """The network without blurred strides."""
    return architecture.replace("resnetblur", "resnet") if architecture in BLURRED else architecture


def _parsed(values: dict[str, Any], called: object) -> TimmConfig:
    architecture = _todays(values["architecture"])
    ours = {theirs: name for name, theirs in ARCHITECTURES.items()}
    if _plain(architecture) not in ours:
        near = difflib.get_close_matches(architecture[:100], ours, n=3)
        there = ", ".join(f"{theirs} ({ours[theirs]} here)" for theirs in near) or ", ".join(ours)
        raise Refused(f"{called} holds a {quoted(architecture)}, which the zoo does not have: it has {there}")
    nested = values.get("pretrained_cfg", {})  # before timm 0.8 all stood on one level
    try:
        if not isinstance(nested, dict):
            raise ValueError("pretrained_cfg is no object")
        said = {**nested, **{key: value for key, value in values.items() if key != "pretrained_cfg"}}
        _require_plain(said)
        classes = _classes(said)
        preprocessing, notes = _preprocessing(said, classes)
    except (ValueError, TypeError, OverflowError) as error:
        raise Refused(f"{called} has a {NAME} that cannot be used: {error}") from None
    plain = _plain(architecture)
    return TimmConfig(
        architecture, ours[plain], classes, preprocessing, notes, {"blur": True} if plain != architecture else {}
    )


def _require_plain(said: dict[str, Any]) -> None:
    """Refuses a network that was built otherwise than the zoo's."""
    built = dict(said.get("model_args") or {})
    if "global_pool" in said:
        built.setdefault("global_pool", said["global_pool"])
    for key, value in built.items():
        if key not in _HARMLESS or (_HARMLESS[key] is not None and value not in _HARMLESS[key]):
            raise ValueError(f"its network was built with {quoted(key)} = {quoted(value)}, and the zoo's is not")
    if said.get("label_offset"):
        raise ValueError(f"its logits begin at class {quoted(said['label_offset'])} (label_offset)")


def _classes(said: dict[str, Any]) -> int:
    count = said.get("num_classes", 1000)
    if type(count) is not int or not 1 <= count <= MOST_CLASSES:
        what = "it has no head" if count == 0 else "it has no number of classes"
        raise ValueError(f"{what} (num_classes is {quoted(count)})")
    return count


def _preprocessing(said: dict[str, Any], classes: int) -> tuple[Preprocessing, tuple[str, ...]]:
    """What is done to photos, and what timm does otherwise."""
    channels, height, width = _three(said.get("input_size", (3, 224, 224)), "input_size")
    if channels != 3 or height != width or not isinstance(height, int):
        raise ValueError(f"its images are {quoted(said['input_size'])} (channels, height, width), not square and RGB")
    ratio = _number(said.get("crop_pct", 0.875), "crop_pct")
    mean, std = (  # timm's are of pixels from 0 to 1
        tuple(round(255 * n, 4) for n in _three(said.get(key, usual), key)) for key, usual in _IMAGENET.items()
    )
    preprocessing = Preprocessing(height, ratio, mean, std, _names(said, classes))
    return preprocessing, tuple(_differences(said, height))


def _differences(said: dict[str, Any], side: int) -> list[str]:
    notes = []
    if said["architecture"].startswith("mobilenet") and (said.get("model_args") or {}).get("act_layer") != "relu":
        notes.append("timm's network has ReLU6 where this one has ReLU, so its logits are others")
    if _todays(said["architecture"]) == "senet154":
        notes.append("timm's network begins its first pooling a pixel further left and above, so its logits are others")
    if said.get("test_input_size"):
        (*_, tested) = _three(said["test_input_size"], "test_input_size")
        ratio = _number(said.get("test_crop_pct") or said.get("crop_pct", 0.875), "test_crop_pct")
        if tested != side:
            notes.append(f"timm tests it at {tested:g} px with crop ratio {ratio:g}")
    resized = said.get("interpolation", "bilinear")
    if resized != "bilinear":
        notes.append(f"timm resizes photos by {quoted(resized)} interpolation and this program bilinearly")
    if said.get("crop_mode", "center") != "center":
        notes.append(f"timm crops in the mode {quoted(said['crop_mode'])} and this program the centre")
    return notes


def _names(said: dict[str, Any], classes: int) -> tuple[str, ...] | None:
    """The classes' names in the order of the logits, None where they are not said of every class."""
    names = said.get("label_names", said.get("labels"))
    if isinstance(names, dict):
        names = [names.get(str(k)) for k in range(classes)] if len(names) == classes else None
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("label_names is no list of names")
    if len(names) != classes:
        raise ValueError(f"label_names has {plural(len(names), 'name')} for {plural(classes, 'class')}")
    return tuple(names)


def _number(value: Any, key: str) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{key} is {quoted(value)}, which is no finite number")
    return value


def _three(value: Any, key: str) -> tuple[float, ...]:
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise ValueError(f"{key} is {quoted(value)}, which is not three numbers")
    return tuple(_number(n, key) for n in value)
