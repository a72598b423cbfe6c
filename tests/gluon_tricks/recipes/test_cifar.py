"""CIFAR-10's recipes against GluonCV's published commands and section 4.2 of He et al."""

import pytest

from gluon_tricks.cli.command_line import parse, recipe_from_flags
from gluon_tricks.recipes.registry import get_recipe
from gluon_tricks.tricks import Mixup, StepDecay

# As GluonCV's logs have them, behind the name of the script (cifar_resnet20_v1.sh and cifar_resnet20_v1_mixup.sh).
COMMAND = (
    "--num-epochs 200 --mode hybrid --num-gpus 1 -j 2 --batch-size 128 --wd 0.0001 --lr 0.1 --lr-decay 0.1 "
    "--lr-decay-epoch 100,150 --model cifar_resnet20_v1"
)
WITH_MIXUP = (
    "--num-epochs 350 --mode hybrid --num-gpus 1 -j 8 --batch-size 128 --wd 0.0001 --lr 0.1 --lr-decay 0.1 "
    "--lr-decay-epoch 150,250 --model cifar_resnet20_v1"
)


def meant(name, command, devices):
    recipe, notes = recipe_from_flags(parse(["--recipe", name, *command.split()]), devices)
    assert notes == []
    return recipe


@pytest.mark.parametrize("name, command", [("cifar10", COMMAND), ("cifar10_mixup", WITH_MIXUP)])
def test_a_published_command_is_its_recipe(name, command):
    recipe = get_recipe(name).resolved()
    assert meant(name, command, devices=1) == recipe
    assert meant(name, command.replace("--batch-size 128", "--batch-size 64"), devices=2) == recipe
    assert meant(name, command.replace("resnet20", "resnet110"), devices=1) == recipe.set(model="cifar_resnet110_v1")


def test_what_its_script_does_besides():
    recipe = get_recipe("cifar10").resolved()
    assert (recipe.optimizer, recipe.momentum, recipe.init, recipe.mean_of) == ("nag", 0.9, "paper", "")
    # RandomCrop(32, pad=4) and a flip of the uint8 image, then (pixels / 255 - 0.4914) / 0.2023 and so on.
    assert (recipe.input_size, recipe.crop, recipe.pad, recipe.pad_colour) == (32, "pad", 4, "black")
    assert recipe.augment == "flip" and recipe.crop_ratio == 1
    assert recipe.mean == pytest.approx([255 * m for m in (0.4914, 0.4822, 0.4465)])
    assert recipe.std == pytest.approx([255 * s for s in (0.2023, 0.1994, 0.2010)])
    assert recipe.tricks == (StepDecay((100, 150)),) and recipe.base_lr() == 0.1
    assert get_recipe("cifar10_mixup").tricks == (StepDecay((150, 250)), Mixup(1.0, off_epochs=20))


def test_another_batch_keeps_the_rate():
    assert get_recipe("cifar10").set(batch_size=1024).base_lr() == 0.1


def test_the_document_of_2015():
    recipe = get_recipe("cifar10_2015")
    assert (recipe.optimizer, recipe.momentum, recipe.wd, recipe.base_lr()) == ("sgd", 0.9, 1e-4, 0.1)
    assert (recipe.batch_size, recipe.bn_batch, recipe.init, recipe.mean_of) == (128, 64, "kaiming", "pixels")
    lr_at, plan = recipe.schedule(390)
    assert [plan.steps, lr_at(31_999), lr_at(32_000), lr_at(48_000)] == pytest.approx([63_960, 0.1, 0.01, 0.001])
