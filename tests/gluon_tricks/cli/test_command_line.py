"""GluonCV's command lines, and what they mean here."""

import dataclasses
import json
import pathlib

import pytest

from gluon_tricks.cli.command_line import parse, recipe_from_flags
from gluon_tricks.cli.training import with_batch_of_run
from gluon_tricks.core.errors import Refused
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.registry import get_recipe
from gluon_tricks.tricks import (
    Cosine,
    DataDependentInit,
    Distillation,
    LabelSmoothing,
    LinearScaling,
    Mixup,
    NoBiasDecay,
    Plateau,
    PolyDecay,
    RandomErasing,
    StepDecay,
    Warmup,
    ZeroGamma,
)


@pytest.fixture(autouse=True)
def no_imagenet(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("train.rec", "val.rec"):
        (tmp_path / name).write_bytes(b"not looked into")
    monkeypatch.chdir(tmp_path)


def recipe(line, devices=1):
    return recipe_from_flags(parse(line.split()), devices)[0]


RECORDS = "--rec-train train.rec --rec-train-idx train.idx --rec-val val.rec --rec-val-idx val.idx --use-rec "


def test_the_published_command_of_resnet50_v1d():
    got = recipe(
        RECORDS + "--model resnet50_v1d --mode hybrid --lr 0.4 --lr-mode cosine --num-epochs 200 --batch-size 128 "
        "--num-gpus 8 -j 60 --warmup-epochs 5 --dtype float16 --last-gamma --no-wd --label-smoothing --mixup "
        "--save-dir params_resnet50_v1d_mixup --logging-file resnet50_v1d_mixup.log",
        devices=8,
    )
    assert (got.model, got.lr, got.epochs, got.batch_size, got.dtype) == ("resnet50_v1d", 0.4, 200, 1024, "float16")
    assert got.base_lr() == 0.4 and got.init == got.augment == "gluoncv" and got.data == "records"
    assert got.tricks == (
        LinearScaling(),
        Cosine(),
        Warmup(5),
        ZeroGamma(),
        NoBiasDecay(),
        LabelSmoothing(0.1, "gluoncv"),
        Mixup(0.2),
    )


def test_gluoncvs_defaults():
    got = recipe(RECORDS + "--mode hybrid", devices=2)
    assert (got.epochs, got.batch_size, got.wd, got.momentum) == (3, 64, 1e-4, 0.9)
    assert got.tricks == (LinearScaling(), StepDecay((40, 60)))
    assert got.base_lr() == pytest.approx(0.1 * 64 / 256)


def test_what_gluoncv_ignored_or_fixed():
    got = recipe(RECORDS + "--warmup-epochs 2 --warmup-lr 0.01 --label-smoothing 0.2")
    assert Warmup(2, 0.01) in got.tricks and LabelSmoothing(0.2, "gluoncv") in got.tricks


def test_a_flag_leaves_the_other_numbers_of_its_trick(tmp_path):
    """Of a recipe that warms up from a rate of its own, and falls by a power of its own."""
    begun = Recipe(tricks=(Warmup(5, 0.01), PolyDecay(power=3.0)))
    (tmp_path / "recipe.json").write_text(json.dumps(begun.to_json()))
    got = recipe(f"--recipe {tmp_path}/recipe.json {RECORDS} --warmup-epochs 2 --lr-mode poly").tricks
    assert Warmup(2, 0.01) in got and PolyDecay(power=3.0) in got


def test_step_decay_flags():
    assert StepDecay((2, 4), 0.5) in recipe(RECORDS + "--num-epochs 6 --lr-decay-period 2 --lr-decay 0.5").tricks
    assert StepDecay((10, 20)) in recipe(RECORDS + "--lr-decay-epoch 10,20").tricks
    assert recipe(RECORDS + "--lr-mode constant").tricks == (LinearScaling(),)


def test_without_data_the_recipe_is_shapes():
    got, notes = recipe_from_flags(parse(["--mode", "hybrid", "--dtype", "float16"]), 1)
    assert got.name == got.data == "shapes" and got.dtype == "float16"
    assert "running the recipe `shapes`" in notes[0]


def test_the_small_recipes_scale_their_rate():
    assert recipe("--recipe shapes").base_lr() == pytest.approx(0.1)
    assert recipe("--recipe shapes --batch-size 64", devices=4).base_lr() == pytest.approx(0.4)
    assert recipe("--recipe shapes --batch-size 64 --lr 0.05", devices=4).base_lr() == 0.05


def test_any_flag_overrides_a_recipe():
    got = recipe("--recipe efficient --num-epochs 10 --lr-mode cosine --set mixup.alpha=0.4 --batch-size 64", devices=2)
    assert (got.epochs, got.batch_size) == (10, 128) and Cosine() in got.tricks and Mixup(0.4) in got.tricks


DISTILL = "--recipe table6/resnet50_v1d/distill "


@pytest.mark.parametrize(
    "line, trick",
    [
        (DISTILL + "--teacher runs/t", Distillation("runs/t", 20.0, "paper")),  # the paper's unweighted sum
        (DISTILL + "--teacher runs/t --temperature 4", Distillation("runs/t", 4.0, "paper")),
        (DISTILL + "--teacher runs/t --hard-weight 0.3", Distillation("runs/t", 20.0, "gluoncv", 0.3)),
        (DISTILL + "--teacher runs/t --set distillation.form=gluoncv", Distillation("runs/t", 20.0, "gluoncv")),
        (DISTILL + "--set distillation.teacher=runs/t", Distillation("runs/t", 20.0, "paper")),
        ("--recipe imagenet --teacher runs/t", Distillation("runs/t", 20.0, "gluoncv")),
        ("--recipe efficient --teacher runs/t", Distillation("runs/t", 20.0, "paper")),
        (RECORDS + "--teacher runs/t", Distillation("runs/t", 20.0, "gluoncv")),  # GluonCV's
        (RECORDS + "--teacher runs/t --temperature 2 --hard-weight 0.9", Distillation("runs/t", 2.0, "gluoncv", 0.9)),
    ],
)
def test_whose_form_distillation_has(line, trick):
    assert [t for t in recipe(line).tricks if isinstance(t, Distillation)] == [trick]


def test_flags_change_what_the_recipe_has_and_nothing_beside_it():
    mixup = "--recipe table6/resnet50_v1d/mixup --set mixup.partner=permuted "
    assert Mixup(0.4, partner="permuted") in recipe(mixup + "--set mixup.alpha=0.4").tricks
    assert Mixup(0.4) in recipe("--recipe table6/resnet50_v1d/mixup --mixup-alpha 0.4").tricks
    assert Mixup(0.2, 20) in recipe("--recipe table6/resnet50_v1d/mixup --mixup --mixup-off-epoch 20").tricks
    assert LabelSmoothing(0.3, "paper") in recipe("--recipe table6/resnet50_v1d/smooth --label-smoothing 0.3").tricks


def test_a_teacher_that_is_a_cell_says_how_to_come_by_it(tmp_path):
    says = "teacher table6/resnet152_v1d/smooth is a recipe and no run yet: .* --teacher RUN, or .*reproduce table6"
    with pytest.raises(Refused, match=says):
        recipe(DISTILL)
    (tmp_path / "table6/resnet152_v1d/smooth").mkdir(parents=True)  # it may also be a folder
    assert recipe(DISTILL).tricks[-1] == Distillation("table6/resnet152_v1d/smooth")


def test_a_start_that_is_a_cell_says_how_to_come_by_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    says = (
        "start from, cvjena_bn/alexnet/without, is a recipe and no run yet: name its run with --use-pretrained "
        "RUN, or use gluon-tricks reproduce cvjena_bn, which trains it"
    )
    for line in ("--recipe cvjena_bn/alexnet/inserted", "--recipe cvjena_bn/alexnet/fine_tuned"):
        with pytest.raises(Refused, match=says):
            recipe(line)
        assert recipe(f"{line} --use-pretrained false").pretrained == ""


RAW_227 = (227, 227 / 256, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))  # what cvjena_alexnet was trained on
IMAGENET = ((123.68, 116.779, 103.939), (58.393, 57.12, 57.375))
CIFAR10 = ((125.307, 122.961, 113.8575), (51.5865, 50.847, 51.255))


@pytest.mark.parametrize(
    "line, expected",
    [
        (RECORDS + "--model cvjena_alexnet", RAW_227),
        (RECORDS + "--model inceptionv3", (299, 0.875, *IMAGENET)),
        (RECORDS + "--model inceptionv3 --input-size 320", (320, 0.875, *IMAGENET)),
        (RECORDS + "--model resnet50_v1d", (224, 0.875, *IMAGENET)),
        (RECORDS + "--model alexnet_2012", (227, 227 / 256, IMAGENET[0], (1, 1, 1))),
        (RECORDS + "--model cvjena_alexnet --rgb-mean 1,2,3 --crop-ratio 0.5", (227, 0.5, (1, 2, 3), RAW_227[3])),
        ("--recipe imagenette --model cifar_resnet20_v1", (64, 1.0, *CIFAR10)),  # 64 is what the recipe says
        ("--recipe baseline --model inceptionv3", (299, 0.875, *IMAGENET)),
        ("--recipe baseline --model cvjena_alexnet --set input_size=64", (64, *RAW_227[1:])),
    ],
)
def test_a_networks_own_preprocessing_is_the_default(line, expected):
    got = recipe(line)
    assert (got.input_size, got.crop_ratio, got.mean, got.std) == expected
    assert got.resolved() == got == Recipe.from_json(got.to_json())  # nothing is left open in what is written


@pytest.mark.parametrize(
    "line, says",
    [
        (RECORDS + "--model alexnet_2012", ""),
        (RECORDS + "--model alexnet_2012 --rgb-mean 123.68,116.779,103.939 --rgb-std 1,1,1 --input-size 227", ""),
        ("--recipe imagenette", "resnet18_v1d usually takes: a side of 64 px in place of 224"),
        (
            RECORDS + "--model cvjena_alexnet --rgb-mean 1,2,3 --rgb-std 2,2,2",
            "cvjena_alexnet usually takes: mean [1.0, 2.0, 3.0] in place of [0.0, 0.0, 0.0], deviation [2.0, 2.0, 2.0] "
            "in place of [1.0, 1.0, 1.0]",
        ),
    ],
)
def test_other_images_than_the_networks_own_are_told_in_one_line(line, says):
    notes = recipe_from_flags(parse(line.split()), 1)[1]
    told = [note for note in notes if "usually takes" in note]
    assert told == ([f"the images differ from those that {says}"] if says else [])


@pytest.mark.parametrize(
    "line, side, said",
    [
        ("--recipe alexnet_2012 --input-size 67", (76, 76), True),  # 256 * 67 / 227 is 75.6
        ("--recipe caffenet --set input_size=454", (512, 512), True),
        ("--recipe resnet18_2015 --input-size 112", (128, 240), True),
        ("--recipe vgg16 --input-size 448 --crop square", (512, 512), True),
        ("--recipe vgg16 --input-size 224", (256, 256), False),
        ("--recipe vgg16 --input-size 112 --set side=[256,256]", (256, 256), False),
        ("--recipe vgg16 --input-size 288 --train-size 224", (256, 256), False),  # larger in use alone
        ("--recipe vgg16 --input-size 112 --crop area", (256, 256), False),
        ("--recipe shapes --input-size 64 --crop side", (256, 256), False),  # whose side is of no size of its own
    ],
)
def test_the_side_that_is_cropped_goes_with_the_input_size(line, side, said):
    """And in a run that goes on it is what it was."""
    got, notes = recipe_from_flags(parse(line.split()), 1)
    assert got.side == side and any(note.startswith(f"side is {list(side)}, as [") for note in notes) == said
    again, notes = recipe_from_flags(parse(line.split()), 1, got)
    assert again.side == side and not any(note.startswith("side is") for note in notes)


def test_a_run_of_an_earlier_version_keeps_its_side():
    """Which did not go with the input size."""
    begun = recipe("--recipe alexnet_2012 --input-size 67 --set side=[256,256]")
    for line in ("--recipe alexnet_2012 --input-size 67", "--input-size 67", ""):
        assert recipe_from_flags(parse(line.split()), 1, begun)[0].side == (256, 256)


def test_a_size_that_is_none_is_refused_before_its_side():
    for size in ("0", "-1", "1.5", "abc", "[1]", "99999999"):
        with pytest.raises(Refused, match="input_size"):
            recipe(f"--recipe vgg16 --set input_size={size}")
    assert recipe("--recipe vgg16 --set input_size=null") == recipe("--recipe vgg16")


def test_the_images_own_mean_and_a_mean_that_is_said():
    """--rgb-mean takes the place of a recipe's own mean; both said at once contradict each other."""
    assert recipe("--recipe alexnet_2012").mean_of == "pixels"
    got = recipe("--recipe alexnet_2012 --rgb-mean 1,2,3")
    assert (got.mean_of, got.mean) == ("", (1, 2, 3))
    assert recipe("--recipe alexnet_2012 --set mean_of= --set mean=[1,2,3]").mean == (1, 2, 3)
    assert recipe(RECORDS + "--mean-of channels").mean_of == "channels"
    for line in ("--recipe vgg16 --set mean=[1,2,3]", RECORDS + "--rgb-mean 1,2,3 --mean-of channels"):
        with pytest.raises(Refused, match="mean_of=channels, which is the images' own mean: leave out one"):
            recipe(line)


def test_a_trick_of_the_recipe_that_the_network_cannot_have_is_left_out():
    line = "--recipe imagenette --model mobilenet0.25 --input-size 224"
    got, notes = recipe_from_flags(parse(line.split()), 1)
    assert notes == ["zero_gamma is left out: mobilenet0.25 has no last_gamma"]
    assert "zero_gamma" not in {trick.label() for trick in got.tricks} and len(got.tricks) == 5
    for asked in ("--last-gamma", "--set zero_gamma=on"):  # these stay, and the network refuses them
        got, notes = recipe_from_flags(parse(f"{line} {asked}".split()), 1)
        assert ZeroGamma() in got.tricks and not notes
    assert ZeroGamma() in recipe("--recipe imagenette").tricks


@pytest.mark.parametrize(
    "line, words",
    [
        ("--recipe shapes --temperature 4", "go with --teacher RUN"),
        ("--recipe shapes --mixup-alpha 0.4", "go with --mixup"),
        ("--mode symbolic", "hybrid is its successor"),
        ("--rec-train nowhere.rec --rec-val val.rec", "there is no nowhere.rec"),
        ("--use-rec", "there is no train.rec and val.rec"),
        ("--data-dir /imagenet", "--data-dir /imagenet: there is no such folder"),
        ("--resume-states x.states", "use --resume auto"),
        ("--resume-epoch 3", "goes with --resume-params"),
        ("--resume-params none.params", "there is no run or file none.params"),
        ("--rec-train train.rec --rec-train-idx other.idx --rec-val val.rec", "must lie beside its .rec"),
        ("--recipe tabel6", "there is no recipe 'tabel6'"),
        ("--rgb-mean 1,2,x", "takes numbers with commas"),
        ("--lr-decay-epoch 3 --recipe shapes", "go with --lr-mode step"),
        ("--use-pretrained none.params", "there is no run or file none.params"),
    ],
)
def test_refusals_say_what_to_do(line, words):
    with pytest.raises(Refused, match=words):
        recipe(line)


@pytest.mark.parametrize(
    "line, model, pretrained",
    [
        ("--model ResNet18_v1b --use-pretrained", "resnet18_v1b", "true"),
        ("--set model=ResNet18_v1b", "resnet18_v1b", ""),
        ("--model VGG16 --batch-norm", "vgg16_bn", ""),
        ("--use-pretrained ResNet50_v1d/117A384E", "resnet50_v1d", "117a384e"),
        ("--model ResNet50_v1d --use-pretrained ResNet50_V1D", "resnet50_v1d", "true"),
    ],
)
def test_a_networks_name_in_capitals(line, model, pretrained):
    got = recipe(f"--recipe imagenet {line}")
    assert (got.model, got.pretrained) == (model, pretrained)


@pytest.mark.parametrize(
    "line, pretrained",
    [
        ("--use-pretrained", "true"),
        ("--use-pretrained 121e1579", "121e1579"),  # as a number it would be infinite
        ("--set pretrained=True", "true"),
        ("--set pretrained=00319ddc", "00319ddc"),
        ("--use-pretrained --set pretrained=false", ""),
    ],
)
def test_where_parameters_come_from(line, pretrained):
    assert recipe(line).pretrained == pretrained


def test_a_file_of_parameters_is_named_in_full(tmp_path):
    assert recipe("--use-pretrained train.rec").pretrained == str(tmp_path / "train.rec")
    sets = "--set shallow=train.rec --set distillation.teacher=val.rec"
    for flags in ("--shallow train.rec --teacher val.rec", sets):
        named = recipe(f"--recipe shapes {flags}")
        assert (named.shallow, named.tricks[-1].teacher) == (str(tmp_path / "train.rec"), str(tmp_path / "val.rec"))
    assert recipe("--recipe shapes --shallow gone").shallow == "gone"
    assert recipe("--recipe shapes --set shallow=").shallow == ""


def test_a_start_from_images_and_another_start():
    """The filters are named, the other numbers stay those of the recipe; a start of another kind takes its place."""
    begun = recipe("--recipe shapes --model vgg11 --init data:kmeans --set data_dependent_init.images=20")
    (start,) = [trick for trick in begun.tricks if isinstance(trick, DataDependentInit)]
    assert (start.filters, start.images) == ("kmeans", 20)
    assert recipe_from_flags(parse(["--init", "data:kmeans"]), 1, begun)[0] == begun
    other, _ = recipe_from_flags(parse(["--init", "data:pca"]), 1, begun)
    assert dataclasses.replace(start, filters="pca") in other.tricks
    plain, _ = recipe_from_flags(parse(["--init", "kaiming"]), 1, begun)
    assert plain.init == "kaiming" and plain.tricks == begun.without(start.label()).tricks


def test_rounds_and_synchronised_statistics():
    """--batch-size is what a device takes at once: 8 x 3 rounds x 2 devices; a recipe's batch is split."""
    got = recipe(RECORDS + "--batch-size 8 --accumulate 3 --sync-bn", devices=2)
    assert (got.batch_size, got.accumulate, got.net["norm_layer"]) == (48, 3, "SyncBatchNorm")
    assert got.base_lr() == pytest.approx(0.1 * 48 / 256)
    assert recipe("--recipe shapes --accumulate 2").batch_size == recipe("--recipe shapes").batch_size
    with pytest.raises(Refused, match="accumulate is 0"):
        recipe("--recipe shapes --accumulate 0")
    with pytest.raises(Refused, match="--use-gn and --sync-bn"):
        recipe("--recipe shapes --use-gn --sync-bn")


def test_a_run_keeps_its_global_batch_when_the_number_of_devices_changes():
    """Started with 3 devices of 8 images; `--batch-size 8` with 2 devices means 16, with 4 devices 32."""
    recipe, said = with_batch_of_run(Recipe(batch_size=16), 24, devices=2)
    assert recipe.batch_size == 24 and said == [
        "going on with the run's global batch of 24: 12 images on each of 2 devices"
    ]
    assert with_batch_of_run(Recipe(batch_size=32), 24, devices=4)[0].batch_size == 24
    with pytest.raises(Refused, match="global batch of 24, which cannot be split evenly over 5 devices"):
        with_batch_of_run(Recipe(batch_size=40), 24, devices=5)
    for stored in (16, 100):  # the same; asked for another one
        assert with_batch_of_run(Recipe(batch_size=16), stored, devices=2) == (Recipe(batch_size=16), [])


def test_the_lines_on_a_global_batch_tell_devices_and_micro_batches_apart():
    """`--batch-size 16 --accumulate 2` is 32 on one device, 64 on two, and `--batch-size 1` 16 on eight."""
    recipe, said = with_batch_of_run(Recipe(batch_size=64, accumulate=2), 32, devices=2)
    assert recipe.batch_size == 32 and said == [
        "going on with the run's global batch of 32: 16 images on each of 2 devices in 2 micro-batches each"
    ]
    says = "batch of 24, which cannot be split evenly over 8 devices in 2 micro-batches each: .* that divides 12"
    with pytest.raises(Refused, match=says):
        with_batch_of_run(Recipe(batch_size=16, accumulate=2), 24, devices=8)
    with pytest.raises(Refused, match="go on with an --accumulate that divides 24"):  # no number of devices helps
        with_batch_of_run(Recipe(batch_size=20, accumulate=5), 24, devices=1)


@pytest.mark.parametrize(
    "line, says",
    [
        (
            "--warmup-epochs 10",
            "warm-up of 10 epochs: it is cut to the run's 3, whose last step alone has the full rate",
        ),
        ("--warmup-lr 0.1", "warm-up of 0 epochs: the rate 0.1 that it starts from has no effect"),
        ("--lr-decay-epoch 2,3,60", "step decay at epoch 3, 60: it has no effect, as the run ends at epoch 3"),
        ("--lr-decay-period 30", "step decay at epoch 30: it has no effect, as the run ends at epoch 3"),
        (
            "--mixup --mixup-off-epoch 3",
            "mixup is off in the last 3 epochs: it has no effect, as the run ends at epoch 3",
        ),
        (
            "--lr-mode constant --set exponential_decay.every=3",
            "exponential decay every 3 epochs: it has no effect, as the run ends at epoch 3",
        ),
        (
            "--num-epochs 1 --lr-mode constant --set exponential_decay.every=1",
            "exponential decay every 1 epoch: it has no effect, as the run ends at epoch 1",
        ),
        (
            "--warmup-epochs 1 --lr-mode constant --set exponential_decay.every=2",
            "exponential decay every 2 epochs after a warm-up of 1: it has no effect, as the run ends at epoch 3",
        ),
        ("--warmup-epochs 1 --lr-mode constant --set exponential_decay.every=1.9", None),
        (
            "--warmup-epochs 3 --lr-mode cosine",
            "cosine: it has no effect, as the warm-up takes the whole run",
        ),
        ("--warmup-epochs 2.9 --lr-mode cosine", None),
        ("--warmup-epochs 3 --lr-decay-epoch 1,2", None),
        ("", None),  # GluonCV's own defaults, a decay at 40 and 60 of 3 epochs, are nobody's wish
    ],
)
def test_what_a_run_is_too_short_for(line, says):
    notes = recipe_from_flags(parse((RECORDS + "--num-epochs 3 " + line).split()), 1)[1]
    assert notes == ([] if says is None else [says])


def test_a_shorter_run_of_a_recipe_says_what_falls_away():
    _, notes = recipe_from_flags(parse("--recipe baseline --num-epochs 60".split()), 1)
    assert notes == ["step decay at epoch 60, 90: it has no effect, as the run ends at epoch 60"]


@pytest.mark.parametrize(
    "line, model",
    [
        ("--model vgg16_bn --batch-norm", "vgg16_bn"),  # GluonCV's published line
        ("--model vgg16 --batch-norm", "vgg16_bn"),
        ("--model se_resnet50_v1 --use_se", "se_resnet50_v1"),
        ("--model resnet50_v1 --use-se", "se_resnet50_v1"),
    ],
)
def test_a_flag_that_the_model_says_already(line, model):
    assert recipe(RECORDS + line).model == model
    with pytest.raises(Refused, match="--batch-norm is for VGG, and resnet50_v1d is none"):
        recipe(RECORDS + "--model resnet50_v1d --batch-norm")


def test_a_run_that_goes_on_has_what_no_flag_gives():
    """Also with the whole command again, whatever number of devices there is."""
    line = RECORDS + "--model vgg16 --batch-norm --lr-decay-period 2 --num-epochs 5 --batch-size 8 --mixup --no-wd "
    line += "--lr-mode step --warmup-epochs 1 --warmup-lr 0.01 --label-smoothing --use-gn --accumulate 2 --seed 3"
    begun = recipe_from_flags(parse(line.split()), 3)[0]
    assert begun.batch_size == 48 and begun.model == "vgg16_bn"
    for again in ("", line):
        assert recipe_from_flags(parse(again.split()), 3, begun) == (begun, [])
    assert recipe_from_flags(parse(["--num-epochs", "7"]), 1, begun) == (begun.set(epochs=7), [])


def test_a_named_recipe_goes_on_as_the_run_has_it():
    """What may change in a run: its epochs and what watches over its numbers. A file says its own."""
    begun = recipe("--recipe shapes --num-epochs 20 --set rollbacks=7")
    assert recipe_from_flags(parse(["--recipe", "shapes"]), 1, begun)[0] == begun
    assert recipe_from_flags(parse("--recipe shapes --num-epochs 25".split()), 1, begun)[0] == begun.set(epochs=25)
    pathlib.Path("shapes.json").write_text(json.dumps(begun.set(epochs=9).to_json()))
    assert recipe_from_flags(parse(["--recipe", "shapes.json"]), 1, begun)[0].epochs == 9
    assert recipe_from_flags(parse(["--recipe", "efficient"]), 1, begun)[0].epochs == get_recipe("efficient").epochs


@pytest.mark.parametrize(
    "flags, lines",
    [
        ("--lr-mode cosine --lr-decay 0.1", ["--lr-decay 0.1: not used with --lr-mode cosine"]),
        ("--lr-mode constant --lr-decay-period 2", ["--lr-decay-period 2: not used with --lr-mode constant"]),
        (
            "--lr-mode poly --lr-decay-epoch 2,3 --lr-decay 0.1",
            [f"--{flag}: not used with --lr-mode poly" for flag in ("lr-decay 0.1", "lr-decay-epoch 2,3")],
        ),
        (
            "--lr-mode step --lr-decay-epoch 2,3 --lr-decay-period 2",
            ["--lr-decay-epoch 2,3: not used with --lr-decay-period 2"],
        ),
        ("--lr-mode step --lr-decay-epoch 2 --lr-decay 0.1", []),
        ("--lr-mode step --set cosine=on", ["--set cosine takes the place of step_decay"]),
        ("--set plateau.patience=3", ["--set plateau takes the place of step_decay"]),
        ("--lr-mode plateau --set plateau.patience=3", []),
    ],
)
def test_what_is_said_of_a_decay_is_used_or_told_of(flags, lines):
    assert recipe_from_flags(parse(f"{RECORDS} --num-epochs 90 {flags}".split()), 1)[1] == lines


@pytest.mark.parametrize(
    "line",
    [
        "--recipe cifar10_2015 --batch-size 96 --set bn_batch=null",
        "--recipe cifar10_2015 --accumulate 2 --set bn_batch=null",
        "--recipe cifar10_2015 --sync-bn --set bn_batch=null",
        "--recipe vgg16 --train-size 320 --set side=[320,320]",
        "--recipe vgg16 --set train_size=320 --set side=[320,320]",
        "--recipe fast16 --train-size 96 --resizing off",
        "--recipe shapes --init data:pca --use-pretrained train.rec --set data_dependent_init=off",
        "--recipe shapes --class-weights balanced --sampling balanced --set class_weights=off",
        "--recipe shapes --set clip_gradients.norm=0 --set clip_gradients.value=0.5",
        "--recipe shapes --set resizing.epochs=[2,4] --set resizing.sizes=[16,24]",
    ],
)
def test_what_goes_together_in_the_end_is_taken(line):
    """In whatever order it was said; without its last word it is refused."""
    assert recipe(line) == Recipe.from_json(recipe(line).to_json())
    with pytest.raises(Refused):
        recipe(line.rpartition(" --")[0])


@pytest.mark.parametrize("flag", ["--use-pretrained", "--resume-params"])
def test_a_run_goes_on_from_its_own_start(flag):
    """Which was a checkpoint: the run that it is of has ended since, or is gone, or is one at a hub that is silent."""
    file = pathlib.Path("other") / "checkpoints" / "step-000000003.safetensors"
    begun = recipe("--recipe shapes --model resnet18_v1d").set(pretrained=f"{file.absolute()}#parameter")

    def again(source, begun):
        return recipe_from_flags(parse(["--recipe", "shapes", "--model", begun.model, flag, source]), 1, begun)[0]

    assert again("other", begun) == begun
    kept = begun.set(pretrained=str(pathlib.Path("train.rec").absolute()))  # which is there
    with pytest.raises(Refused, match="there is no run or .*file"):
        again("typo", kept)
    file.parent.mkdir(parents=True)
    (file.parent.parent / "final.params").touch()
    assert again("other", begun) == begun
    assert again("train.rec", begun).pretrained == str(pathlib.Path("train.rec").absolute())
    begun = begun.set(pretrained=f"hf-hub:me/ours@{'a' * 40}")
    assert again("hf-hub:me/ours", begun) == again("hf-hub:me/ours@main", begun) == begun


def test_a_named_recipe_goes_on_in_the_runs_order_of_tricks():
    """As of an earlier version, which erased after mixing."""
    flags = "--recipe shapes --set mixup=on --set random_erasing=on"
    new = recipe(flags)
    begun = new.set(tricks=(*(trick for trick in new.tricks if trick.label() != "random_erasing"), RandomErasing()))
    assert begun != new and recipe_from_flags(parse(flags.split()), 1, begun)[0] == begun


def test_a_teacher_of_a_hub_stays_that_of_the_run():
    begun = recipe("--recipe shapes").add(Distillation(f"hf-hub:me/ours@{'a' * 40}"))
    assert recipe_from_flags(parse(["--teacher", "hf-hub:me/ours"]), 1, begun)[0] == begun


def test_a_plateau_by_flags():
    """--lr-decay is its factor, and its other numbers stay those of the recipe."""
    words = "--recipe shapes --lr-mode plateau"
    assert Plateau() in recipe(words).tricks and Cosine() not in recipe(words).tricks
    assert Plateau(by=0.5, patience=2) in recipe(f"{words} --lr-decay 0.5 --set plateau.patience=2").tricks
    with pytest.raises(Refused, match="go with --lr-mode step: a plateau names no epochs"):
        recipe(f"{words} --lr-decay-epoch 3,4")
