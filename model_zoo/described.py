"""What a parameter file says of the images that its network takes, in itself or in a file beside it."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.json_text import parse_json
from gluon_tricks.core.reading import MEAN_BYTES, read_bytes
from gluon_tricks.core.wording import shortened
from model_zoo import formats, timm_config
from model_zoo.naming import NAMINGS, PIXELS
from model_zoo.preprocessing import FIELDS, Preprocessing

log = logging.getLogger("model_zoo")


def described(
    source: str | os.PathLike, values: Mapping[str, np.ndarray], usual: Preprocessing | None
) -> tuple[Preprocessing, tuple[str, ...]] | None:
    """The preprocessing that a file says, and which of FIELDS it says; None: it says nothing.

    It stands in the metadata of a safetensors file of weights.save; in PREFIX-preprocessing.json beside
    PREFIX-0000.params and PREFIX-symbol.json of an export; in config.json beside a file of a repository of timm's; or,
    mean and deviation only, among the arrays, where GluonCV's export_block puts them.

    Args:
        source: the file, as formats.read takes it.
        values: its arrays.
        usual: has what the file does not say; None: it must say all.

    Raises:
        Refused: what it says is damaged.
    """
    pixels = {PIXELS.search(name)[1]: value for name, value in values.items() if PIXELS.search(name)}
    if pixels and usual:
        said = _with_pixels(usual, pixels, source)
        log.warning("%s says of its images: mean %s, std %s", source, said.mean, said.std)
        return said, ("mean", "std")
    path, _ = formats.split(source)
    if not path.is_file():
        return None
    about = formats.metadata(path)
    if about.get("naming") in NAMINGS and "preprocessing" in about:
        return _parsed(about["preprocessing"], path, usual)
    config = timm_config.beside(path)
    if config:
        said = config.preprocessing
        return said, tuple(field for field in FIELDS if field != "classes" or said.classes)
    beside = file_beside(path)
    if beside is None:
        return None
    return _parsed(read_bytes(beside, MEAN_BYTES), beside, usual)


def model_in(source: str | os.PathLike) -> str | None:
    """The network that a parameter file says it holds, in itself or beside it, in small letters; None: it does not.

    Raises:
        Refused: what it says is damaged.
    """
    path, _ = formats.split(source)
    about = formats.metadata(path)
    if about.get("naming") in NAMINGS and "model" in about:
        return about["model"].lower()
    config = timm_config.beside(path)
    model = config.model if config else told_beside(path).get("model")
    return model.lower() if isinstance(model, str) else None


def file_beside(path: pathlib.Path) -> pathlib.Path | None:
    """PREFIX-preprocessing.json of the export that a file belongs to, if it lies there."""
    prefix = re.fullmatch(r"(.+)-(symbol\.json|\d{4}\.params)", path.name)
    beside = path.with_name(f"{prefix[1]}-preprocessing.json") if prefix else None
    return beside if beside and beside.is_file() else None


def told_beside(path: pathlib.Path) -> dict[str, Any]:
    """What PREFIX-preprocessing.json says of the export that a file belongs to; {}: it is of none.

    Raises:
        Refused: it is damaged.
    """
    beside = file_beside(path)
    if beside is None:
        return {}
    try:
        values = parse_json(read_bytes(beside, MEAN_BYTES))
    except ValueError as error:
        raise Refused(f"{beside} does not say its preprocessing rightly: {str(error)[:200]}") from None
    return values if isinstance(values, dict) else {}


def exported_task(path: pathlib.Path) -> str | None:
    """The task of the detector or segmenter whose export a file belongs to; None: of no such export.

    Raises:
        Refused: what lies beside the file is damaged.
    """
    told = told_beside(path).get("task")
    return shortened(told, 50) if isinstance(told, str) else None


def in_words(preprocessing: Preprocessing, stated: tuple[str, ...]) -> str:
    """What `described` finds again in the metadata of a file."""
    whole = preprocessing.to_json()
    said_all = {*FIELDS} - {*stated} <= {"probabilities", "mean_image"}  # which files of older versions do not say
    kept = {"crop" if field == "input_size" else field for field in stated}  # the crop's side is the input's
    return json.dumps(whole if said_all else {key: whole[key] for key in whole if key in kept})


def _parsed(text: str | bytes, path, usual: Preprocessing | None) -> tuple[Preprocessing, tuple[str, ...]]:
    try:
        return Preprocessing.from_json(parse_json(text), usual)
    except ValueError as error:
        raise Refused(f"{path} does not say its preprocessing rightly: {str(error)[:200]}") from None


def _with_pixels(preprocessing: Preprocessing, pixels: Mapping[str, np.ndarray], source) -> Preprocessing:
    """With the mean and the deviation that a file of GluonCV's export_block holds, called "mean" and "scale"."""
    sizes = {kind: value.size for kind, value in pixels.items()}
    if sizes != {"mean": 3, "scale": 3} or not all(np.isfinite(value).all() for value in pixels.values()):
        raise Refused(f"{source} has init_mean and init_scale that are not three finite numbers each, for R, G and B")
    mean, std = (tuple(round(float(value), 4) for value in pixels[kind].flat) for kind in ("mean", "scale"))
    return dataclasses.replace(preprocessing, mean=mean, std=std)
