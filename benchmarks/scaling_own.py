"""This repository's own measurements of scaling, beside what the model says of them: results/scaling/*.json."""

from __future__ import annotations

import dataclasses
import json
import re
import statistics
from collections.abc import Sequence

from benchmarks.scaling_fit import RECORDS
from benchmarks.scaling_model import Cluster, Message, Work, messages_of, predict

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
        rounds: seconds of its parts in every round, of one rank and of all: "1 compute", "2 messages", ...
    """

    name: str
    cpu: str
    setting: dict
    rounds: dict[str, list[float]]

    @property
    def seconds(self) -> dict[str, float]:
        """The medians of its parts."""
        return {part: statistics.median(values) for part, values in self.rounds.items()}

    @property
    def measured(self) -> float:
        return self.efficiency("step")

    def efficiency(self, part: str) -> float:
        """Of all ranks in a part, beside one: the median of the rounds' ratios."""
        one, all_ = self.rounds[f"1 {part}"], self.rounds[f"{self.setting['ranks']} {part}"]
        return statistics.median(x / y for x, y in zip(one, all_))

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
        beside = min(self.efficiency("compute"), 1.0)
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
            rounds = {f"{key.split()[0]} {key.split(', ')[1]}": values for key, values in read["seconds"].items()}
            cpu = re.sub(r" \((AMX|AVX)\w*\)$", "", read["machine"]["cpu"])  # which older records have not
            found.append(Own(path.stem, cpu, COMMON | setting, rounds))
    return found


def loopback_rates(records: Sequence[Own]) -> dict[str, float]:
    """GB/s of Gloo's ring within each machine: of the largest messages that were measured without a slowed link."""
    free = [record for record in records if not record.setting["link"]]
    free.sort(key=lambda record: sum(message.bytes for message in record.messages()))
    return {record.cpu: record.rate() for record in free}
