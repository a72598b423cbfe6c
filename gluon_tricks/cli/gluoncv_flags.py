"""Flags of GluonCV's scripts that have no counterpart here: each is understood, and refused or told of with its reason.

Those that have one are where their counterparts are: in flags.py, detect.py and segment.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import quoted


class Foreign(NamedTuple):
    """A flag that is understood and not followed.

    Attributes:
        flag: as GluonCV writes it.
        why: what is said of it: what to do instead, or how it is here anyway.
        takes: what it takes, for --help; "": nothing.
        refused: the training would be another one without it; else a line tells that it is left out.
        fits: values, as text, with which it asks for what is done here.
    """

    flag: str
    why: str
    takes: str = ""
    refused: bool = True
    fits: tuple[str, ...] = ()

    @property
    def dest(self) -> str:
        return "gluoncv_" + self.flag.strip("-").replace("-", "_")


def told(flag: str, why: str, takes: str = "") -> Foreign:
    """A flag that makes no difference to what is learnt."""
    return Foreign(flag, why, takes, refused=False)


_EVERY_EPOCH = "the network is validated after every epoch"
_ONE_LOADER = "not used: one loader serves all backends"
CLASSIFICATION = (
    told("--eval-frequency", _EVERY_EPOCH, "N"),
    told("--save-plot-dir", "not used: the curves are in the run directory", "DIR"),
    told("--logging-dir", "not used: the log is in the run directory; --logging-file names another file", "DIR"),
    *(
        told(flag, _ONE_LOADER, "N")
        for flag in ("--dali-threads", "--dali-validation-threads", "--dali-prefetch-queue")
    ),
    *(told(flag, _ONE_LOADER, "N") for flag in ("--dali-nvjpeg-memory-padding", "--dali-fuse-decoder")),
    told("--dali-separ-val", _ONE_LOADER),
    Foreign("--dropblock-prob", "the networks have no DropBlock: leave it out", "P", fits=("0", "0.0")),
    Foreign("--use_sk", "there are no selective kernels (SK): leave it out"),
    Foreign("--use_avd", "networks have their own form, and ResNeSt its average downsampling: leave it out"),
)
DETECTION = (
    Foreign("--start-epoch", "--resume auto goes on where its run stopped: leave it out", "N", fits=("0",)),
    Foreign("--use-fpn", "this is the paper's Faster-RCNN on one map of features, without a pyramid: leave it out"),
    Foreign("--mixup", "it mixes images with boxes, which the paper does not: leave it out"),
    told("--no-mixup-epochs", "it goes with --mixup, which is not there", "N"),
    Foreign(
        "--norm-layer",
        "batch normalisation is frozen, as in GluonCV's lines for VOC: leave it out",
        "LAYER",
        fits=("None", ""),
    ),
    Foreign("--rpn-smoothl1-rho", "it is 1/9 here, GluonCV's default: leave it out", "RHO", fits=(str(1 / 9),)),
    Foreign("--rcnn-smoothl1-rho", "it is 1 here, GluonCV's default: leave it out", "RHO", fits=("1", "1.0", "1.")),
    Foreign("--amp", "a box needs more digits than float16 has: leave it out, or on a CPU use --dtype bfloat16"),
    told("--horovod", "Horovod is used wherever gluon-tricks launch or horovodrun starts several ranks"),
    told("--static-alloc", "memory is always allocated once"),
    told("--executor-threads", "not used: MXNet schedules the operators", "N"),
    told("--kv-store", "not used: gradients are summed by Horovod, or over the GPUs of one process", "KIND"),
    told("--save-prefix", "not used: all files of a run are in --save-dir", "PREFIX"),
    told("--val-interval", _EVERY_EPOCH, "N"),
    told("--verbose", "the run's log.txt has everything"),
)
SEGMENTATION = (
    Foreign("--start_epoch", "--resume auto goes on where its run stopped: leave it out", "N", fits=("0",)),
    Foreign("--model-zoo", "name the parts of an FCN instead: --model fcn --backbone NAME --dataset ade20k", "NAME"),
    Foreign("--pretrained", "it goes with --model-zoo: only the base network starts from a published file"),
    Foreign("--train-split", "training takes the split train; other data has --data", "NAME", fits=("train",)),
    Foreign("--eval", "gluon-tricks evaluate --pretrained RUN does that"),
    told("--no-val", _EVERY_EPOCH),
    told("--test-batch-size", "whole images are validated one at a time", "N"),
    told("--checkname", "not used: --save-dir names the run directory", "NAME"),
    told("--kvstore", "not used: gradients are summed by Horovod, or over the GPUs of one process", "KIND"),
)


def add(group, flags: Iterable[Foreign]) -> None:
    """Adds them to a group, with - for every _ of a name too."""
    for one in flags:
        names = dict.fromkeys((one.flag, "--" + one.flag[2:].replace("_", "-")))
        takes: dict[str, Any] = {"metavar": one.takes} if one.takes else {"action": "store_true"}
        verdict = "refused" if one.refused else "told of"
        group.add_argument(*names, dest=one.dest, **takes, help=f"GluonCV's, {verdict}: {one.why}".replace("%", "%%"))


def look_at(args: argparse.Namespace, flags: Sequence[Foreign]) -> list[str]:
    """Lines on those that are given and make no difference.

    Raises:
        Refused: one is given that would.
    """
    lines = []
    for one in flags:
        value = getattr(args, one.dest, None)
        if value in (None, False) or value in one.fits:
            continue
        given = one.flag if value is True else f"{one.flag} {quoted(value) if not value.strip() else value}"
        if one.refused:
            raise Refused(f"{given}: {one.why}")
        lines.append(f"{given}: {one.why}")
    return lines
