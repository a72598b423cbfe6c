"""The constants of the model of scaling, fitted to what others have published, and how far off it then is.

Reads results/scaling/published.json. An error is that of a prediction whose constants were fitted to all *other*
sources. `python -m benchmarks.scaling_page` writes what comes of it.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import pathlib
import statistics
from collections.abc import Sequence

from benchmarks.scaling_model import Cluster, Message, Work, messages_of, predict

ROOT = pathlib.Path(__file__).resolve().parents[1]
RECORDS = ROOT / "results" / "scaling"
LATENCY = {"rdma": 2e-6, "tcp": 20e-6}  # seconds; no source states its network's
FUSION = 2**26  # bytes; Horovod's own


@dataclasses.dataclass(frozen=True)
class Constants:
    """What no source states; the defaults are where a fit begins, and stays where the measurements say nothing.

    Args:
        rdma, tcp: share of the link that messages reach.
        rdma_step, tcp_step: seconds that software adds to each step of the ring.
        jitter: see Cluster.
    """

    rdma: float = 0.9
    tcp: float = 0.5
    rdma_step: float = 2e-5
    tcp_step: float = 2e-5
    jitter: float = 0.02


STAY = 0.005  # of error that leaving the default by a factor of e has to gain
BOUNDS = {"rdma": (0.2, 1), "tcp": (0.2, 1), "rdma_step": (1e-6, 5e-4), "tcp_step": (1e-6, 5e-4), "jitter": (1e-3, 0.1)}


@dataclasses.dataclass(frozen=True)
class Row:
    """A measurement. Args: see published.json; efficiency is images/s of all ranks over ranks times those of one."""

    source: str
    model: str
    size: int
    batch: int
    dtype: str
    images_per_second: float
    ranks: int
    per_host: int
    link: float | None
    transport: str | None
    inside: float
    cycle_ms: float
    efficiency: float = 0.0
    total_images_per_second: float | None = None
    note: str = ""

    @property
    def measured(self) -> float:
        if self.total_images_per_second is None:
            return self.efficiency
        return self.total_images_per_second / (self.ranks * self.images_per_second)

    def work(self) -> Work:
        return Work(_tensors(self.model, self.size, self.dtype), self.batch, self.images_per_second)

    def cluster(self, constants: Constants) -> Cluster:
        transport = self.transport or "rdma"  # within a machine there is none
        return Cluster(
            ranks=self.ranks, per_host=self.per_host, link=self.link or math.inf,
            share=getattr(constants, transport), inside=self.inside, cycle=self.cycle_ms / 1000, fusion=FUSION,
            latency=LATENCY[transport] + getattr(constants, f"{transport}_step"), jitter=constants.jitter,
        )  # fmt: skip

    def predicted(self, constants: Constants) -> float:
        return _efficiency(self, self.cluster(constants))


@functools.lru_cache(maxsize=2**16)
def _efficiency(row: Row, cluster: Cluster) -> float:
    """Kept: a constant of the other transport changes nothing, and every fit begins with the same ones."""
    return predict(cluster, row.work()).efficiency


@functools.cache
def _tensors(model: str, size: int, dtype: str) -> tuple[Message, ...]:
    """Every parameter a message of its own: Horovod fuses those that are ready."""
    return messages_of(model, size, dtype, bucket_bytes=1)


def published() -> tuple[dict[str, dict], list[Row]]:
    """The sources by name, and their measurements."""
    read = json.loads((RECORDS / "published.json").read_text(encoding="utf-8"))
    return read["sources"], [Row(**row) for row in read["rows"]]


def off(rows: Sequence[Row], constants: Constants) -> float:
    """The mean absolute error, which one measurement that is odd does not rule."""
    return statistics.fmean(abs(row.predicted(constants) - row.measured) for row in rows)


def _cost(rows: Sequence[Row], constants: Constants) -> float:
    left = sum(abs(math.log(getattr(constants, name) / getattr(Constants, name))) for name in BOUNDS)
    return off(rows, constants) + STAY * left


def fit(rows: Sequence[Row]) -> Constants:
    """The constants of the smallest error: one after the other by factors that shrink, from the defaults."""
    best = Constants()
    least, factor = _cost(rows, best), 2.0
    while factor > 1.02:
        tried = [
            dataclasses.replace(best, **{name: min(max(getattr(best, name) * by, low), high)})
            for name, (low, high) in BOUNDS.items()
            for by in (factor, 1 / factor)
        ]
        errors = [_cost(rows, constants) for constants in tried]
        if min(errors) < least - 1e-6:
            least = min(errors)
            best = tried[errors.index(least)]
        else:
            factor = math.sqrt(factor)
    return best


GROUPS = {"horovod-16": "Horovod", "horovod-128": "Horovod", "horovod-512": "Horovod"}  # one set of machines


def left_out(rows: Sequence[Row]) -> list[float]:
    """The prediction for each measurement by constants that were fitted to the other sources."""
    groups = [GROUPS.get(row.source, row.source) for row in rows]
    of_others = {
        each: fit([row for row, group in zip(rows, groups) if group != each]) for each in dict.fromkeys(groups)
    }
    return [row.predicted(of_others[group]) for row, group in zip(rows, groups)]
