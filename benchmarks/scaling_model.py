"""What efficiency to expect of many ranks: when backward has each message ready, and when all ranks have its sum.

A step of n ranks takes the step of one, the wait for the slowest of n, and what of the messages backward did not hide:

    step = t' + sd t' m(n) + max(last sum - t', 0),  t' = t / beside
    sum of S bytes = 2 (n - 1) / n S / bandwidth + 2 (n - 1) latency        a ring, see Patarin and Yuan (2009)
    efficiency = t / step

t is batch / images a second of one rank alone, and m(n) the expected maximum of n standard normals. A message leaves
when backward has its last gradient, when Horovod has looked (half a cycle later, on average), and when the one before
it is done. Nothing here measures; benchmarks/scaling_fit.py fits the constants.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
from collections.abc import Sequence

import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import plural
from gluon_tricks.ranks.gradients import BUCKET_BYTES, in_buckets
from model_zoo import get_model
from model_zoo.graph import operators, trace

SIZES = {"float32": 4, "float16": 2}  # bytes of a gradient
LOSSES = ("sharing", "jitter", "bandwidth", "latency")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The machines.

    Args:
        ranks: n, all of them.
        per_host: ranks of a machine. The ring goes through the network once a machine, whatever their number.
        link: Gbit/s of a machine's connection to the others, each way.
        share: of the link that messages reach.
        latency: seconds of one of the ring's 2 (n - 1) steps beside its bytes, with all that the software does.
        inside: GB/s between the ranks of a machine, each way.
        jitter: standard deviation of a rank's computation of a step, as a share of it.
        cycle: seconds between two looks of Horovod for messages.
        fusion: bytes up to which Horovod sends what is ready as one message; 0, as gluon_tricks has it: each by itself.
        beside: speed of a rank while the others of its machine compute too, as a share of that of one alone.
    """

    ranks: int
    per_host: int = 1
    link: float = math.inf
    share: float = 1.0
    latency: float = 0.0
    inside: float = math.inf
    jitter: float = 0.0
    cycle: float = 0.0
    fusion: int = 0
    beside: float = 1.0

    @property
    def bandwidth(self) -> float:
        """Bytes/s of the ring: those of its slowest part."""
        across = self.link * self.share * 1e9 / 8 if self.ranks > self.per_host else math.inf
        return min(across, self.inside * 1e9 if self.per_host > 1 else math.inf)


@dataclasses.dataclass(frozen=True)
class Message:
    """One bucket of gradients.

    Args:
        bytes: sent by every rank.
        ready: the part of backward's time after which its last gradient is there.
    """

    bytes: int
    ready: float


@dataclasses.dataclass(frozen=True)
class Work:
    """What a rank computes in a step, and what it has to send.

    Args:
        messages: in the order in which they leave.
        batch: images of a rank in a step.
        images_per_second: of one rank that trains alone.
        backward: part of the step's time that is backward's.
    """

    messages: tuple[Message, ...]
    batch: int
    images_per_second: float
    backward: float = 2 / 3

    @property
    def seconds(self) -> float:
        """Of a step of one rank."""
        return self.batch / self.images_per_second


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Where a step's time goes, in seconds.

    Args:
        compute: the step of one rank alone.
        sharing: what it computes longer because other ranks use the same machine.
        jitter: waiting for the slowest rank.
        bandwidth: messages that backward does not hide, were there no latency.
        latency: what latency and Horovod's looking add to that.
    """

    compute: float
    sharing: float
    jitter: float
    bandwidth: float
    latency: float

    @property
    def step(self) -> float:
        return self.compute + self.sharing + self.jitter + self.bandwidth + self.latency

    @property
    def efficiency(self) -> float:
        return self.compute / self.step

    @property
    def limit(self) -> str:
        """What takes most of a step's time that is not computation; "compute" where all of it is under 2 %."""
        lost = {name: getattr(self, name) for name in LOSSES}
        most = max(lost, key=lost.get)
        return most if self.step - self.compute >= 0.02 * self.step else "compute"


def predict(cluster: Cluster, work: Work) -> Prediction:
    """The time of a step on all ranks.

    Raises:
        Refused: a number that no cluster or network has.
    """
    _require_sense(cluster, work)
    compute = work.seconds
    if cluster.ranks == 1:
        return Prediction(compute, 0.0, 0.0, 0.0, 0.0)
    slowed = compute / cluster.beside
    waiting = cluster.jitter * slowed * expected_maximum(cluster.ranks)
    free = _last_sum(dataclasses.replace(cluster, latency=0.0, cycle=0.0), work, slowed)
    bandwidth = max(free - slowed, 0.0)
    exposed = max(_last_sum(cluster, work, slowed) - slowed, bandwidth)
    return Prediction(compute, slowed - compute, waiting, bandwidth, exposed - bandwidth)


def _last_sum(cluster: Cluster, work: Work, seconds: float) -> float:
    """Seconds from the begin of a computation of so many until every rank has the sum of the last message."""
    backward = work.backward * seconds
    waiting = [(seconds - backward + message.ready * backward, message.bytes) for message in work.messages]
    k, done = 0, 0.0
    while k < len(waiting):
        ready, size = waiting[k]
        left = max(ready + cluster.cycle / 2, done)
        k += 1
        while k < len(waiting) and waiting[k][0] <= left and size + waiting[k][1] <= cluster.fusion:
            size += waiting[k][1]
            k += 1
        done = left + all_reduce(size, cluster)
    return done


def all_reduce(size: float, cluster: Cluster) -> float:
    """Seconds of a ring's sum of so many bytes: 2 (n - 1) / n S / bandwidth + 2 (n - 1) latency."""
    n = cluster.ranks
    return 2 * (n - 1) / n * size / cluster.bandwidth + 2 * (n - 1) * cluster.latency


@functools.lru_cache(maxsize=4096)
def expected_maximum(count: int) -> float:
    """Of so many standard normal numbers: the integral of (1 - F^n) over x > 0, less that of F^n over x < 0."""
    if count == 1:
        return 0.0
    x = np.linspace(-10, 10, 20_001)
    erf = np.vectorize(math.erfc)
    power = np.exp(count * np.log(np.maximum(erf(-x / math.sqrt(2)) / 2, 1e-300)))
    values = np.where(x < 0, -power, 1 - power)
    values[x == 0] = 0.5 - power[x == 0]  # the mean of both sides
    return float(((values[1:] + values[:-1]) / 2).sum() * (x[1] - x[0]))


def messages_of(
    model: str, size: int, dtype: str = "float32", bucket_bytes: int = BUCKET_BYTES, classes: int | None = None
) -> tuple[Message, ...]:
    """The messages of a network of the zoo, in buckets as Gradients makes them.

    A layer's part of backward is that of its multiply-adds; a gradient is there when backward has passed its layer.

    Args:
        model: of the zoo; size: of the images, px; dtype: of the gradients; bucket_bytes: see Gradients.
        classes: None: as many as the network has by itself.
    """
    net = get_model(model) if classes is None else get_model(model, classes=classes)
    shapes, ready = _gradients(net, size)
    trained = [p for p in net.collect_params().values() if p.grad_req != "null" and p.name in shapes]
    entries = [types.SimpleNamespace(name=p.name, shape=shapes[p.name], dtype=dtype) for p in trained]
    return tuple(
        Message(
            sum(math.prod(entry.shape) for entry in part) * SIZES[dtype],
            max(ready[entry.name] for entry in part),
        )
        for part in in_buckets(entries[::-1], bucket_bytes)
    )


def _gradients(net, size: int) -> tuple[dict[str, tuple[int, ...]], dict[str, float]]:
    """Of every parameter its shape, and the part of backward's time after which its gradient is there."""
    found = operators(trace(net), (1, 3, size, size))
    total = sum(operator.multiply_adds for operator in found)
    shapes, ready, done = {}, {}, 0
    for operator in reversed(found):
        done += operator.multiply_adds
        for name, shape in operator.inputs[1:]:
            shapes[name] = shape
            ready[name] = done / total  # of one that is used twice, the use that backward comes to last
    return shapes, ready


def _require_sense(cluster: Cluster, work: Work) -> None:
    wrong = [
        ("ranks", cluster.ranks, cluster.ranks >= 1, "1 or more"),
        ("per_host", cluster.per_host, cluster.per_host >= 1, "1 or more"),
        ("link", cluster.link, cluster.link > 0, "more than 0 Gbit/s"),
        ("inside", cluster.inside, cluster.inside > 0, "more than 0 GB/s"),
        ("share", cluster.share, 0 < cluster.share <= 1, "more than 0 and at most 1"),
        ("latency", cluster.latency, cluster.latency >= 0, "0 or more"),
        ("jitter", cluster.jitter, cluster.jitter >= 0, "0 or more"),
        ("cycle", cluster.cycle, cluster.cycle >= 0, "0 or more"),
        ("beside", cluster.beside, 0 < cluster.beside <= 1, "more than 0 and at most 1"),
        ("batch", work.batch, work.batch >= 1, "1 or more"),
        ("images_per_second", work.images_per_second, work.images_per_second > 0, "more than 0"),
        ("backward", work.backward, 0 < work.backward < 1, "more than 0 and less than 1"),
    ]
    for name, value, fits, takes in wrong:
        if not fits:  # nor does NaN
            raise Refused(f"{name} is {value:g}: it takes {takes}")


# --- what would help ----------------------------------------------------------------------------------------------

WORTH = 0.005  # of efficiency: what gains less is not named


def remedies(cluster: Cluster, work: Work, dtype: str, merged: Sequence[Message]) -> list[tuple[str, float]]:
    """What would raise the efficiency by WORTH and more, and to how much; the most effective first.

    Args:
        dtype: of the gradients.
        merged: the same gradients in one message.
    """
    twice = dataclasses.replace(work, batch=2 * work.batch)
    tried = [(f"a batch of {twice.batch} on each rank, or --accumulate 2", cluster, twice)]
    if dtype == "float32":
        half = tuple(Message(message.bytes // 2, message.ready) for message in work.messages)
        tried.append(("gradients of 16 bits", cluster, dataclasses.replace(work, messages=half)))
    if len(work.messages) > 1:
        count = plural(len(work.messages), "message")
        tried.append((f"one message in place of {count}", cluster, dataclasses.replace(work, messages=tuple(merged))))
    if cluster.cycle > 0.001:
        oftener = dataclasses.replace(cluster, cycle=0.001)
        tried.append(("HOROVOD_CYCLE_TIME=1, where cores are idle", oftener, work))
    if cluster.ranks > cluster.per_host and math.isfinite(cluster.link):
        faster = dataclasses.replace(cluster, link=2 * cluster.link)
        tried.append((f"a link of {faster.link:g} Gbit/s", faster, work))
    now = predict(cluster, work).efficiency
    found = [(what, predict(there, then).efficiency) for what, there, then in tried]
    return sorted((each for each in found if each[1] >= now + WORTH), key=lambda each: -each[1])
