"""Measure speed side by side, in one run, taking turns.

Prints a line per comparison: what, ours, theirs, and the ratio. --out keeps every round as JSON.
"""

from __future__ import annotations

import math
import os
import pathlib
import tempfile
from argparse import Namespace

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
from benchmarks.flags import Benchmark, Measured, parse
from benchmarks.results import machine, precisions
from gluon_tricks.core.commands import command
from gluon_tricks.core.environment import usable_cores
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import require_writable, write_text
from gluon_tricks.core.json_text import to_json
from gluon_tricks.core.reading import IMAGE_BYTES, expanded, read_bytes
from gluon_tricks.core.wording import quoted
from gluon_tricks.data.builtin import shapes
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.data.shards import means_several
from model_zoo import keywords


@command
def main(argv: list[str] | None = None) -> int:
    args = parse(__doc__, BENCHMARKS, argv)
    if getattr(args, "model", None):
        keywords(args.model)  # which refuses what is no network
    if getattr(args, "dtype", None) not in (None, *precisions()) and not getattr(args, "predict", None):
        raise Refused(
            f"--dtype {args.dtype}: this CPU does not multiply it (AVX512_BF16 or AMX_BF16), so measure float32"
        )
    if getattr(args, "predict", None):
        _refuse_beside_predict(args)
        print(*scaling_words.tell(args.predict), sep="\n")
        return 0
    setting = {}
    if args.out:
        require_writable(args.out, "--out")
        setting = {"setting": _setting_of_record(args)} if args.what == "scaling" else {}
    of = BENCHMARKS[args.what]
    results, lines = of.run(args)
    print(*lines, sep="\n")
    if args.out:
        record = {"what": lines, "machine": machine(), of.numbers: results, **setting}
        write_text(args.out, to_json(record, indent=2) + "\n", named=True)
    return 0


def _loader(args: Namespace) -> Measured:
    with tempfile.TemporaryDirectory(prefix="gluon_tricks_benchmark_") as scratch:
        return loader.run(_records(args, scratch), args.input_size, args.batch_size, args.threads, args.rounds)


def _train(args: Namespace) -> Measured:
    with tempfile.TemporaryDirectory(prefix="gluon_tricks_benchmark_") as scratch:
        rec = _records(args, scratch)
        return train.run(rec, args.model, args.input_size, args.batch_size, args.threads, args.steps, args.rounds)


def _models(args: Namespace) -> Measured:
    names = [args.model] if args.model else ["resnet50_v1d", "mobilenet1.0", "inceptionv3"]
    return models.run(names, args.batch_size, args.steps, args.rounds)


def _profile(args: Namespace) -> Measured:
    return profile.run(args.model, args.dtype, args.batch_size, args.steps, args.input_size)


def _tricks(args: Namespace) -> Measured:
    return tricks.run(args.model, args.input_size, args.batch_size, args.rounds)


def _transfer(args: Namespace) -> Measured:
    return transfer.run(args.model, args.scale, args.batch_size, args.threads, args.steps, args.rounds)


def _scaling(args: Namespace) -> Measured:
    return scaling.run(**_setting(args), steps=args.steps, rounds=args.rounds)


def _time_to_accuracy(args: Namespace) -> Measured:
    if args.photos is None:
        raise Refused("--photos is missing: name the photos that are trained on")
    if not 0 < args.top1 <= 1:
        raise Refused(f"--top1 {args.top1:g}: it must lie in (0, 1], such as 0.75")
    args.runs.mkdir(parents=True, exist_ok=True)

    def keep(rows) -> None:
        write_text(args.runs / "rows.json", to_json({"machine": machine(), "rows": rows}, indent=1) + "\n")

    return time_to_accuracy.run(args.photos, args.recipe, args.against, args.top1, args.seeds, args.runs, keep)


_DATA = dict(rec=None, photos=None)
_OF_PHOTOS = {"photos": "a folder of images, repeated to about 1000"}
_TURNS = dict(steps=8, rounds=5)
BENCHMARKS = {
    "loader": Benchmark(
        "our loader against MXNet's ImageRecordIter, images/s",
        _loader, dict(**_DATA, input_size=224, batch_size=64, threads=usable_cores(), rounds=5), help=_OF_PHOTOS,
    ),
    "records": Benchmark(
        "opening the records of ImageNet-1k and ImageNet-21k, and shuffling them",
        lambda args: records.run(args.rounds), dict(rounds=5), "seconds_and_megabytes",
    ),
    "train": Benchmark(
        "the loop against its parts, and against a loop of GluonCV's",
        _train,
        dict(**_DATA, model="resnet50_v1d", input_size=224, batch_size=16, threads=usable_cores(), **_TURNS),
        help=_OF_PHOTOS,
    ),
    "models": Benchmark(
        "networks at their native size against GluonCV's and timm's, and the machine's matrix products",
        _models, dict(model=None, batch_size=16, **_TURNS),
        help={"model": "the network (resnet50_v1d, mobilenet1.0 and inceptionv3)"},
    ),
    "profile": Benchmark(
        "a training step, operator by operator",
        _profile, dict(model="resnet50_v1d", input_size=None, dtype="float32", batch_size=16, steps=8),
        "milliseconds_and_calls_of_a_step", {"input_size": "side of the images (the network's own)"},
    ),
    "scaling": Benchmark(
        "several ranks against one, step and loop and messages",
        _scaling,
        dict(
            model=None, input_size=224, batch_size=None, dtype="float32", ranks=2, accumulate=1, bucket=32, link=None,
            predict=None, **_TURNS,
        ),
        "seconds", {"model": "the network (resnet50_v1d)", "batch_size": "images of a rank and step (16)"},
    ),
    "transfer": Benchmark(
        "Faster-RCNN and FCN against GluonCV's",
        _transfer, dict(model="resnet50_v1b", scale="small", batch_size=2, threads=usable_cores(), **_TURNS),
        "seconds_per_image",
    ),
    "tricks": Benchmark(
        "how much longer a step takes with each refinement",
        _tricks, dict(model="resnet18_v1d", input_size=224, batch_size=64, rounds=5),
    ),
    "time_to_accuracy": Benchmark(
        "seconds to an accuracy: ours, the paper's recipe, and that in a PyTorch loop",
        _time_to_accuracy,
        dict(
            photos=None, recipe="imagenette64_fast", against="imagenette", top1=0.75, seeds=3,
            runs=pathlib.Path("runs/time_to_accuracy"),
        ),
        "seconds", {"photos": "train.rec and val.rec, or class folders"},
    ),
}  # fmt: skip


def _refuse_beside_predict(args: Namespace) -> None:
    """What belongs to measuring would be passed over: its word, if --predict has one, says the same."""
    words = {"batch_size": "batch", "input_size": "size"}
    for flag, usual in {**BENCHMARKS["scaling"].defaults, "out": None}.items():
        if flag != "predict" and getattr(args, flag) != usual:
            word = words.get(flag, flag)
            instead = f"give {word}=VALUE" if word in scaling_words.WORDS else "nothing is measured or written"
            raise Refused(f"--{flag.replace('_', '-')} is for measuring: with --predict {instead}")


def _setting(args: Namespace) -> dict:
    """What is measured of scaling; benchmarks/scaling_own.py reads it from the record."""
    return dict(
        model=args.model or "resnet50_v1d", size=args.input_size, batch=args.batch_size or 16, dtype=args.dtype,
        ranks=args.ranks, bucket_bytes=int(args.bucket * 2**20), accumulate=args.accumulate, link=args.link,
    )  # fmt: skip


def _setting_of_record(args: Namespace) -> dict:
    return {**_setting(args), "cycle_ms": _cycle_ms(), "meetings": 0}


def _cycle_ms() -> float:
    """How often Horovod looks for messages. Raises Refused: the variable that says so is no number."""
    given = os.environ.get("HOROVOD_CYCLE_TIME", "10")
    try:
        cycle = float(given)
    except ValueError:
        cycle = math.nan
    if not 0 <= cycle < math.inf:
        raise Refused(f"HOROVOD_CYCLE_TIME is {quoted(given)}: give a number of milliseconds, such as 5")
    return cycle


def _records(args: Namespace, scratch: str) -> str:
    """The one file of records that all contestants read. Raises Refused: --rec means several."""
    if args.rec and means_several(args.rec):
        raise Refused(
            f"--rec {args.rec}: it stands for several files, and ImageRecordIter reads one: name one .rec file"
        )
    if args.rec:
        return str(expanded(args.rec))
    return _packed(args.photos, scratch) if args.photos else str(shapes.ensure() / "train.rec")


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
