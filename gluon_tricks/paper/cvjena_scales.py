"""The scales of the tables of ImageNet models with batch normalisation (Simon et al., 2016)."""

from __future__ import annotations

from collections.abc import Mapping

from gluon_tricks.paper.caffe_scales import PHOTOS
from gluon_tricks.paper.own_scale import OwnScale

_TABLES = ("cvjena_table1", "cvjena_figure1", "cvjena_bn")


def _sizes(alexnet: Mapping, vgg19: Mapping, resnets: Mapping, **all_of_them: object) -> dict[str, Mapping]:
    """TABLE or TABLE/COLUMN -> recipe fields."""
    columns = {"alexnet": alexnet, "vgg19": vgg19, "resnet10": resnets, "resnet50": resnets}
    of_table1 = {f"cvjena_table1/{column}": {**fields, **all_of_them} for column, fields in columns.items()}
    return {**of_table1, **dict.fromkeys(_TABLES[1:], {**alexnet, **all_of_them})}


def _square(size: int, hidden: int = 0) -> dict[str, object]:
    """Images of that side, random squares of photos an eighth larger; hidden: outputs of the hidden dense layers."""
    side = size * 9 // 8
    fields = dict(input_size=size, side=(side, side), crop_ratio=size / side)
    return {**fields, "net": {"hidden": hidden}} if hidden else fields


# In so few steps Caffe's Gaussians of AlexNet stay at chance, so both AlexNets begin by Xavier's.
_SMALL_ALEXNET = {**_square(99, hidden=512), "init": "paper"}

# All keep the document's learning rates, which belong to larger batches.
CVJENA_SCALES = {
    scale.name: scale
    for scale in (
        OwnScale(
            "smoke",
            "a test of the machinery on a few drawn pictures: its numbers say nothing about the document's",
            _sizes(_square(64, hidden=16), _square(32, hidden=16), _square(32), data="few_shapes", batch_size=16),
            epochs=1 / 32,
        ),
        OwnScale(
            "small",
            "a proxy: small networks on ten classes of small photos, with small batches, for 12 epochs in place of 64",
            _sizes(_SMALL_ALEXNET, _square(48, hidden=512), _square(64), data="records", batch_size=64),
            epochs=12 / 64,
            photos=dict.fromkeys(_TABLES, PHOTOS),
        ),
        OwnScale("paper"),
    )
}
