"""How fast this machine trains: measured in a bounded time, alone or several at a time, and kept for the next time."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import itertools
import json
import logging
import math
import os
import pathlib
import statistics
import tempfile
from collections.abc import Callable

import mxnet as mx

import gluon_tricks
from gluon_tricks.core.environment import cores_apart, threads, usable_cores
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import CannotWrite, write_text
from gluon_tricks.core.json_text import parse_json
from gluon_tricks.core.reading import read_bytes
from gluon_tricks.core.scratch import cache_folder
from gluon_tricks.machine.devices import choose_contexts, choose_precision, cpu_name, find_gpus
from gluon_tricks.paper.contest import Contestant, play_together
from gluon_tricks.recipes.kinds import recipe_from_json
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.tasks.registry import task_of
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_epoch
from gluon_tricks.training.prepare import prepare

log = logging.getLogger("gluon_tricks")

LIMIT = 30.0  # seconds that measuring one network may take
_STEPS = 2  # of a round
_LEAST = 2.0  # seconds of rounds after the first ones
_PIXELS = {"cpu": 16 * 224**2, "gpu": 128 * 224**2}  # of a device's part of a measured batch, at most
_FILE_BYTES = 1 << 16  # ours have 700


@dataclasses.dataclass(frozen=True)
class Speed:
    """What was measured of one kind of training.

    Args:
        images_per_second: of one training, beside as many others as were measured together.
        memory: bytes that a process of it takes, with the batch of its recipe.
        rounds: that were counted; 0: only the first one, in which MXNet also gets ready, was over in time.
        load: of the machine before, as of os.getloadavg.
        date: of the measurement, such as 2026-11-27; "": just now.
    """

    images_per_second: float
    memory: int
    rounds: int
    load: float = 0.0
    date: str = ""

    def doubts(self) -> str:
        """Why not to rely on it, as a part of a sentence; "": nothing."""
        first = "" if self.rounds else ", a guess from its first step alone, in which MXNet also gets ready"
        busy = f", while other programs were running (load {self.load:.0f})" if self.load > usable_cores() else ""
        return first + busy


def kind_of(recipe: Settings) -> tuple:
    """What decides how long a training step takes."""
    passes = 1 + sum(trick.climbs for trick in recipe.tricks)
    network = recipe.task, recipe.model, str(recipe.net), recipe.sides
    return *network, recipe.batch_size, recipe.dtype, recipe.freeze, passes


def described(recipe: Settings) -> str:
    """A kind in words: resnet18_v1d at 64 px, batch 64, bfloat16."""
    dtype = choose_precision(recipe.dtype, choose_contexts(None, say=lambda line: None))[0]
    side = " to ".join(map(str, dict.fromkeys(recipe.sides)))
    return f"{recipe.model} at {side} px, batch {recipe.batch_size}, {dtype}"


def kept(recipe: Settings, jobs: int) -> Speed | None:
    """What was measured before on such a machine; None: nothing, or what is kept is damaged."""
    key = _key(recipe, jobs)
    path = _place(key)
    try:
        found = parse_json(read_bytes(path, _FILE_BYTES)) if os.path.lexists(path) else None
        return _speed(found, key) if found is not None else None
    except (OSError, ValueError, Refused) as error:
        log.warning("%s is damaged (%s) and is measured anew", path, error)
        return None


def measured(recipe: Settings, jobs: int, seconds: float = LIMIT) -> Speed | None:
    """The speed of one training among `jobs` of its kind, measured now and kept.

    The steps are measured on drawn pictures, whatever the recipe's data.

    Args:
        jobs: 1: with all threads; more: of one thread each, on cores of their own.
        seconds: at most.

    Returns:
        None: not even one step was over in this time.

    Raises:
        RuntimeError: a training has died; the end of its errors.
    """
    drawn = task_of(recipe).drawn(recipe).set(epochs=999)
    # What takes a network or images from elsewhere takes no time in a step that is measured.
    arguments = dict(recipe=drawn.without("distillation").without("data_dependent_init").to_json())
    one_thread = {"OMP_NUM_THREADS": "1"} if jobs > 1 else {}
    cores = cores_apart()[:jobs] if jobs > 1 else [None]
    together = [Contestant(str(k), f"{__name__}:training", arguments, one_thread, core) for k, core in enumerate(cores)]
    load = os.getloadavg()[0]
    played = play_together(together, seconds, least=_LEAST)
    if not all(one.rounds for one in played):
        return None
    counted = min(len(one.rounds) - 1 for one in played)
    rates = [statistics.median(one.rounds[1:] if counted else one.rounds) for one in played]
    least, most = (max(one.memory[k] for one in played) for k in (0, -1))
    there = choose_contexts(None, say=lambda line: None)
    part = recipe.batch_size / (_images_of_a_device(recipe, there) * len(there))
    speed = Speed(statistics.mean(rates), round(least + (most - least) * max(part, 1)), counted, load)
    _keep(_key(recipe, jobs), speed)
    return speed


def training(recipe: dict) -> Callable[[], float]:
    """A contestant: a few steps of a recipe in JSON, with batches that any machine has room for; one step at first."""
    read, contexts = recipe_from_json(recipe), choose_contexts(None)
    if read.net.get("norm_layer") == "SyncBatchNorm":
        contexts = contexts[:1]  # a rank has one
    images = _images_of_a_device(read, contexts)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gluon_tricks_plan_"))  # below the contest's own, and gone with it
    options = Options(contexts=contexts, log_interval=10**9)
    job = prepare(read.set(batch_size=images * len(contexts), bn_batch=None), folder, options)
    most, epochs = job.task.train.steps_per_epoch, itertools.count()

    def play() -> float:
        epoch = next(epochs)
        steps = min(_STEPS if epoch else 1, most)
        job.task.train.steps_per_epoch = steps
        job.plan = dataclasses.replace(job.plan, steps_per_epoch=steps)
        job.progress.step, job.progress.seconds = epoch * steps, 0.0
        train_epoch(job, epoch)
        return steps * job.recipe.batch_size / job.progress.seconds

    return play


def _images_of_a_device(recipe: Settings, contexts: list[mx.Context]) -> int:
    most = _PIXELS[contexts[0].device_type] // recipe.sides[0] ** 2
    return max(min(recipe.batch_size // len(contexts), most), 1)


class Speeds:
    """The speeds that a command asks for, each measured once, and told of before.

    Args:
        say: takes the lines.
        anew: whether to measure what was measured before, too.
    """

    def __init__(self, say: Callable[[str], None], anew: bool = False):
        self.say, self._anew, self._found = say, anew, {}

    def of(
        self, recipe: Settings, jobs: int, seconds: float = LIMIT, place: str = "", now: bool = False
    ) -> Speed | None:
        """See measured; of what was measured before, kept.

        Args:
            place: among several, such as "1 of 3".
            now: not from what is kept.
        """
        key = kind_of(recipe), jobs
        if key not in self._found:
            what = described(recipe) + (f", {jobs} side by side" if jobs > 1 else "")
            before = None if self._anew or now else kept(recipe, jobs)
            if before:
                self.say(f"{what}: measured before, on {before.date}{before.doubts()} (--measure measures anew)")
            else:
                self.say(f"measuring {what} ({place}{', ' if place else ''}at most {seconds:.0f} s)")
            self._found[key] = speed = before or measured(recipe, jobs, seconds)
            if speed and not before and speed.doubts():
                self.say(f"{what}: measured{speed.doubts()}")
        return self._found[key]


def _key(recipe: Settings, jobs: int) -> dict:
    """What a measurement depends on, as JSON."""
    return {
        "cpu": cpu_name(),
        "gpus": [str(gpu) for gpu in find_gpus()],
        "cores": usable_cores(),
        "threads": threads() if jobs == 1 else 1,
        "jobs": jobs,
        "mxnet": mx.__version__,
        "gluon_tricks": gluon_tricks.__version__,
        "kind": [str(part) for part in kind_of(recipe)],
    }


def _place(key: dict) -> pathlib.Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return cache_folder() / "speeds" / f"{digest[:32]}.json"


def _speed(found: object, key: dict) -> Speed:
    """Raises ValueError: it is not what _keep writes of this key."""
    if not isinstance(found, dict) or found.pop("of", None) != key:
        raise ValueError("it is of something else")
    number = (int, float)
    wanted = {"images_per_second": number, "memory": (int,), "rounds": (int,), "load": number, "date": (str,)}
    if found.keys() != wanted.keys() or any(type(found[name]) not in kinds for name, kinds in wanted.items()):
        raise ValueError("it has other fields")
    if not 0 < found["images_per_second"] < math.inf or found["memory"] < 0 or found["rounds"] < 0:
        raise ValueError("a number is out of its bounds")
    datetime.date.fromisoformat(found["date"])
    return Speed(**found)


def _keep(key: dict, speed: Speed) -> None:
    """In the cache, without which it is measured again."""
    path, today = _place(key), datetime.date.today().isoformat()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps({"of": key, **dataclasses.asdict(speed), "date": today}, indent=2) + "\n")
    except (OSError, CannotWrite) as error:
        log.warning("what was measured is not kept for the next time: %s", error)
