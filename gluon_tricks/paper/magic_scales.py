"""The scales of the tables of data-dependent initialisation (Krähenbühl et al., ICLR 2016)."""

from __future__ import annotations

from collections.abc import Mapping

from gluon_tricks.paper.own_scale import OwnScale
from gluon_tricks.recipes.tables.magic_table1 import PHOTOS

_SMOKE = dict(
    **dict(data="few_scenes", classes=None, input_size=63, side=(72, 72), crop_ratio=63 / 72, test_crops=2),
    net={"hidden": 16},
)

_SMOKE_DETECTION = dict(
    **dict(dataset="few_scenes", classes=None, short=120, long=200, roi="small", batch_size=4),
    net={"hidden": 16},
)

# A CaffeNet that a core trains in a minute: images of 76 px, of which the network sees 67 (the document: 256 and 227),
# so that its last map is 1 x 1 and not 6 x 6; dense layers of 512 (4096); 10 epochs (160) of 1600 images (5011), which
# is 1600 steps (80,000); the rate halved every 4 epochs (20), of which there would else be little left. All else is the
# document's, the first learning rates among it: at three times SGD's the better beginnings learn less.
_SMALL = dict(input_size=67, side=(76, 76), crop_ratio=67 / 76, net={"hidden": 512})

_SMALL_DETECTION = dict(short=256, long=427, roi="small", epochs=10, net={"hidden": 512})
_TWO_COLUMNS = ("magic_table2", "magic_table3")


def _of_tables(classification: Mapping, detection: Mapping) -> dict[str, Mapping]:
    both = [(f"{table}/classification", f"{table}/detection") for table in _TWO_COLUMNS]
    return {
        "magic_table1": classification,
        **dict.fromkeys([first for first, _ in both], classification),
        **dict.fromkeys([second for _, second in both], detection),
    }


MAGIC_SCALES = {
    scale.name: scale
    for scale in (
        OwnScale(
            "smoke",
            "a test of the machinery on a few drawn images: its numbers say nothing about the document's",
            _of_tables(_SMOKE, _SMOKE_DETECTION),
            {"data_dependent_init": dict(images=8, rounds=4)},
            epochs=1 / 160,
        ),
        OwnScale(
            "small",
            "a proxy: CaffeNet at 67 px with dense layers of 512, a part of VOC2007, a fiftieth of the steps",
            _of_tables(_SMALL, _SMALL_DETECTION),
            {"exponential_decay": dict(every=4.0), "step_decay": dict(epochs=(5.0, 8.0))},
            epochs=1 / 16,
            photos={name: f"{PHOTOS} or a part of it" for name in ("magic_table1", *_TWO_COLUMNS)},
        ),
        OwnScale("paper"),
    )
}
