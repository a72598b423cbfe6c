"""The average of a network's weights over the updates: kept beside them, evaluated as they are, written with them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.averaged import AVERAGE, RAW, averaging, keeps_average
from gluon_tricks.networks.of_recipe import parameters_by_name, restore_plain_layout
from gluon_tricks.networks.statistics import average_arrays, each_device, set_each_device
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.tasks.protocol import Scores, Task
from gluon_tricks.training import many_arrays
from gluon_tricks.training.rounds import running_statistics
from gluon_tricks.tricks import StepContext


class Average:
    """The average of what training moves, in float32. Without a trick that averages nothing is done.

    Weights are the same on every device, so the average lies on the first one; running statistics are not, so theirs
    lies on each, and `settle` makes one of them. An update of it waits for nothing.

    Args:
        recipe: whose trick says how much of the average stays (Trick.average) and which network counts.
        net: on its devices, with gradients.
        kind: of the scores.

    Attributes:
        active: whether there is an average.
        columns: of metrics.csv, beside those of the scores.
    """

    def __init__(self, recipe: Settings, net: mx.gluon.Block, kind: type[Scores]):
        self._recipe, self._net, self._trick = recipe, net, averaging(recipe)
        self._column, self._raw, self._told = kind.compared, None, {}
        self.active = self._trick is not None
        self.columns = (f"{kind.compared}{RAW}", f"{kind.compared}{AVERAGE}") if self.active else ()
        self._keeps = keeps_average(recipe, [])

    def begin(self) -> None:
        """The average is what the network is now."""
        if not self.active:
            return
        parameters = parameters_by_name(self._net)
        names = {id(parameter): name for name, parameter in parameters.items()}
        moving = running_statistics(self._net)
        self._statistics = {names[id(parameter)]: of_devices for parameter, of_devices in moving.items()}
        self._weights = {name: parameter for name, parameter in parameters.items() if parameter.grad_req != "null"}
        self._averages = {name: [_float32(p.list_data()[0])] for name, p in self._weights.items()}
        for name in self._statistics:
            self._averages[name] = [_float32(array) for array in parameters[name].list_data()]

    def add(self, step: StepContext) -> None:
        """After an update. Args: step: of it."""
        stays = self._trick.average(step) if self.active else None
        if stays is None:
            return
        now = [parameter.list_data()[0].astype("float32", copy=False) for parameter in self._weights.values()]
        many_arrays.move([self._averages[name][0] for name in self._weights], now, 1 - stays)
        for k in range(len(next(iter(self._statistics.values()), ()))):
            now = [of_devices[k].read() for of_devices in self._statistics.values()]
            many_arrays.move([self._averages[name][k] for name in self._statistics], now, 1 - stays)

    def settle(self) -> None:
        """Gives every device of every rank the mean of their averaged statistics, as average_statistics does."""
        if self.active:
            average_arrays([self._averages[name] for name in self._statistics])

    # --- in checkpoints

    def each_device(self) -> dict[str, np.ndarray]:
        """Its running statistics on every device of every rank, as of statistics.each_device: called by all ranks."""
        return each_device({name: self._averages[name] for name in self._statistics}) if self.active else {}

    def arrays(self) -> dict[str, np.ndarray]:
        """Every parameter of the averaged network by its structural name; what training does not move is as it is."""
        if not self.active:
            return {}
        there = parameters_by_name(self._net)
        return {
            name: (self._averages[name][0] if name in self._averages else parameter.list_data()[0]).asnumpy()
            for name, parameter in there.items()
        }

    def restore(
        self, arrays: Mapping[str, np.ndarray], rows: Sequence[Mapping[str, float]], source: Any,
        of_devices: Mapping[str, np.ndarray] | None = None,
    ) -> None:  # fmt: skip
        """Takes the average from arrays() of before, the network being that of then already.

        Args:
            rows: of metrics.csv, so far.
            source: what an error names.
            of_devices: each_device() of then.

        Raises:
            Refused: an array is missing or has another shape.
        """
        self.begin()
        self._keeps = keeps_average(self._recipe, rows)
        for name, there in self._averages.items() if self.active else ():
            if name not in arrays or arrays[name].shape != there[0].shape:
                raise Refused(f"{source} is damaged (the average of {name}): use an older one")
            for array in there:
                array[:] = arrays[name]
        if self.active:
            set_each_device({name: self._averages[name] for name in self._statistics}, of_devices or {})

    # --- in use

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """The network is the average meanwhile; nothing else of the run is to change it."""
        mx.nd.waitall()
        parameters = parameters_by_name(self._net)
        raw = {name: [array.copy() for array in parameters[name].list_data()] for name in self._averages}
        mx.nd.waitall()
        self._raw = raw
        try:
            for name, (average, *others) in self._averages.items():
                arrays = parameters[name].list_data()
                for array, source in zip(arrays, [average, *others] if others else [average] * len(arrays)):
                    source.astype(array.dtype).copyto(array)
            restore_plain_layout(self._net)
            yield
        finally:
            self.put_back()

    def put_back(self) -> None:
        """The network is the trained one again, to the last bit, if it was not."""
        if self._raw is None:
            return
        mx.nd.waitall()
        restore_plain_layout(self._net)
        parameters = parameters_by_name(self._net)
        for name, saved in self._raw.items():
            for array, source in zip(parameters[name].list_data(), saved):
                source.copyto(array)
        restore_plain_layout(self._net)
        self._raw = None

    @contextlib.contextmanager
    def kept(self) -> Iterator[dict[str, np.ndarray]]:
        """The network is the one that final.params gets: as it was trained, or the average.

        Gives the average's own arrays by structural name, which a network of float16 rounds; none of the trained one.
        """
        with self.in_place() if self._keeps else contextlib.nullcontext():
            averages = self._averages if self._keeps else {}
            yield {name: arrays[0].asnumpy() for name, arrays in averages.items()}

    def evaluate(self, score: Callable[[], Scores], task: Task) -> Scores:
        """The scores of the network that counts; where there is an average, both are scored.

        Args:
            score: evaluates the network as it is, and leaves what it found in task.found.
        """
        if not self.active:
            return score()
        raw, of_raw = score(), task.found
        with self.in_place():
            average, of_average = score(), task.found
        self._told = dict(zip(self.columns, (raw.best, average.best)))
        self._keeps = keeps_average(self._recipe, [self._told])
        task.found = of_average if self._keeps else of_raw
        return average if self._keeps else raw

    def row(self) -> dict[str, float]:
        """What metrics.csv has beside the scores: of both networks, what checkpoints are compared by."""
        return dict(self._told)

    def words(self, label: str) -> str:
        """The same, for a person. Args: label: what the score is called."""
        if not self.active:
            return ""
        raw, average = (f"{self._told[column]:.2%}" for column in self.columns)
        kept = "the average's" if self._keeps else "the trained weights'"
        return f" ({kept}; {label} of the average {average}, of the trained weights {raw})"


def _float32(array: mx.nd.NDArray) -> mx.nd.NDArray:
    return array.astype("float32")  # a copy in any case
