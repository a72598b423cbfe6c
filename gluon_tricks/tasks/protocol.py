"""What a task says of itself, and what the training loop leaves open: what is learnt, from which data, how scored."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import mxnet as mx
import numpy as np

from gluon_tricks.core.values import check_fields
from gluon_tricks.data.base_loader import ReadOptions
from gluon_tricks.networks.load import Trained
from gluon_tricks.ranks import distributed
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.tasks.findings import Arrays, TaskReport
from gluon_tricks.tasks.prediction import Prediction
from gluon_tricks.tricks import StepContext
from model_zoo.preprocessing import Preprocessing
from model_zoo.whole_images import WholeImages

# Of a micro-batch, what one device works on: the context, arrays on the host, what else `preprocess` needs.
Shard = tuple
ONE_AT_A_TIME = ReadOptions(threads=1, prefetch=1)  # of a loader that `handful` reads a few images with
TaskLoss = Callable[[Any, Any, Any], mx.nd.NDArray]  # (X, z, y) of one device -> (n,) float32, one number per image


def split_batch(parts: Sequence[np.ndarray], count: int, contexts: Sequence[mx.Context]) -> Iterator[list[Shard]]:
    """So many micro-batches: each device with its shard of every part, all of them split along their first axis."""
    for pieces in zip(*(np.split(part, count) for part in parts)):
        yield list(zip(contexts, *(np.split(piece, len(contexts)) for piece in pieces)))


def read_options(recipe: Settings, threads: int | None) -> ReadOptions:
    """Those of the loaders of this rank."""
    return ReadOptions(recipe.seed, threads, distributed.rank(), distributed.ranks())


class Scores(Protocol):
    """What an evaluation finds.

    Attributes:
        columns: of metrics.csv.
        in_tables: the two of them that the paper's tables have, fractions.
        compared: the one of them that `best` is.
        at_end: those of them that a run scores at its end in another way too -> what final_scores calls that, which
            counts in their place there and in tables.
        labels: those of them that are told -> what they are called; the losses among them need not be there.
        images: how many it is over.
        best: by which checkpoints are compared, in [0, 1], more being better.
    """

    columns: ClassVar[tuple[str, ...]]
    in_tables: ClassVar[tuple[str, str]]
    compared: ClassVar[str]
    at_end: ClassVar[dict[str, str]]
    labels: ClassVar[dict[str, str]]
    images: int

    @property
    def best(self) -> float: ...

    def row(self) -> dict[str, float]:
        """Its columns of metrics.csv, `labels` among them, all called val_..."""

    def per_class(self) -> dict[str, list[float | None]]:
        """Scores of each class, in the order of the classes; None: the class does not occur. {}: there are none."""

    @classmethod
    def from_row(cls, row: dict[str, float], images: int) -> Scores:
        """The scores of a row that was written before."""


def errors_of(rows: Iterable[dict[str, float]], scores: type[Scores]) -> list[float]:
    """The validation error of each row of metrics.csv: 1 minus what checkpoints are compared by."""
    return [1.0 - scores.from_row(row, 0).best for row in rows]


def with_final(row: dict[str, float], kind: type[Scores], final: dict[str, float]) -> dict[str, float]:
    """A row of metrics.csv with what was scored at the end of the run in place of the same score of its last epoch.

    Args:
        kind: of scores.
        final: of Task.final_scores.
    """
    return {**row, **{column: final[name] for column, name in kind.at_end.items() if name in final}}


class Loader(Protocol):
    """Batches in an order that is a pure function of (seed, epoch), which training can go on with anywhere."""

    records: Any  # len(), digest, paths
    steps_per_epoch: int
    seed: int

    def reseed(self, seed: int) -> None: ...

    def epoch(self, epoch: int = 0, start_step: int = 0) -> Iterator[Any]: ...


@dataclasses.dataclass(frozen=True)
class ScoringOptions:
    """What may be asked of the scoring of a trained network; a task takes those of its `evaluation_flags`.

    Args:
        model, classes: of a parameter file that fits several networks.
        rec_val: packed images; (): those of the run.
        data: another folder of the run's kind of data set; None: the run's.
        batch_size: images on each device at a time.
        input_size, crop_ratio: other ones than the network's, or the run's.
        multi_scale: the mean over six scales and their mirror images.
        crops, scales, dense: which views of an image are averaged, see classification.views.Views.
        members: what other networks are called, and they themselves where they are open: their mean is scored too.
        test_crops: of which an image's scores are the mean; None: as many as in the run.
        threads: of the loader; None: all cores.
    """

    model: str | None = None
    classes: int | None = None
    rec_val: Sequence[str | os.PathLike] = ()
    data: str | None = None
    batch_size: int = 64
    input_size: int | None = None
    crop_ratio: float | None = None
    multi_scale: bool = False
    crops: str = "1"
    scales: Sequence[int] = ()
    dense: bool = False
    members: Sequence[tuple[str, Trained | None]] = ()
    test_crops: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        check_fields(self)


class Validation(Protocol):
    """A trained network and images to score it on.

    Attributes:
        loader: every image once.
    """

    loader: Loader

    def score(self, batches: Iterable, precision: str | None = None, found: Arrays | None = None) -> Scores:
        """The scores, as training gives them.

        Args:
            batches: of the loader.
            precision: what the network is made to compute in (see start_precision); None: it is left as it is.
            found: is given what was found of each image, the arrays of the task's report; None: that is not wanted.
        """

    def doubts(self) -> list[str]:
        """What may be wrong with the images, a line each."""

    def result(self, scores: Scores, precision: str, seconds: float) -> dict[str, Any]:
        """What was found, for a JSON file. Args: seconds: that the scoring took."""

    def lines(self, scores: Scores, result: dict[str, Any]) -> list[str]:
        """The same as it is printed."""


class Task(Protocol):
    """One of those of the registry. Its class says what is so whatever the data; an object of it is trained.

    Attributes of the class:
        kind: of its recipes.
        noun: what its networks are, in messages.
        network_name: what the network is called beside that of its base; "" where the model is all of it.
        command: of gluon-tricks that trains it.
        scores: the class of what evaluate returns.
        train_error: (z, y) of a step's shard -> (1,) float32 on its device: for how many of its images the network's
            output is wrong, a column of metrics.csv; None: of this task that says nothing.
        exported: whether a run's final network is written as a graph too.
        export_flags: options of gluon-tricks export that it takes, beside those of all.
        prediction_options: keywords of `look`, options of gluon-tricks predict.
        evaluation_flags: options of gluon-tricks evaluate that it takes, beside those of all.
        report: the class of what shows an evaluation's findings.

    Attributes:
        names: of the classes, in their order.
        found: what the newest evaluation found, the arrays of its report.
        recipe: the one given, with what the data says (classes) and, once it is there, the network.
        train, val: the loaders of this rank.
        final_val: of what final_scores takes.
        open_files: how many data files they hold open.
        told: of the training images, a line each, before the first step.
        recorded: the same for programs, in the event that starts the run.
        run_files: what the run keeps of what was found in the data: file name -> text.
        learnt_from: the digest of the network that the loss learns from, once loss() was called; "": there is none.
    """

    kind: ClassVar[type[Settings]]
    noun: ClassVar[str]
    network_name: ClassVar[str]
    command: ClassVar[str]
    scores: type[Scores]
    train_error: ClassVar[Callable[[Any, Any], mx.nd.NDArray] | None]
    exported: ClassVar[bool]
    export_flags: ClassVar[tuple[str, ...]]
    prediction_options: ClassVar[tuple[str, ...]]
    evaluation_flags: ClassVar[tuple[str, ...]]
    report: ClassVar[type[TaskReport]]
    recipe: Settings
    names: tuple[str, ...]
    found: Arrays
    train: Loader
    val: Loader
    final_val: Loader
    open_files: int
    told: Sequence[str]
    recorded: Mapping[str, Any]
    run_files: Mapping[str, str]
    learnt_from: str

    # --- of the class: a recipe's data, its network, and what is done with one that is trained

    @classmethod
    def scores_of(cls, recipe: Settings) -> type[Scores]:
        """The same as `scores`, with the labels that fit the recipe's number of classes."""

    @classmethod
    def find_data(cls, recipe: Settings) -> tuple[Any, Any]:
        """The training and the validation images, checked.

        Raises:
            Refused: they are not there, contradict the recipe, or share images.
        """

    @classmethod
    def validation_images(cls, recipe: Settings) -> Any:
        """The validation images alone. Raises Refused, as find_data does."""

    @classmethod
    def told_of(cls, recipe: Settings) -> Sequence[str]:
        """What `told` is going to be, where the images are there already; else nothing."""

    @classmethod
    def drawn(cls, recipe: Settings) -> Settings:
        """The recipe on a few drawn pictures, with a network that starts from nothing: to measure its steps."""

    @classmethod
    def architecture(cls, recipe: Settings) -> mx.gluon.HybridBlock:
        """The network, or its base network, without parameters: to be looked at."""

    @classmethod
    def outline(cls, recipe: Settings) -> mx.gluon.HybridBlock:
        """The network before its first step, but for its numbers, of no data: to look at what it is made of.

        Raises:
            Refused: what `network` would refuse of the recipe itself; a source of weights that it names is not there.
        """

    @classmethod
    def restored(
        cls, recipe: Settings, source: str | os.PathLike, contexts: Sequence[mx.Context],
        arrays: dict[str, np.ndarray] | None = None,
    ) -> mx.gluon.HybridBlock:  # fmt: skip
        """The network of one process with trained parameters, in float32.

        Args:
            source: the parameter file; what an error names.
            contexts: devices.
            arrays: the parameters by name, where they have been read already.

        Raises:
            Refused: they are another network's, before memory is taken for what the recipe says.
        """

    @classmethod
    def exported_form(cls, trained: Trained) -> tuple[mx.gluon.HybridBlock, Preprocessing | WholeImages | None]:
        """The network as other programs take it, with one input "data", and what is done to a photo before.

        None in its place: it is not known.
        """

    @classmethod
    def class_names(cls, trained: Trained) -> Sequence[str] | None:
        """The classes of a trained network, if they are known."""

    @classmethod
    def names_one(cls, trained: Trained) -> bool:
        """Whether it names one class of an image, so that this can be right or wrong: `look` then takes its truth."""

    @classmethod
    def look(cls, trained: Trained, names: Sequence[str], context: mx.Context) -> Callable[..., Prediction]:
        """Image (H, W, 3) uint8 RGB of any size -> what the network says of it. It takes prediction_options besides.

        Where the network names one class, what is returned also takes truth=: the index of the image's class.
        """

    @classmethod
    def open_validation(
        cls, source: str, contexts: Sequence[mx.Context], options: ScoringOptions, trained: Trained | None = None
    ) -> Validation:
        """A trained network with the images that it is scored on.

        Args:
            source: what it is called, by which it is opened unless it is open.
            trained: it, if it is open; of a run it always is.

        Raises:
            Refused: the images are not there, or have other classes than the network.
        """

    # --- of an object: what the loop trains

    def __init__(self, recipe: Settings, contexts: Sequence[mx.Context], threads: int | None): ...

    def network(self, restored: bool = False) -> mx.gluon.HybridBlock:
        """The network before its first step, on every device, in the recipe's precision.

        Args:
            restored: its numbers are going to be a checkpoint's: what it would start from need not be there.
        """

    def loss(self) -> TaskLoss:
        """The loss per image. Raises Refused where it needs what is not there (a teacher)."""

    def micro_batches(self, batch: Any, step: StepContext) -> Iterator[list[Shard]]:
        """A loader's batch in recipe.rounds parts, each as the shards of the devices, still on the host."""

    def preprocess(self, shard: Shard) -> tuple[Any, Any]:
        """X, what the network takes, and y, what the loss compares its output with, on the shard's device."""

    def forward(self, net: mx.gluon.HybridBlock, X: Any) -> Any:
        """z, the network's output, to be called under autograd.record()."""

    def evaluate(self, net: mx.gluon.HybridBlock, batches: Iterable) -> Scores:
        """Scores of a network over all batches of all ranks; leaves it in the plain layout."""

    def final_scores(self, net: mx.gluon.HybridBlock, batches: Iterable) -> dict[str, float]:
        """What is scored at the end of a run alone, by its name in words; {}: nothing. Leaves the plain layout.

        Args:
            batches: of final_val.
        """

    def draw(self, net: mx.gluon.HybridBlock, path: pathlib.Path) -> None:
        """What the network makes of a fixed handful of validation images, as a PNG; leaves it in the plain layout."""

    def score_pictures(self) -> dict[str, np.ndarray]:
        """What `evaluate` found as pictures (H, W, 3) uint8 RGB by their names; {}: numbers say it all."""

    def describe(self) -> str:
        """What is trained on what, in words."""


def handful(loader: Loader, most: int = 8) -> Iterator[Any]:
    """At most so many batches with an image, evenly spread over the epoch of a validation loader: always the same."""
    for step in np.unique(np.linspace(0, loader.steps_per_epoch - 1, most).round().astype(int)).tolist():
        with contextlib.closing(loader.epoch(0, step)) as batches:
            batch = next(batches)
        if batch.count:
            yield batch
