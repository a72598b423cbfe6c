"""Measure speed side by side, in one run, taking turns: %(prog)s WHAT.

Prints a line per comparison: what, ours, theirs, and the ratio. --out keeps every round as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import tempfile

from benchmarks import (
    loader,
    models,
    profile,
    records,
    scaling,
    scaling_words,
    time_to_accuracy,
    train,
    transfer,
    tricks,
)
from benchmarks.results import machine
from gluon_tricks.core.arguments import Parser, real, whole
from gluon_tricks.core.commands import command
from gluon_tricks.core.environment import usable_cores
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import require_writable, write_text
from gluon_tricks.core.reading import IMAGE_BYTES, read_bytes
from gluon_tricks.data.builtin import shapes
from gluon_tricks.data.record_writer import RecordWriter

_WHAT = ("loader", "records", "train", "models", "profile", "scaling", "transfer", "tricks", "time_to_accuracy")
_KINDS = {
    "records": "seconds_and_megabytes",
    "scaling": "seconds",
    "time_to_accuracy": "seconds",
    "transfer": "seconds_per_image",
    "profile": "milliseconds_and_calls_of_a_step",
}  # what --out calls the numbers; of the others they are images/s


@command
def main(argv: list[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    for flag in ("link", "predict"):
        if getattr(args, flag) and args.what != "scaling":
            raise Refused(f"--{flag} is for scaling: benchmark.py scaling --{flag} ...")
    if args.predict:
        _refuse_beside_predict(args)
        print(*scaling_words.tell(args.predict), sep="\n")
        return 0
    if args.out:
        require_writable(args.out, "--out")
    results, lines = _measure(args)
    print(*lines, sep="\n")
    if args.out:
        kind = _KINDS.get(args.what, "images_per_second")
        record = {"what": lines, "machine": machine(), kind: results}
        if args.what == "scaling":
            record["setting"] = {
                **_setting(args),
                "cycle_ms": float(os.environ.get("HOROVOD_CYCLE_TIME", 10)),
                "meetings": 0,
            }
        write_text(args.out, json.dumps(record, indent=2) + "\n", named=True)
    return 0


def _parser() -> Parser:
    parser = Parser(__doc__)
    parser.add_argument("what", choices=_WHAT, help="what is timed")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--rec", help="records to read (the built-in shapes)")
    source.add_argument(
        "--photos", type=pathlib.Path,
        help="a folder of images, repeated to about 1000; time_to_accuracy: train.rec and val.rec, or class folders",
    )  # fmt: skip
    parser.add_argument("--input-size", type=int, default=224, metavar="PX", help="side of the images (224)")
    parser.add_argument("--batch-size", type=int, metavar="N", help="default 64 for loader, 2 for transfer, else 16")
    parser.add_argument(
        "--threads", type=int, default=usable_cores(), metavar="N", help="threads of the loaders (%(default)s)"
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="(resnet50_v1d; models: mobilenet1.0, inceptionv3 too; transfer: resnet50_v1b)",
    )
    parser.add_argument("--scale", default="small", help="for transfer: small (images of 300 and 240 px) or paper")
    parser.add_argument("--steps", type=int, default=8, metavar="N", help="steps in a round, of all but loader (8)")
    parser.add_argument(
        "--rounds", type=int, default=5, metavar="N", help="rounds, in each of which every contestant has a turn (5)"
    )
    parser.add_argument(
        "--ranks", type=int, default=2, metavar="N", help="for scaling: number of ranks compared with one (2)"
    )
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16"), default="float32", help="for scaling and profile (float32)"
    )
    parser.add_argument(
        "--accumulate", type=int, default=1, metavar="K", help="for scaling: batches for one update (1)"
    )
    parser.add_argument(
        "--bucket", type=float, default=32, metavar="MIB", help="for scaling: size of one message, MiB (32)"
    )
    parser.add_argument(
        "--link",
        type=real(0.01, 100),
        metavar="GBIT",
        help="for scaling: half of the ranks each behind a link of so many Gbit/s (as root on Linux)",
    )
    parser.add_argument(
        "--predict",
        nargs="+",
        metavar="WORD=VALUE",
        help="for scaling: nothing is measured; the efficiency to expect, such as ranks=512 images_per_second=1200; "
        f"words: {', '.join(scaling_words.WORDS)}",
    )
    _accuracy_flags(parser.add_argument_group("time_to_accuracy"))
    parser.add_argument("--out", type=pathlib.Path, metavar="FILE", help="write every round as JSON")
    return parser


def _accuracy_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--recipe", default="imagenette64_fast", metavar="NAME", help="the fast one (imagenette64_fast)")
    group.add_argument(
        "--against", default="imagenette", metavar="NAME", help="the paper's, PyTorch's too (imagenette)"
    )
    group.add_argument("--top1", type=float, default=0.75, metavar="SHARE", help="to be reached (0.75)")
    group.add_argument("--seeds", type=whole(1, 100), default=3, metavar="N", help="trainings of each, in turns (3)")
    runs = "folder of the trainings: done ones are not done again (runs/time_to_accuracy)"
    group.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs/time_to_accuracy"), help=runs)


def _time_to_accuracy(args: argparse.Namespace) -> tuple[dict[str, list[float]], list[str]]:
    if args.photos is None:
        raise Refused("--photos is missing: name the photos that are trained on")
    if not 0 < args.top1 <= 1:
        raise Refused(f"--top1 {args.top1:g}: it must lie in (0, 1], such as 0.75")
    args.runs.mkdir(parents=True, exist_ok=True)

    def keep(rows) -> None:
        write_text(args.runs / "rows.json", json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")

    return time_to_accuracy.run(args.photos, args.recipe, args.against, args.top1, args.seeds, args.runs, keep)


def _measure(args: argparse.Namespace) -> tuple[dict[str, list[float]], list[str]]:
    if args.what == "models":
        names = [args.model] if args.model else ["resnet50_v1d", "mobilenet1.0", "inceptionv3"]
        return models.run(names, args.batch_size or 16, args.steps, args.rounds)
    if args.what == "records":
        return records.run(args.rounds)
    if args.what == "profile":
        return profile.run(args.model or "resnet50_v1d", args.dtype, args.batch_size or 16, args.steps)
    if args.what == "tricks":
        return tricks.run(args.model or "resnet18_v1d", args.input_size, args.batch_size or 64, args.rounds)
    if args.what == "time_to_accuracy":
        return _time_to_accuracy(args)
    if args.what == "scaling":
        return scaling.run(**_setting(args), steps=args.steps, rounds=args.rounds)
    if args.what == "transfer":
        model = args.model or "resnet50_v1b"
        return transfer.run(model, args.scale, args.batch_size or 2, args.threads, args.steps, args.rounds)
    with tempfile.TemporaryDirectory(prefix="gluon_tricks_benchmark_") as scratch:
        rec = args.rec or (_packed(args.photos, scratch) if args.photos else str(shapes.ensure() / "train.rec"))
        if args.what == "loader":
            return loader.run(rec, args.input_size, args.batch_size or 64, args.threads, args.rounds)
        model = args.model or "resnet50_v1d"
        return train.run(rec, model, args.input_size, args.batch_size or 16, args.threads, args.steps, args.rounds)


def _refuse_beside_predict(args: argparse.Namespace) -> None:
    for flag, word in {"model": "model", "batch_size": "batch", "link": "link", "out": ""}.items():
        if getattr(args, flag) is not None:
            name = f"--{flag.replace('_', '-')}"
            raise Refused(
                f"{name} is for measuring: with --predict " + (f"give {word}=VALUE" if word else "nothing is written")
            )


def _setting(args: argparse.Namespace) -> dict:
    """What is measured of scaling; benchmarks/scaling_own.py reads it from the record."""
    return dict(
        model=args.model or "resnet50_v1d", size=args.input_size, batch=args.batch_size or 16, dtype=args.dtype,
        ranks=args.ranks, bucket_bytes=int(args.bucket * 2**20), accumulate=args.accumulate, link=args.link,
    )  # fmt: skip


def _packed(folder: pathlib.Path, scratch: str) -> str:
    """The images of a folder as records, each as often as it takes to have 1000."""
    images = [
        read_bytes(path, IMAGE_BYTES)
        for path in sorted(folder.glob("*"))
        if path.suffix.lower() in (".jpg", ".jpeg", ".png")
    ]
    if not images:
        raise Refused(f"{folder} holds no .jpg, .jpeg or .png: name a folder of images")
    with RecordWriter(f"{scratch}/photos", [str(k) for k in range(len(images))]) as writer:
        for k in range(len(images) * -(-1000 // len(images))):
            writer.add(k % len(images), k, images[k % len(images)])
    return f"{scratch}/photos.rec"
