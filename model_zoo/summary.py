"""The size of any network: layers, parameters, multiply-adds and activation memory.

    python -m model_zoo.summary resnet50_v1d --input-size 224
    python -m model_zoo.summary --table5

Everything is read from the traced graph and its inferred shapes: nothing is computed, no weight has to exist.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence

from gluon_tricks.core.arguments import Parser, whole
from gluon_tricks.core.commands import command
from gluon_tricks.core.errors import Refused, require_known  # before `import mxnet`, for which it prepares the process
from gluon_tricks.core.files import require_writable, write_text
from gluon_tricks.core.json_text import json_or_text
from gluon_tricks.core.reading import expanded
from gluon_tricks.core.wording import quoted

# isort: split
from mxnet.gluon import Constant, HybridBlock

from model_zoo import get_model, keywords
from model_zoo.graph import LAYERS, VIEWS, Operator, operators, place, places, trace
from model_zoo.preprocessing import LARGEST_INPUT

LARGEST_BATCH = 1 << 20

COUNTED = (
    "layers: convolutions and dense layers, those of shortcuts too\n"
    "parameters: weights, biases, gamma and beta; running statistics are not counted\n"
    "multiply-adds: of convolutions and dense layers for one image; adding biases, norms, pooling, activations, "
    "additions and products are not counted\n"
    "activations: the outputs of all operators for the batch, 4 bytes a number, each once; those that only rename "
    "their input (flatten, reshape) are not counted, nor are the images, parameters, gradients and work space"
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One operator of the network, or several taken together.

    Args:
        name: the place of its block in the network, such as stage1.0.conv1.
        operator: MXNet's name for it; "" for several.
        output: shape of the (last) output.
        layers: 1 for a convolution or dense layer.
        parameters: trainable numbers; of a shared parameter at its first use only.
        multiply_adds: for one image.
        activation_bytes: of the outputs for the batch, in float32.
    """

    name: str
    operator: str
    output: tuple[int, ...]
    layers: int
    parameters: int
    multiply_adds: int
    activation_bytes: int


@dataclasses.dataclass(frozen=True)
class Summary:
    """A network's operators in the order they run, and the sums over them. COUNTED says what is counted.

    Args:
        name: of the network.
        input: shape of the images, (N, C, H, W).
        rows: one for each operator.
    """

    name: str
    input: tuple[int, ...]
    rows: tuple[Row, ...]

    @property
    def total(self) -> Row:
        return _together("total", self.rows)

    def parts(self) -> tuple[Row, ...]:
        """One row per direct child of the network (stem, stage1, ...), in the order of their first operator."""
        names = dict.fromkeys(row.name.split(".")[0] for row in self.rows)
        return tuple(_together(name, [row for row in self.rows if row.name.split(".")[0] == name]) for name in names)

    def to_json(self) -> dict:
        """A JSON object with the sums and all rows."""
        sums = {key: value for key, value in dataclasses.asdict(self.total).items() if key not in ("name", "operator")}
        rows = [dataclasses.asdict(row) for row in self.rows]
        return {"model": self.name, "input": self.input, **sums, "rows": rows, "counted": COUNTED.splitlines()}


def _together(name: str, rows: Sequence[Row]) -> Row:
    keys = ("layers", "parameters", "multiply_adds", "activation_bytes")
    sums = {key: sum(getattr(row, key) for row in rows) for key in keys}
    return Row(name, "", rows[-1].output if rows else (), **sums)


def summarise(net: HybridBlock, input_size: int | tuple[int, int], batch_size: int = 1, channels: int = 3) -> Summary:
    """Counts what a network has and does for images of a size.

    Args:
        net: any hybrid network of one input, GluonCV's too; it need not be initialised and is left as it is.
        input_size: side of the images, or (height, width), px.
        batch_size: N, for the activation memory.
        channels: of the images.

    Returns: one row per operator.

    Raises:
        Refused: the network cannot take images of this size.
    """
    height, width = (input_size, input_size) if isinstance(input_size, int) else input_size
    shape = (batch_size, channels, height, width)
    if min(shape) < 1:
        raise Refused(f"{net.name}: there are no images of shape {shape}: batch and sides take 1 or more")
    if max(height, width) > LARGEST_INPUT or batch_size > LARGEST_BATCH:
        most = f"sides take up to {LARGEST_INPUT}, the batch up to {LARGEST_BATCH}"
        raise Refused(f"{net.name}: images of shape {shape} are too large: {most}")
    if hasattr(net, "check_images"):
        net.check_images(shape)
    symbol = trace(net)
    try:
        found = operators(symbol, shape)
    except Refused as error:
        raise Refused(f"{net.name}: {error}") from None
    trainable = {p.name for p in net.collect_params().values() if not isinstance(p, Constant)}
    trainable -= {*symbol.list_auxiliary_states(), *(operator.fixed_gamma for operator in found)}
    return Summary(net.name, shape, tuple(_rows(found, places(net), trainable, batch_size)))


def _rows(found: list[Operator], prefixes: dict[str, str], trainable: set[str], batch_size: int) -> Iterator[Row]:
    unseen = set(trainable)
    for operator in found:
        own = {name: math.prod(shape) for name, shape in operator.inputs if name in unseen}
        unseen -= own.keys()
        yield Row(
            name=place(operator, prefixes),
            operator=operator.kind,
            output=operator.outputs[-1],
            layers=int(operator.kind in LAYERS),
            parameters=sum(own.values()),
            multiply_adds=operator.multiply_adds // batch_size,
            activation_bytes=0 if operator.kind in VIEWS else 4 * sum(map(math.prod, operator.outputs)),
        )


# --- as text ------------------------------------------------------------------------------------------------------


def human(count: float, unit: str = "") -> str:
    """Three digits and more: 4.09 G, 25.6 M, 864."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.{2 if count < 10 * size else 1}f} {letter}{unit}"
    return f"{count:.0f} {unit}".strip()


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of text, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    lines = [
        [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]
        for row in (head, ["-" * width for width in widths], *rows)
    ]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def as_text(summary: Summary, every_layer: bool = False) -> str:
    """A table with a row per stage, or per operator, the sums, and what is counted."""
    rows = [*(summary.rows if every_layer else summary.parts()), summary.total]
    cells = [
        [
            f"{row.name} {row.operator}".strip(),
            "x".join(map(str, row.output)),
            f"{row.layers:,}",
            f"{row.parameters:,}",
            human(row.multiply_adds),
            human(row.activation_bytes, "B"),
        ]
        for row in rows
    ]
    head = ("", "output", "layers", "parameters", "multiply-adds", "activations")
    shape = "x".join(map(str, summary.input))
    return f"{summary.name}, images {shape}\n\n{table(head, cells)}\n\n{COUNTED}"


# --- the paper's tables -------------------------------------------------------------------------------------------

PAPER = {  # table -> (the paper's row, our network, its parameters in 1e6 where given, its FLOPs in 1e9)
    1: (
        ("ResNet-50", "resnet50_v1", None, 3.9),
        ("ResNeXt-50", "resnext50_32x4d", None, 4.2),
        ("SE-ResNet-50", "se_resnet50_v1", None, 3.9),
        ("SE-ResNeXt-50", "se_resnext50_32x4d", None, 4.3),
        ("DenseNet-201", "densenet201", None, 4.3),
        ("ResNet-50 + tricks", "resnet50_v1d", None, 4.3),
    ),
    5: (
        ("ResNet-50", "resnet50_v1", 25, 3.8),
        ("ResNet-50-B", "resnet50_v1b", 25, 4.1),
        ("ResNet-50-C", "resnet50_v1c", 25, 4.3),
        ("ResNet-50-D", "resnet50_v1d", 25, 4.3),
    ),
}
_SAME = "The paper gives 3.9 G in table 1 and 3.8 G in table 5 for the same ResNet-50: it has 3.86 G."


def paper_table(number: int) -> str:
    """Our counts beside those of the paper's table 1 or 5, at 224 pixels.

    Source: Bag of Tricks, tables 1 and 5; what it calls FLOPs are multiply-adds.
    """
    rows = []
    for label, name, parameters, flops in PAPER[number]:
        total = summarise(get_model(name), 224).total
        ours = total.multiply_adds / 1e9
        given = f"{parameters} M" if parameters else ""
        rows.append(
            [label, name, f"{total.parameters / 1e6:.2f} M", given]
            + [f"{ours:.2f} G", f"{flops} G", f"{100 * (ours / flops - 1):+.1f} %"]
        )
    head = ("table " + str(number), "here", "parameters", "paper", "multiply-adds", "paper", "difference")
    return f"{table(head, rows)}\n\n{_SAME}\n\n{COUNTED}"


# --- the command --------------------------------------------------------------------------------------------------


def _parse(argv: Sequence[str] | None) -> Namespace:
    parser = Parser("The size of a network.", prog="python -m model_zoo.summary")
    parser.add_argument("model", nargs="?", help="a name of the zoo")
    parser.add_argument(
        "--input-size", type=whole(1, LARGEST_INPUT), metavar="PX", help="side of the images (the network's own)"
    )
    parser.add_argument("--batch-size", type=whole(1, LARGEST_BATCH), metavar="N", help="images in the batch (1)")
    parser.add_argument(
        "--classes", type=whole(1, 1 << 20), metavar="K", help="number of logits (default: the network's own)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a keyword of the network")
    parser.add_argument("--layers", action="store_true", help="one row per operator, not per stage")
    parser.add_argument("--json", type=expanded, metavar="FILE", help="write all of it there as well")
    parser.add_argument("--table1", action="store_true", help="the paper's table 1 with our counts beside it")
    parser.add_argument("--table5", action="store_true", help="the same for table 5")
    options = parser.parse_args(argv)
    if bool(options.model) == (options.table1 or options.table5):
        parser.error("give a model, or --table1 or --table5")
    of_a_model = ("input_size", "batch_size", "classes", "set", "layers", "json")
    given = ["--" + name.replace("_", "-") for name in of_a_model if getattr(options, name) not in (None, False, [])]
    if given and not options.model:
        parser.error(f"{', '.join(given)}: only for a model; leave out with --table1 and --table5")
    return options


def settings_of(model: str, settings: Sequence[str]) -> dict:
    """["last_gamma=true", ...] -> keywords of a network, of those that it has; values are JSON, else text."""
    values = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise Refused(f"--set takes key=value, but got {quoted(setting)}")
        values[require_known(key, keywords(model), "argument", model)] = json_or_text(text)
    return values


@command
def main(argv: Sequence[str] | None = None) -> int:
    options = _parse(argv)
    if options.json:
        require_writable(options.json, "--json")
    for number in (1, 5):
        if getattr(options, f"table{number}"):
            print(paper_table(number), end="\n\n" if number == 1 and options.table5 else "\n")
    if options.model:
        given = settings_of(options.model, options.set) | (
            {} if options.classes is None else {"classes": options.classes}
        )
        net = get_model(options.model, **given)
        size = net.input_size if options.input_size is None else options.input_size
        summary = summarise(net, size, options.batch_size or 1)
        print(as_text(summary, options.layers))
        if options.json:
            write_text(options.json, json.dumps(summary.to_json(), indent=1), named=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
