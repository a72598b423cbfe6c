"""Checkpoints: everything a run needs to go on bit for bit, in one safetensors file, written whole or not at all.

A file holds tensors and a JSON header, and nothing in it is ever executed. Tensors are named `parameter/NAME`
(structural names of the network), `optimizer/NAME/K` (the K-th array of the optimiser's state) and, of a run that
averages its weights, `average/NAME` (the averaged network, whole, in float32). Within an epoch of several devices
`parameter_of_devices/NAME` has the running statistics of each, and `parameter/NAME` their mean; and so for the average.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import mxnet as mx
import numpy as np
import safetensors
import safetensors.numpy

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import is_leftover, write_atomically, writing
from gluon_tricks.core.reading import PARAMETER_BYTES, read_bytes
from gluon_tricks.core.wording import quoted, shortened
from gluon_tricks.networks.averaged import keeps_average
from gluon_tricks.networks.moved import PLACES, is_same_network
from gluon_tricks.networks.of_recipe import parameters_by_name, set_parameters
from gluon_tricks.networks.optimizer_state import optimizer_arrays, restore_optimizer
from gluon_tricks.networks.statistics import set_each_device, statistics_on_devices
from gluon_tricks.recipes.kinds import recipe_from_json
from gluon_tricks.recipes.settings import Settings
from model_zoo import formats

FORMAT = "gluon_tricks checkpoint 1"
_SUFFIX = ".safetensors"
# What versions up to 0.5 called a file of a run while they wrote it.
_OLDER = re.compile(
    r"\.(recipe\.json|metrics\.csv|curves\.png|final\.params|epoch-\d{4,}\.png|step-\d{9,}\.safetensors)\.\d+\.tmp"
)
_HEADER = "gluon_tricks"  # its place in the file's metadata


@dataclasses.dataclass
class Progress:
    """Where a run stands: what a checkpoint holds besides arrays.

    Args:
        step: updates done since the start.
        loss_sum, images: of the current epoch so far, over all ranks.
        wrong, counted: for how many images of the current epoch so far the output was wrong, and of how many that was
            counted: those that an older version trained were not.
        seconds: of training in the current epoch so far.
        loss_scale, good_steps: of the dynamic loss scale (float16).
        history: one row per finished epoch, as in metrics.csv.
        val_images: how many images the last of them was evaluated on.
        best: the checkpoint with the highest validation top-1, as its file name, and that top-1.
        rollbacks: the steps that the run was taken back to.
        losses, high_losses: what training.divergence.Watch has seen of late.
    """

    step: int = 0
    loss_sum: float = 0.0
    images: int = 0
    wrong: int = 0
    counted: int = 0
    seconds: float = 0.0
    loss_scale: float = 1.0
    good_steps: int = 0
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    val_images: int = 0
    best: tuple[str, float] = ("", -1.0)
    rollbacks: list[int] = dataclasses.field(default_factory=list)
    losses: list[float] = dataclasses.field(default_factory=list)
    high_losses: int = 0


# --- writing ------------------------------------------------------------------------------------------------------


def save_checkpoint(
    path: pathlib.Path, net, trainer: mx.gluon.Trainer, progress: Progress, recipe: Settings, data_digest: str,
    val_digest: str = "", teacher_digest: str = "", averages: Mapping[str, np.ndarray] | None = None,
    of_devices: Mapping[str, Mapping[str, np.ndarray]] | None = None,
) -> None:  # fmt: skip
    """Writes a checkpoint; waits for every pending computation on the parameters.

    Args:
        path: ends in .safetensors; appears only when the file is whole and on the disk.
        data_digest, val_digest: of the training and the validation records; resuming on others is refused.
        teacher_digest: of the network that is learnt from (network_digest); "": there is none. So too.
        averages: the averaged network, by the names of the parameters; None: there is none.
        of_devices: for "parameter" and "average" the running statistics of every device, as of statistics.each_device.
    """
    arrays = {f"parameter/{name}": p.list_data()[0].asnumpy() for name, p in parameters_by_name(net).items()}
    arrays.update({f"optimizer/{name}": array for name, array in optimizer_arrays(net, trainer).items()})
    arrays.update({f"average/{name}": array for name, array in (averages or {}).items()})
    for kind, statistics in (of_devices or {}).items():
        for name, each in statistics.items():
            arrays[f"{kind}_of_devices/{name}"] = each
            arrays[f"{kind}/{name}"] = each.mean(axis=0, dtype="float64").astype(each.dtype)
    header = {
        "format": FORMAT,
        "progress": dataclasses.asdict(progress),
        "recipe": recipe.to_json(),
        "data": data_digest,
        "val": val_digest,
        "teacher": teacher_digest,
        "sha256": {name: _digest(array) for name, array in arrays.items()},
    }
    header["header_sha256"] = _header_digest(header)
    metadata = {_HEADER: json.dumps(header)}
    write_atomically(path, lambda temporary: temporary.write_bytes(safetensors.numpy.save(arrays, metadata)))


def prune(folder: pathlib.Path, keep: int, best: str, before: int) -> None:
    """Deletes all but the newest `keep` checkpoints of a folder, the best one, and the newest from before a step.

    Args:
        before: a divergence that is seen now may have begun there.
    """
    paths = list_checkpoints(folder)
    earlier = [path.name for path in paths if path.name < checkpoint_path(folder, before).name]
    for path in paths[:-keep]:
        if path.name not in (best, *earlier[-1:]):
            with writing(path):
                path.unlink(missing_ok=True)


def checkpoint_path(folder: pathlib.Path, step: int) -> pathlib.Path:
    return folder / f"step-{step:09d}{_SUFFIX}"


# --- reading ------------------------------------------------------------------------------------------------------


def remove_leftovers(run: pathlib.Path) -> None:
    """Deletes what a killed process left half-written in a run directory, and nothing that it did not name itself.

    Call it with the directory's lock held.
    """
    for folder in (run, run / "checkpoints", run / "pictures"):
        for path in folder.glob(".*"):
            if not is_leftover(path.name) and not _OLDER.fullmatch(path.name):
                continue
            with writing(path):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()


def list_checkpoints(folder: pathlib.Path) -> list[pathlib.Path]:
    """The checkpoints of a folder, oldest first."""
    return sorted(folder.glob(f"step-*{_SUFFIX}"))


def is_checkpoint(path: pathlib.Path) -> bool:
    """Whether a file is one, by what it says of itself."""
    return _HEADER in formats.metadata(path)


def read_checkpoint(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """A checkpoint's arrays and header, every digest checked.

    Raises:
        Refused: not a whole checkpoint of this project.
    """
    return parse_checkpoint(checkpoint_bytes(path), path)


def checkpoint_bytes(path: pathlib.Path) -> bytes:
    """What parse_checkpoint takes. Raises Refused: the file cannot be read."""
    try:
        return read_bytes(path, PARAMETER_BYTES)
    except OSError as error:
        raise Refused(f"{path} cannot be read ({error.strerror}): {instead_of(path)}") from error


def instead_of(path: pathlib.Path) -> str:
    """What there is in the place of a checkpoint that cannot be used, in words."""
    of_run = list_checkpoints(path.parent)
    if path not in of_run:
        return "use another one, or train again"
    older = of_run[: of_run.index(path)]
    return f"use {older[-1].name}, from which a run goes on once this one is moved away" if older else "start anew"


def parse_checkpoint(data: bytes, path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and header that a checkpoint's bytes hold, every digest checked.

    Args:
        path: what an error names.

    Raises:
        Refused: not a whole checkpoint of this project.
    """
    try:
        arrays = safetensors.numpy.load(data)  # checks the lengths that the file claims
        metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__") or {}
        header = json.loads(metadata.get(_HEADER, "{}"))
    except (ValueError, RecursionError, KeyError, safetensors.SafetensorError) as error:
        raise Refused(f"{path} is not a whole checkpoint ({shortened(str(error), 200)}): {instead_of(path)}") from error
    seen = header.get("format") if isinstance(header, dict) else None
    if seen != FORMAT:
        raise Refused(f"{path} is not a checkpoint of this version: expected {FORMAT!r}, saw {quoted(seen, 50)}")
    if [type(header.get(part)) for part in ("sha256", "progress", "recipe", "data")] != [dict, dict, dict, str]:
        raise Refused(f"{path} is damaged (its header): {instead_of(path)}")
    if header.get("header_sha256", _header_digest(header)) != _header_digest(header):  # older ones have none
        raise Refused(f"{path} is damaged (digest of its header): {instead_of(path)}")
    damaged = [
        name for name, digest in header["sha256"].items() if name not in arrays or _digest(arrays[name]) != digest
    ]
    if damaged or len(arrays) != len(header["sha256"]):
        raise Refused(f"{path} is damaged (digest of {damaged or 'its list of arrays'}): {instead_of(path)}")
    return arrays, header


def restore(
    path: pathlib.Path, read: tuple[dict[str, np.ndarray], dict[str, Any]], net, trainer: mx.gluon.Trainer,
    recipe: Settings, data_digest: str, contexts: Sequence[mx.Context], val_digest: str = "", teacher_digest: str = "",
    steps_per_epoch: int = 1,
) -> Progress:  # fmt: skip
    """Puts the network and the optimiser where a checkpoint has them, and says where the run stands.

    Args:
        path: what an error names.
        read: what parse_checkpoint gave.

    Raises:
        Refused: another recipe, other records or another teacher. A network that it names may lie elsewhere now.
    """
    arrays, header = read
    progress = _progress(header["progress"], path)
    begun, epoch = recipe_from_json(header["recipe"]), progress.step / steps_per_epoch
    differences = recipe.differences_going_on(begun, epoch).items()
    others = [(name, *both) for name, both in differences if name not in PLACES or not is_same_network(*both)]
    differing = [f"{name} was {quoted(old)} and is {quoted(new)}" for name, old, new in others]
    if differing:
        run = path.parent.parent
        anew = "" if recipe.based else " --resume-params FILE"
        raise Refused(
            f"{path} belongs to another recipe ({'; '.join(differing)}): leave that out, as --resume auto --save-dir "
            f"{run} takes it from the run ({run / 'recipe.json'}), or start another run: --save-dir NEW{anew}"
        )
    validated = header.get("val", "")  # older ones do not say it
    if header["data"] != data_digest or validated not in ("", val_digest):
        raise Refused(f"{path} was trained on other records than those given: resume with the same files")
    if header.get("teacher", "") not in ("", teacher_digest):
        raise Refused(
            f"{path} learnt from a teacher with other numbers than it has now: put the file back that it had then, or "
            "start another run: --save-dir NEW"
        )
    set_parameters(net, named(arrays, "parameter"), path)
    set_each_device(statistics_on_devices(net), named(arrays, "parameter_of_devices"))
    restore_optimizer(net, trainer, named(arrays, "optimizer"), contexts)
    return progress


def _progress(values: dict[str, Any], path: pathlib.Path) -> Progress:
    values = {**dataclasses.asdict(Progress()), **values}  # what an older version did not know has its default
    values["best"] = list(values["best"]) if isinstance(values["best"], tuple) else values["best"]
    wanted = {f.name: type(value) for f, value in zip(dataclasses.fields(Progress), dataclasses.astuple(Progress()))}
    wanted["best"] = list  # JSON's
    if {name: type(value) for name, value in values.items()} != wanted or not 0 <= values["step"] < 1 << 53:
        raise Refused(f"{path} is damaged (where the run stands): {instead_of(path)}")
    if [type(part) for part in values["best"]] != [str, float] or not all(type(r) is dict for r in values["history"]):
        raise Refused(f"{path} is damaged (its history): {instead_of(path)}")
    return Progress(**{**values, "best": tuple(values["best"])})


# --- the parts ----------------------------------------------------------------------------------------------------


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def network_digest(net: mx.gluon.Block) -> str:
    """Of a network's numbers, by the names of its parameters."""
    mx.nd.waitall()  # a forward under way changes its weights' layout: read meanwhile they can come out wrong
    parameters = sorted(parameters_by_name(net).items())
    told = json.dumps([(name, _digest(parameter.list_data()[0].asnumpy())) for name, parameter in parameters])
    return hashlib.sha256(told.encode()).hexdigest()


def _header_digest(header: dict[str, Any]) -> str:
    parts = {part: header[part] for part in ("progress", "recipe", "data")}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def part_of_run(arrays: Mapping[str, np.ndarray], header: dict[str, Any]) -> str:
    """Which of a checkpoint's networks is the run's: "parameter", the trained one, or "average"."""
    kept = keeps_average(recipe_from_json(header["recipe"]), _rows(header))
    return "average" if kept and any(name.startswith("average/") for name in arrays) else "parameter"


def part_named(path: pathlib.Path, arrays: Mapping[str, np.ndarray], header: dict[str, Any], part: str) -> str:
    """Which of its networks FILE#PART names; that of the run by "". Raises: Refused: it holds none of that name."""
    there = [kind for kind in ("parameter", "average") if any(name.startswith(f"{kind}/") for name in arrays)]
    if part and part not in there:
        raise Refused(f"{path} has no network {quoted(part)}: name {' or '.join(f'{path}#{kind}' for kind in there)}")
    return part or part_of_run(arrays, header)


def _rows(header: dict[str, Any]) -> list[dict[str, float]]:
    rows = header["progress"].get("history", [])
    return rows if isinstance(rows, list) and all(isinstance(row, dict) for row in rows) else []


def named(arrays: dict[str, np.ndarray], kind: str, dtype: str | None = None) -> dict[str, np.ndarray]:
    """The arrays of a kind by the rest of their name."""
    found = {name[len(kind) + 1 :]: array for name, array in arrays.items() if name.startswith(f"{kind}/")}
    return {name: array.astype(dtype) for name, array in found.items()} if dtype else found
