"""Scales: the paper's recipes as they are, or shrunk to a proxy that a small machine trains in minutes or seconds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from gluon_tricks.core.errors import require_known
from gluon_tricks.paper.caffe_scales import CAFFE_SCALES, PHOTOS
from gluon_tricks.paper.cifar_scales import CIFAR_SCALES
from gluon_tricks.paper.cvjena_scales import CVJENA_SCALES
from gluon_tricks.paper.little_data_scales import LITTLE_DATA_SCALES
from gluon_tricks.paper.magic_scales import MAGIC_SCALES
from gluon_tricks.paper.own_scale import OwnScale, sooner
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.recipes.tables import cvjena_table1, transfer_learning
from gluon_tricks.recipes.tables.magic_table1 import FAMILY
from gluon_tricks.recipes.tables.rows import Table
from gluon_tricks.tricks import LinearScaling, StepDecay, Trick, Warmup

_SMALL_MODELS = {
    **{f"resnet50_{variant}": f"resnet18_{variant}" for variant in ("v1", "v1b", "v1c", "v1d")},
    **{"resnet152_v1d": "resnet34_v1d", "mobilenet1.0": "mobilenet0.25"},
}
# Of bottlenecks, in which ResNet-B differs from ResNet: ResNet-18 has none.
_BOTTLENECKS = {f"resnet50_{variant}": f"resnet26_{variant}" for variant in ("v1", "v1b", "v1c", "v1d")}


# "8 Nvidia V100 GPUs" (section 2.1): a batch normalisation saw an eighth of the batch, 32 images or 128. The paper's
# scale fixes that; a proxy leaves it to the machine, as the images of one device.
PAPER_DEVICES = 8
_MULTIPLE = 8  # px, of a proxy's training images


@dataclasses.dataclass(frozen=True)
class Scale:
    """What a scale changes of every recipe of a classifier.

    Args:
        name: of the scale.
        title: what a proxy's results are: said wherever they are shown; "" for the paper's own setting.
        epochs: factor on every number of epochs: the run's, the warm-up's, the decay's.
        batch_size: factor on the batch size; the learning rate that belongs to a batch stays with it.
        models: the paper's network -> the one in its place; networks that are not there have no proxy. None: all stay.
        own_models: table -> the same, of networks that it has another one in the place of than the other tables.
        set: further recipe fields.
        photos: what its records are packed from; "": what the table's are.
    """

    name: str
    title: str = ""
    epochs: float = 1.0
    batch_size: float = 1.0
    models: Mapping[str, str] | None = None
    own_models: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    set: Mapping[str, object] = dataclasses.field(default_factory=dict)
    photos: str = ""
    bases = None  # it has no base networks

    def recipe(self, table: Table, column: str, row: str) -> Recipe | None:
        """The resolved recipe of a cell at this scale; None if its network has no proxy."""
        recipe = table.recipe(column, row)
        if self.models is None:
            return recipe.set(classes=table.classes, bn_batch=recipe.batch_size // PAPER_DEVICES).resolved()
        models = {**self.models, **self.own_models.get(table.name, {})}
        if recipe.model not in models:
            return None
        changes = dict(
            model=models[recipe.model],
            epochs=max(round(recipe.epochs * self.epochs), 1),
            batch_size=round(recipe.batch_size * self.batch_size),
            classes=None,
            tricks=tuple(self._shrunk(trick) for trick in recipe.tricks),
        )
        return self._sized(recipe, recipe.set(**{**changes, **self.set, **table.proxy}).resolved())

    def _sized(self, full: Recipe, proxy: Recipe) -> Recipe:
        """The proxy with training images that are as much smaller than its input as those of the full recipe are."""
        if full.train_size is None:
            return proxy
        share = full.train_size / full.resolved().input_size
        return proxy.set(train_size=max(round(share * proxy.input_size / _MULTIPLE), 1) * _MULTIPLE)

    def needs(self, table: Table) -> tuple[str, str]:
        """What a table's recipes have as `data`, and what that is in words."""
        data = self.set.get("data") or next(iter(table.columns.values())).data
        return data, self.photos or table.photos

    def _shrunk(self, trick: Trick) -> Trick:
        if isinstance(trick, LinearScaling):
            return dataclasses.replace(trick, reference=round(trick.reference * self.batch_size))
        return sooner(trick, self.epochs)


_PHOTOS = "a proxy: small networks on small photos, a small batch, a {} of the paper's epochs"
_ON_PHOTOS = dict(
    batch_size=1 / 4,
    models=_SMALL_MODELS,
    set=dict(data="records", input_size=64, min_area=0.35),
    photos=PHOTOS,
)
SCALES = {
    scale.name: scale
    for scale in (
        Scale(
            "smoke",
            "a test of the machinery on a few images at 32 px: its numbers say nothing about the paper's",
            epochs=1 / 120,
            batch_size=1 / 16,
            models=_SMALL_MODELS,
            # The paper's rates would blow up in so few steps.
            set=dict(data="few_shapes", input_size=32, min_area=0.5, lr=0.05),
        ),
        Scale("imagenette", _PHOTOS.format("twentieth"), epochs=1 / 20, **_ON_PHOTOS),
        Scale("long", _PHOTOS.format("quarter"), epochs=1 / 4, own_models={"table5": _BOTTLENECKS}, **_ON_PHOTOS),
        Scale("imagenet"),
    )
}


@dataclasses.dataclass(frozen=True)
class TransferScale:
    """What a scale changes of tables 8 and 9.

    Args:
        name, title: as of Scale.
        bases: the scale that the base networks are trained at.
        epochs: factor on every number of epochs.
        set: table -> further recipe fields.
        photos: table -> what the data is; of a table that is not there it is its own, or built in.
    """

    name: str
    title: str
    bases: Scale
    epochs: float = 1.0
    set: Mapping[str, Mapping[str, object]] = dataclasses.field(default_factory=dict)
    photos: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def recipe(self, table: Table, column: str, row: str) -> Settings | None:
        """The resolved recipe of a cell at this scale."""
        recipe = table.recipe(column, row)
        if self.bases.models is None:
            return recipe.resolved()
        changes = dict(
            model=self.bases.models[recipe.model],
            epochs=max(round(recipe.epochs * self.epochs), 1),
            tricks=tuple(sooner(trick, self.epochs) for trick in recipe.tricks),
        )
        return recipe.set(**{**changes, **self.set[table.name]}).resolved()

    def needs(self, table: Table) -> tuple[str, str]:
        """As of OwnScale."""
        built_in = "dataset" in self.set.get(table.name, {}) and table.name not in self.photos
        return "" if built_in else "records", self.photos.get(table.name, table.photos)


TRANSFER_SCALES = {
    scale.name: scale
    for scale in (
        TransferScale(
            "smoke",
            "a test of the machinery on a few images: its numbers say nothing about the paper's",
            SCALES["smoke"],
            epochs=1 / 20,
            set={
                "table8": dict(dataset="few_scenes", short=120, long=200, roi="small", batch_size=4, lr=0.001),
                "table9": dict(
                    **dict(dataset="few_scenes", crop=64, base_size=160, batch_size=8, epochs=1, final_scales="one")
                ),
            },
        ),
        TransferScale(
            "small",
            "a proxy: small base networks of small photos, a hundred images or two, a few epochs",
            SCALES["imagenette"],
            epochs=1 / 5,
            set={
                "table8": dict(
                    **dict(train_splits=("2007_trainval",), short=300, long=500, roi="small", batch_size=2, lr=0.005),
                    tricks=(Warmup(0.25 / 5), StepDecay((14 * (1 / 5), 20 * (1 / 5)))),
                ),
                "table9": dict(
                    **dict(dataset="masks", classes=11, void=11, crop=120, base_size=240, epochs=6, batch_size=8),
                ),
            },
            photos={
                "table8": "VOC2007 or a part of it (a VOCdevkit with the lists trainval and test)",
                "table9": "photos with masks of 11 classes and void 11: images/{train,val}, masks/{train,val}",
            },
        ),
        TransferScale("paper", "", SCALES["imagenet"]),
    )
}

AnyScale = Scale | TransferScale | OwnScale

# Tables of one family are run at the same scales, and a cell that two of them have is run once. The last scale of each
# is the document's own.
FAMILIES: dict[str, Mapping[str, AnyScale]] = {
    "imagenet": SCALES,
    "transfer": TRANSFER_SCALES,
    "cifar": CIFAR_SCALES,
    "caffe": CAFFE_SCALES,
    FAMILY: MAGIC_SCALES,
    transfer_learning.FAMILY: LITTLE_DATA_SCALES,
    cvjena_table1.FAMILY: CVJENA_SCALES,
}


def family_of(table: Table) -> str:
    """The key of FAMILIES that a table belongs to."""
    return table.family or ("transfer" if table.based else "imagenet")


def scales_of(table: Table) -> Mapping[str, AnyScale]:
    """The scales that a table can be run at."""
    return FAMILIES[family_of(table)]


def get_scale(name: str, scales: Mapping[str, AnyScale] = SCALES) -> AnyScale:
    """The scale of a name. Raises Refused for an unknown one."""
    return scales[require_known(name, list(scales), "scale")]
