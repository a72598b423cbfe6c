"""The scales of the degradation problem (He et al., Deep residual learning, CVPR 2016, section 4.2)."""

from __future__ import annotations

from gluon_tricks.paper.own_scale import OwnScale
from gluon_tricks.recipes.tables.degradation import TABLE
from gluon_tricks.tricks import StepDecay

# What two cores train in an hour and a quarter, two networks on each. An epoch of all 50,000 images takes one core 2
# minutes (plain-20), 3 (ResNet-20), 4.5 (plain-56) or 7 (ResNet-56) in float32; deeper ones are slower in bfloat16.
CIFAR_SCALES = {
    scale.name: scale
    for scale in (
        OwnScale(
            "smoke",
            "a test of the machinery on a few drawn pictures: its numbers say nothing about the document's",
            set={
                TABLE.name: dict(data="few_shapes", epochs=2, batch_size=16, bn_batch=None, lr=0.05, tricks=()),
            },
        ),
        OwnScale(
            "small",
            "a proxy: all images, but 8 epochs in place of 164, the rate falling after 4 and 6",
            set={TABLE.name: dict(epochs=8, bn_batch=None, tricks=(StepDecay((4, 6)),))},
            photos={TABLE.name: TABLE.photos},
        ),
        OwnScale("paper"),
    )
}
