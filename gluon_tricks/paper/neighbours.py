"""What a feature space takes for alike: figure 2 of Krähenbühl et al. (ICLR 2016), nearest neighbours of images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import mxnet as mx
import numpy as np
import tqdm

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import no_empty_folders, write_text, writing
from gluon_tricks.core.json_text import to_json
from gluon_tricks.core.keyed_random import generator
from gluon_tricks.core.wording import printable
from gluon_tricks.data.augment import normalised
from gluon_tricks.data.loader import RecordLoader
from gluon_tricks.data.records import Records
from gluon_tricks.networks.load import open_classifier, require_classifier
from gluon_tricks.paper.cells import Runs
from gluon_tricks.paper.change_rates import IMAGES, STARTS, started
from gluon_tricks.tasks.classification.task import Classification
from gluon_tricks.tasks.lettering import import_pyplot
from model_zoo.preprocessing import Preprocessing

QUERIES, POOL = 100, 50_000  # images at most, as in the document
SHOWN = 8  # queries on the sheet
ROWS = ("Gaussian", "Gaussian (Caffe)", "Gaussian (ours)", "k-means (ours)")  # of STARTS
_TRAINED = {"reference": "trained (reference)", "kmeans": "trained (k-means)"}  # rows of magic_figure3
_BATCH = 64

Row = tuple[mx.gluon.HybridBlock, Preprocessing]
Open = Callable[[], Row]  # one network is in memory at a time


@dataclasses.dataclass(frozen=True)
class Some:
    """Some of the images of records, as a loader takes them: image i is image at[i] of theirs."""

    records: Records
    at: np.ndarray

    @property
    def classes(self) -> tuple[str, ...] | None:
        return self.records.classes

    def __len__(self) -> int:
        return len(self.at)

    def read(self, i: int) -> tuple[float, int, bytes]:
        return self.records.read(int(self.at[i]))

    def place(self, i: int):
        return self.records.place(int(self.at[i]))

    def describe(self, i: int, id: int) -> str:
        return self.records.describe(int(self.at[i]), id)

    def __hash__(self) -> int:  # the loader remembers what it has told of which records
        return id(self)


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """The nearest images of a pool to some queries.

    Args:
        images: (Q,) which of the pool; -1: none, of a query that cannot be decoded.
        similarity: (Q,) cosine of the features' angle.
        same: (Q,) whether it has the query's class.
    """

    images: np.ndarray
    similarity: np.ndarray
    same: np.ndarray


def magic_figure2(runs: Runs, seeds: int, networks: Sequence[str] = ()):
    """Images (top row), and below each the nearest of a pool in the feature space of a network, one row each.

    The features are what the last layer, the head, takes: of CaffeNet fc7, after its relu, without dropout. Rows are
    CaffeNet at its beginnings, the runs of magic_figure3 that are there, and the networks that are given.

    Args:
        networks: further trained classifiers, as open_classifier takes them; each sees images of its own size.

    Raises:
        Refused: the images are not named and not here, or are fewer than 20; there is no such network.

    Source: section 4.3 and figure 2 of Krähenbühl et al.: 100 random images, a pool of 50,000 other ones.
    Differs: the document does not say by which distance; here it is the angle between features, as their lengths
        differ between the networks. Images and pool are drawn, by the seed 0, from the training images. The other
        methods of its figure, whose parameters are not published in a form that is read here, are not run.
    """
    task = _task(runs)
    records = task.train.records
    if len(records) < 20:
        raise Refused(
            f"magic_figure2 looks for neighbours among 20 images or more, and there are {len(records)}: name more with "
            "--data"
        )
    order = generator(0, "neighbours").permutation(len(records))
    count = min(QUERIES, len(records) // 10)
    queries, pool = (Some(records, np.sort(part)) for part in (order[:count], order[count : count + POOL]))
    found = {}
    for label, opened in _rows(task, runs, networks).items():
        print(f"neighbours of {count} among {len(pool)} images: {label}", flush=True)
        found[label] = nearest(*opened(), queries, pool)
    _write_numbers(runs, found, queries, pool)
    return _sheet(task.recipe.input_size, task.recipe.crop_ratio, queries, pool, found)


def _task(runs: Runs) -> Classification:
    runs.require_data("magic_figure3")
    recipe = runs.cell("magic_figure3/caffenet/reference", 0).recipe
    return Classification(recipe.set(tricks=(), dtype="float32", augment="none").resolved(), [mx.cpu()], None)


def _rows(task: Classification, runs: Runs, networks: Sequence[str]) -> dict[str, Open]:
    """What each row's network is opened by; those that are given are opened once now, so that they are refused now."""
    recipe, found = task.recipe, {}
    seen_as = Preprocessing(recipe.input_size, recipe.crop_ratio, recipe.mean, recipe.std)
    images = task.sample(min(IMAGES, len(task.train.records)))
    for name in ROWS:
        found[name] = lambda name=name: (started(STARTS[name], images, recipe.classes), seen_as)
    cells = {label: runs.cell(f"magic_figure3/caffenet/{row}", 0) for row, label in _TRAINED.items()}
    sources = {label: str(cell.folder) for label, cell in cells.items() if cell.has_result()}
    for label, source in {**sources, **{printable(source): source for source in networks}}.items():
        _opened(source)
        found[label] = lambda source=source: _opened(source)
    return found


def _opened(source: str) -> Row:
    net = require_classifier(open_classifier(source, ctx=[mx.cpu()]), source)
    return net, net.preprocessing


def nearest(net: mx.gluon.HybridBlock, seen_as: Preprocessing, queries: Some, pool: Some) -> Neighbours:
    """The image of a pool whose features have the smallest angle to those of each query.

    Args:
        net: a classifier of the zoo.
        seen_as: what is done to its images.
    """
    count, best = len(queries), np.full(len(queries), -np.inf)
    wanted, classes = np.zeros((count, 1)), np.full(count, -1)
    for features, labels, at in _features(net, seen_as, queries):
        wanted = wanted if wanted.shape[1] == features.shape[1] else np.zeros((count, features.shape[1]))
        wanted[at], classes[at] = features, labels
    images, found = np.full(count, -1), np.full(count, -1)
    there = classes >= 0
    for features, labels, at in _features(net, seen_as, pool):
        cosines = wanted @ features.T  # (Q, n)
        k = cosines.argmax(axis=1)
        closer = there & (cosines[np.arange(count), k] > best)
        best[closer], images[closer], found[closer] = cosines.max(axis=1)[closer], at[k[closer]], labels[k[closer]]
    return Neighbours(images, np.where(images >= 0, best, 0.0), (found == classes) & (images >= 0))


def _features(net: mx.gluon.HybridBlock, seen_as: Preprocessing, some: Some):
    """Features of length 1 (n, C) float64, labels (n,), and which images these are (n,), batch by batch."""
    features, as_seen = net.features, (mx.cpu(), seen_as.mean, seen_as.std, seen_as.mean_image)
    loader = RecordLoader(
        some, train=False, size=seen_as.input_size, crop_ratio=seen_as.crop_ratio, batch_size=min(_BATCH, len(some)),
    )  # fmt: skip
    for batch in tqdm.tqdm(loader.epoch(), total=loader.steps_per_epoch, unit="batch", disable=None):
        found = (
            features(normalised(batch.images, *as_seen))
            .asnumpy()[: batch.count]
            .reshape(batch.count, -1)
            .astype(np.float64)
        )
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        yield found / np.maximum(lengths, 1e-30), batch.labels[: batch.count], batch.indices[: batch.count]


def _write_numbers(runs: Runs, found: Mapping[str, Neighbours], queries: Some, pool: Some) -> None:
    """magic_figure2.json: of each row the images of the records and their cosines."""
    folder = runs.root / runs.scale.name
    told = {
        label: {
            "same_class": int(row.same.sum()),
            "queries": len(queries),
            "pool": len(pool),
            "neighbours": [
                [int(queries.at[q]), int(pool.at[k]) if k >= 0 else None, round(float(row.similarity[q]), 6)]
                for q, k in enumerate(row.images)
            ],
        }
        for label, row in found.items()
    }
    with no_empty_folders(folder), writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "magic_figure2.json", to_json(told) + "\n")


def _sheet(size: int, crop_ratio: float, queries: Some, pool: Some, found: Mapping[str, Neighbours]):
    shown = np.linspace(0, len(queries) - 1, min(SHOWN, len(queries))).round().astype(int)
    rows = {"image": (_pictures(queries, shown, size, crop_ratio), [""] * len(shown))}
    for label, row in found.items():
        marks = ["same class" if row.same[q] else "" for q in shown]
        name = f"{label}\n{row.same.sum()} of {len(row.same)} same class"
        rows[name] = _pictures(pool, row.images[shown], size, crop_ratio), marks
    shape = (len(rows), len(shown))
    figure, panels = import_pyplot().subplots(
        *shape, figsize=(2.6 + 1.3 * len(shown), 1.5 * len(rows) + 0.8), layout="constrained", squeeze=False
    )
    for line, (name, (pictures, marks)) in zip(panels, rows.items()):
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=10)
        for panel, picture, mark in zip(line, pictures, marks):
            panel.imshow(picture)
            panel.set(xticks=[], yticks=[])
            for side in panel.spines.values():
                side.set(color="tab:green" if mark else "lightgrey", linewidth=3 if mark else 1)
    figure.suptitle(
        f"nearest of {len(pool)} images (by the angle between features before the head); green: of the image's class"
    )
    return figure


def _pictures(some: Some, which: np.ndarray, size: int, crop_ratio: float) -> list[np.ndarray]:
    """The centre crops of images as networks see them; grey where there is none (-1) or it cannot be decoded."""
    found = {int(k): np.full((size, size, 3), 200, np.uint8) for k in which}
    there = sorted(k for k in found if k >= 0)
    loader = RecordLoader(
        Some(some.records, some.at[there]), train=False, size=size, crop_ratio=crop_ratio, batch_size=1, prefetch=1
    )
    for batch in loader.epoch() if there else ():
        if batch.count:
            found[there[int(batch.indices[0])]] = batch.images[0].copy()
    return [found[int(k)] for k in which]
