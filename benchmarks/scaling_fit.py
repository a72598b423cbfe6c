"""Fits the model of scaling to measurements and says how far off it is: `python -m benchmarks.scaling_fit`.

Reads results/scaling/published.json and this repository's records beside it, writes model.json there (the constants and
every prediction beside its measurement) and the table of docs/multi_node.md. An error is that of a prediction whose
constants were fitted to all *other* sources.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import pathlib
import statistics
from collections.abc import Sequence

from benchmarks.results import in_page
from benchmarks.scaling_model import Cluster, Message, Work, messages_of, predict
from gluon_tricks.core.files import write_text

ROOT = pathlib.Path(__file__).resolve().parents[1]
RECORDS = ROOT / "results" / "scaling"
PAGE = ROOT / "docs" / "multi_node.md"
MARKS = ("<!-- scaling: python -m benchmarks.scaling_fit -->\n", "<!-- end of scaling -->\n")
COST_MARKS = ("<!-- cost: python -m benchmarks.scaling_fit -->\n", "<!-- end of cost -->\n")
COSTS = ("resnet50_v1d-loop", "cifar_resnet20_v1-loop")  # records, each with those of its slowed links
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
        return predict(self.cluster(constants), self.work()).efficiency


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


# --- this repository's own measurements -----------------------------------------------------------------------------

TCP_FRAMES = 0.94  # share of a slowed link that is not frames and headers
# Measured before records had their setting in them; the built-in shapes have ten classes and networks of CIFAR too.
OLD = {
    "resnet50_v1d-float32": dict(model="resnet50_v1d", size=224, batch=16),
    "cifar_resnet20_v1-32-waiting": dict(model="cifar_resnet20_v1", size=32, batch=8),
    "cifar_resnet20_v1-32-batch2-waiting": dict(model="cifar_resnet20_v1", size=32, batch=2),
}
# cycle_ms: as ranks/distributed.py has it; meetings: of the ranks, after every step
COMMON = dict(ranks=2, bucket_bytes=2**25, link=None, classes=10, accumulate=1, cycle_ms=10.0, meetings=1)


@dataclasses.dataclass(frozen=True)
class Own:
    """A record of `benchmark.py scaling`.

    Args:
        name: of its file; setting: of the run; cpu: of the machine.
        seconds: medians of its parts, of one rank and of all: "1 compute", "2 messages", ...
    """

    name: str
    cpu: str
    setting: dict
    seconds: dict[str, float]

    @property
    def measured(self) -> float:
        return self.seconds["1 step"] / self.seconds[f"{self.setting['ranks']} step"]

    @property
    def cycle(self) -> float:
        """Seconds between two looks of Horovod."""
        return self.setting["cycle_ms"] / 1000

    def messages(self) -> tuple[Message, ...]:
        model, size, bucket, classes = (self.setting[key] for key in ("model", "size", "bucket_bytes", "classes"))
        return messages_of(model, size, "float32", bucket, classes)  # as they are on a CPU, whatever it computes in

    def rate(self) -> float:
        """GB/s of the ring: "messages" lasts a look longer, and another where the ranks met after them."""
        n, size = self.setting["ranks"], sum(message.bytes for message in self.messages())
        looks = (1 + self.setting["meetings"]) * self.cycle
        return 2 * (n - 1) / n * size / (self.seconds[f"{n} messages"] - looks) / 1e9

    def predicted(self, rate: float) -> float:
        """The efficiency, given what the ranks take without messages, and a ring of so many GB/s without a link."""
        n, link = self.setting["ranks"], self.setting["link"]
        inside = min(rate, link * TCP_FRAMES / 8) if link else rate
        beside = min(self.seconds["1 compute"] / self.seconds[f"{n} compute"], 1.0)
        cluster = Cluster(ranks=n, per_host=n, inside=inside, cycle=self.cycle, beside=beside)
        batch = self.setting["batch"]
        return predict(cluster, Work(self.messages(), batch, batch / self.seconds["1 compute"])).efficiency


def own() -> list[Own]:
    """Every record of `benchmark.py scaling` whose batches are not accumulated, in the order of their names."""
    found = []
    for path in sorted(RECORDS.glob("*.json")):
        read = json.loads(path.read_text(encoding="utf-8"))
        setting = read.get("setting") or OLD.get(path.stem)
        if setting and "seconds" in read and setting.get("accumulate", 1) == 1:
            seconds = {
                f"{key.split()[0]} {key.split(', ')[1]}": statistics.median(values)
                for key, values in read["seconds"].items()
            }
            found.append(Own(path.stem, read["machine"]["cpu"], COMMON | setting, seconds))
    return found


def loopback_rates(records: Sequence[Own]) -> dict[str, float]:
    """GB/s of Gloo's ring within each machine: of the largest messages that were measured without a slowed link."""
    free = [record for record in records if not record.setting["link"]]
    free.sort(key=lambda record: sum(message.bytes for message in record.messages()))
    return {record.cpu: record.rate() for record in free}


# --- what is written ------------------------------------------------------------------------------------------------


def result() -> dict:
    """model.json: constants, errors, and every prediction beside its measurement."""
    sources, rows = published()
    predicted = left_out(rows)
    records = own()
    rates = loopback_rates(records)
    errors = sorted(abs(p - row.measured) for p, row in zip(predicted, rows))
    return {
        "constants": {name: float(f"{value:.3g}") for name, value in dataclasses.asdict(fit(rows)).items()},
        "loopback_gb_per_second": {cpu: round(rate, 2) for cpu, rate in rates.items()},
        "errors": {
            "of": "efficiency, published measurements, constants fitted to the other sources",
            "mean": round(statistics.fmean(errors), 3),
            "median": round(statistics.median(errors), 3),
            "nine_in_ten": round(errors[math.ceil(0.9 * len(errors)) - 1], 3),
            "largest": round(errors[-1], 3),
        },
        "published": [
            {"source": row.source, "model": row.model, "note": row.note, "ranks": row.ranks, "link": row.link}
            | {"transport": row.transport, "dtype": row.dtype}
            | {"measured": round(row.measured, 3), "predicted": round(p, 3)}
            for row, p in zip(rows, predicted)
        ],
        "own": [
            {"record": each.name, **each.setting}
            | {"measured": round(each.measured, 3), "predicted": round(each.predicted(rates[each.cpu]), 3)}
            for each in records
        ],
    }


def table(found: dict) -> list[str]:
    """The predictions beside the measurements as lines of Markdown; those of one machine and network share a line."""
    sources, _ = published()
    head = ("measured by", "network", "link", "ranks", "efficiency", "predicted", "off by")
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    groups: dict[tuple, list[dict]] = {}
    for row in found["published"]:
        link = f"{row['link']} Gbit/s, {row['transport'].upper()}" if row["link"] else "one machine"
        who = sources[row["source"]]["label"] + (f", {row['note']}" if row["note"] else "")
        groups.setdefault((who, f"{row['model']}, {row['dtype']}", link), []).append(row)
    for row in found["own"]:
        link = f"{row['link']:g} Gbit/s, TCP" if row["link"] else "loopback"
        what = f"{row['model']}, batch {row['batch']}"
        groups.setdefault((f"here (`{row['record']}`)", what, link), []).append(row)
    for key, rows in groups.items():
        measured, predicted = ([row[which] for row in rows] for which in ("measured", "predicted"))
        off_by = ", ".join(f"{p - m:+.3f}" for p, m in zip(predicted, measured))
        cells = [", ".join(f"{row['ranks']}" for row in rows), *(_joined(values) for values in (measured, predicted))]
        lines.append(f"| {' | '.join([*key, *cells, off_by])} |")
    return lines


def cost_table(records: Sequence[Own]) -> list[str]:
    """What two ranks cost in the loop, as lines of Markdown: the medians of the records, without and with links."""
    head = ("", "1 rank", "2 ranks, loopback", "10 Gbit/s between them", "1 Gbit/s")
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    named = {record.name: record for record in records}
    for name in COSTS:
        runs = [named[f"{name}{link}"] for link in ("", "-link10", "-link1")]
        what = "{model}, {size} px, {batch} images a rank: a step of the loop".format(**runs[0].setting)
        one = runs[0].seconds
        rows = (
            (what, _time(one["1 loop"]), [_beside(run, "loop") for run in runs]),
            ("the same without messages", _time(one["1 compute"]), [_beside(run, "compute") for run in runs]),
            ("messages alone", "", [_time(run.seconds["2 messages"]) for run in runs]),
        )
        lines += [f"| {' | '.join([title, first, *cells])} |" for title, first, cells in rows]
    return lines


def _beside(run: Own, part: str) -> str:
    """Seconds of a part on two ranks, and the efficiency beside one rank of the same run."""
    one, two = (run.seconds[f"{ranks} {part}"] for ranks in (1, 2))
    return f"{_time(two)}: {one / two:.2f}"


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


def _joined(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def with_tables(page: str, found: dict) -> str:
    """docs/multi_node.md with its two tables. Args: found: see result."""
    return in_page(in_page(page, table(found), MARKS), cost_table(own()), COST_MARKS)


if __name__ == "__main__":
    found = result()
    write_text(RECORDS / "model.json", json.dumps(found, indent=1) + "\n")
    write_text(PAGE, with_tables(PAGE.read_text(encoding="utf-8"), found))
    print(json.dumps({key: found[key] for key in ("constants", "errors")}))
