"""The commands that GluonCV published, and the flags of its scripts."""

import argparse
import json
import subprocess

import pytest

from benchmarks import gluoncv_lines
from gluon_tricks.cli import command_line, detect, flags, gluoncv_flags, segment, training, transfer_flags
from gluon_tricks.core.errors import Refused
from gluon_tricks.data.annotations.boxes import VOC_CLASSES
from gluon_tricks.recipes.transfer import DetectionRecipe, SegmentationRecipe
from gluon_tricks.tricks import LabelSmoothing, Mixup, NoBiasDecay, StepDecay, Warmup, ZeroGamma
from model_zoo import list_models

LINES = {line.name: line for line in gluoncv_lines.published()}
RECORD = json.loads(gluoncv_lines.RECORD.read_text(encoding="utf-8"))["lines"]


@pytest.fixture(autouse=True)
def a_folder_with_records(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("train.rec", "train.idx", "val.rec", "val.idx"):
        (tmp_path / name).write_bytes(b"not looked into")
    monkeypatch.chdir(tmp_path)


def value(line, flag, default=None):
    words = line.flags
    return words[words.index(flag) + 1] if flag in words else default


def test_there_are_58_of_imagenet():
    kinds = [name.partition("/")[0] for name in LINES]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        **{"imagenet": 58, "cifar": 20},
        **{"detection": 9, "segmentation": 26},
    }


@pytest.mark.parametrize("name", [name for name in LINES if name.startswith(("imagenet", "cifar"))])
def test_a_line_for_a_classifier(name):
    """It means what its flags say; or its network is not there, and it says so."""
    line = LINES[name]
    model = value(line, "--model")
    try:
        recipe, notes = gluoncv_lines.meaning(line)
    except Refused as refused:
        assert model not in list_models() and f"there is no model '{model}'" in str(refused)
        return
    devices = max(line.ranks, int(value(line, "--num-gpus", 1)))
    each_lr = line.ranks if line.script == "train_horovod" else 1
    assert recipe.model == model and recipe.epochs == int(value(line, "--num-epochs"))
    assert recipe.batch_size == int(value(line, "--batch-size")) * devices
    assert recipe.base_lr() == pytest.approx(float(value(line, "--lr")) * each_lr)
    assert recipe.wd == float(value(line, "--wd", 1e-4)) and recipe.optimizer == "nag"
    assert recipe.dtype == value(line, "--dtype", "float32") and recipe.auto_augment == "autoaugment" * (
        "--auto_aug" in line.flags
    )
    tricks = {type(trick): trick for trick in recipe.tricks}
    for flag, kind in (("--last-gamma", ZeroGamma), ("--no-wd", NoBiasDecay), ("--label-smoothing", LabelSmoothing)):
        assert (kind in tricks) == (flag in line.flags), flag
    assert (Mixup in tricks) == ("--mixup" in line.flags or "mixup" in line.script)
    assert "--warmup-epochs" not in line.flags or tricks[Warmup].epochs == float(value(line, "--warmup-epochs"))
    if "--lr-decay-epoch" in line.flags:
        at = tuple(map(float, value(line, "--lr-decay-epoch").split(",")))
        assert tricks[StepDecay] == StepDecay(at, float(value(line, "--lr-decay")))
    assert recipe.net.get("norm_layer") == ("GroupNorm" if "--use-gn" in line.flags else None)
    assert all(note.startswith("--") for note in notes)


@pytest.mark.parametrize(
    ("name", "ranks", "lr", "wd", "sync"),
    [("fcn_resnet50_ade", 4, 0.0025, 4e-4, True), ("fcn_resnet101_ade", 4, 0.0025, 4e-4, True)],
)
def test_gluoncvs_fcn_makes_gluoncvs_steps(name, ranks, lr, wd, sync):
    """lr (g / n + wd w) of n = 16 / 4 images of a device; its auxiliary loss has the weight 1 in the gradient."""
    recipe, notes = gluoncv_lines.meaning(LINES[f"segmentation/{name}"])
    assert isinstance(recipe, SegmentationRecipe) and recipe.batch_size == 16 and recipe.epochs == 120
    assert (recipe.lr, recipe.wd) == pytest.approx((lr, wd)) and recipe.aux_weight == 1.0
    assert ("norm_layer" in recipe.net) == sync and recipe.base_params == recipe.model == f"{name[4:-4]}_v1b"
    assert any("0.01" in note and "0.0025" in note for note in notes)


def test_gluoncvs_faster_rcnn():
    recipe, notes = gluoncv_lines.meaning(LINES["detection/faster_rcnn_resnet50_v1b_voc"])
    assert isinstance(recipe, DetectionRecipe) and recipe.name == "faster_rcnn_voc_gluoncv"
    assert (recipe.model, recipe.batch_size, recipe.lr, recipe.epochs) == ("resnet50_v1b", 4, 0.001, 20)
    assert recipe.tricks == (StepDecay((14, 20)),) and recipe.base_params == "resnet50_v1b"
    assert "published resnet50_v1b" in notes[0]


@pytest.mark.parametrize("name", [name for name in LINES if name.startswith(("detection", "segmentation"))])
def test_other_models_and_data_are_refused_by_name(name):
    line = LINES[name]
    ours = name in (
        *("detection/faster_rcnn_resnet50_v1b_voc", "segmentation/fcn_resnet50_ade", "segmentation/fcn_resnet101_ade"),
    )
    try:
        recipe, _ = gluoncv_lines.meaning(line)
        assert ours or recipe.dataset == "coco"  # whose data is missing: refused before any work
    except Refused as refused:
        named = [
            value(line, flag) for flag in ("--dataset", "--model", "--model-zoo", "--network") if flag in line.flags
        ]
        named += ["--use-fpn", "--rpn-smoothl1-rho"]
        assert not ours and any(word in str(refused) for word in named), str(refused)


def meant(command, text, devices=1, begun=None, begun_on=0):
    args = command.parse(text.split(" ") if text else [])
    return transfer_flags.recipe_from_flags(args, devices, begun, begun_on, **command.MEANT)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("--dataset voc --network resnet50_v1b --use-fpn", "--use-fpn: this is the paper's Faster-RCNN"),
        ("--network resnet50_v1b --mixup", "--mixup: it mixes images with boxes"),
        ("--norm-layer syncbn", "--norm-layer syncbn: batch normalisation is frozen"),
        ("--amp", "--amp: a box needs more digits"),
        ("--rcnn-smoothl1-rho 0.001", "--rcnn-smoothl1-rho 0.001: it is 1 here"),
        ("--start-epoch 3", "--start-epoch 3: --resume auto goes on"),
        ("--lr-warmup x", "--lr-warmup x: give the warm-up in epochs"),
        ("--lr-warmup 100 --classes a,b --train-splits train", "--lr-warmup 100: give the warm-up in epochs"),
        ("--lr-warmup 100 --batch-size 16552", "the batch of 16552 is larger than the 16551 images: make --batch-size"),
    ],
)
def test_a_detectors_flags_that_are_refused(text, says):
    with pytest.raises(Refused, match=says):
        meant(detect, text)


@pytest.mark.parametrize(
    ("command", "text", "says"),
    [
        (
            detect,
            "--gpus 1,3",
            "argument --gpus: 1,3: GPUs are counted from 0 on; choose others by CUDA_VISIBLE_DEVICES",
        ),
        (detect, "--dataset citys", "'citys' is not there: choose one of voc, coco, scenes"),
        (detect, "--resume x.params", "argument --resume: 'x.params', but it takes auto"),
        (segment, "--model psp", "argument --model: psp is not there: the paper's segmenter is FCN"),
        (segment, "--dataset pascal_aug", "masks of others: --dataset masks with --data FOLDER"),
        (segment, "--optimizer ftrl", "argument --optimizer: invalid choice: 'ftrl'"),
    ],
)
def test_values_that_are_refused(command, text, says, capsys):
    with pytest.raises(SystemExit) as end:
        command.parse(text.split())
    assert end.value.code == 2 and says in capsys.readouterr().err


def test_custom_model_is_refused_by_name(capsys):
    assert detect.main("--network resnet50_v1b custom-model --num-fpn-filters 64".split()) == 2
    assert capsys.readouterr().err.startswith("refused: custom-model: GluonCV's options for networks with a pyramid")


def test_what_a_detectors_flags_mean():
    recipe, notes = meant(
        detect,
        "--network resnet101_v1d --gpus 0,1 --batch-size 2 --lr-warmup 1000 --lr-warmup-factor 0.5 --static-alloc "
        "--disable-hybridization --horovod --executor-threads 4 --kv-store nccl --val-interval 2 --save-interval 3 "
        "--save-prefix x --verbose --no-mixup-epochs 5 -j 8 --start-epoch 0 --rcnn-smoothl1-rho 1.0 --wd 0.0005 "
        "--lr 0.002",
        devices=2,
    )
    assert (recipe.model, recipe.batch_size, recipe.mode, recipe.lr) == ("resnet101_v1d", 2, "imperative", 0.002)
    assert recipe.tricks[-1] == Warmup(1000 / (16551 // 2), start_factor=0.5)
    told = " ".join(notes)
    for flag in ("static-alloc", "horovod", "executor-threads 4", "kv-store nccl", "val-interval 2", "save-prefix x"):
        assert f"--{flag}: " in told
    again = meant(detect, "--network resnet101_v1d --gpus 0,1 --batch-size 2", 2, recipe)[0]
    assert again == recipe  # a run that goes on has what no flag gives
    begun = recipe.set(class_names=VOC_CLASSES)
    line = "--network resnet101_v1d --gpus 0,1 --lr-warmup 1000 --lr-warmup-factor 0.5"
    assert meant(detect, line, 2, begun)[0] == begun


def test_what_a_segmenters_flags_mean():
    text = (
        "--dataset ade20k --model fcn --backbone resnet50 --aux --aux-weight 0.3 --ngpus 2 --batch-size 8 --no-wd "
        "--test-batch-size 4 --optimizer adam --momentum 0.8 --weight-decay 0.001 --lr 0.02 --mode hybrid "
        "--kvstore nccl --no-val --workers 3 --base-size 500 --crop-size 400 --train-split train --start_epoch 0 "
        "--epochs 9 --dtype float32"
    )
    recipe, notes = meant(segment, text, devices=2)
    assert (recipe.batch_size, recipe.lr, recipe.wd) == (8, 0.02, 0.001 * 4) and NoBiasDecay() in recipe.tricks
    assert (recipe.aux_weight, recipe.optimizer, recipe.momentum, recipe.net) == (0.3, "adam", 0.8, {})
    assert (recipe.crop, recipe.base_size, recipe.epochs) == (400, 500, 9)
    assert meant(segment, text, 2, recipe)[0] == recipe == meant(segment, "", 2, recipe)[0]
    without, _ = meant(segment, "--model fcn --base-params ")
    assert (without.aux_weight, without.lr, without.epochs, without.base_params) == (0, 1e-3 / 16, 50, "")
    assert segment.parse(["--ngpus", "2"]).num_gpus == 2 and segment.parse(["--no-cuda"]).num_gpus == 0
    assert any("published resnet50_v1b" in note for note in notes)


@pytest.mark.parametrize(
    "optimizer, lr, wd",
    [
        ("sgd", 0.02 / 8, 0.008),
        ("adam", 0.02, 0.008),
        ("adamw", 0.02, 0.001),
        ("lars", 0.02 / 8, 0.008),
        ("lamb", 0.02, 0.001),
    ],
)
def test_a_mean_gradient_divided_again_changes_what_depends_on_its_length(optimizer, lr, wd):
    """By 8: SGD's steps are so much shorter; Adam's are as long, but for the decay that is added to the gradient;
    of LARS c n |w| / (|g| + n wd |w|) lr / n (g + n wd w) is what GluonCV's loop would do."""
    line = f"--model fcn --batch-size 8 --lr 0.02 --wd 0.001 --optimizer {optimizer}"
    recipe, notes = meant(segment, line)
    assert (recipe.lr, recipe.wd) == pytest.approx((lr, wd))
    ratios = {trick.label(): trick.coefficient for trick in recipe.tricks if trick.label() == "trust_ratio"}
    assert ratios == {"lars": {"trust_ratio": 0.008}, "lamb": {"trust_ratio": None}}.get(optimizer, {})
    assert meant(segment, line, 1, recipe)[0] == recipe
    told = [note for note in notes if note.startswith("the rate ")]
    assert all(f"the rate 0.02 with weight decay 0.001 is {lr:g} with {wd:g} here" in note for note in told)
    assert bool(told) is ((lr, wd) != (0.02, 0.001))


def test_a_warm_up_in_steps_is_of_the_images_that_there_are(tmp_path):
    lists = tmp_path / "VOC2007" / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "trainval.txt").write_text("a\nb\nc\nd\ne\nf\n")
    line = f"--network resnet18_v1b --data {tmp_path} --lr-warmup 4"
    for splits, batch, epochs in (("2007_trainval", 1, 4 / 6), ("2007_trainval", 2, 4 / 3)):
        recipe, _ = meant(detect, f"{line} --train-splits {splits} --batch-size {batch} --classes a,b")
        assert recipe.tricks[-1] == Warmup(epochs, start_factor=1 / 3)
    for more, says in (
        ("--train-splits 2007_trainval --batch-size 7", "the batch of 7 is larger than the 6 images"),
        ("--train-splits 2012_trainval", "there is no folder JPEGImages or VOC2012"),
    ):
        with pytest.raises(Refused, match=says):
            meant(detect, f"{line} {more}")


@pytest.mark.parametrize(
    "text",
    [
        "--model fcn --backbone resnet50 --ngpus 4 --wd 0.0005",
        "--model fcn --lr 0.02",
        "--model fcn --lr 0.02 --wd 0.0005 --aux --aux-weight 0.4 --batch-size 8",
        "--model fcn --aux-weight 0.4",
        "--recipe fcn_ade20k --ngpus 4 --epochs 7",
        "--model fcn --optimizer adam",
    ],
)
def test_a_segmenters_line_goes_on(text):
    """By itself, on the devices that it began with or on others, after a host was lost."""
    begun, _ = meant(segment, text, 4)
    assert meant(segment, text, 4, begun)[0] == meant(segment, text, 2, begun, 4)[0] == begun
    assert meant(segment, text.replace(" --epochs 7", ""), 2, begun, 4)[0] == begun


def test_a_flag_that_is_not_given_is_the_runs():
    """--lr alone changes the rate alone; --aux alone keeps the weight."""
    begun, _ = meant(segment, "--model fcn --wd 0.0005 --aux --aux-weight 0.4", 4)
    assert (begun.lr, begun.wd, begun.aux_weight) == (1e-3 / 4, 0.0005 * 4, 0.4)
    assert meant(segment, "--model fcn --aux --lr 0.02", 4, begun)[0] == begun.set(lr=0.02 / 4)
    recipe, notes = meant(segment, "--model fcn --aux-weight 0.4")
    assert recipe.aux_weight == 0 and "--aux-weight 0.4: not used without --aux, as in GluonCV" in notes


@pytest.mark.parametrize(
    ("command", "text"),
    [(segment, "--ngpus 0"), (detect, "--gpus "), (detect, "--lr-warmup-factor 0"), (segment, "--no-cuda")],
)
def test_a_number_of_0_makes_a_line_gluoncvs(command, text):
    assert meant(command, text)[0].name.endswith("_gluoncv")


def test_data_is_found_where_gluoncv_keeps_it(tmp_path):
    (tmp_path / ".mxnet" / "datasets" / "voc").mkdir(parents=True)
    recipe, notes = meant(detect, "--network resnet50_v1b --gpus 0")
    assert recipe.data == str(tmp_path / ".mxnet" / "datasets" / "voc") and "no --data: voc is read from" in notes[0]
    assert meant(detect, "--network resnet50_v1b --data /x")[0].data == "/x"


# What GluonCV's scripts take, as their argparse has it.
FLAGS = {
    "train_imagenet": (
        "data-backend data-dir rec-train rec-train-idx rec-val rec-val-idx use-rec batch-size dtype num-gpus "
        "num-data-workers num-epochs lr momentum wd lr-mode lr-decay lr-decay-period lr-decay-epoch warmup-lr "
        "warmup-epochs last-gamma mode model input-size crop-ratio use-pretrained use_se mixup mixup-alpha "
        "mixup-off-epoch label-smoothing no-wd teacher temperature hard-weight batch-norm save-frequency "
        "save-dir resume-epoch resume-params resume-states log-interval logging-file use-gn rgb-mean rgb-std "
        "num-training-samples"
    ),
    "train_imagenet with DALI": (
        "dali-separ-val dali-threads dali-validation-threads dali-prefetch-queue dali-nvjpeg-memory-padding "
        "dali-fuse-decoder"
    ),
    "train_horovod": (
        "use-rec data-nthreads rec-train rec-val batch-size dtype num-epochs lr momentum wd warmup-lr "
        "warmup-epochs last-gamma mixup mixup-alpha mixup-off-epoch label-smoothing no-wd teacher temperature "
        "hard-weight model use-pretrained no-cuda eval-frequency log-interval save-frequency save-dir "
        "input-size crop-ratio resume-epoch resume-params resume-states dropblock-prob use_sk auto_aug "
        "use_avd"
    ),
    "train_mixup_cifar10": (
        "batch-size num-gpus model num-data-workers num-epochs lr momentum wd lr-decay lr-decay-period "
        "lr-decay-epoch drop-rate mode save-period save-dir logging-dir resume-from save-plot-dir"
    ),
    "train_faster_rcnn": (
        "network dataset num-workers batch-size gpus epochs resume start-epoch lr lr-decay lr-decay-epoch "
        "lr-warmup lr-warmup-factor momentum wd log-interval save-prefix save-interval val-interval seed "
        "verbose mixup no-mixup-epochs norm-layer rpn-smoothl1-rho rcnn-smoothl1-rho use-fpn "
        "disable-hybridization static-alloc amp horovod executor-threads kv-store"
    ),
    "train (segmentation)": (
        "model model-zoo pretrained backbone dataset workers base-size crop-size train-split aux aux-weight "
        "epochs start_epoch batch-size test-batch-size optimizer lr warmup-epochs momentum weight-decay no-wd "
        "mode no-cuda ngpus kvstore dtype resume checkname save-dir log-interval logging-file eval no-val "
        "syncbn"
    ),
}
# Beginnings that are unique among GluonCV's and a flag of their own here, which takes none of those values.
TAKEN = {
    "--crop": "words, and no number",
    "--data": "a folder, and no data set's name",
    "--mode": "hybrid or imperative, and no network",
    "--resume": "auto, and no file",
    "--base": "a network, and no number",
}


def of(script):
    """Our parser for a script of GluonCV."""
    if script == "train_faster_rcnn":
        return transfer_flags.parser("", **detect.MEANT, own_flags=detect.own_flags)
    if script == "train (segmentation)":
        return transfer_flags.parser("", **segment.MEANT, own_flags=segment.own_flags)
    return flags.parser()


@pytest.mark.parametrize("script", FLAGS)
def test_every_flag_of_gluoncvs_is_understood(script):
    """Also by every beginning that is unique there: it is the same flag here, or refused as one of several."""
    theirs, parser = [f"--{flag}" for flag in FLAGS[script].split()], of(script)
    for flag in theirs:
        assert flag in parser._option_string_actions, flag
        for end in range(4, len(flag)):
            if [one for one in theirs if one.startswith(flag[:end])] == [flag] and flag[:end] not in TAKEN:
                meant = parser._option_string_actions.get(flag[:end])
                assert meant in (None, parser._option_string_actions[flag]), flag[:end]


@pytest.mark.parametrize(
    ("parser", "others"),
    [
        (flags.parser, gluoncv_flags.CLASSIFICATION),
        (lambda: of("train_faster_rcnn"), gluoncv_flags.DETECTION),
        (lambda: of("train (segmentation)"), gluoncv_flags.SEGMENTATION),
    ],
)
def test_no_flag_is_passed_over_in_silence(parser, others):
    """Each that is not followed is refused, or leads to a line that names it."""
    for one in others:
        args = parser().parse_args([one.flag, *(["7"] if one.takes else [])])
        if one.refused:
            with pytest.raises(Refused, match=one.flag):
                gluoncv_flags.look_at(args, others)
        else:
            (line,) = gluoncv_flags.look_at(args, others)
            assert line.startswith(one.flag) and one.why in line
        for value in one.fits:
            assert gluoncv_flags.look_at(argparse.Namespace(**{one.dest: value}), others) == []


def classifier(text, devices=1, begun=None):
    return command_line.recipe_from_flags(command_line.parse(text.split()), devices, begun)


def test_the_defaults_of_the_script_for_horovod():
    """Its rate is a rank's; a run that goes on has what the script gave it."""
    line = "--script train_horovod --rec-train train.rec --rec-val val.rec --model resnet50_v1"
    recipe, _ = classifier(line, 8)
    assert (recipe.lr, recipe.epochs, recipe.batch_size) == (0.4, 90, 1024) and recipe.init == "kaiming"
    assert {trick.label() for trick in recipe.tricks} == {"linear_scaling", "cosine", "warmup"}
    assert classifier(f"{line} --lr 0.1", 8)[0].lr == 0.8
    assert classifier("--script train_horovod", 8, recipe)[0] == recipe
    assert classifier(line, 8, recipe)[0] == recipe
    _, notes = classifier(f"{line} --input-size 320 --eval-frequency 5", 8)
    assert notes[0].startswith("--eval-frequency 5: ") and "EfficientNet" in notes[1]


@pytest.mark.parametrize("recipe", ["", "--recipe shapes "])
def test_a_line_for_horovod_goes_on_with_fewer_ranks(recipe):
    """Its rate is that of the ranks that it began with: of 8, 0.4."""
    line = f"--script train_horovod {recipe}--lr 0.05 --num-epochs 7 --batch-size 8"
    begun, _ = classifier(line, 8)
    for again in (line, line.replace(" --num-epochs 7", "")):
        got, _ = command_line.recipe_from_flags(command_line.parse(again.split()), 4, begun, 8)
        assert (got.lr, got.batch_size) == (0.4, 32) and got.set(batch_size=64) == begun  # see with_batch_of_run


def test_the_scripts_for_cifar():
    words = "--rec-train train.rec --rec-val val.rec"
    assert classifier(f"--script train_cifar10 {words}")[0].name == "cifar10"
    assert classifier(f"--script train_mixup_cifar10 {words}")[0].name == "cifar10_mixup"
    assert classifier(f"--script train_cifar10 --recipe shapes {words}")[0].name == "shapes"
    begun = classifier(f"--script train_cifar10 {words} --model cifar_resnet56_v1")[0]
    assert classifier("--script train_cifar10", 1, begun)[0] == begun
    with pytest.raises(Refused, match="--drop-rate 0.3: cifar_resnet20_v1 has no dropout that can be set"):
        classifier(f"--script train_cifar10 {words} --drop-rate 0.3")
    args = command_line.parse("--save-period 0 --resume-from x --data-nthreads 3 --no-cuda".split())
    assert (args.save_frequency, args.resume_params, args.num_data_workers, args.num_gpus) == (0, "x", 3, 0)


def test_a_frequency_of_0_saves_at_the_end_alone():
    args = command_line.parse(["--save-frequency", "0"])
    assert training._options_from_flags(args, contexts=[], notes=())["checkpoint_epochs"] > 1_000_000


def test_the_record_and_the_page_are_of_these_lines():
    """What the record has as running means something, what it has as refused does not: else make it again."""
    assert set(RECORD) <= set(LINES)
    for name, result in RECORD.items():
        try:
            gluoncv_lines.meaning(LINES[name])
        except Refused:
            assert result != gluoncv_lines.RUNS, name
    page = gluoncv_lines.PAGE.read_text(encoding="utf-8")
    assert page == gluoncv_lines.page_with(RECORD, page)


@pytest.mark.parametrize("name", ["imagenet/mobilenet0.25"])
def test_a_published_command_trains(name, tmp_path):
    folder = tmp_path / "data"
    gluoncv_lines.write_data(folder)
    assert gluoncv_lines.try_step(LINES[name], folder, 1) == gluoncv_lines.RUNS
    run = folder / name.replace("/", "-")
    assert len((run / "metrics.csv").read_text().splitlines()) == 2 and (folder / "log").stat().st_size


def test_what_fails_is_told(tmp_path, monkeypatch):
    done = subprocess.CompletedProcess([], 2, "", "a warning\nrefused: there is no disk\n")
    monkeypatch.setattr(subprocess, "run", lambda *words, **rest: done)
    assert gluoncv_lines.try_step(LINES["imagenet/vgg16"], tmp_path, 1) == "there is no disk"
    shown = gluoncv_lines.tables({"imagenet/a": "there is no model 'a': there are b", "cifar/c": "runs"})
    assert "| `a` | there is no model 'a' |" in shown and "1 of 1 line run." in shown
