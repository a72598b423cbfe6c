"""The scales of figures 3 and 4 of data-dependent initialisation, which are drawn from trainings of Caffe's models."""

from gluon_tricks.paper.own_scale import OwnScale

PHOTOS = "small photos in class folders train/CLASS and val/CLASS, such as those of Imagenette"

# Figures 3 and 4 of Krähenbühl et al. They keep the document's learning rate, which belongs to larger batches, but for
# GoogLeNet in batches of 8: at 0.01 it diverges from our beginning (seed 0, its loss is 1583 at step 27).
CAFFE_SCALES = {
    scale.name: scale
    for scale in (
        OwnScale(
            "smoke",
            "a test of the machinery on a few images: its numbers say nothing about the document's",
            set={
                "magic_figure3": dict(data="few_shapes", input_size=63, side=(72, 72), batch_size=32, epochs=1),
                "magic_figure4": dict(
                    data="few_shapes", input_size=191, side=(200, 200), batch_size=8, epochs=1, lr=0.001
                ),
            },
            tricks={"data_dependent_init": dict(images=32)},
        ),
        OwnScale(
            "small",
            "a proxy: the first steps alone, on ten classes of small photos, with small inputs and batches",
            set={
                "magic_figure3": dict(data="records", input_size=99, side=(112, 112), batch_size=64, epochs=4),
                "magic_figure4": dict(data="records", input_size=191, side=(216, 216), batch_size=32, epochs=1),
            },
            photos=dict.fromkeys(("magic_figure3", "magic_figure4"), PHOTOS),
        ),
        OwnScale("paper"),
    )
}
