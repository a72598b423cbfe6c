"""`benchmark.py scaling --predict ranks=512 link=100 ...`: the words, and what is said of the prediction."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence

from benchmarks.scaling_fit import LATENCY, RECORDS
from benchmarks.scaling_model import SIZES, Cluster, Message, Prediction, Work, messages_of, predict, remedies
from gluon_tricks.core.errors import Refused, require_known
from gluon_tricks.core.wording import byte_size, plural, quoted

TRANSPORTS = tuple(LATENCY)


@dataclasses.dataclass(frozen=True)
class Word:
    """One of the words.

    Args:
        default: as it is written; "" of one that must be given; None: it follows from others.
        least, most: bounds of a number, which is whole where both are whole numbers.
        names: of a word that is no number, what it may be; () for any.
        unit: or what it is, for the output and for --help.
    """

    default: str | None
    least: float = math.nan
    most: float = math.nan
    names: tuple[str, ...] | None = None
    unit: str = ""


WORDS = {
    "ranks": Word("", 1, 1_000_000, unit="in all"),
    "per_host": Word(None, 1, 1024, unit="ranks of a machine (8, or all if they are fewer)"),
    "link": Word("100", 1e-3, 1e5, unit="Gbit/s between machines, each way"),
    "transport": Word("rdma", names=TRANSPORTS, unit="over that link"),
    "latency": Word(None, 0.0, 1e6, unit="microseconds of the link (2 by RDMA, 20 by TCP)"),
    "inside": Word("20", 1e-3, 1e5, unit="GB/s between the ranks of a machine"),
    "model": Word("resnet50_v1d", names=(), unit="of the zoo"),
    "size": Word("224", 1, 10_000, unit="px"),
    "batch": Word("128", 1, 1_000_000, unit="images of a rank in a step"),
    "images_per_second": Word("", 1e-6, 1e9, unit="of one rank that trains alone"),
    "dtype": Word("float32", names=tuple(SIZES), unit="of the gradients"),
    "bucket": Word("32", 1e-3, 1e6, unit="MiB of a message"),
    "cycle": Word("1", 0.0, 1e4, unit="ms between two looks of Horovod, as on GPUs; 10 on CPUs"),
    "jitter": Word(None, 0.0, 100.0, unit="percent, standard deviation of a rank's step (fitted)"),
    "beside": Word("1", 1e-3, 1.0, unit="speed of a rank beside the others of its machine, of that alone"),
    "backward": Word("0.667", 1e-3, 0.999, unit="part of a step's time"),
}
LIMITS = {
    "compute": "computation: the ranks lose under 2 % to each other",
    "sharing": "the machine: its ranks slow each other down",
    "jitter": "jitter: all wait for the slowest rank",
    "bandwidth": "bandwidth: the messages last longer than backward hides",
    "latency": "latency: the last message takes 2 (n - 1) steps of the ring, after Horovod has looked for it",
}


def read(words: Sequence[str]) -> tuple[dict[str, str | float], list[str]]:
    """The value of every word, and the names of those that were not given.

    Raises:
        Refused: an unknown word, one twice, a value that it does not take, or one that is missing.
    """
    given: dict[str, str | float] = {}
    for word in words:
        name, equals, text = word.partition("=")
        require_known(name, list(WORDS), "word", "--predict")
        if not equals or not text:
            raise Refused(f"--predict {quoted(word)}: give {name}=VALUE ({WORDS[name].unit})")
        if name in given:
            raise Refused(f"--predict has {name} twice: give it once")
        given[name] = _value(name, text)
    missing = [name for name, word in WORDS.items() if word.default == "" and name not in given]
    if missing:
        wanted = " and ".join(f"{name}= ({WORDS[name].unit})" for name in missing)
        raise Refused(f"--predict needs {wanted}: benchmark.py scaling measures images/s of one rank")
    defaults = {name: _value(name, word.default) for name, word in WORDS.items() if word.default}
    values = defaults | given
    values.setdefault("per_host", min(8, values["ranks"]))
    values.setdefault("latency", LATENCY[values["transport"]] * 1e6)
    values.setdefault("jitter", 100 * _constants()["jitter"])
    if values["ranks"] % values["per_host"]:
        raise Refused(
            f"--predict: {values['ranks']} ranks do not fill machines of {values['per_host']}: "
            "give a multiple of per_host"
        )
    return values, [name for name in WORDS if name not in given]


def _value(name: str, text: str) -> str | float:
    word = WORDS[name]
    if word.names is not None:
        return require_known(text, word.names, f"value of {name}") if word.names else text
    whole = isinstance(word.least, int)
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        kind = "a whole number" if whole else "a number"
        raise Refused(f"--predict {name}={quoted(text)} is not {kind} ({word.unit})") from None
    if not word.least <= value <= word.most:  # NaN is not
        raise Refused(f"--predict {name}={text}: it takes {word.least:g} to {word.most:g} ({word.unit})")
    return value


def _fitted() -> dict:
    return json.loads((RECORDS / "model.json").read_text(encoding="utf-8"))


def _constants() -> dict[str, float]:
    return _fitted()["constants"]


def cluster_of(values: dict) -> Cluster:
    """The cluster that the words describe; what software adds to each step of the ring is the fitted constant."""
    fitted, transport = _constants(), values["transport"]
    return Cluster(
        ranks=values["ranks"], per_host=values["per_host"], link=values["link"], share=fitted[transport],
        latency=values["latency"] / 1e6 + fitted[f"{transport}_step"], inside=values["inside"],
        jitter=values["jitter"] / 100, cycle=values["cycle"] / 1000, beside=values["beside"],
    )  # fmt: skip


def work_of(values: dict) -> Work:
    """The work that the words describe.

    Raises:
        Refused: there is no such network, or it takes no images of this size.
    """
    messages = messages_of(values["model"], values["size"], values["dtype"], int(values["bucket"] * 2**20))
    return Work(messages, values["batch"], values["images_per_second"], values["backward"])


def tell(words: Sequence[str]) -> list[str]:
    """What is expected of the cluster and the network that the words describe, as lines."""
    values, left = read(words)
    cluster, work = cluster_of(values), work_of(values)
    found = predict(cluster, work)
    size, images = sum(message.bytes for message in work.messages), cluster.ranks * work.batch
    merged = (Message(size, 1.0),)
    helps = remedies(cluster, work, values["dtype"], merged)
    machines = plural(cluster.ranks // cluster.per_host, "machine")
    errors = _fitted()["errors"]
    return [
        f"{values['model']} at {values['size']} px, gradients in {values['dtype']}: {byte_size(size)} from each rank "
        f"and step, in {plural(len(work.messages), 'message')}; a step of one rank: {1000 * work.seconds:.1f} ms",
        f"{plural(cluster.ranks, 'rank')} on {machines}: efficiency {found.efficiency:.3f}, "
        f"{images / found.step:,.0f} images/s",
        _step(found),
        f"what limits it: {LIMITS[found.limit]}",
        "what would help: " + ("; ".join(f"{what}: {then:.3f}" for what, then in helps) or "nothing of what is tried"),
        "assumed: " + (", ".join(f"{name}={_shown(values[name])}" for name in left) or "nothing"),
        f"how far off: published clusters were by {errors['median']:.3f} (median); nine in ten by at most "
        f"{errors['nine_in_ten']:.3f} (docs/multi_node.md); the loader of images is not in it",
    ]


def _step(found: Prediction) -> str:
    parts = {
        "computation": found.compute, "the machine's other ranks": found.sharing, "the slowest rank": found.jitter,
        "bandwidth": found.bandwidth, "latency": found.latency,
    }  # fmt: skip
    sums = " + ".join(f"{1000 * seconds:.1f} ({what})" for what, seconds in parts.items() if seconds >= 5e-5)
    return f"a step: {1000 * found.step:.1f} ms = {sums}"


def _shown(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:g}"
