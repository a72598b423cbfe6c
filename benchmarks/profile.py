"""Where the time of a network's training step goes, operator by operator, by MXNet's own profiler."""

from __future__ import annotations

import json
import os
import pathlib
import tempfile
from collections.abc import Callable

import mxnet as mx

from benchmarks.models import mxnet_network
from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.of_recipe import require_images
from model_zoo import get_model
from model_zoo.summary import table

_ONE_BY_ONE = ("MXNET_EXEC_BULK_EXEC_TRAIN", "MXNET_EXEC_BULK_EXEC_INFERENCE")  # else several count as one
_SMALL = 0.002  # of the whole time: what is below stands in one line


def run(
    model: str, dtype: str, batch_size: int, steps: int, size: int | None = None
) -> tuple[dict[str, list[float]], list[str]]:
    """Milliseconds a step of each operator, and the table of them.

    Operators run one by one here, so a step takes a little longer than it does in training.

    Args:
        model: of the zoo.
        dtype: the precision.
        batch_size: images per step.
        steps: that are timed, after two that are not.
        size: px of the images; default: the network's own.

    Raises:
        Refused: there is no such network, or it cannot take such images, or they do not fit into the memory.
    """
    for variable in _ONE_BY_ONE:
        os.environ[variable] = "0"  # read by the first step
    net = get_model(model)
    size = size or net.input_size
    require_images(net, (batch_size, size, size), mx.cpu(), to_train=True)
    play = mxnet_network("ours", model, "training", dtype, batch_size, size, steps)
    for _ in range(2):
        play()
    rate, told = _profiled(play)
    found = {name: [values["Total"] / steps, values["Count"] / steps] for name, values in told.items()}
    return found, _lines(found, f"training {model} at {size} px, batch {batch_size}, {dtype}: {rate:.1f} images/s")


def _profiled(play: Callable[[], float]) -> tuple[float, dict[str, dict[str, float]]]:
    """What play returns, and the profiler's sums of each operator."""
    with tempfile.TemporaryDirectory(prefix="gluon_tricks_profile_") as scratch:
        kinds = dict(profile_symbolic=True, profile_imperative=True, profile_api=False, profile_memory=False)
        mx.profiler.set_config(aggregate_stats=True, filename=str(pathlib.Path(scratch, "trace.json")), **kinds)
        mx.profiler.set_state("run")
        rate = play()
        mx.profiler.set_state("stop")
        told = json.loads(mx.profiler.dumps(reset=True, format="json"))["Time"].get("operator", {})
    if not told:
        raise Refused("MXNet's profiler counted no operator: this MXNet was built without it")
    return rate, told


def _lines(found: dict[str, list[float]], what: str) -> list[str]:
    """The table, the longest first. Args: found: operator -> ms and calls of a step."""
    whole = sum(ms for ms, _ in found.values())
    large = sorted((item for item in found.items() if item[1][0] >= _SMALL * whole), key=lambda item: -item[1][0])
    rest = [values for name, values in found.items() if name not in dict(large)]
    rows = [(name, f"{ms:.2f}", f"{calls:g}", f"{ms / whole:.1%}") for name, (ms, calls) in large]
    rows.append(("others", f"{sum(ms for ms, _ in rest):.2f}", f"{sum(calls for _, calls in rest):g}", ""))
    rows.append(("all", f"{whole:.2f}", "", "100.0%"))
    return [what, *table(("operator", "ms a step", "calls", "share"), rows).splitlines()]
