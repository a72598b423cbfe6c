"""--plan of the commands that train: it refuses what a training would, on any machine, and is of all ranks."""

import json

import pytest

from gluon_tricks.cli import detect, plan, segment, tag, train
from gluon_tricks.networks import of_recipe

RESIDUAL = "for networks that take {}, the residual ones, and vgg11 does not"
NOT_THERE = "there is no run or file {}nothere, and no published network of this name"


@pytest.mark.parametrize(
    "command, words, says",
    [
        (train, "--model vgg11 --drop-path", RESIDUAL.format("drop_path, drop_path_per")),
        (train, "--model vgg11 --set zero_gamma=on", RESIDUAL.format("last_gamma")),
        (train, "--model alexnet --sync-bn", "there is no argument 'norm_layer' in alexnet"),
        (train, "--sync-bn --num-gpus 2", "SyncBatchNorm is over ranks and this one has 2 devices"),
        (train, "--set net.foo=2", "there is no argument 'foo' in cifar_resnet20_v1"),
        (train, "--freeze nothing", "freeze 'nothing' names nothing of cifar_resnet20_v1"),
        (train, "--freeze *", "nothing of cifar_resnet20_v1 would learn"),
        (train, "--lr-mult nothing=2", "lr_mult 'nothing' names nothing of cifar_resnet20_v1"),
        (
            train,
            '--optimizer adamw --lr 0.01 --set decoupled_decay.no_decay=["foo"]',
            "no_decay 'foo' names nothing of",
        ),
        (train, "--model inceptionv3", "inceptionv3 takes images of at least 299x299 pixels, but got 32x32"),
        (train, "--model vgg11 --resizing 16", "images of 16 px, where the network is for 32 px: vgg11 takes images"),
        (train, "--label-smoothing --bce 0.01", "sigmoid_loss.threshold is 0.01, and of 10 classes an image's own"),
        (train, "--teacher nothere", NOT_THERE.format("")),
        (train, "--shallow nothere", NOT_THERE.format("")),
        (tag, "--set net.foo=2", "there is no argument 'foo' in resnet18_v1d"),
        (tag, "--lr-mult nothing=2", "lr_mult 'nothing' names nothing of resnet18_v1d"),
        (detect, "--freeze nothing", "freeze 'nothing' names nothing of faster_rcnn_"),
        (detect, "--base-params nothere", NOT_THERE.format("{}/")),
        (detect, "--base-params mobilenet1.0/efbb2ca3", "is a mobilenet1.0, and the base is to be a mobilenet0.25"),
        (segment, "--lr-mult nothing=2", "lr_mult 'nothing' names nothing of mobilenet0.25_fcn"),
        (segment, "--num-gpus 2", "SyncBatchNorm is over ranks and this one has 2 devices"),
    ],
)
def test_what_training_would_refuse(command, words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command.main([*START[command], *words.split(), "--plan"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1) and says.format(tmp_path) in err


START = {command: ["--base", "mobilenet0.25"] for command in (detect, segment)}
START |= {train: "--recipe shapes --model cifar_resnet20_v1 --input-size 32".split(), tag: []}


def test_fewer_images_than_a_batch(tiny_records, capsys):
    """As a training says it."""
    words = [*START[train], "--set", "data=records", "--batch-size", "512"]
    words += [f"--rec-{split}={tiny_records}/{split}.rec" for split in ("train", "val")]
    said = set()
    for more in (["--plan"], []):
        assert train.main([*words, *more]) == 2
        said.add(capsys.readouterr().err.splitlines()[-1])
    assert said == {"refused: 48 images are not one batch of 512 on 1 rank: make the batch smaller"}


@pytest.mark.parametrize(
    "command, words",
    [
        (train, "--model vgg16 --input-size 224 --batch-size 256 --freeze features --lr-mult output=2"),
        (train, "--teacher resnet18_v1 --use-pretrained --model resnet18_v1"),
        (train, "--shallow vgg11 --model vgg13"),
        (train, "--model resnet18_v1 --train-size 64 --input-size 96 --resizing 32 --no-wd"),
        (tag, "--freeze features"),
        (detect, "--freeze features.stage2 --base-params mobilenet0.25/9f83e440"),
        (segment, "--lr-mult head=2 --set init=kaiming"),
    ],
)
def test_what_a_larger_machine_would_train(command, words, monkeypatch, capsys):
    """Nothing is opened, and no memory is asked for."""
    monkeypatch.setattr(of_recipe.memory, "whole_memory", lambda: 1)
    assert command.main([*START[command], *words.split(), "--plan"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("rank", [0, 1])
def test_a_plan_is_of_all_ranks_and_the_first_one_tells_it(rank, monkeypatch, capsys):
    """The same devices as in training, where a rank has one of those of its machine."""
    monkeypatch.setattr(plan.distributed, "start", lambda: None)
    monkeypatch.setattr(plan.distributed, "ranks", lambda: 2)
    monkeypatch.setattr(plan.distributed, "rank", lambda: rank)
    batches = []
    for words in ("--batch-size 4", "--batch-size 4 --num-gpus 8"):
        assert train.main(["--recipe", "shapes", *words.split(), "--plan"]) == 0
        told = capsys.readouterr()
        batches += [json.loads(told.out)["batch_size"]] if told.out else []
        assert bool(told.err) is (rank == 0)
    assert batches == [8, 8] * (rank == 0)
    assert train.main(["--recipe", "shapes", "--set", "batch_size=9", "--plan"]) == 2
    assert "a batch of 9 cannot be split evenly over 2 devices (1 on each of 2 ranks)" in capsys.readouterr().err
