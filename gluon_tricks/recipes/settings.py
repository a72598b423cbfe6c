"""Settings: what every training run has in common, as a frozen record that is written beside every result."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from gluon_tricks.core.bounds import within
from gluon_tricks.core.errors import Refused, require_known
from gluon_tricks.core.given import require_kind
from gluon_tricks.core.together import must_go_together
from gluon_tricks.core.values import as_python, check_value
from gluon_tricks.core.wording import quoted
from gluon_tricks.recipes.comparable import Comparable
from gluon_tricks.recipes.fields import declared, free
from gluon_tricks.recipes.values import trick_from_json, trick_named
from gluon_tricks.tricks import Trick
from gluon_tricks.tricks.schedule import Plan, Schedule
from model_zoo import get_model
from model_zoo.preprocessing import Preprocessing


@dataclasses.dataclass(frozen=True)
class Settings(Comparable):
    """What a recipe of any task says: of the network, of the optimisation, of the run.

    What decides a result is said at the fields (see free) and compared by Comparable.

    Args:
        name: what the run is called; the run directory's name by default.
        model: a name of the model zoo: the network, or the base network of a detector or segmenter.
        net: keyword arguments for get_model beyond those of the tricks.
        classes: K; None: as many as the training data has.
        mean, std: per channel (RGB), on the 0..255 scale; None: the network's own (see resolved).
        epochs: passes over the training images.
        start_epoch: the first epoch to train, for going on from parameters alone.
        batch_size: images per update over all devices and ranks.
        accumulate: rounds that a device takes its part of a batch in, one gradient being summed over them.
        bn_batch: images that a batch normalisation sees at a time. A device takes its part of a batch in rounds of so
            many, so that the network does not depend on the number of devices; None: its whole part is one round, or
            what accumulate says.
        lr: the base rate as it is used; None: 0.1, changed by the tricks (linear scaling).
        momentum, wd: of the optimiser.
        optimizer: "nag", "sgd" or "adam" (Kingma & Ba 2015), whose beta_1 is momentum, beta_2 0.999 and epsilon 1e-8.
        dtype: the precision asked for.
        mode: "hybrid" or "imperative".
        seed: of every random number of the run.
        divergence_factor, divergence_steps: a loss over so many times its running median (of at least 0.01; before
            20 losses ten times the first or log K; both in the unit of the loss) for so many steps in a row, or a loss
            or a parameter that is not finite, takes the run back to a checkpoint.
        rollbacks: how often at most.
        rollback_lr: what each of them multiplies the learning rates by, in (0, 1]; 1 keeps them (float16 lowers its
            loss scale instead).
        freeze: patterns of names of parameters and parts that do not learn, such as "features" (see networks.parts):
            they compute as in prediction.
        lr_mult: pattern -> a factor on the rate of what it names.
        tricks: the refinements, in the order in which their hooks are called.

    Attributes:
        task: what is learnt, which decides the loop's data, loss and scores (see tasks/).
        based: the network stands on a base network, a classifier that was trained before (base_params); False: it is
            a classifier itself, which others can start from, and the recipe has the fields of Recipe.
        reads_folder: `data` is a folder that is read as it is; False: its images are packed into records.
        least_classes: how many there must be.
        choices: field -> the words it takes.
    """

    task: ClassVar[str] = ""
    based: ClassVar[bool] = False
    reads_folder: ClassVar[bool] = False
    least_classes: ClassVar[int] = 2
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "optimizer": ("nag", "sgd", "adam"),
        "dtype": ("float32", "float16", "bfloat16"),
        "mode": ("hybrid", "imperative"),
    }

    name: str = free("cells", "resume", "ranks", default="")
    model: str = ""
    # Numbers of keywords: sizes of layers and shares, none of which comes near.
    net: dict[str, Any] = dataclasses.field(default_factory=dict, metadata={"within": (-1e6, 1e6)})
    classes: int | None = free(default=None, found=True, within=(-math.inf, 1 << 20))  # a head of 8 GB
    mean: tuple[float, ...] | None = within(-1e4, 1e4, default=None)
    std: tuple[float, ...] | None = within(1e-4, 1e4, default=None)
    epochs: int = free("resume", default=120, within=(1, 1_000_000))  # the run may go on for more
    start_epoch: int = 0
    batch_size: int = within(1, 1 << 20, default=256)
    accumulate: int = within(1, 1 << 16, default=1)
    bn_batch: int | None = within(1, 1 << 20, default=None)
    lr: float | None = within(0, 1e4, default=None)
    momentum: float = 0.9
    wd: float = within(0, 1e4, default=1e-4)
    optimizer: str = "nag"
    freeze: tuple[str, ...] = ()
    lr_mult: dict[str, Any] = dataclasses.field(default_factory=dict, metadata={"within": (0, 1e6)})
    dtype: str = free("cells", default="float32")  # the machine may have decided it
    mode: str = free("cells", default="hybrid")
    seed: int = 0
    # Nothing until the numbers go wrong.
    divergence_factor: float = free("cells", "resume", default=3.0, within=(1, 1e9))
    divergence_steps: int = free("cells", "resume", default=20, within=(1, 10_000))  # of which a median is taken
    rollbacks: int = free("cells", "resume", default=3, within=(0, 1000))
    rollback_lr: float = free("cells", "resume", default=0.5)
    tricks: tuple[Trick, ...] = ()

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            bounds = declared(type(self), field.name).get("within")
            check_value(field, as_python(self, field), bounds, others=Trick)
        for field, choices in self.choices.items():
            if getattr(self, field) not in choices:
                raise Refused(f"{field} is {quoted(getattr(self, field))}: choose one of {', '.join(choices)}")
        object.__setattr__(self, "model", self.model.lower())  # a network may be named in capitals, as in GluonCV
        if must_go_together():
            self._require_together()

    def _require_together(self) -> None:
        for trick in self.tricks:
            for field in dataclasses.fields(trick):
                value, bounds = getattr(trick, field.name), field.metadata.get("within")
                check_value(field, value, bounds, f"{trick.label()}: ", others=Trick)
        for condition, problem in self.constraints():
            if not condition:
                raise Refused(problem)

    def constraints(self) -> Iterator[tuple[bool, str]]:
        """What must hold beside the fields' own bounds, and what to say where it does not."""
        yield (
            0 <= self.start_epoch < self.epochs,
            f"start_epoch is {self.start_epoch}: it must lie in [0, epochs), epochs being {self.epochs}",
        )
        yield from self._constraints_of_bn()
        least = self.least_classes
        yield self.classes is None or self.classes >= least, f"classes is {self.classes}: it takes {least} or more"
        yield 0 <= self.momentum < 1, f"momentum is {self.momentum}: it must lie in [0, 1)"
        yield self.divergence_factor > 1, f"divergence_factor is {self.divergence_factor}: it takes more than 1"
        yield 0 < self.rollback_lr <= 1, f"rollback_lr is {self.rollback_lr}: it must lie in (0, 1], 1 keeping the rate"
        factors = self.lr_mult.values()
        yield (
            all(isinstance(factor, (int, float)) and factor and not isinstance(factor, bool) for factor in factors),
            f"lr_mult is {quoted(self.lr_mult)}: give each pattern a factor above 0, and what does not learn to freeze",
        )
        yield 0 <= self.seed < 2**31, f"seed is {self.seed}: it must lie in [0, 2**31)"
        for values in (self.mean, self.std):
            yield values is None or len(values) == 3, "mean and std take three numbers each, for R, G and B"
        yield (
            len({trick.slot() for trick in self.tricks}) == len(self.tricks),
            f"of {', '.join(t.label() for t in self.tricks)} two do the same work: keep one of them",
        )

    def _constraints_of_bn(self) -> Iterator[tuple[bool, str]]:
        own, batch = self.bn_batch, self.batch_size
        yield (
            own is None or batch % own == 0,
            f"bn_batch is {own} and batch_size {batch}: make the batch a multiple of it, or set bn_batch=null",
        )
        yield (
            own is None or self.accumulate == 1,
            f"bn_batch is {own} and accumulate {self.accumulate}: both say how many rounds there are; leave out one",
        )
        yield (
            own is None or self.net.get("norm_layer") != "SyncBatchNorm",
            f"bn_batch is {own} and net.norm_layer SyncBatchNorm, which takes the images of all ranks: leave out one",
        )

    @property
    def sides(self) -> tuple[int, int]:
        """The shorter and the longer side of what the network is trained on, px."""
        raise NotImplementedError

    def relative_pixels(self, done: int = 0) -> float:
        """The pixels of a training image, on average over the epochs after so many, to those of one of `sides`."""
        return 1.0

    def sizes_in_words(self) -> str:
        """How the size of the training images goes, or differs from that in use, in words; "": neither."""
        return ""

    # --- changing one -------------------------------------------------------------------------------------------

    def set(self, **changes: Any) -> Settings:
        """The recipe with some fields changed."""
        for name in changes:
            require_known(name, [field.name for field in dataclasses.fields(self)], "recipe field")
        return dataclasses.replace(self, **changes)

    def add(self, *new: Trick) -> Settings:
        """The recipe with tricks added; of two in one slot the new takes the other's place, else see Trick.before."""
        kept = list(self.tricks)
        for trick in new:
            require_kind("add", trick, Trick, "tricks such as Mixup(alpha=0.2)")
            slots = [old.slot() for old in kept]
            if trick.slot() in slots:
                kept[slots.index(trick.slot())] = trick
            else:
                kept.insert(slots.index(trick.before) if trick.before in slots else len(kept), trick)
        return dataclasses.replace(self, tricks=tuple(kept))

    def without(self, label: str) -> Settings:
        """The recipe without the trick of this label. Raises Refused: no trick has it."""
        trick_named(label)
        return dataclasses.replace(self, tricks=tuple(trick for trick in self.tricks if trick.label() != label))

    def checked(self) -> Settings:
        """The recipe, once its values have been set one after another. Raises Refused: they do not go together."""
        return self.set(tricks=tuple(dataclasses.replace(trick) for trick in self.tricks))

    def starting_from(self, weights: str) -> Settings:
        """The recipe of a network that starts from trained parameters, which a file or a run has."""
        raise NotImplementedError

    def resolved(self) -> Settings:
        """The recipe with the network's own preprocessing (size, crop ratio, mean, deviation) where it says none.

        Raises:
            Refused: there is no such network.
        """
        fields = ("input_size", "crop_ratio", "mean", "std")
        left = [field for field in fields if getattr(self, field, "of another task") is None]
        return self.set(**{field: getattr(usual_preprocessing(self.model), field) for field in left}) if left else self

    # --- what the tricks make of it -------------------------------------------------------------------------------

    def net_kwargs(self) -> dict[str, Any]:
        """Keyword arguments for get_model: those of the tricks, then the recipe's own."""
        merged: dict[str, Any] = {}
        for trick in self.tricks:
            merged.update(trick.net_kwargs())
        return {**merged, **self.net}

    def rounds(self, devices: int) -> int:
        """How many rounds a step has on so many devices, over all ranks, over which its batch can be split."""
        return self.accumulate if self.bn_batch is None else self.batch_size // (self.bn_batch * devices)

    def base_lr(self) -> float:
        """The learning rate that the schedule starts from."""
        if self.lr is not None:
            return self.lr
        lr = 0.1
        for trick in self.tricks:
            lr = trick.base_lr(lr, self.batch_size)
        return lr

    def schedule(self, steps_per_epoch: int) -> tuple[Schedule, Plan]:
        """step -> lr for the whole run, and the plan it belongs to."""
        plan = Plan(steps_per_epoch, self.epochs, first_epoch=self.start_epoch)
        for trick in self.tricks:
            plan = trick.plan(plan)
        base = self.base_lr()

        def lr_at(step: int) -> float:
            return base

        for trick in self.tricks:
            lr_at = trick.schedule(lr_at, plan)
        return lr_at, plan

    def lr_factor(self, errors: Sequence[float]) -> float:
        """What the schedule's rate is multiplied by after epochs with these validation errors (see Trick.lr_factor)."""
        return math.prod(trick.lr_factor(errors) for trick in self.tricks)

    def ends(self, errors: Sequence[float]) -> bool:
        """Whether epochs with these validation errors are all that there are."""
        return len(errors) + self.start_epoch >= self.epochs or any(trick.ends(errors) for trick in self.tricks)

    def optimizer_and_numbers(self) -> tuple[str, dict[str, Any]]:
        """The optimiser that the tricks make of the recipe's, as of training.optimizer, and its keywords.

        Raises:
            Refused: a trick is not for this optimiser.
        """
        name, momentum = self.optimizer, "beta1" if self.optimizer == "adam" else "momentum"
        numbers = {"learning_rate": self.base_lr(), momentum: self.momentum, "wd": self.wd}
        for trick in self.tricks:
            name, numbers = trick.optimizer(name, numbers)
        return name, numbers

    def kept_copies(self) -> int:
        """How many numbers a checkpoint has of each of the network's: weight, the optimiser's state, average."""
        state = 2 if self.optimizer == "adam" else 1
        return 1 + state + sum(trick.averages for trick in self.tricks)

    def copies(self) -> int:
        """How many of them a device has: the gradient too, and the weight while a gradient is taken elsewhere."""
        return self.kept_copies() + 1 + sum(trick.climbs for trick in self.tricks)

    @property
    def start_images(self) -> int:
        """How many of the first training images the network begins from; 0: from random or trained numbers alone."""
        return max((trick.start_images for trick in self.tricks), default=0)

    @property
    def open_ended(self) -> bool:
        """Whether rates and length follow from validation results; `epochs` is then the most."""
        return any(trick.open_ended for trick in self.tricks)

    # --- on paper -------------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """A JSON object that from_json gives the same recipe for."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "tricks"}
        return {
            "task": self.task,
            **values,
            "tricks": [{"trick": t.label(), **dataclasses.asdict(t)} for t in self.tricks],
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Settings:
        """The recipe that to_json described; only its own fields and tricks of tricks.TRICKS are read.

        Raises:
            Refused: it names a field or trick that there is not, or a value is of another type or out of its range.
        """
        if not isinstance(values, dict):
            raise Refused(f"a recipe is a JSON object, but got {type(values).__name__}")
        values = {name: value for name, value in values.items() if name != "task"}
        listed = values.pop("tricks", [])
        if not isinstance(listed, list) or not all(isinstance(trick, dict) for trick in listed):
            raise Refused('"tricks" of a recipe is a list of JSON objects such as {"trick": "mixup", "alpha": 0.2}')
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        for name in values:  # "self" among them, which Python would take for set's own
            require_known(name, [field.name for field in dataclasses.fields(cls)], "recipe field")
        return cls().set(**values, tricks=tuple(trick_from_json(trick) for trick in listed))


@functools.cache
def usual_preprocessing(model: str) -> Preprocessing:
    """What a network of the zoo takes by itself."""
    return get_model(model).preprocessing
