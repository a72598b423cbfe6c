"""Command lines of GluonCV's train_faster_rcnn and of its segmentation's train: what they mean here.

A line is GluonCV's if one of its own flags is in it. It then means what its script does with it: its defaults, a batch
over all devices, a base network with published parameters, its learning rates. Without such a flag the paper's settings
hold (recipes.named.detection_segmentation).
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from gluon_tricks.cli import gluoncv_flags
from gluon_tricks.core.arguments import MOST_GPUS, whole
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import expanded
from gluon_tricks.core.wording import plural
from gluon_tricks.data.annotations.boxes import VOC_CLASSES, count_listed
from gluon_tricks.recipes.named.detection_segmentation import GLUONCV
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.recipes.transfer import VOC_IMAGES, DetectionRecipe, SegmentationRecipe, TransferRecipe
from gluon_tricks.tricks import DecoupledDecay, TrustRatio, Warmup
from gluon_tricks.tricks.trust_ratio import LARS_COEFFICIENT

# Where GluonCV's scripts have their data, and look for it.
_HOMES = {"voc": "~/.mxnet/datasets/voc", "ade20k": "~/.mxnet/datasets/ade/ADEChallengeData2016"}
_BACKBONES = {f"resnet{depth}": f"resnet{depth}_v1b" for depth in (50, 101, 152)}
_LR, _WD, _EPOCHS, _BATCH = 1e-3, 1e-4, 50, 16  # the defaults of its segmentation's script


class Script(NamedTuple):
    """One of the two.

    Attributes:
        own: where its flags are kept that only it has: one of them makes a line GluonCV's.
        add_flags: adds them, and the others, to a group.
        recipe: what such a line starts from.
        others: its flags that are not followed.
        rate: that such a line has without --lr; None: the recipe's.
        meant: (recipe with what flags of ours say, flags, devices over all ranks, the recipe of a run that goes on or
            None) -> the recipe that the line means, and lines to tell.
    """

    own: tuple[str, ...]
    add_flags: Callable[[Any], None]
    recipe: TransferRecipe
    others: tuple[gluoncv_flags.Foreign, ...]
    rate: float | None
    meant: Callable[[TransferRecipe, argparse.Namespace, int, Settings | None], tuple[TransferRecipe, list[str]]]

    def wrote(self, args: argparse.Namespace) -> bool:
        """Whether a line is GluonCV's."""
        given = (getattr(args, name, None) for name in self.own)
        return any(value is not None and value is not False for value in given)  # 0 is one

    def understood(
        self, recipe: TransferRecipe, args: argparse.Namespace, devices: int, begun: Settings | None
    ) -> tuple[TransferRecipe, list[str]]:
        """The recipe that a line means, and lines to tell.

        Args:
            recipe: with what flags of ours say.
            devices: over all ranks; of a run that goes on those that it began on.
            begun: the recipe of a run that goes on; None: a new run.

        Raises:
            Refused: a flag that asks for what there is not.
        """
        lines = gluoncv_flags.look_at(args, self.others)
        home = expanded(_HOMES.get(recipe.dataset, ""))
        if not recipe.data and recipe.dataset in _HOMES and os.path.isdir(home):
            recipe = recipe.set(data=str(home))
            lines.append(f"no --data: {recipe.dataset} is read from {home}")
        if not self.wrote(args):
            return recipe, lines
        if _takes_defaults(args, begun) and args.base_params is None and not recipe.base_params:
            recipe = recipe.set(base_params=recipe.model, init="")
            lines.append(
                f"the base network starts from GluonCV's published {recipe.model}, as in its script: --base-params SRC "
                "names another start, --base-params '' random numbers"
            )
        recipe, more = self.meant(recipe, args, devices, begun)
        return recipe, lines + more


def _faster_rcnn_flags(group) -> None:
    """Adds those of train_faster_rcnn to a group."""
    group.add_argument("--network", type=str.lower, metavar="MODEL", help="GluonCV's --base")
    group.add_argument("--gpus", type=_first_gpus, metavar="0,1", help="GluonCV's --num-gpus: as many, from the first")
    group.add_argument("--lr-warmup", metavar="N", help="GluonCV's --warmup-epochs, in steps (none)")
    group.add_argument("--lr-warmup-factor", type=float, metavar="F", help="what --lr-warmup rises from (1/3)")
    group.add_argument(
        "--disable-hybridization", action="store_true", help="GluonCV's: layer by layer, --set mode=imperative"
    )
    gluoncv_flags.add(group, gluoncv_flags.DETECTION)


def _fcn_flags(group) -> None:
    """Adds those of GluonCV's segmentation to a group."""
    group.add_argument("--model", type=_fcn, metavar="fcn", help="GluonCV's: FCN is the only one")
    group.add_argument(
        "--backbone", type=str.lower, metavar="NAME", help="GluonCV's --base: resnet50 is resnet50_v1b, and so on"
    )
    group.add_argument("--ngpus", type=whole(0, MOST_GPUS), metavar="N", help="GluonCV's --num-gpus")
    group.add_argument("--no-cuda", action="store_true", help="GluonCV's --num-gpus 0: the CPU")
    group.add_argument("--aux", action="store_true", help="GluonCV's: with an auxiliary head")
    group.add_argument("--aux-weight", type=float, metavar="W", help="weight of the auxiliary loss (the recipe's)")
    group.add_argument("--syncbn", action="store_true", help="GluonCV's: batch normalisation over all ranks")
    group.add_argument("--no-wd", action="store_true", help="no weight decay on biases, gamma and beta")
    group.add_argument("--mode", choices=("hybrid", "imperative"), help="hybrid: compiled to a graph (hybrid)")
    gluoncv_flags.add(group, gluoncv_flags.SEGMENTATION)


def _first_gpus(text: str) -> int:
    names = [part.strip() for part in text.split(",") if part.strip()]
    if names != [str(k) for k in range(len(names))]:
        raise argparse.ArgumentTypeError(
            f"{text}: GPUs are counted from 0 on; choose others by CUDA_VISIBLE_DEVICES={text} and --num-gpus "
            f"{max(len(names), 1)}"
        )
    return len(names)


def _fcn(text: str) -> str:
    if text != "fcn":
        raise argparse.ArgumentTypeError(f"{text} is not there: the paper's segmenter is FCN, --model fcn")
    return text


def prepared(args: argparse.Namespace) -> argparse.Namespace:
    """Flags with GluonCV's names for ours in their place."""
    flags = dict(vars(args))
    backbone = flags.get("backbone")
    flags["base"] = flags["base"] or flags.get("network") or _BACKBONES.get(backbone, backbone)
    counted = [flags.get(name) for name in ("gpus", "ngpus") if flags.get(name) is not None]
    if flags.get("no_cuda"):
        counted = [0]
    if counted and flags["num_gpus"] is None:
        flags["num_gpus"] = counted[0]
    return argparse.Namespace(**flags)


def _takes_defaults(args: argparse.Namespace, begun: Settings | None) -> bool:
    """Whether what no flag gives is the script's: a run that goes on has it, unless --recipe takes its place."""
    return begun is None or args.recipe is not None


def _faster_rcnn(
    recipe: DetectionRecipe, args: argparse.Namespace, devices: int, begun: Settings | None
) -> tuple[DetectionRecipe, list[str]]:
    lines = []
    if args.batch_size is not None or _takes_defaults(args, begun):
        recipe = recipe.set(batch_size=(args.batch_size or devices) * recipe.accumulate)
    if args.batch_size is not None:
        lines.append(f"--batch-size {args.batch_size}: over all devices, as in GluonCV's script")
    if args.disable_hybridization:
        recipe = recipe.set(mode="imperative")
    if args.lr_warmup not in (None, "", "-1", "0"):
        recipe = recipe.add(_warmup(recipe, args))
    elif args.lr_warmup_factor is not None:
        lines.append(f"--lr-warmup-factor {args.lr_warmup_factor:g}: not used without --lr-warmup, as in GluonCV")
    return recipe, lines


def _warmup(recipe: DetectionRecipe, args: argparse.Namespace) -> Warmup:
    images = _training_images(recipe)
    try:
        steps = int(args.lr_warmup)
    except ValueError:
        steps = 0
    if images is None or steps < 1:
        raise Refused(f"--lr-warmup {args.lr_warmup}: give the warm-up in epochs, as --warmup-epochs 0.5")
    factor = 1 / 3 if args.lr_warmup_factor is None else args.lr_warmup_factor
    if recipe.batch_size > images:
        raise Refused(
            f"the batch of {recipe.batch_size} is larger than the {plural(images, 'image')}: make --batch-size smaller"
        )
    return Warmup(epochs=steps / (images // recipe.batch_size), start_factor=factor)


def _training_images(recipe: DetectionRecipe) -> int | None:
    """How many there are: those that the lists name, where the data is there, else VOC's; None: not known."""
    if recipe.dataset != "voc":
        return None
    if recipe.data and os.path.isdir(expanded(recipe.data)):
        return count_listed(recipe.data, recipe.train_splits)
    of_voc = recipe.class_names in ((), VOC_CLASSES)  # a run that goes on names them
    return VOC_IMAGES.get(recipe.train_splits) if of_voc else None


def _fcn_head(
    recipe: SegmentationRecipe, args: argparse.Namespace, devices: int, begun: Settings | None
) -> tuple[SegmentationRecipe, list[str]]:
    new = _takes_defaults(args, begun)
    if args.batch_size is not None or new:
        recipe = recipe.set(batch_size=(args.batch_size or _BATCH) * recipe.accumulate)
    recipe, lines = _with_steps(recipe, args, recipe.batch_size / (recipe.accumulate * devices), new)
    if new and args.epochs is None:
        recipe = recipe.set(epochs=_EPOCHS if begun is None else begun.epochs)
    if args.aux_weight is not None and not args.aux:
        lines.append(f"--aux-weight {args.aux_weight:g}: not used without --aux, as in GluonCV")
    if not args.aux:
        recipe = recipe.set(aux_weight=0.0 if new else begun.aux_weight)
    elif args.aux_weight is None:
        recipe = recipe.set(aux_weight=1.0 if new else recipe.aux_weight or 1.0)
    if new or args.syncbn:
        rest = {key: value for key, value in recipe.net.items() if key != "norm_layer"}
        recipe = recipe.set(net={**rest, **({"norm_layer": "SyncBatchNorm"} if args.syncbn else {})})
    if args.backbone in _BACKBONES:
        lines.append(
            f"--backbone {args.backbone} is {recipe.model} here; GluonCV's later versions have a wider stem of three "
            "convolutions"
        )
    return recipe, lines


def _with_steps(
    recipe: SegmentationRecipe, args: argparse.Namespace, each: float, new: bool
) -> tuple[SegmentationRecipe, list[str]]:
    """Its Trainer divides the gradient by the n images of a device once more: lr (g / n + wd w) = lr / n (g + n wd w).

    Of Adam, whose steps are as long however long gradients are, the rate stays, and wd too where it is decoupled; of
    LARS the coefficient makes up for it in the weights that it has rates for. The gradient of its auxiliary loss has
    the weight 1, whatever --aux-weight says.

    Args:
        each: n.
        new: what no flag gives is the script's.
    """
    lr, wd = _LR if args.lr is None else args.lr, _WD if args.wd is None else args.wd
    of_lr = 1 if recipe.optimizer == "adam" else each
    of_wd = 1 if any(isinstance(trick, DecoupledDecay) for trick in recipe.tricks) else each
    if new or args.lr is not None:
        recipe = recipe.set(lr=lr / of_lr)
    if new or args.wd is not None:
        recipe = recipe.set(wd=wd * of_wd)
    if new and of_lr != 1:
        of_lars = [trick for trick in recipe.tricks if isinstance(trick, TrustRatio) and trick.coefficient is None]
        recipe = recipe.add(*(dataclasses.replace(trick, coefficient=LARS_COEFFICIENT * each) for trick in of_lars))
    if not new and args.lr is args.wd is None or of_lr == of_wd == 1:
        return recipe, []
    rate = recipe.base_lr()
    return recipe, [
        f"the rate {rate * of_lr:g} with weight decay {recipe.wd / of_wd:g} is {rate:g} with {recipe.wd:g} "
        f"here: GluonCV divides a mean gradient by the {each:g} images of a device again; --recipe fcn_ade20k has the "
        "paper's"
    ]


FASTER_RCNN = Script(
    ("network", "gpus", "lr_warmup", "lr_warmup_factor", "disable_hybridization"),
    _faster_rcnn_flags,
    GLUONCV[0],
    gluoncv_flags.DETECTION,
    None,
    _faster_rcnn,
)
FCN = Script(
    ("model", "backbone", "ngpus", "no_cuda", "aux", "syncbn"),
    _fcn_flags,
    GLUONCV[1],
    gluoncv_flags.SEGMENTATION,
    _LR,
    _fcn_head,
)
