"""The command line of scripts/train_imagenet.py: GluonCV's flags, ours beside them, and the recipe they build.

A flag that is not given changes nothing, so any flag overrides any recipe. `--batch-size` is per device and rank,
as in GluonCV; a recipe's batch_size is global.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence

from gluon_tricks.data.augment import AUGMENTS
from gluon_tricks.data.catalog import IMAGENET_FOLDER, imagenet_is_here
from gluon_tricks.recipe import Recipe, apply_setting
from gluon_tricks.recipes import get_recipe, list_recipes
from gluon_tricks.runtime import Refused
from gluon_tricks.tricks import (
    Cosine,
    Distillation,
    LabelSmoothing,
    LinearDecay,
    Mixup,
    NoBiasDecay,
    PolyDecay,
    StepDecay,
    Warmup,
    ZeroGamma,
)


def parser() -> argparse.ArgumentParser:
    """The flags, grouped as a person looks for them."""
    parser = argparse.ArgumentParser(
        description="Train a network on images in RecordIO files. Without data it runs the recipe `shapes`.",
        argument_default=None,
    )
    _recipe_flags(parser.add_argument_group("recipe"))
    _data_flags(parser.add_argument_group("data"))
    _network_flags(parser.add_argument_group("network"))
    _optimisation_flags(parser.add_argument_group("optimisation"))
    _refinement_flags(parser.add_argument_group("refinements"))
    _run_flags(parser.add_argument_group("run"))
    return parser


def _recipe_flags(group) -> None:
    group.add_argument("--recipe", metavar="NAME", help=f"start from a named recipe: {', '.join(list_recipes())}")
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a field (epochs=10), a trick (mixup.alpha=0.4, mixup=off) or net.KEYWORD",
    )
    group.add_argument("--init", choices=("paper", "gluoncv"), help="Xavier uniform, or GluonCV's MSRA")
    group.add_argument("--augment", choices=tuple(AUGMENTS), help="hue, saturation, brightness; or GluonCV's set")
    group.add_argument("--seed", type=int, help="of every random number (0)")


def _data_flags(group) -> None:
    group.add_argument("--data-dir", help="not read: pack image folders with scripts/pack_records.py")
    group.add_argument("--use-rec", action="store_true", help=f"packed ImageNet in {IMAGENET_FOLDER}, or --rec-train")
    group.add_argument("--rec-train", nargs="+", metavar="FILE", help="training records")
    group.add_argument("--rec-train-idx", nargs="+", metavar="FILE", help="must lie beside --rec-train")
    group.add_argument("--rec-val", nargs="+", metavar="FILE", help="validation records")
    group.add_argument("--rec-val-idx", nargs="+", metavar="FILE", help="must lie beside --rec-val")
    group.add_argument("--data-backend", choices=("mxnet", "dali-gpu", "dali-cpu"), help="one loader serves all three")
    group.add_argument("--num-training-samples", type=int, help="not needed: the records are counted")
    group.add_argument("-j", "--num-data-workers", type=int, metavar="N", help="threads of the loader (all cores)")
    group.add_argument("--input-size", type=int, metavar="PX", help="side of the network's input")
    group.add_argument("--crop-ratio", type=float, help="validation: input size over the shorter edge (0.875)")
    group.add_argument("--rgb-mean", metavar="R,G,B", help="on the 0..255 scale")
    group.add_argument("--rgb-std", metavar="R,G,B", help="on the 0..255 scale")


def _network_flags(group) -> None:
    group.add_argument("--model", help="a name of the model zoo")
    group.add_argument("--mode", choices=("hybrid", "imperative", "symbolic"), help="hybrid compiles the network")
    group.add_argument("--dtype", choices=("float32", "float16", "bfloat16"))
    group.add_argument("--use-pretrained", nargs="?", const="", metavar="FILE", help="start from a parameter file")
    group.add_argument("--use_se", "--use-se", action="store_true", help="the model with squeeze and excitation")
    group.add_argument("--batch-norm", action="store_true", help="VGG with batch normalisation")
    group.add_argument("--use-gn", action="store_true", help="group normalisation")
    group.add_argument("--last-gamma", action="store_true", help="zero gamma")


def _optimisation_flags(group) -> None:
    group.add_argument("--batch-size", type=int, metavar="N", help="per device and rank")
    group.add_argument("--num-gpus", type=int, metavar="N", help="default all usable, else the CPU; 0 is the CPU")
    group.add_argument("--num-epochs", type=int, metavar="N")
    group.add_argument("--lr", type=float, help="the rate used, never rescaled (0.1 x global batch / 256)")
    group.add_argument("--momentum", type=float)
    group.add_argument("--wd", type=float, help="weight decay")
    group.add_argument("--lr-mode", choices=("step", "cosine", "poly", "linear", "constant"))
    group.add_argument("--lr-decay", type=float, help="step: the factor (0.1)")
    group.add_argument("--lr-decay-period", type=int, metavar="N", help="step: every N epochs")
    group.add_argument("--lr-decay-epoch", metavar="A,B", help="step: at these epochs")
    group.add_argument("--warmup-epochs", type=float, metavar="N")
    group.add_argument("--warmup-lr", type=float, help="where the warm-up starts (0)")
    group.add_argument("--no-wd", action="store_true", help="no weight decay on biases, gamma and beta")


def _refinement_flags(group) -> None:
    group.add_argument("--label-smoothing", nargs="?", type=float, const=0.1, metavar="EPS", help="0.1 if no EPS")
    group.add_argument("--mixup", action="store_true")
    group.add_argument("--mixup-alpha", type=float, help="of the Beta distribution (0.2)")
    group.add_argument("--mixup-off-epoch", type=int, metavar="N", help="no mixup in the last N epochs")
    group.add_argument("--teacher", metavar="RUN", help="distillation: a run directory or parameter file")
    group.add_argument("--temperature", type=float, help="of distillation (20)")
    group.add_argument("--hard-weight", type=float, help="weight of the hard loss (0.5; --set for the paper's sum)")


def _run_flags(group) -> None:
    group.add_argument("--save-dir", type=pathlib.Path, metavar="RUN", help="run directory (runs/<recipe>-<n>)")
    group.add_argument("--save-frequency", type=int, default=1, metavar="N", help="epochs between checkpoints (1)")
    group.add_argument("--save-steps", type=int, default=0, metavar="N", help="also a checkpoint every N steps")
    group.add_argument("--keep", type=int, default=2, metavar="K", help="newest checkpoints kept, and the best (2)")
    group.add_argument("--resume", choices=("auto",), help="go on from the newest checkpoint of the run directory")
    group.add_argument("--resume-params", metavar="FILE", help="start from parameters alone")
    group.add_argument("--resume-epoch", type=int, metavar="N", help="with --resume-params: epochs already done")
    group.add_argument("--resume-states", metavar="FILE", help="not read (a pickle runs code): use --resume auto")
    group.add_argument("--log-interval", type=int, default=50, metavar="N", help="steps between log lines (50)")
    group.add_argument("--logging-file", type=pathlib.Path, metavar="FILE", help="one more copy of the log")


def recipe_from_flags(args: argparse.Namespace, devices: int) -> tuple[Recipe, list[str]]:
    """The recipe that a command line means.

    Args:
        args: from parser().
        devices: over all ranks, which --batch-size is multiplied by.

    Returns:
        the recipe, and lines to tell about choices that were not asked for.

    Raises:
        Refused: flags that name what is not there, or that do not go together.
    """
    _refuse_what_is_replaced(args)
    recipe, notes = _start(args)
    gluoncv = args.recipe is None and recipe.name == "imagenet"
    if args.batch_size is not None or gluoncv:
        recipe = recipe.set(batch_size=(recipe.batch_size if args.batch_size is None else args.batch_size) * devices)
    recipe = _with_data(recipe, args)
    recipe = _with_fields(recipe, args)
    recipe = _with_network(recipe, args)
    recipe = _with_schedule(recipe, args)
    recipe = _with_refinements(recipe, args, "gluoncv" if gluoncv else "paper")
    for setting in args.set:
        recipe = apply_setting(recipe, setting)
    if args.num_training_samples is not None:
        notes.append(f"--num-training-samples {args.num_training_samples}: not used, the records are counted")
    return recipe, notes


def _refuse_what_is_replaced(args: argparse.Namespace) -> None:
    if args.mode == "symbolic":
        raise Refused("--mode symbolic: hybrid is its successor, as fast and with the same network: --mode hybrid")
    if args.resume_states:
        raise Refused(f"--resume-states {args.resume_states}: a pickle runs code when read; use --resume auto")
    if args.data_dir and not args.rec_train:
        raise Refused(
            f"--data-dir {args.data_dir}: image folders are packed first (scripts/pack_records.py {args.data_dir}/train "
            "train, and the same for val) and named with --rec-train and --rec-val"
        )
    if args.resume_epoch and not args.resume_params:
        raise Refused(f"--resume-epoch {args.resume_epoch} goes with --resume-params FILE; --resume auto needs neither")


def _start(args: argparse.Namespace) -> tuple[Recipe, list[str]]:
    """The recipe that the flags change: the one named, GluonCV's defaults, or `shapes` where there is no data."""
    if args.recipe:
        return get_recipe(args.recipe), []
    if args.rec_train or args.rec_val or args.use_rec or imagenet_is_here():
        return get_recipe("imagenet"), []
    return get_recipe("shapes"), [
        f"no data named and no ImageNet in {IMAGENET_FOLDER}: running the recipe `shapes` on built-in data"
    ]


def _with_data(recipe: Recipe, args: argparse.Namespace) -> Recipe:
    for split in ("train", "val"):
        files, index = getattr(args, f"rec_{split}"), getattr(args, f"rec_{split}_idx")
        expected = [str(pathlib.Path(file).with_suffix(".idx")) for file in files or []]
        if index and [str(pathlib.Path(path)) for path in index] != expected:
            raise Refused(f"--rec-{split}-idx {' '.join(index)}: the .idx lies beside its .rec, with the same name")
        if files:
            missing = [file for file in files if not pathlib.Path(file).expanduser().is_file()]
            if missing:
                raise Refused(f"--rec-{split}: there is no {missing[0]}; pack it with scripts/pack_records.py")
            paths = tuple(str(pathlib.Path(file).expanduser().absolute()) for file in files)
            recipe = recipe.set(data="records", **{split: paths})
    if args.use_rec and not args.rec_train and not imagenet_is_here():
        raise Refused(f"--use-rec: there is no train.rec and val.rec in {IMAGENET_FOLDER}; name --rec-train, --rec-val")
    return recipe


_FIELDS = {  # flag -> field
    "input_size": "input_size",
    "crop_ratio": "crop_ratio",
    "model": "model",
    "mode": "mode",
    "dtype": "dtype",
    "num_epochs": "epochs",
    "lr": "lr",
    "momentum": "momentum",
    "wd": "wd",
    "init": "init",
    "augment": "augment",
    "seed": "seed",
}


def _with_fields(recipe: Recipe, args: argparse.Namespace) -> Recipe:
    given = {field: getattr(args, flag) for flag, field in _FIELDS.items() if getattr(args, flag) is not None}
    for flag, field in (("rgb_mean", "mean"), ("rgb_std", "std")):
        if getattr(args, flag):
            given[field] = _numbers(getattr(args, flag), f"--{flag.replace('_', '-')}")
    if args.resume_params:
        given["pretrained"] = _existing(args.resume_params, "--resume-params")
        given["start_epoch"] = args.resume_epoch or 0
    return recipe.set(**given)


def _with_network(recipe: Recipe, args: argparse.Namespace) -> Recipe:
    if args.use_pretrained is not None:
        if not args.use_pretrained:
            raise Refused("--use-pretrained: name the file, as published weights cannot be downloaded any more")
        recipe = recipe.set(pretrained=_existing(args.use_pretrained, "--use-pretrained"))
    if args.use_se:
        recipe = recipe.set(model=f"se_{recipe.model}")
    if args.batch_norm:
        recipe = recipe.set(model=f"{recipe.model}_bn")
    if args.use_gn:
        recipe = recipe.set(net={**recipe.net, "norm_layer": "GroupNorm"})
    return recipe


def _with_schedule(recipe: Recipe, args: argparse.Namespace) -> Recipe:
    decays = {"cosine": Cosine, "poly": PolyDecay, "linear": LinearDecay}
    stepped = any(v is not None for v in (args.lr_decay, args.lr_decay_period, args.lr_decay_epoch))
    present = [trick for trick in recipe.tricks if isinstance(trick, StepDecay)]
    if args.lr_mode in decays:
        recipe = recipe.add(decays[args.lr_mode]())
    elif args.lr_mode == "constant":
        for trick in recipe.tricks:
            recipe = recipe.without(trick.label()) if trick.slot() == "decay" else recipe
    elif args.lr_mode == "step" or (stepped and present):
        recipe = recipe.add(_step_decay(args, recipe.epochs, present[0] if present else StepDecay()))
    if stepped and not any(isinstance(trick, StepDecay) for trick in recipe.tricks) and args.lr_mode is None:
        raise Refused("--lr-decay, --lr-decay-period and --lr-decay-epoch go with --lr-mode step")
    if args.warmup_epochs is not None or args.warmup_lr is not None:
        old = next((trick for trick in recipe.tricks if isinstance(trick, Warmup)), Warmup(0))
        epochs = old.epochs if args.warmup_epochs is None else args.warmup_epochs
        recipe = recipe.add(Warmup(epochs, args.warmup_lr or 0.0))
    return recipe


def _step_decay(args: argparse.Namespace, epochs: int, old: StepDecay) -> StepDecay:
    at = old.epochs
    if args.lr_decay_epoch:
        at = _numbers(args.lr_decay_epoch, "--lr-decay-epoch")
    if args.lr_decay_period:
        at = tuple(range(args.lr_decay_period, epochs, args.lr_decay_period))
    return StepDecay(at, old.by if args.lr_decay is None else args.lr_decay)


def _with_refinements(recipe: Recipe, args: argparse.Namespace, form: str) -> Recipe:
    if args.last_gamma:
        recipe = recipe.add(ZeroGamma())
    if args.no_wd:
        recipe = recipe.add(NoBiasDecay())
    if args.label_smoothing is not None:
        recipe = recipe.add(LabelSmoothing(args.label_smoothing, form))
    if args.teacher:
        weight = 0.5 if args.hard_weight is None else args.hard_weight
        recipe = recipe.add(Distillation(args.teacher, 20.0 if args.temperature is None else args.temperature, weight))
    if args.mixup:
        alpha = 0.2 if args.mixup_alpha is None else args.mixup_alpha
        recipe = recipe.add(Mixup(alpha, args.mixup_off_epoch or 0))
    return recipe


def _numbers(text: str, flag: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise Refused(f"{flag} takes numbers with commas between them, but got {text!r}") from None


def _existing(path: str, flag: str) -> str:
    if not pathlib.Path(path).expanduser().is_file():
        raise Refused(f"{flag}: there is no file {path}")
    return str(pathlib.Path(path).expanduser().absolute())


def options_from_flags(args: argparse.Namespace, **rest) -> dict:
    """The keyword arguments of train.Options that the flags give."""
    return dict(
        threads=args.num_data_workers,
        resume=args.resume == "auto",
        log_interval=args.log_interval,
        checkpoint_epochs=args.save_frequency,
        checkpoint_steps=args.save_steps,
        keep=args.keep,
        extra_log=args.logging_file,
        **rest,
    )


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The flags of a command line; argparse itself exits with 2 on those it does not know."""
    return parser().parse_args(argv)
