"""Try the training commands that GluonCV published: python -m benchmarks.gluoncv_lines.

Each line of gluoncv_lines.json is what stands behind the script in a .sh of dmlc/web-data, gluoncv/logs, with data
files by their last names. What it means here is found first, as on the machine it was written for. If it means
something, it is trained for a step or two on the CPU: a classifier on two images of its own input size, a detector or
segmenter on small drawn scenes, from random numbers. results/gluoncv-lines.json
keeps what came out, and docs/gluoncv.md shows it.
"""

from __future__ import annotations

import contextlib
import fnmatch
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.results import machine
from gluon_tricks.cli import command_line, detect, segment, transfer_flags
from gluon_tricks.core.arguments import Parser, whole
from gluon_tricks.core.commands import command
from gluon_tricks.core.errors import REFUSED, Refused
from gluon_tricks.core.files import write_text
from gluon_tricks.core.wording import one_line, plural
from gluon_tricks.data.builtin import scenes
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.recipes.settings import Settings

ROOT = pathlib.Path(__file__).resolve().parents[1]
RECORD = ROOT / "results" / "gluoncv-lines.json"
PAGE = ROOT / "docs" / "gluoncv.md"
BEGIN, END = "<!-- lines: begin (python -m benchmarks.gluoncv_lines) -->", "<!-- lines: end -->"
RUNS = "runs"
_TITLES = (  # the folder of a line's file, and what it is about
    ("imagenet", "ImageNet, `train_imagenet.py` and (ResNeSt) `train_horovod.py`"),
    ("cifar", "CIFAR-10, `train_cifar10.py` and `train_mixup_cifar10.py`"),
    ("detection", "Faster-RCNN, `train_faster_rcnn.py`"),
    ("segmentation", "Segmentation, `train.py`, which is `train_fcn.py` here"),
)
_ONE_STEP = ("--num-gpus", "0", "-j", "1", "--picture-epochs", "0", "--save-frequency", "0", "--epochs", "1")
_SMALL = {  # of images that a CPU can have
    "train_faster_rcnn": (
        *("--data", "voc", "--train-splits", "train", "--val-splits", "val", "--classes", ",".join(scenes.CLASSES)),
        *("--batch-size", "4", "--short", "96", "--long", "160", "--roi", "small", "--base-params", ""),
    ),
    "train_fcn": (
        *("--data", "ade", "--batch-size", "4", "--crop-size", "48", "--base-size", "64", "--base-params", ""),
    ),
}
_RECORDS = ("--rec-train", "train.rec", "--rec-val", "val.rec")


class Line(NamedTuple):
    """A published command.

    Attributes:
        name: of its file, from gluoncv/logs on; of the second command of a file with (2).
        script: the script here.
        ranks: processes that it was published for.
        flags: what stands behind the script.
    """

    name: str
    script: str
    ranks: int
    flags: tuple[str, ...]


def published() -> list[Line]:
    """All lines, in the order of gluoncv_lines.json."""
    stored = json.loads(pathlib.Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return [Line(name, one["script"], one["ranks"], tuple(one["flags"].split())) for name, one in stored.items()]


def meaning(line: Line) -> tuple[Settings, list[str]]:
    """The recipe that a line means on the machine it was written for, and lines to tell.

    Raises:
        Refused: it cannot be trained here, and why.
    """
    means = _MEANINGS.get(line.script, _classifier)
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return means(line)
    except SystemExit:
        raise Refused(one_line(errors.getvalue().strip()).removeprefix(REFUSED)) from None


def _classifier(line: Line) -> tuple[Settings, list[str]]:
    args = command_line.parse(["--script", line.script, *_with_records(line.flags)])
    return command_line.recipe_from_flags(args, max(line.ranks, args.num_gpus or 1))


def _on_base(line: Line, module) -> tuple[Settings, list[str]]:
    args = module.parse(line.flags)
    return transfer_flags.recipe_from_flags(args, max(line.ranks, args.num_gpus or 1), None, **module.MEANT)


_MEANINGS: dict[str, Callable[[Line], tuple[Settings, list[str]]]] = {
    "train_faster_rcnn": lambda line: _on_base(line, detect),
    "train_fcn": lambda line: _on_base(line, segment),
}


def _with_records(flags: Sequence[str]) -> tuple[str, ...]:
    """The flags, with those for data where the script has the path in its code."""
    return tuple(flags) if "--rec-train" in flags else (*_RECORDS, *flags)


def write_data(folder: pathlib.Path) -> None:
    """Two images to train on and two to validate on, as train.rec and val.rec; 4 and 2 scenes in voc/ and ade/."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        with RecordWriter(folder / split, ["a", "b"]) as writer:
            for k in range(2):
                pixels = rng.integers(0, 255, (360, 400, 3), np.uint8)
                writer.add(k, k, cv2.imencode(".jpg", pixels)[1].tobytes())
    drawn, voc = scenes.ensure(name="few_scenes"), folder / "voc"
    (voc / "ImageSets").mkdir(parents=True)
    for name in ("JPEGImages", "Annotations"):
        (voc / name).symlink_to(drawn / "VOC2007" / name)
    for split, count in (("train", 4), ("val", 2)):
        part = scenes.ADE20K_SPLITS[split]
        for kind in ("images", "annotations"):
            (folder / "ade" / kind / part).mkdir(parents=True)
            for path in sorted((drawn / kind / part).iterdir())[:count]:
                (folder / "ade" / kind / part / path.name).symlink_to(path)
        names = [path.stem for path in sorted((drawn / "images" / part).iterdir())[:count]]
        (voc / "ImageSets" / f"{split}.txt").write_text("\n".join(names) + "\n")


def step_of(line: Line, folder: pathlib.Path) -> list[str]:
    """The words that train one step of a line on the data in a folder."""
    own = _SMALL.get(line.script, ("--batch-size", "2"))
    if "coco" in line.flags:  # its data cannot be replaced by another's
        own = ("--base-params", "")
    flags = line.flags if line.script in _MEANINGS else _with_records(line.flags)
    run = ("--save-dir", str(folder / line.name.replace("/", "-")), "--logging-file", str(folder / "log"))
    return [sys.executable, str(ROOT / "scripts" / f"{line.script}.py"), *flags, *_ONE_STEP, *own, *run]


def try_step(line: Line, folder: pathlib.Path, threads: int) -> str:
    """RUNS, or why one step of a line could not be trained."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        step_of(line, folder), cwd=folder, env=environment, capture_output=True, text=True, errors="replace"
    )
    return RUNS if done.returncode == 0 else one_line(done.stderr.strip().splitlines()[-1]).removeprefix(REFUSED)


def result_of(line: Line, folder: pathlib.Path, threads: int) -> str:
    """RUNS, or the one sentence why not."""
    try:
        meaning(line)
    except Refused as refused:
        return str(refused)
    return try_step(line, folder, threads)


def tables(results: dict[str, str]) -> str:
    """The section of the page: a table for each kind of line."""
    parts = []
    for kind, title in _TITLES:
        of_kind = {name: result for name, result in results.items() if name.startswith(f"{kind}/")}
        running = sum(result == RUNS for result in of_kind.values())
        rows = [f"| `{name.partition('/')[2]}` | {_shown(result)} |" for name, result in of_kind.items()]
        head = f"**{title}**: {running} of {plural(len(of_kind), 'line')} run.\n\n| line | here |\n|---|---|"
        parts.append("\n".join([head, *rows]))
    return "\n\n".join(parts)


def _shown(result: str) -> str:
    """Of a network that is not there without what is; with nothing that a table would take for its own."""
    short = result.partition(": ")[0] if result.startswith("there is no model") else result
    return short.replace("|", "\\|")


def page_with(results: dict[str, str], page: str) -> str:
    """The page's text with its tables."""
    results = {line.name: results.get(line.name, "not trained yet") for line in published()}
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{tables(results)}\n\n{END}{rest.partition(END)[2]}"


@command
def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser(__doc__, prog="python -m benchmarks.gluoncv_lines")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="lines by their names; the others stay (all)")
    parser.add_argument("--threads", type=whole(1), default=1, metavar="N", help="threads of a step (1)")
    args = parser.parse_args(argv)
    stored = json.loads(RECORD.read_text(encoding="utf-8"))["lines"] if RECORD.exists() else {}
    lines = published()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_data(folder)
        os.chdir(folder)  # lines name their files without a folder
        for line in lines:
            if fnmatch.fnmatch(line.name, args.only):
                stored[line.name] = result_of(line, folder, args.threads)
                print(f"{line.name}: {stored[line.name]}", flush=True)
                _keep({one.name: stored[one.name] for one in lines if one.name in stored})
        os.chdir(ROOT)
    return 0


def _keep(results: dict[str, str]) -> None:
    write_text(RECORD, json.dumps({"machine": machine(), "lines": results}, indent=1, ensure_ascii=False) + "\n")
    if PAGE.exists():
        write_text(PAGE, page_with(results, PAGE.read_text(encoding="utf-8")))


if __name__ == "__main__":
    sys.exit(main())
