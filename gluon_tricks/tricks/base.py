"""The protocol of a trick: the places of the training loop that a refinement can change.

    lr   = base_lr(0.1, batch size)          in the recipe's order, unless the recipe fixes lr itself
    net  = get_model(..., **net_kwargs())
    initialize(net);  after_initialize(net);  from_images(net, sample, seed)
    lr_at = schedule(constant lr, plan)      plan: the run's length, after every trick's plan()
    w = label_weights(classes, images of each), else 1
    for each epoch, errors being those of the epochs before:
        stop if ends(errors);  lr = lr_factor(errors) * lr_at(step)
        size = image_size(size, epoch, epochs)     of the training images
    for each step:
        target = w at the labels' classes, else 0
        images, target = batch(images, target, step)
        l = loss(images, net(images), target)    loss(criterion(cross-entropy))
        g = the gradient of l's mean over the global batch
        e = ascent(g); where there is one, g = the gradient of the same batch at weights + e
        weights = the optimiser's update of them with gradients(g)
        average = d average + (1 - d) weights where d = average(step) is a number
    after each epoch: validate the weights, and the average where there is one

Hooks return new values and change nothing (after_initialize and from_images apart, whose purpose it is).
Their order is the order of the tricks in the recipe.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.given import require_kind
from gluon_tricks.core.keyed_random import generator
from gluon_tricks.core.together import must_go_together
from gluon_tricks.core.values import as_python, check_value
from gluon_tricks.core.wording import described, plural
from gluon_tricks.tricks.schedule import Plan, Schedule
from model_zoo.preprocessing import IMAGENET

if TYPE_CHECKING:
    import mxnet as mx

# loss(images (N, C, H, W), logits (N, K) float32, target (N, K) float32) -> (N,) float32
Loss = Callable[["mx.nd.NDArray", "mx.nd.NDArray", "mx.nd.NDArray"], "mx.nd.NDArray"]


@dataclasses.dataclass(frozen=True)
class StepContext:
    """What a batch hook may know of the moment; its random numbers are keyed by (seed, step), or (seed, step, shard).

    Args:
        seed: of the run, a whole number >= 0.
        step: updates made before this one.
        plan: the run's length.
        shard_index: which shard of the global batch the hook is given, counted over all rounds, ranks and devices.
        mean, std: what the images of the hook have been normalised by, per channel (RGB), on the 0..255 scale.
    """

    seed: int
    step: int
    plan: Plan
    shard_index: int = 0
    mean: tuple[float, ...] = IMAGENET["mean"]
    std: tuple[float, ...] = IMAGENET["std"]

    @property
    def epoch(self) -> int:
        return self.step // self.plan.steps_per_epoch

    def generator(self, stream: str, per_shard: bool = False) -> np.random.Generator:
        """A generator for one trick's draws at this step: the same for all shards, or one for each."""
        return generator(self.seed, stream, self.step, self.shard_index if per_shard else 0)


@dataclasses.dataclass(frozen=True)
class Trick:
    """One refinement: a frozen set of numbers, with only the hooks it needs.

    Attributes:
        one_class: it only makes sense where each image is of one class, by a softmax over all of them.
        before: the slot whose trick it comes before where it is added to a recipe; "": it comes last.
    """

    one_class: ClassVar[bool] = False
    before: ClassVar[str] = ""

    def __post_init__(self) -> None:
        """Refuses values of other types than the fields'; a trick then looks at its own, and a recipe at the bounds."""
        for field in dataclasses.fields(self):
            check_value(field, as_python(self, field), None, f"{self.label()}: ")

    @classmethod
    def slot(cls) -> str:
        """Of the tricks that share a slot a recipe holds one: adding another replaces it."""
        return cls.label()

    @classmethod
    def label(cls) -> str:
        """The trick's name in recipes: LabelSmoothing is label_smoothing."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    @classmethod
    def has(cls, hook: str) -> bool:
        """Whether the trick, or a class it is made of, has a hook of its own."""
        return getattr(cls, hook) is not getattr(Trick, hook)

    def net_kwargs(self) -> dict:
        """Keyword arguments for get_model."""
        return {}

    def after_initialize(self, net) -> None:
        """Changes to the initialised network or to its parameters' wd_mult and lr_mult."""

    @property
    def replaces_weights(self) -> bool:
        """Whether from_images sets weights anew, which a network that is trained already would lose."""
        return False

    @property
    def start_images(self) -> int:
        """How many training images from_images takes."""
        return 0

    def same_until(self, other: Trick, epoch: float) -> bool:
        """Whether up to an epoch the run is the same with another one of this kind, whatever follows then."""
        return self == other

    def from_images(self, net, sample: Callable, seed: int) -> None:
        """Changes to the parameters of a network that starts anew, by training images; on the first rank alone.

        Args:
            sample: n -> the first n images (n, 3, H, W) of the first epoch as the network sees them, not mixed.
            seed: of the run.
        """

    def base_lr(self, lr: float, batch_size: int) -> float:
        """The base learning rate for a global batch size."""
        return lr

    def plan(self, plan: Plan) -> Plan:
        """The plan of the run."""
        return plan

    def doubt(self, plan: Plan) -> str:
        """What of it has no effect in a run, as a line to tell; "": all has. Args: plan: after every trick's plan()."""
        return ""

    def schedule(self, lr_at: Schedule, plan: Plan) -> Schedule:
        """step -> lr."""
        return lr_at

    @property
    def open_ended(self) -> bool:
        """Whether lr_factor or ends depends on results, so that nobody knows rates and length of a run before it."""
        return False

    def lr_factor(self, errors: Sequence[float]) -> float:
        """A factor on the rate of the next epoch. Args: errors: validation errors of the finished ones, fractions."""
        return 1.0

    def ends(self, errors: Sequence[float]) -> bool:
        """Whether the run ends here, before the last epoch of its plan. Args: as of lr_factor."""
        return False

    def image_size(self, size: int, epoch: int, epochs: int) -> int:
        """The side of the training images of an epoch, px.

        Args:
            size: what it is without this trick.
            epoch: counted from 0, of `epochs` that the run has.

        Raises:
            Refused: it is for images of another size.
        """
        return size

    def label_weights(self, names: Sequence[str], counts: Sequence[int]) -> np.ndarray | None:
        """How often a label of each class counts in the loss, (K,), 0 where it has no image; None: once.

        Args:
            names: of the classes.
            counts: how many training images each has.

        Raises:
            Refused: it is for other classes.
        """
        return None

    def batch(self, images, target, step: StepContext):
        """A device's images (N, 3, H, W) and target (N, K).

        Its rows sum to 1, or to what the image's label weighs, unless one_class is False.
        """
        return images, target

    def optimizer(self, name: str, numbers: dict) -> tuple[str, dict]:
        """The optimiser in the place of another. Args: name: of training.optimizer; numbers: keywords of it."""
        return name, numbers

    @property
    def climbs(self) -> bool:
        """Whether ascent has a step; a step of training then has two forward and backward passes."""
        return False

    def ascent(self, sums: Sequence[mx.nd.NDArray]) -> Sequence[mx.nd.NDArray]:
        """What is added to the weights before the gradient is taken that they are updated with.

        Args:
            sums: the gradient at the weights, as flat arrays of one device; only its direction may count.

        Returns: arrays of the same shapes, float32.
        """
        return sums

    def gradients(self, sums: Sequence[mx.nd.NDArray], divisor: float) -> Sequence[mx.nd.NDArray]:
        """The gradient before the update, as flat arrays of one device that it leaves as they are.

        Args:
            sums: divisor times the gradient of the mean loss over the global batch, float32 or float16.

        Returns: the same list, or arrays of the same shapes, float32.
        """
        return sums

    @property
    def averages(self) -> bool:
        """Whether the weights are averaged over the updates."""
        return False

    def average(self, step: StepContext) -> float | None:
        """How much of the average stays after this update, in [0, 1]; None: all of it, and nothing is done."""
        return None

    def keeps_average(self, raw: float, average: float) -> bool:
        """Whether the average is the network of the run, and not the weights as they were trained.

        Args:
            raw, average: the newest validation scores of the two, in [0, 1], more being better.
        """
        return True

    def least_loss(self, least: float, classes: int) -> float:
        """The least that the loss of an image can be, as trained, least being that before the trick; nats."""
        return least

    def least_weight(self, classes: int) -> float:
        """A number that none of label_weights is below, but for classes without images."""
        return 1.0

    def chance_loss(self, chance: float, classes: int) -> float:
        """The loss of an image whose logits are all alike, chance being that before the trick; nats."""
        return chance

    def loss_share(self, classes: int) -> float:
        """How much of the loss of all classes together the loss of an image is: 1, or 1 / K of a mean over them."""
        return 1.0

    def criterion(self, criterion: Loss) -> Loss:
        """The loss of an image by its target alone, in the place of the task's: the first of what `loss` changes."""
        return criterion

    def loss(self, loss: Loss, load_network: Callable) -> Loss:
        """The loss per image; load_network(run or file): a trained network on the devices of this run."""
        return loss


def require_array(name: str, value: object) -> None:
    """Refuses what is no array of MXNet's."""
    if not hasattr(value, "context"):
        raise Refused(f"{name} takes an NDArray, but got {described(value)}")


def require_batch(images: object, target: object) -> None:
    """Refuses what is no batch of a device with a row of target for each image: labels would be mixed as numbers.

    Args:
        images: None: they do not matter.
    """
    if images is not None:
        require_array("images", images)
    require_array("target", target)
    if target.ndim != 2 or images is not None and len(images) != len(target):
        seen = "" if images is None else f" for {plural(len(images), 'image')}"
        raise Refused(f"target takes a row (K,) for each image, such as one_hot(labels), but got {target.shape}{seen}")


def require_step(step: object) -> None:
    """Refuses a step that is a number alone, by which nothing could be drawn."""
    require_kind("step", step, StepContext, "StepContext(seed, step, plan)")


def require(condition: bool, trick: Trick, what: str) -> None:
    """Refuses a trick whose numbers make no sense: says what is asked for and what was seen."""
    if not condition and must_go_together():
        raise Refused(f"{trick.label()}: {what}, but got {trick}")
