"""The flags of gluon-tricks train: GluonCV's, and ours beside them. command_line.py says what they mean."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from gluon_tricks.cli import gluoncv_flags
from gluon_tricks.cli.balance import balance_flags
from gluon_tricks.cli.optimizer_flags import optimizer_flags
from gluon_tricks.cli.parts import parts_flags
from gluon_tricks.cli.photos import photo_flags
from gluon_tricks.cli.refinement_flags import one_class_flags, refinement_flags
from gluon_tricks.cli.selection import selection_flags
from gluon_tricks.cli.size_flags import size_flags
from gluon_tricks.core.arguments import MOST_GPUS, MOST_THREADS, Parser, whole
from gluon_tricks.core.reading import expanded
from gluon_tricks.core.wording import quoted
from gluon_tricks.data.augment import AUGMENTS
from gluon_tricks.data.recipe_records import IMAGENET_FOLDER
from gluon_tricks.initialise.within import FILTERS
from gluon_tricks.networks.load import SOURCE
from gluon_tricks.recipes.multi_label import MultiLabelRecipe
from gluon_tricks.recipes.recipe import CROPS, INITS, OWN_MEANS, Recipe
from gluon_tricks.recipes.registry import list_recipes

SCRIPTS = ("train_imagenet", "train_horovod", "train_cifar10", "train_mixup_cifar10")  # see gluoncv_scripts
_DESCRIPTION = """\
Train a network on your photos, or on images in RecordIO files. Without data, and with no
packed ImageNet in ~/.mxnet/datasets/imagenet/rec, it runs the recipe `shapes`.

    %(prog)s --data PHOTOS                                 class folders PHOTOS/CLASS/*, or train/ and val/ of them
    %(prog)s --rec-train train.rec --rec-val val.rec --model resnet50_v1d --num-epochs 120
    %(prog)s --resume auto --save-dir RUN                  go on: everything is taken from the run
    %(prog)s --resume auto --save-dir RUN --num-epochs 40  train the run for longer

Without a flag the recipe decides: that of --recipe, else GluonCV's defaults. Defaults are in brackets. Exit codes:
0 done, 2 refused before any work, 75 interrupted and resumable, 130 and 143 interrupted before anything was started
(Ctrl-C, SIGTERM), 1 anything else."""


def parser() -> Parser:
    """The flags, grouped as a person looks for them."""
    parser = Parser(_DESCRIPTION, usage="%(prog)s [FLAGS]")
    _recipe_flags(parser.add_argument_group("recipe"), Recipe)
    data = parser.add_argument_group("data")
    photo_flags(data)
    _record_flags(data)
    _data_flags(data)
    selection_flags(data)
    balance_flags(data)
    _network_flags(parser.add_argument_group("network"))
    _optimisation_flags(parser.add_argument_group("optimisation"))
    refinements = parser.add_argument_group("refinements")
    one_class_flags(refinements)
    refinement_flags(refinements)
    run_flags(parser.add_argument_group("run"))
    _gluoncv_flags(parser.add_argument_group("GluonCV's scripts"))
    return parser


_NOT_OF_TAGS = (
    *("data_dir", "val_split", "rec_train_idx", "rec_val_idx", "num_training_samples"),
    *("class_weights", "sampling", "label_smoothing", "teacher", "temperature", "hard_weight", "bce"),
)


def tag_parser(description: str, own_flags: Callable[[Any], None]) -> Parser:
    """The same for gluon-tricks tag, without what is for ImageNet's records or for images of one class each.

    Args:
        own_flags: adds those that only it has to a group.
    """
    parser = Parser(description, usage="%(prog)s [FLAGS]")
    _recipe_flags(parser.add_argument_group("recipe"), MultiLabelRecipe)
    data = parser.add_argument_group("data")
    own_flags(data)
    _data_flags(data)
    _network_flags(parser.add_argument_group("network"))
    _optimisation_flags(parser.add_argument_group("optimisation"))
    refinement_flags(parser.add_argument_group("refinements"))
    run_flags(parser.add_argument_group("run"))
    parser.set_defaults(use_rec=False, script=SCRIPTS[0], drop_rate=None, **dict.fromkeys(_NOT_OF_TAGS))
    return parser


def _recipe_flags(group, kind: type[Recipe]) -> None:
    group.add_argument(
        "--recipe",
        metavar="NAME|FILE",
        help=f"start from a named recipe: {', '.join(list_recipes(kind))}; a cell such as "
        "table6/resnet50_v1d/mixup; or a file such as RUN/recipe.json",
    )
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a field (epochs=10), a trick (mixup.alpha=0.4, mixup=off) or net.KEYWORD; repeatable",
    )
    group.add_argument(
        "--init",
        choices=(*INITS, *(f"data:{kind}" for kind in FILTERS)),
        help="Xavier uniform, GluonCV's MSRA, Gaussian of --set init_sd=0.01, Kaiming by fan-in or fan-out, or from "
        "the first training images (the recipe's)",
    )
    group.add_argument(
        "--crop",
        choices=CROPS,
        help="of training images: a random area; a random square once the shorter side (of the middle square) is "
        "resized to --set side=[LOW,HIGH], or with a border of --set pad=PX; or the centre (the recipe's)",
    )
    group.add_argument(
        "--augment",
        choices=tuple(AUGMENTS),
        help="the paper's colours, GluonCV's, AlexNet's, a flip alone, or none (the recipe's)",
    )
    group.add_argument(
        "--auto_aug",
        "--auto-aug",
        "--auto-augment",
        nargs="?",
        const="autoaugment",
        metavar="POLICY",
        dest="auto_augment",
        help="autoaugment (its policies for ImageNet; what the flag alone means), trivial (TrivialAugment), rand or "
        "rand-m9-n2 (RandAugment: magnitude 9 of 30, 2 operations) (the recipe's)",
    )
    group.add_argument("--seed", type=int, help="seed of all random numbers (the recipe's, 0)")


def _record_flags(group) -> None:
    """Those of GluonCV's script that concern its way of packing."""
    group.add_argument(
        "--data-dir", metavar="PHOTOS", help="GluonCV's name for --data, with the recipe `imagenet`; not with --use-rec"
    )
    group.add_argument("--use-rec", action="store_true", help=f"packed ImageNet in {IMAGENET_FOLDER}, or --rec-train")
    group.add_argument(
        "--rec-train-idx", nargs="+", metavar="FILE", help="not needed: the .idx must lie beside --rec-train"
    )
    group.add_argument(
        "--rec-val-idx", nargs="+", metavar="FILE", help="not needed: the .idx must lie beside --rec-val"
    )
    group.add_argument(
        "--data-backend", choices=("mxnet", "dali-gpu", "dali-cpu"), help="ignored: one loader serves all three"
    )
    group.add_argument("--num-training-samples", type=int, help="not needed: the records are counted")


def _data_flags(group) -> None:
    group.add_argument(
        "--rec-train", nargs="+", metavar="FILE", help="training records: files, 'train-*.rec' or @LIST (the recipe's)"
    )
    group.add_argument("--rec-val", nargs="+", metavar="FILE", help="validation records (the recipe's)")
    group.add_argument(
        *("-j", "--num-data-workers", "--data-nthreads"),
        type=whole(1, MOST_THREADS),
        metavar="N",
        help="threads of the loader (all cores)",
    )
    group.add_argument("--input-size", type=int, metavar="PX", help="side of the network's input (the recipe's)")
    size_flags(group)
    group.add_argument(
        "--crop-ratio",
        type=float,
        metavar="R",
        help="input size over the shorter edge in validation (0.875)",
    )
    group.add_argument("--rgb-mean", metavar="R,G,B", help="mean of the images, on the 0..255 scale (the recipe's)")
    group.add_argument("--rgb-std", metavar="R,G,B", help="standard deviation of the images (the recipe's)")
    group.add_argument(
        "--mean-of",
        choices=tuple(OWN_MEANS),
        help="subtract the training images' own mean, of every channel or at every pixel (the recipe's)",
    )


def _network_flags(group) -> None:
    group.add_argument("--model", type=str.lower, metavar="NAME", help="network of the model zoo (the recipe's)")
    group.add_argument(
        "--mode", choices=("hybrid", "imperative", "symbolic"), help="hybrid: compiled to a graph (hybrid)"
    )
    group.add_argument(
        "--dtype", choices=("float32", "float16", "bfloat16"), help="precision; float16 is for GPUs (the recipe's)"
    )
    group.add_argument(
        "--use-pretrained",
        nargs="?",
        const="true",
        metavar="SRC",
        help=f"start from {SOURCE}, a TAG, or (no SRC) GluonCV's default file; if it has another number of classes, "
        "the head starts from random numbers",
    )
    group.add_argument(
        "--new-head",
        action="store_true",
        help="--use-pretrained: a new head, even where the file's has as many classes",
    )
    group.add_argument(
        "--shallow", metavar="SRC", help=f"take the first and the last layers of a shallower network: {SOURCE}"
    )
    group.add_argument("--use_se", "--use-se", action="store_true", help="squeeze and excitation: the network se_MODEL")
    group.add_argument("--batch-norm", action="store_true", help="VGG with batch normalisation: the network MODEL_bn")
    group.add_argument("--use-gn", action="store_true", help="group normalisation in place of batch normalisation")
    group.add_argument("--sync-bn", action="store_true", help="batch normalisation over the images of all ranks")
    group.add_argument(
        "--use-global-stats",
        action="store_true",
        help="train with the running statistics of batch normalisation, for batches of few images",
    )
    group.add_argument("--last-gamma", action="store_true", help="zero gamma: gamma 0 where a residual branch ends")


def _optimisation_flags(group) -> None:
    optimisation_flags(group, without_lr="the recipe's, 0.1 x global batch / 256")
    group.add_argument(
        "--lr-mode",
        choices=("step", "cosine", "poly", "linear", "constant", "plateau"),
        help="decay of the rate; plateau: where the validation error stops improving (the recipe's)",
    )
    group.add_argument("--lr-decay-period", type=int, metavar="N", help="step decay: every N epochs (off)")
    group.add_argument("--warmup-lr", type=float, metavar="LR", help="the rate that the warm-up starts from (0)")
    group.add_argument("--no-wd", action="store_true", help="no weight decay on biases, gamma and beta")


def optimisation_flags(group, without_lr: str = "the recipe's") -> None:
    """Those of every training. Args: without_lr: for the help, which rate it is then."""
    group.add_argument("--batch-size", type=int, metavar="N", help="images per device and rank (the recipe's)")
    group.add_argument(
        "--accumulate", type=int, metavar="K", help="one update for K batches; ranks send gradients once (1)"
    )
    group.add_argument(
        "--num-gpus",
        type=whole(0, MOST_GPUS),
        metavar="N",
        help="number of GPUs; 0: the CPU (all usable GPUs, else the CPU)",
    )
    group.add_argument("--epochs", "--num-epochs", type=int, metavar="N", help="number of epochs (the recipe's)")
    group.add_argument("--lr", type=float, help=f"the rate used, never rescaled ({without_lr})")
    group.add_argument("--lr-decay-epoch", metavar="A,B", help="step decay: at these epochs (the recipe's)")
    group.add_argument("--lr-decay", type=float, metavar="F", help="step decay, plateau: the factor (0.1)")
    group.add_argument(
        "--warmup-epochs", type=float, metavar="N", help="epochs in which the rate rises linearly (the recipe's)"
    )
    group.add_argument("--momentum", type=float, metavar="M", help="momentum of the optimiser (the recipe's, 0.9)")
    group.add_argument("--wd", "--weight-decay", type=float, help="weight decay (the recipe's)")
    parts_flags(group)
    optimizer_flags(group)


def _gluoncv_flags(group) -> None:
    """What its other scripts for classifiers take, and its train_imagenet does not."""
    group.add_argument(
        "--script",
        choices=SCRIPTS,
        default=SCRIPTS[0],
        help="read the command line as this script of GluonCV does: its defaults, and whether --lr is a rank's "
        "(%(default)s)",
    )
    group.add_argument("--no-cuda", action="store_const", const=0, dest="num_gpus", help="the CPU: --num-gpus 0")
    group.add_argument("--drop-rate", type=float, metavar="P", help="dropout of the networks that have it (none)")
    gluoncv_flags.add(group, gluoncv_flags.CLASSIFICATION)


def _auto(text: str) -> str:
    if text != "auto":
        raise argparse.ArgumentTypeError(
            f"{quoted(text)}, but it takes auto, which goes on with the run of --save-dir; a new run starts from "
            "parameters alone with --resume-params"
        )
    return text


def run_flags(group) -> None:
    """Those of every training: where it is kept, how it goes on, what it tells."""
    group.add_argument("--plan", action="store_true", help="train nothing, print the recipe to the last number as JSON")
    group.add_argument("--save-dir", type=expanded, metavar="RUN", help="run directory (runs/<recipe>-<n>)")
    group.add_argument(
        *("--save-frequency", "--save-period", "--save-interval"),
        type=whole(0),
        default=1,
        metavar="N",
        help="epochs between checkpoints (1; 0: one at the end alone)",
    )
    group.add_argument(
        "--save-steps", type=whole(0), default=0, metavar="N", help="a checkpoint every N steps too (0: none)"
    )
    group.add_argument(
        "--picture-epochs", type=whole(0), default=5, metavar="N", help="epochs between pictures (5; 0: none)"
    )
    group.add_argument(
        "--keep", type=whole(1), default=2, metavar="K", help="keep the K newest checkpoints, and the best (2)"
    )
    group.add_argument(
        "--resume",
        type=_auto,
        metavar="auto",
        help="continue from the newest checkpoint of --save-dir (the newest of runs/<recipe>-<n>). Flags that are not "
        "given are taken from the run; --num-epochs may change",
    )
    group.add_argument(
        "--resume-params", "--resume-from", metavar="SRC", help=f"start a new run from parameters alone: {SOURCE}"
    )
    group.add_argument(
        "--resume-epoch", type=whole(0), metavar="N", help="with --resume-params: epochs already done (0)"
    )
    group.add_argument("--resume-states", metavar="FILE", help="not read (a pickle runs code): use --resume auto")
    group.add_argument("--log-interval", type=whole(1), default=50, metavar="N", help="steps between log lines (50)")
    group.add_argument("--logging-file", type=expanded, metavar="FILE", help="write the log there too")
