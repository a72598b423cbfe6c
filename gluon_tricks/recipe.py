"""Recipe: everything that decides what a run learns, as one frozen record that is written beside every result."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Callable, Sequence
from typing import Any

from gluon_tricks import tricks
from gluon_tricks.data.augment import AUGMENTS, MEAN_RGB, STD_RGB
from gluon_tricks.runtime import Refused
from gluon_tricks.schedule import Plan, Schedule
from gluon_tricks.tricks import Loss, Trick

CHOICES = {
    "optimizer": ("nag", "sgd"),
    "dtype": ("float32", "float16", "bfloat16"),
    "mode": ("hybrid", "imperative"),
    "init": ("paper", "gluoncv"),
    "augment": tuple(AUGMENTS),
}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A training run, to the last number that decides its result.

    Args:
        name: what the run is called; the run directory's name by default.
        model: a name of the model zoo.
        net: keyword arguments for get_model beyond those of the tricks.
        classes: K; None: as many as the training records have.
        pretrained: where to start from: a parameter file, a tag of GluonCV's, "true" for its default file; "": random.
        data: "shapes" or "few_shapes" (built in), "imagenet" (GluonCV's default place), "records" with train and val.
        train, val: RecordIO files; several act as one.
        input_size: side of the network's input, pixels.
        teacher_size: side of the images that a teacher was trained on; None: input_size.
        crop_ratio: validation crops input_size from images of shorter edge ceil(input_size / crop_ratio).
        min_area: a training crop covers a share of the image uniform in [min_area, 1].
        augment: "paper" (brightness, saturation, hue), "gluoncv" (brightness, contrast, saturation) or "none".
        mean, std: per channel (RGB), on the 0..255 scale.
        epochs: passes over the training images.
        start_epoch: the first epoch to train, for going on from parameters alone (`pretrained`).
        batch_size: images per update over all devices and ranks.
        accumulate: rounds that a device takes its part of a batch in, one gradient being summed over them.
        lr: the base rate as it is used; None: 0.1, changed by the tricks (linear scaling).
        momentum, wd: of the optimiser.
        optimizer: "nag" or "sgd".
        init: "paper" (Xavier uniform) or "gluoncv" (MSRA).
        dtype: the precision asked for.
        mode: "hybrid" or "imperative".
        seed: of every random number of the run.
        divergence_factor, divergence_steps: a loss over so many times its running median for so many steps in a row,
            or one that is not finite, takes the run back to a checkpoint.
        rollbacks: how often at most.
        tricks: the refinements, in the order in which their hooks are called.
    """

    name: str = "imagenet"
    model: str = "resnet50_v1"
    net: dict[str, Any] = dataclasses.field(default_factory=dict)
    classes: int | None = None
    pretrained: str = ""
    data: str = "imagenet"
    train: tuple[str, ...] = ()
    val: tuple[str, ...] = ()
    input_size: int = 224
    teacher_size: int | None = None
    crop_ratio: float = 0.875
    min_area: float = 0.08
    augment: str = "paper"
    mean: tuple[float, ...] = MEAN_RGB
    std: tuple[float, ...] = STD_RGB
    epochs: int = 120
    start_epoch: int = 0
    batch_size: int = 256
    accumulate: int = 1
    lr: float | None = None
    momentum: float = 0.9
    wd: float = 1e-4
    optimizer: str = "nag"
    init: str = "paper"
    dtype: str = "float32"
    mode: str = "hybrid"
    seed: int = 0
    divergence_factor: float = 3.0
    divergence_steps: int = 20
    rollbacks: int = 3
    tricks: tuple[Trick, ...] = ()

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check_type(field, getattr(self, field.name))
        for field, choices in CHOICES.items():
            if getattr(self, field) not in choices:
                raise Refused(f"{field} is {getattr(self, field)!r}: choose one of {', '.join(choices)}")
        _check_ranges(self)

    # --- changing one -------------------------------------------------------------------------------------------

    def set(self, **changes: Any) -> Recipe:
        """The recipe with some fields changed."""
        for name in changes:
            known(name, [field.name for field in dataclasses.fields(self)], "recipe field")
        return dataclasses.replace(self, **changes)

    def add(self, *new: Trick) -> Recipe:
        """The recipe with tricks added; one that shares its slot with another takes the other's place."""
        kept = list(self.tricks)
        for trick in new:
            slots = [old.slot() for old in kept]
            if trick.slot() in slots:
                kept[slots.index(trick.slot())] = trick
            else:
                kept.append(trick)
        return dataclasses.replace(self, tricks=tuple(kept))

    def without(self, label: str) -> Recipe:
        """The recipe without the trick of this label."""
        return dataclasses.replace(self, tricks=tuple(trick for trick in self.tricks if trick.label() != label))

    # --- what the tricks make of it -------------------------------------------------------------------------------

    def net_kwargs(self) -> dict[str, Any]:
        """Keyword arguments for get_model: those of the tricks, then the recipe's own."""
        merged: dict[str, Any] = {}
        for trick in self.tricks:
            merged.update(trick.net_kwargs())
        return {**merged, **self.net}

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
        plan = Plan(steps_per_epoch, self.epochs)
        for trick in self.tricks:
            plan = trick.plan(plan)
        base = self.base_lr()

        def lr_at(step: int) -> float:
            return base

        for trick in self.tricks:
            lr_at = trick.schedule(lr_at, plan)
        return lr_at, plan

    def loss(self, loss: Loss, load_network: Callable) -> Loss:
        """The loss per image with every trick's change (see Trick.loss)."""
        for trick in self.tricks:
            loss = trick.loss(loss, load_network)
        return loss

    # --- on paper -------------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """A JSON object that from_json gives the same recipe for."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "tricks"}
        return {**values, "tricks": [{"trick": t.label(), **dataclasses.asdict(t)} for t in self.tricks]}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Recipe:
        """The recipe that to_json described; only fields of Recipe and tricks of tricks.TRICKS are read."""
        if not isinstance(values, dict):
            raise Refused(f"a recipe is a JSON object, but got {type(values).__name__}")
        values = dict(values)
        listed = values.pop("tricks", [])
        if not isinstance(listed, list) or not all(isinstance(trick, dict) for trick in listed):
            raise Refused('"tricks" of a recipe is a list of JSON objects such as {"trick": "mixup", "alpha": 0.2}')
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return cls().set(**values, tricks=tuple(_trick_from_json(trick) for trick in listed))


def read_recipe(path) -> Recipe:
    """The recipe in a JSON file."""
    try:
        with open(path, encoding="utf-8") as file:
            return Recipe.from_json(json.load(file))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise Refused(f"{path} cannot be read as a recipe: {error}") from error


def trick_named(label: str) -> type[Trick]:
    """The trick of a label."""
    by_label = {trick.label(): trick for trick in tricks.TRICKS}
    return by_label[known(label, list(by_label), "trick")]


def apply_setting(recipe: Recipe, setting: str) -> Recipe:
    """One `--set key=value`.

    `epochs=10` sets a field, `net.final_drop=0.2` a keyword of the network, `mixup.alpha=0.4` a number of a trick
    (added if it is not there), `mixup=on` and `mixup=off` add and remove one. Values are JSON, else text.
    """
    key, equals, text = setting.partition("=")
    if not equals:
        raise Refused(f"--set takes key=value, but got {setting!r}")
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = text
    value = tuple(value) if isinstance(value, list) else value
    head, dot, field = key.partition(".")
    if head == "net" and dot:
        return recipe.set(net={**recipe.net, field: value})
    labels = [trick.label() for trick in tricks.TRICKS]
    fields = [f.name for f in dataclasses.fields(recipe) if f.name != "tricks"]
    if head not in labels:
        known(key, [*fields, *labels], "recipe field or trick")
        return recipe.set(**{key: value})
    if not dot and value in ("on", "off"):
        return recipe.add(trick_named(head)()) if value == "on" else recipe.without(head)
    if not dot:
        raise Refused(f"{head} is a trick: set it on or off, or one of its numbers such as {head}.NAME=VALUE")
    present = [trick for trick in recipe.tricks if trick.label() == head]
    numbers = dataclasses.asdict(present[0]) if present else {}
    return recipe.add(_trick_from_json({"trick": head, **numbers, field: value}))


def _trick_from_json(values: dict[str, Any]) -> Trick:
    trick = trick_named(str(values.get("trick")))
    numbers = {name: value for name, value in values.items() if name != "trick"}
    fields = {field.name: field for field in dataclasses.fields(trick)}
    for name, value in numbers.items():
        known(name, list(fields), "number", f"the trick {trick.label()}")
        numbers[name] = value = tuple(value) if isinstance(value, list) else value
        _check_type(fields[name], value)
    return trick(**numbers)


def known(name: str, names: Sequence[str], what: str, where: str = "") -> str:
    """The name itself. Raises Refused if it is not one of the names, listing the near ones, or all if none is near."""
    if name not in names:
        near, place = difflib.get_close_matches(name, names, n=3), f" in {where}" if where else ""
        remedy = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(names)}"
        raise Refused(f"there is no {what} {name!r}{place}: {remedy}")
    return name


_KINDS = {
    "str": (str,),
    "int": (int,),
    "int | None": (int, type(None)),
    "float": (int, float),
    "float | None": (int, float, type(None)),
    "dict[str, Any]": (dict,),
}


def _check_type(field: dataclasses.Field, value: Any) -> None:
    """Refuses a value of another type than the field's annotation names (tuples by their elements)."""
    kind = str(field.type)
    if kind.startswith("tuple["):
        element = kind[len("tuple[") :].split(",")[0]
        fine = isinstance(value, tuple) and all(isinstance(v, _KINDS.get(element, (Trick,))) for v in value)
    else:
        fine = isinstance(value, _KINDS[kind])
    if not fine or isinstance(value, bool):
        raise Refused(f"{field.name} must be {kind}, but got {value!r}")


def _check_ranges(recipe: Recipe) -> None:
    for condition, problem in (
        (recipe.epochs >= 1, f"epochs is {recipe.epochs}: it takes 1 or more"),
        (
            0 <= recipe.start_epoch < recipe.epochs,
            f"start_epoch is {recipe.start_epoch}: it must lie in [0, epochs), epochs being {recipe.epochs}",
        ),
        (recipe.batch_size >= 1, f"batch_size is {recipe.batch_size}: it takes 1 or more"),
        (recipe.accumulate >= 1, f"accumulate is {recipe.accumulate}: it takes 1 or more"),
        (recipe.classes is None or recipe.classes >= 2, f"classes is {recipe.classes}: it takes 2 or more"),
        (recipe.input_size >= 1, f"input_size is {recipe.input_size}: it takes a size in pixels"),
        (
            recipe.teacher_size is None or recipe.teacher_size >= 1,
            f"teacher_size is {recipe.teacher_size}: it takes a size in pixels",
        ),
        (0 < recipe.crop_ratio <= 1, f"crop_ratio is {recipe.crop_ratio}: it must lie in (0, 1]"),
        (0 < recipe.min_area <= 1, f"min_area is {recipe.min_area}: it must lie in (0, 1]"),
        (recipe.lr is None or recipe.lr >= 0, f"lr is {recipe.lr}: it must be 0 or more"),
        (0 <= recipe.momentum < 1, f"momentum is {recipe.momentum}: it must lie in [0, 1)"),
        (recipe.wd >= 0, f"wd is {recipe.wd}: it must be 0 or more"),
        (
            recipe.divergence_factor > 1 and recipe.divergence_steps >= 1,
            f"divergence_factor {recipe.divergence_factor} and divergence_steps {recipe.divergence_steps}: they take "
            "more than 1, and 1 or more",
        ),
        (recipe.rollbacks >= 0, f"rollbacks is {recipe.rollbacks}: it takes 0 (never) or more"),
        (0 <= recipe.seed < 2**31, f"seed is {recipe.seed}: it must lie in [0, 2**31)"),
        (len(recipe.mean) == 3 and len(recipe.std) == 3, "mean and std take three numbers each, for R, G and B"),
        (all(value > 0 for value in recipe.std), f"std is {recipe.std}: it must be positive"),
        (
            len({trick.slot() for trick in recipe.tricks}) == len(recipe.tricks),
            f"of {', '.join(t.label() for t in recipe.tricks)} two do the same work: keep one of them",
        ),
    ):
        if not condition:
            raise Refused(problem)
