"""Measure speed side by side, in one run, taking turns: %(prog)s WHAT.

Prints a line per comparison: what, ours, theirs, and the ratio. --out keeps every round as JSON.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import tempfile

from benchmarks import loader, models, profile, records, scaling, train, transfer
from benchmarks.results import machine
from gluon_tricks.core.arguments import Parser
from gluon_tricks.core.commands import command
from gluon_tricks.core.environment import usable_cores
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import require_writable, write_text
from gluon_tricks.core.reading import IMAGE_BYTES, read_bytes
from gluon_tricks.data.builtin import shapes
from gluon_tricks.data.record_writer import RecordWriter

_WHAT = ("loader", "records", "train", "models", "profile", "scaling", "transfer")


@command
def main(argv: list[str] | None = None) -> int:
    parser = Parser(__doc__)
    parser.add_argument("what", choices=_WHAT, help="what is timed")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--rec", help="records to read (the built-in shapes)")
    source.add_argument("--photos", type=pathlib.Path, help="a folder of images, repeated to about 1000")
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
    parser.add_argument("--out", type=pathlib.Path, metavar="FILE", help="write every round as JSON")
    args = parser.parse_args(argv)
    if args.out:
        require_writable(args.out, "--out")
    results, lines = _measure(args)
    print(*lines, sep="\n")
    if args.out:
        kinds = {"scaling": "seconds", "transfer": "seconds_per_image", "profile": "milliseconds_and_calls_of_a_step"}
        kinds["records"] = "seconds_and_megabytes"
        kind = kinds.get(args.what, "images_per_second")
        record = {"what": lines, "machine": machine(), kind: results}
        write_text(args.out, json.dumps(record, indent=2) + "\n", named=True)
    return 0


def _measure(args: argparse.Namespace) -> tuple[dict[str, list[float]], list[str]]:
    if args.what == "models":
        names = [args.model] if args.model else ["resnet50_v1d", "mobilenet1.0", "inceptionv3"]
        return models.run(names, args.batch_size or 16, args.steps, args.rounds)
    if args.what == "records":
        return records.run(args.rounds)
    if args.what == "profile":
        return profile.run(args.model or "resnet50_v1d", args.dtype, args.batch_size or 16, args.steps)
    if args.what == "scaling":
        return scaling.run(
            args.model or "resnet50_v1d", args.input_size, args.batch_size or 16, args.dtype, args.ranks, args.steps,
            args.rounds, int(args.bucket * 2**20), args.accumulate,
        )  # fmt: skip
    if args.what == "transfer":
        model = args.model or "resnet50_v1b"
        return transfer.run(model, args.scale, args.batch_size or 2, args.threads, args.steps, args.rounds)
    with tempfile.TemporaryDirectory(prefix="gluon_tricks_benchmark_") as scratch:
        rec = args.rec or (_packed(args.photos, scratch) if args.photos else str(shapes.ensure() / "train.rec"))
        if args.what == "loader":
            return loader.run(rec, args.input_size, args.batch_size or 64, args.threads, args.rounds)
        model = args.model or "resnet50_v1d"
        return train.run(rec, model, args.input_size, args.batch_size or 16, args.threads, args.steps, args.rounds)


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
