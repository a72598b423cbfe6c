"""A run goes on by the command that began it: the same flags on the run's own recipe are no change of it."""

import itertools

import pytest

from gluon_tricks.cli import command_line, detect, flags, segment, tag, transfer_flags
from gluon_tricks.core.errors import Refused

ALL = (
    *("--optimizer adamw --lr 0.001 --wd 0.05", "--optimizer lars --lr 10", "--optimizer lamb --lr 1"),
    *("--optimizer sgd --lr 0.1 --set trust_ratio.coefficient=0.01", "--optimizer adam --lr 0.001"),
    *("--ema 0.99", "--set ema.every=2", "--clip-grad 5", "--set clip_gradients.norm=0 --set clip_gradients.value=1"),
    *("--sam", "--warmup-epochs 2", "--set plateau.patience=2", "--freeze output"),
)
CLASSIFIERS = (
    *("--no-wd", "--last-gamma", "--mixup", "--mixup --mixup-alpha 0.4 --mixup-off-epoch 1", "--cutmix"),
    *("--mixup --cutmix --cutmix-alpha 0.5", "--set mixup.per=image", "--random-erasing", "--drop-path 0.2"),
    *("--warmup-lr 0.01", "--lr-mode cosine", "--lr-mode poly", "--lr-mode step --lr-decay-period 2 --lr-decay 0.5"),
    *("--lr-mode plateau --lr-decay 0.5", "--lr-mode step --lr-decay-epoch 2,3"),
    *("--lr-mode constant --set exponential_decay.every=3 --set ema.decay=0.9", "--init data:kmeans"),
    *("--resizing", "--resizing 16,24 --set resizing.epochs=[1,2]", "--aug-repeats 2"),
    *("--resizing off --set resizing=on --set sam=on", "--use-gn", "--accumulate 2 --batch-size 8"),
)
ONE_CLASS = (
    *("--label-smoothing", "--label-smoothing 0.2 --set label_smoothing.form=gluoncv", "--bce 0.2"),
    *("--teacher runs/t --temperature 4 --hard-weight 0.3", "--class-weights balanced", "--sampling balanced"),
)


PARSER, TAG_PARSER = flags.parser(), flags.tag_parser("", tag.own_flags)


def _train(words, begun=None):
    return command_line.recipe_from_flags(PARSER.parse_args(words), 2, begun)[0]


def _tag(words, begun=None):
    return tag.recipe_from_flags(TAG_PARSER.parse_args(words), 2, begun)[0]


def _detect(words, begun=None):
    return transfer_flags.recipe_from_flags(detect.parse(words), 2, begun, **detect.MEANT)[0]


def _segment(words, begun=None):
    return transfer_flags.recipe_from_flags(segment.parse(words), 2, begun, **segment.MEANT)[0]


COMMANDS = {  # what begins a run -> its refinements
    "train": (_train, "", (*ALL, *CLASSIFIERS, *ONE_CLASS)),
    "train --recipe efficient": (_train, "--recipe efficient", (*ALL, *ONE_CLASS)),
    "train_horovod": (_train, "--script train_horovod", (*ALL, "--lr-decay 0.5", "--lr-decay-epoch 2,3")),
    "tag": (_tag, "", (*ALL, *CLASSIFIERS)),
    "detect": (_detect, "--dataset scenes", (*ALL, "--lr-decay-epoch 2,3", "--network resnet18_v1d --warmup-epochs 1")),
    "segment": (
        _segment,
        "--dataset scenes",
        (*ALL, "--lr-decay-epoch 2,3", "--no-wd", "--model fcn --wd 0.001", "--ngpus 0 --aux"),
    ),
}


@pytest.fixture(autouse=True)
def no_imagenet(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_refinement_and_every_two_of_them(name):
    """What contradicts each other is refused at the first start already."""
    meaning, start, refinements = COMMANDS[name]
    refused, pairs = 0, [*itertools.combinations_with_replacement(refinements, 2)]
    for one, other in pairs:
        words = f"{start} {one} {'' if one == other else other}".split()
        try:
            begun = meaning(words)
        except Refused:
            assert one != other, one
            refused += 1
            continue
        again = meaning(words, begun)
        assert again == begun, (one, other)
    assert refused < len(pairs) / 4


@pytest.mark.parametrize(
    "line",
    [
        "--optimizer adamw --lr 0.001 --wd 0.05 --no-wd",
        "--optimizer lars --lr 10 --clip-grad 5 --sam",
        "--optimizer adamw --lr 0.001 --mixup",
        "--lr-mode constant --set exponential_decay.every=3 --set ema.decay=0.99 --set sam=on --mixup",
    ],
)
def test_the_commands_of_the_page(line):
    """docs/training.md has the first two; what a flag takes away and --set adds again stays in its place."""
    begun = _train(line.split())
    assert _train(line.split(), begun) == begun
