"""The tables of docs/measured.md, made from the records in results/.

python -m benchmarks.measured_page            write them
python -m benchmarks.measured_page --check    exit with 2 if they are not what would be written
"""

from __future__ import annotations

import json
import pathlib
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence

from benchmarks import scaling_own
from benchmarks.machine_rate import machine_rate
from benchmarks.results import in_page
from gluon_tricks.core.files import write_text
from model_zoo import get_model
from model_zoo.summary import summarise

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESULTS, PAGE = ROOT / "results", ROOT / "docs" / "measured.md"
NETWORKS = ("resnet50_v1d", "mobilenet1.0", "inceptionv3")
_DTYPES = ("float32", "bfloat16")
Rates = Mapping[str, Sequence[float]]  # of each contestant, in every round


def networks(machine: str = "") -> list[str]:
    """Training and prediction beside the peers'. Args: machine: what the records' names have behind "models-"."""
    head = (
        "network, precision", "training: ours", "GluonCV", "timm", "prediction: ours", "GluonCV", "timm", "fused",
        "int8",
    )  # fmt: skip
    rows = [head, ["---"] * len(head)]
    for name in _measured(machine):
        rates = _read(f"benchmark-models-{machine}{name}")
        size = get_model(name).input_size
        for dtype in _precisions(rates, name):
            training, prediction = (
                _of(rates, f"{work} with {name} at {size} px, batch 16, {dtype}") for work in ("training", "prediction")
            )
            rows.append(
                [f"{name}, {dtype}"]
                + [_rate(training, "ours"), *(_beside(training, "ours", peer) for peer in ("GluonCV", "timm"))]
                + [_rate(prediction, "ours"), *(_beside(prediction, "ours", peer) for peer in ("GluonCV", "timm"))]
                + [_beside(prediction, form, "ours", shown=form) for form in ("ours, fused", "ours, int8")]
            )
    return _table(rows)


def fractions(machine: str) -> list[str]:
    """What of the machine's matrix products each reaches, and how long a single image takes."""
    head = (
        "network, precision", "matrix products", "training: ours", "GluonCV", "timm", "prediction: ours", "GluonCV",
        "timm", "fused", "int8", "one image: ours", "timm", "fused", "int8",
    )  # fmt: skip
    rows = [head, ["---"] * len(head)]
    for name in _measured(machine):
        rates, net = _read(f"benchmark-models-{machine}{name}"), get_model(name)
        size, each = net.input_size, 2e-9 * summarise(net, net.input_size).total.multiply_adds
        for dtype in _precisions(rates, name):
            what = f"with {name} at {size} px"
            training, prediction, single = (
                _of(rates, f"{work} {what}, batch {batch}, {dtype}")
                for work, batch in (("training", 16), ("prediction", 16), ("prediction", 1))
            )
            forms = ("ours", "GluonCV", "timm", "ours, fused", "ours, int8")
            rows.append(
                [f"{name}, {dtype}", f"{statistics.median(machine_rate(prediction, dtype)):.0f} GFLOP/s"]
                + [_part(training, side, 3 * each, dtype) for side in forms[:3]]
                + [_part(prediction, side, each, dtype) for side in forms]
                + [_milliseconds(single, side) for side in ("ours", "timm", *forms[3:])]
            )
    return _table(rows)


def loader(names: Mapping[str, str]) -> list[str]:
    """The loader beside others'. Args: names: of records, and what was read, in words."""
    rows = [("what", "ours", "theirs", "ratio"), ["---"] * 4]
    for name, photos in names.items():
        rates = _read(name)
        for side in rates:
            who, _, work = side.rpartition(", ")
            for ours in (f"ours, {work}", *(["ours, reduced"] if work == "augmented" else [])):
                if who and who != "ours" and ours in rates:
                    what = f"{photos}, {work}" + (", decoded smaller" if ours == "ours, reduced" else "")
                    ratio = _ratio(rates, ours, side)
                    rows.append((what, _rate(rates, ours), f"{who} {_rate(rates, side)}", f"{ratio:.2f}x"))
    return _table(rows)


def told(name: str) -> list[str]:
    """What a benchmark printed."""
    return ["```", *_record(name)["what"], "```"]


_LOADERS = {"benchmark-loader-epyc-photos": "photos", "benchmark-loader-epyc-shapes": "small files"}


def speeds() -> list[str]:
    """The rows of README.md's table that are about speed."""
    train = _read("benchmark-train-resnet50_v1d-224")
    half, single, gluoncv = "the loop, bfloat16", "the loop, float32", "GluonCV's loop, float32"
    photos = _read("benchmark-loader-epyc-photos")
    prediction = _of(
        _read("benchmark-models-resnet50_v1d"), "prediction with resnet50_v1d at 224 px, batch 16, float32"
    )
    fused, int8 = (_ratio(prediction, f"ours, {form}", "ours") for form in ("fused", "int8"))
    seconds = _record("time_to_accuracy/imagenette64")["seconds"]
    of_paper, of_torch = (
        _ratio(seconds, "imagenette64_fast", other) for other in ("imagenette", "PyTorch, imagenette")
    )
    ranks = next(record for record in scaling_own.own() if record.name == "resnet50_v1d-loop")
    efficiency, silent = (ranks.efficiency(part) for part in ("loop", "compute"))
    iterator = _ratio(photos, "ours, augmented", "ImageRecordIter, augmented")
    rows = {
        "the loop with ResNet-50-D at 224 px, bfloat16 against float32": (
            f"{_rate(train, half)} and {_rate(train, single)} images/s"
        ),
        "the loop against a loop of GluonCV's parts, ResNet-50-D at 224 px, float32": (
            f"{_ratio(train, single, gluoncv):.2f} times as fast"
        ),
        "the loader against MXNet's ImageRecordIter, photos to augmented crops of 224 px": (
            f"{iterator:.2f} times as fast"
        ),
        "prediction with ResNet-50-D, float32, against timm under PyTorch": (
            f"{_ratio(prediction, 'ours', 'timm'):.2f} times as fast; fused operators make ours {fused:.2f} times as "
            f"fast, 8-bit integers {int8:.1f} times"
        ),
        "the same photos, 75 % top-1 by the recipe `imagenette64_fast`, 3 seeds": (
            f"in {of_paper:.2f} of the time that the paper's refinements take, {of_torch:.2f} of a PyTorch loop's"
        ),
        "training with two processes against one, ResNet-50-D at 224 px": (
            f"efficiency {efficiency:.2f}; {silent:.2f} without messages"
        ),
    }
    return [f"| {what} | {result} |" for what, result in rows.items()]


SECTIONS: dict[str, Callable[[], list[str]]] = {
    "loader": lambda: loader(_LOADERS),
    "loader, AVX2": lambda: loader({"benchmark-loader-avx2-photos": "photos"}),
    "networks, Xeon": networks,
    "networks, EPYC": lambda: networks("epyc-"),
    "parts, EPYC": lambda: fractions("epyc-"),
    "networks, AVX2": lambda: networks("avx2-"),
    "parts, AVX2": lambda: fractions("avx2-"),
    "time to accuracy": lambda: told("time_to_accuracy/imagenette64"),
}


def page(text: str) -> str:
    """docs/measured.md with its tables."""
    for name, lines in SECTIONS.items():
        marks = f"<!-- {name}: python -m benchmarks.measured_page -->\n", f"<!-- end of {name} -->\n"
        text = in_page(text, lines(), marks)
    return text


def _measured(machine: str) -> list[str]:
    return [name for name in NETWORKS if (RESULTS / f"benchmark-models-{machine}{name}.json").is_file()]


def _precisions(rates: Rates, name: str) -> list[str]:
    """Those that a network was measured in: not every CPU multiplies bfloat16."""
    return [dtype for dtype in _DTYPES if any(f" {name} " in key and f" {dtype}: ours" in key for key in rates)]


def _record(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def _read(name: str) -> Rates:
    return _record(name)["images_per_second"]


def _of(rates: Rates, what: str) -> Rates:
    """The contestants of one contest by their short names."""
    return {key[len(what) + 2 :]: found for key, found in rates.items() if key.startswith(f"{what}: ")}


def _ratio(rates: Rates, a: str, b: str) -> float:
    return statistics.median(x / y for x, y in zip(rates[a], rates[b]))


def _rate(rates: Rates, side: str) -> str:
    """images/s: three digits of it."""
    value = statistics.median(rates[side])
    return f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def _beside(rates: Rates, a: str, b: str, shown: str = "") -> str:
    """One side's images/s and the ratio a / b; "": it was not there. Args: shown: whose (b)."""
    if a not in rates or b not in rates:
        return ""
    return f"{_rate(rates, shown or b)} ({_ratio(rates, a, b):.2f}x)"


def _part(rates: Rates, side: str, each: float, dtype: str) -> str:
    """The part of the machine's rate. Args: each: GFLOP of an image."""
    if side not in rates:
        return ""
    return f"{statistics.median(each * rate / most for rate, most in zip(rates[side], machine_rate(rates, dtype))):.2f}"


def _milliseconds(rates: Rates, side: str) -> str:
    return f"{1000 / statistics.median(rates[side]):.1f} ms" if side in rates else ""


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    return ["|" + "".join(f" {cell} |" if cell else " |" for cell in row) for row in rows]


def main(words: Sequence[str]) -> int:
    before = PAGE.read_text(encoding="utf-8")
    after = page(before)
    if "--check" in words:
        return 2 * (after != before)
    write_text(PAGE, after)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
