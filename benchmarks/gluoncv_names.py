"""Try everything on each of GluonCV's own networks (model_zoo.gluoncv_networks), on tiny images: %(prog)s [NAME ...].

Each network has a process of its own, where it is trained with two classes, resumed, evaluated, exported and so on.
--out keeps what came of it as JSON, to which other names can be added later; --table prints it as the table of
docs/gluoncv.md.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import cv2
import mxnet as mx
import numpy as np

from benchmarks.results import machine
from gluon_tricks.cli import evaluate
from gluon_tricks.core.arguments import Parser
from gluon_tricks.core.commands import command
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import require_writable, write_text
from gluon_tricks.core.reading import IMAGE_BYTES, expanded, read_bytes
from gluon_tricks.core.wording import shortened
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.initialise.data import initialise_from_data
from gluon_tricks.machine.devices import choose_precision, needs_amx_off
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks.classification.auxiliary import OwnOutput, own
from gluon_tricks.trained.load import load_network
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate
from gluon_tricks.tricks import Distillation
from model_zoo import get_model, list_gluoncv_models
from model_zoo.export import export_onnx
from model_zoo.gluoncv_table import FAMILY_OF
from model_zoo.inference import fuse, quantise
from model_zoo.summary import human, summarise

_PATIENCE = 1800  # seconds for a network
COLUMNS = {  # what is tried -> its column
    "trained": "trained", "resumed": "resumed bit for bit", "evaluated": "evaluated", "symbol": "symbol",
    "onnx": "ONNX", "fused": "fused", "int8": "int8", "teacher": "teacher", "from_data": "from images",
    "bfloat16": "bfloat16",
}  # fmt: skip


@dataclasses.dataclass
class Trial:
    """One network, and the folder in which it is tried."""

    name: str
    folder: pathlib.Path

    def __post_init__(self):
        net = get_model(self.name)
        sides = (32, net.smallest_side)
        self.side = next(side for side in sides if _takes(net, side))
        rng = np.random.default_rng(0)
        for split in ("train", "val"):
            with RecordWriter(self.folder / split, ["dark", "light"]) as writer:
                for k in range(4):
                    image = rng.integers(0, 100, (40, 40, 3)).astype(np.uint8) + 100 * (k % 2)
                    writer.add(k % 2, k, cv2.imencode(".png", image)[1].tobytes())
        self.batch = mx.nd.array(rng.standard_normal((2, 3, self.side, self.side)))

    def recipe(self, **changes) -> Recipe:
        files = {split: (str(self.folder / f"{split}.rec"),) for split in ("train", "val")}
        given = dict(model=self.name, epochs=2, batch_size=4, lr=0.001, input_size=self.side, augment="none")
        return Recipe(data="records", **files, **{**given, **changes})

    def train(self, run: str, recipe: Recipe, **options):
        options = Options(contexts=[mx.cpu()], picture_epochs=0, **options)
        return train_and_evaluate(recipe, self.folder / run, options)

    def trained(self) -> None:
        self.loss = self.train("run", self.recipe()).loss

    def resumed(self) -> None:
        shutil.copytree(self.folder / "run", self.folder / "begun")
        (self.folder / "begun" / "checkpoints" / "step-000000002.safetensors").unlink()
        self.train("begun", self.recipe(), resume=True)
        one, two = (mx.nd.load(str(self.folder / run / "final.params")) for run in ("run", "begun"))
        if not all((one[key].asnumpy() == two[key].asnumpy()).all() for key in one):
            raise Refused("the resumed training ends in other numbers")

    def evaluated(self) -> None:
        report = self.folder / "scores.json"
        words = ["--pretrained", str(self.folder / "run"), "--num-gpus", "0", "--json", str(report)]
        with contextlib.redirect_stdout(sys.stderr):
            code = evaluate.main(words)
        found = None if code else json.loads(report.read_text())["loss"]  # null where it is not finite
        if found is None or abs(found - self.loss) > 1e-4 * self.loss:
            raise Refused("evaluate gives another loss than the training")

    def symbol(self) -> None:
        self._require_same(load_network(self.folder / "run" / "final-symbol.json"), 1e-5)

    def onnx(self) -> None:
        net = OwnOutput(self._net()) if isinstance(self._net()(self.batch), (list, tuple)) else self._net()
        export_onnx(net, self.folder / "net.onnx", self._net().preprocessing)

    def fused(self) -> None:
        net = self._net()
        fuse(net, self.batch)
        self._require_same(net, 1e-3)

    def int8(self) -> None:
        if not np.isfinite(own(quantise(self._net(), [self.batch] * 2)(self.batch)).asnumpy()).all():
            raise Refused("its logits are no numbers")

    def teacher(self) -> None:
        student = self.recipe(epochs=1, model="cifar_resnet20_v1").add(Distillation(str(self.folder / "run")))
        usual = get_model(self.name).preprocessing
        self.train("student", student.set(mean=usual.mean, std=usual.std))

    def from_data(self) -> None:
        net = get_model(self.name, classes=2)
        net.initialize()
        initialise_from_data(net, mx.nd.concat(self.batch, self.batch + 1, dim=0))

    def bfloat16(self) -> None:
        precision, why = choose_precision("bfloat16", [mx.cpu()])
        if precision != "bfloat16":
            raise Refused(why)
        self.train("bfloat16", self.recipe(epochs=1, dtype="bfloat16"))

    def _net(self):
        return load_network(self.folder / "run")

    def _require_same(self, net, tolerance: float) -> None:
        expected, seen = (own(n(self.batch)).asnumpy() for n in (self._net(), net))
        difference = np.abs(seen - expected).max() / np.abs(expected).max()
        if not difference <= tolerance:
            raise Refused(f"its logits differ by {difference:.1e} of the largest")


def _takes(net, side: int) -> bool:
    with contextlib.suppress(Refused):
        net.check_images((1, 3, side, side))
        return True
    return False


def attempt(name: str) -> dict:
    """Everything of one network: what is tried -> True, or the sentence why not."""
    with tempfile.TemporaryDirectory() as folder:
        trial, net = Trial(name, pathlib.Path(folder)), get_model(name)
        total = summarise(net, net.input_size).total
        found = {"side": trial.side, "parameters": total.parameters, "multiply_adds": total.multiply_adds}
        found["amx"] = not needs_amx_off(net)
        for what in COLUMNS:
            started = time.perf_counter()
            found[what] = _outcome(getattr(trial, what))
            print(f"{name} {what}: {found[what]} ({time.perf_counter() - started:.0f} s)", file=sys.stderr, flush=True)
    return found


def _outcome(function: Callable[[], None]) -> bool | str:
    try:
        function()
        return True
    except Exception as error:  # whatever it is, it is what this network gives there
        lines = str(error).strip().splitlines() or [""]
        told = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {lines[-1]}"
        return shortened(told.replace("\n", " "), 300)


def attempt_apart(name: str) -> dict:
    """The same in a process of its own: MXNet keeps what hybridized networks took, and bfloat16 cannot be undone."""
    words = [sys.executable, "-m", "benchmarks.gluoncv_names", "--apart", name]
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, timeout=_PATIENCE, check=False)
        return json.loads(done.stdout.splitlines()[-1])
    except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
        return {"failed": f"{type(error).__name__}: {shortened(str(error), 200)}"}


def table(networks: dict[str, dict]) -> str:
    """Markdown: a row for each network, and below what did not work."""
    notes: dict[str, int] = {}

    def cell(outcome: bool | str | None) -> str:
        if outcome is None:
            return ""  # not tried
        return "yes" if outcome is True else f"no [{notes.setdefault(outcome, len(notes) + 1)}]"

    rows = [["network", "input", "parameters", "multiply-adds", *COLUMNS.values()]]
    rows.append(["---"] * len(rows[0]))
    for name, family in FAMILY_OF.items():
        seen = networks.get(name, {})
        size = [f"{seen['parameters']:,}", human(seen["multiply_adds"])] if "parameters" in seen else ["", ""]
        outcomes = (cell(seen.get(what, seen.get("failed"))) for what in COLUMNS)
        rows.append([f"`{name}`", str(family.side(name)), *size, *outcomes])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", *(f"{number}. {note}" for note, number in notes.items())])


@command
def main(argv: list[str] | None = None) -> int:
    parser = Parser(__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of networks (all)")
    parser.add_argument("--out", type=expanded, metavar="FILE", help="what is in it of other networks stays")
    parser.add_argument("--table", type=expanded, metavar="FILE", help="print what --out has written there")
    parser.add_argument("--apart", metavar="NAME", help="one network, in this process")
    args = parser.parse_args(argv)
    if args.table:
        print(table(json.loads(read_bytes(args.table, IMAGE_BYTES))["networks"]))
        return 0
    if args.apart:
        with contextlib.redirect_stdout(sys.stderr):
            found = attempt(args.apart)
        print(json.dumps(found))
        return 0
    known = list_gluoncv_models()
    if unknown := [name for name in args.names if name not in known]:
        raise Refused(f"{unknown[0]} is none of GluonCV's own networks here: choose of {', '.join(known)}")
    if args.out:
        require_writable(args.out, "--out")
    begun = args.out and args.out.exists()
    networks = json.loads(read_bytes(args.out, IMAGE_BYTES))["networks"] if begun else {}
    for name in args.names or known:
        networks[name] = attempt_apart(name)
        if args.out:
            record = {"machine": machine(), "networks": {k: networks[k] for k in known if k in networks}}
            write_text(args.out, json.dumps(record, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
