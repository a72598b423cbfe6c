"""The scales of the table of transfer learning from few images."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from gluon_tricks.data.builtin.outlines import CLASSES
from gluon_tricks.paper.own_scale import OwnScale
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.recipes.tables.rows import Table
from gluon_tricks.recipes.tables.transfer_learning import BASE, NEW, OTHER


@dataclasses.dataclass(frozen=True)
class LittleDataScale(OwnScale):
    """A scale that can take other numbers of images.

    Args: as of OwnScale, and
        images: of each class in the document's rows -> in their place.
    """

    images: Mapping[int, int] = dataclasses.field(default_factory=dict)

    def recipe(self, table: Table, column: str, row: str) -> Settings | None:
        """The resolved recipe of a cell at this scale."""
        recipe = super().recipe(table, column, row)
        return recipe.set(per_class=self.images.get(recipe.per_class, recipe.per_class))


def _halves(classes: Sequence[str], **fields: object) -> dict[str, dict[str, object]]:
    """The first half of the classes for the network that is given, the second for what learns from it."""
    half = len(classes) // 2
    parts = {OTHER: tuple(classes[:half]), NEW: tuple(classes[half:])}
    found = {f"transfer_learning/{column}": dict(fields, only_classes=part) for column, part in parts.items()}
    found[f"transfer_learning/{NEW}"]["pretrained"] = BASE
    return found


# In the order of their folders. First tench, springer, cassette player, chain saw and church; then French horn, garbage
# truck, gas pump, golf ball and parachute.
_IMAGENETTE = (
    *("n01440764", "n02102040", "n02979186", "n03000684", "n03028079"),
    *("n03394916", "n03417042", "n03425413", "n03445777", "n03888257"),
)

LITTLE_DATA_SCALES = {
    scale.name: scale
    for scale in (
        LittleDataScale(
            "smoke",
            "a test of the machinery: 2 and 5 drawn images of each class in place of 10 and 50, one epoch",
            _halves(CLASSES, data="few_shapes", model="resnet18_v1d", input_size=32, min_area=0.5, dtype="float32"),
            epochs=1 / 30,
            images={10: 2, 50: 5},
        ),
        LittleDataScale(
            "small",
            "a proxy: ResNet-18-D at 64 px, trained on five of Imagenette's classes; the rows are on the other five",
            _halves(_IMAGENETTE, model="resnet18_v1d", input_size=64),
            photos={"transfer_learning": "the photos of Imagenette, train/CLASS and val/CLASS"},
        ),
        LittleDataScale("paper"),
    )
}
