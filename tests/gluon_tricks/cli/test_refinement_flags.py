"""What the flags of refinements after the paper make of a recipe."""

import pytest

from gluon_tricks.cli import command_line
from gluon_tricks.core.errors import Refused
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tricks import CutMix, Mixup, MixupOrCutMix, RandomErasing, SigmoidLoss, StochasticDepth


def tricks(*words, begun=None):
    named = [] if begun else ["--recipe", "baseline"]
    recipe, _ = command_line.recipe_from_flags(command_line.parse([*named, *words]), 1, begun)
    return [trick for trick in recipe.tricks if trick.label() not in ("linear_scaling", "step_decay")]


@pytest.mark.parametrize(
    "words, expected",
    [
        ("--cutmix", [CutMix()]),
        ("--cutmix --cutmix-alpha 0.5 --mixup-off-epoch 3", [CutMix(0.5, 3)]),
        ("--mixup --cutmix", [MixupOrCutMix()]),
        ("--mixup --mixup-alpha 0.1 --cutmix --cutmix-alpha 0.8", [MixupOrCutMix(0.1, 0.8)]),
        ("--mixup --cutmix --set mixup_or_cut_mix.cut=0.3", [MixupOrCutMix(cut=0.3)]),
        ("--random-erasing", [RandomErasing()]),
        ("--random-erasing 0.5 --set random_erasing.fill=noise", [RandomErasing(0.5, fill="noise")]),
        ("--mixup --random-erasing", [RandomErasing(), Mixup()]),
        ("--mixup --set random_erasing=on", [RandomErasing(), Mixup()]),
        ("--random-erasing --cutmix", [RandomErasing(), CutMix()]),
        ("--drop-path --model resnet50_v1d", [StochasticDepth()]),
        ("--drop-path 0.2 --set stochastic_depth.per=batch", [StochasticDepth(0.2, "batch")]),
        ("--bce", [SigmoidLoss()]),
        ("--bce 0.2", [SigmoidLoss(0.2)]),
        ("--set sigmoid_loss.over=sum", [SigmoidLoss(over="sum")]),
    ],
)
def test_flags(words, expected):
    assert tricks(*words.split()) == expected


@pytest.mark.parametrize(
    "present, words, expected",
    [
        (Mixup(0.4, 2), "--cutmix", MixupOrCutMix(0.4, 1.0, off_epochs=2)),
        (CutMix(0.5), "--mixup", MixupOrCutMix(0.2, 0.5)),
        (Mixup(0.4, 2, "image", "permuted"), "--cutmix", MixupOrCutMix(0.4, 1.0, 0.5, 2, "image", "permuted")),
        (CutMix(0.5, per="image"), "--mixup", MixupOrCutMix(0.2, 0.5, per="image")),
        (CutMix(0.5), "--cutmix-alpha 0.7", CutMix(0.7)),
        (MixupOrCutMix(cut=0.9), "--mixup-alpha 0.3", MixupOrCutMix(0.3, cut=0.9)),
        (StochasticDepth(0.3, "batch"), "--drop-path 0.2", StochasticDepth(0.2, "batch")),
        (MixupOrCutMix(cut=0.9), "--cutmix --cutmix-alpha 2", MixupOrCutMix(0.2, 2.0, cut=0.9)),
    ],
)
def test_what_a_recipe_has_stays_where_no_flag_says_otherwise(present, words, expected):
    assert tricks(*words.split(), begun=Recipe().add(present)) == [expected]


@pytest.mark.parametrize(
    "words, said",
    [
        ("--cutmix-alpha 1", "--cutmix-alpha goes with --cutmix"),
        ("--cutmix --mixup-alpha 1", "--mixup-alpha and --mixup-off-epoch go with --mixup"),
        ("--mixup --cutmix-alpha 1", "--cutmix-alpha goes with --cutmix"),
        ("--mixup-off-epoch 1", "--mixup-alpha and --mixup-off-epoch go with --mixup"),
        ("--cutmix --cutmix-alpha -1", "alpha must be 0, or 0.0001 and more"),
        ("--random-erasing 2", "probability is 2.0: it must lie in|probability must lie in"),
        ("--drop-path 1", r"rate must lie in \[0, 1\)"),
        ("--bce 1.5", "threshold is 1.5|threshold must lie in"),
    ],
)
def test_what_does_not_go_together_is_refused(words, said):
    with pytest.raises(Refused, match=said):
        tricks(*words.split())
