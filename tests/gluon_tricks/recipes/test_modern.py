"""The table of refinements after the paper: published numbers, and what its rows are."""

import mxnet as mx
import pytest

from gluon_tricks.paper.scales import SCALES, get_scale
from gluon_tricks.recipes.registry import get_recipe, get_table
from gluon_tricks.tasks.registry import task_of
from gluon_tricks.tricks import Ema, LinearScaling, MixupOrCutMix, SigmoidLoss, StochasticDepth

TABLE = get_table("modern")


def test_the_ladder_begins_at_the_papers_best_row_without_a_teacher():
    paper = TABLE.recipe("resnet50_v1d", "paper")
    assert paper.set(name="") == get_table("table6").recipe("resnet50_v1d", "mixup").set(name="")
    assert TABLE.row("paper").paper["resnet50_v1d"] == get_table("table6").row("mixup").paper["resnet50_v1d"]


def test_torchvisions_differences_add_up_to_its_recipe():
    """76.130 + 0.364 (rates) + 0.312 + 1.800 + 0.190 + 0.318 (smoothing) + 0.118 (mixup) + 0.278 + 0.526 + 0.160
    + 0.254 + 0.224 + 0.184 = 80.858."""
    gains = [row.gain["resnet50_v1d"] for row in TABLE.shown("resnet50_v1d")[1:]]
    published = TABLE.row("torchvision").paper["resnet50_v1b"][0] - TABLE.row("baseline").paper["resnet50_v1b"][0]
    assert sum(gains) + 0.364 + 0.318 + 0.118 == pytest.approx(published)


def test_columns_show_their_own_rows():
    assert [row.key for row in TABLE.shown("resnet50_v1b")] == ["baseline", "torchvision", "a3", "a2"]
    assert len(TABLE.shown("resnet50_v1d")) == 10


def test_whole_recipes_are_compared_with_what_they_start_from():
    """Timm's A3 has nothing of torchvision's recipe, which stands above it."""
    assert {key: TABLE.row(key).base for key in ("torchvision", "a3", "a2")} == {
        "torchvision": "baseline", "a3": "baseline", "a2": "a3",
    }  # fmt: skip
    assert TABLE.recipe("resnet50_v1b", "baseline").set(name="") == TABLE.columns["resnet50_v1b"].set(name="")


def test_whole_recipes_by_their_published_numbers():
    torchvision, a3, a2 = (TABLE.recipe("resnet50_v1b", row) for row in ("torchvision", "a3", "a2"))
    assert torchvision.base_lr() == pytest.approx(0.5, rel=2e-3) and torchvision.wd == 2e-5
    assert (torchvision.train_size, torchvision.aug_repeats, torchvision.epochs) == (176, 4, 600)
    assert round(224 / torchvision.crop_ratio) == 232
    (ema,) = [trick for trick in torchvision.tricks if isinstance(trick, Ema)]
    assert ema.decay == pytest.approx(0.99891, abs=1e-5) and ema.every == 32
    assert (a3.base_lr(), a3.wd, a3.batch_size, a3.epochs, a3.train_size) == (0.008, 0.02, 2048, 100, 160)
    assert (a2.base_lr(), a2.epochs, a2.train_size, a2.aug_repeats, a2.auto_augment) == (
        0.005,
        300,
        None,
        3,
        "rand-m7-n2",
    )
    assert MixupOrCutMix(0.1) in a3.tricks and SigmoidLoss(0.2) in a3.tricks
    assert StochasticDepth(0.05) in a2.tricks and not any(isinstance(trick, StochasticDepth) for trick in a3.tricks)


def test_images_are_erased_before_they_are_mixed():
    """As torchvision does it; in all rows that have both."""
    for column, count in (("resnet50_v1d", 7), ("resnet50_v1b", 1)):
        found = [[trick.label() for trick in TABLE.recipe(column, row.key).tricks] for row in TABLE.shown(column)]
        erasing = [labels for labels in found if "random_erasing" in labels]
        mixing = ({"mixup", "mixup_or_cut_mix"} & {*labels} for labels in erasing)
        assert len(erasing) == count
        assert all(labels.index("random_erasing") < labels.index(*mixed) for labels, mixed in zip(erasing, mixing))


@pytest.mark.parametrize("row", ["a3", "a2"])
def test_timms_optimizer_clips_the_whole_gradient(row):
    """Its LAMB has max_grad_norm 1: a gradient (3, 4) is (0.6, 0.8) before the trust ratio."""
    recipe = TABLE.recipe("resnet50_v1b", row)
    (clips,) = [trick for trick in recipe.tricks if trick.has("gradients")]
    (clipped,) = clips.gradients([mx.nd.array([3.0, 4.0])], 1.0)
    assert clipped.asnumpy() == pytest.approx([0.6, 0.8], rel=1e-5) and recipe.optimizer_and_numbers()[0] == "lamb"


@pytest.mark.parametrize("scale", list(SCALES))
def test_every_cell_has_a_recipe_at_every_scale(scale):
    """Training images keep their share of the input: 176 of 224 px are 50 of 64, which is 48 in steps of 8."""
    for column in TABLE.columns:
        for row in TABLE.shown(column):
            recipe = get_scale(scale).recipe(TABLE, column, row.key)
            assert task_of(recipe).architecture(recipe).name
    sized = get_scale(scale).recipe(TABLE, "resnet50_v1d", "sizes")
    assert sized.train_size == {"smoke": 24, "imagenette": 48, "long": 48, "imagenet": 176}[scale]
    assert get_scale(scale).recipe(TABLE, "resnet50_v1d", "erasing").train_size is None


def test_fast_recipes_grow_their_images_near_the_end():
    """65/88 and 76/88 of the epochs: 12 and 14 of 16; FFCV's 160 px until then, 192 px after."""
    fast = get_recipe("fast16").resolved()
    assert [fast.size_at(epoch) for epoch in (0, 11, 12, 13, 14, 15)] == [160, 160, 160, 192, 192, 192]
    assert fast.input_size == 256 and fast.net == {"blur": True} and fast.base_lr() == 1.7
    assert not any(isinstance(trick, LinearScaling) for trick in fast.tricks) or fast.lr == 1.7
    assert get_recipe("fast40").epochs == 40
    for name in ("imagenette_fast", "cifar_fast"):
        recipe = get_recipe(name).resolved()
        assert recipe.training_sizes[0] < recipe.training_sizes[-1] <= recipe.input_size
