"""List the networks of the zoo: parameters, multiply-adds, and accuracy as published.

    %(prog)s                    all of them
    %(prog)s resnet50 vgg16     those whose names have one of these parts

Below the zoo's own networks stand GluonCV's: names that GluonCV has and the zoo has not built anew. They are trained,
evaluated, exported and so on under these names, but no detector or segmenter stands on them (docs/gluoncv.md). Without
a part their sizes are left out, as building all of them takes a minute.

Multiply-adds are of convolutions and dense layers, for one image of the input size. Top-1 and top-5 are percent on
ImageNet's validation images (cifar_...: on CIFAR-10's test images), as published with the file of that tag; other
commands take this file as NAME/TAG. python -m model_zoo.summary NAME shows the layers of a network. Exit code: 0 done,
2 refused.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from gluon_tricks.core.arguments import Parser
from gluon_tricks.core.commands import command
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import plural, quoted
from model_zoo import get_model, list_gluoncv_models, list_models
from model_zoo.gluoncv_table import FAMILY_OF
from model_zoo.published import PUBLISHED
from model_zoo.summary import human, summarise, table

HEAD = ("network", "input", "parameters", "multiply-adds", "top-1", "top-5", "tag")
THEIRS = "GluonCV's own"


def named(parts: Sequence[str]) -> list[str]:
    """The networks whose names have one of the parts, all without any. Raises Refused: a part is in no name."""
    names = [*list_models(), *list_gluoncv_models()]
    for part in parts:
        if not any(part.lower() in name for name in names):
            near = difflib.get_close_matches(part.lower(), names, n=3)
            remedy = f"did you mean {', '.join(near)}?" if near else "without a part all are listed"
            raise Refused(f"no network has {quoted(part)} in its name: {remedy}")
    return [name for name in names if not parts or any(part.lower() in name for part in parts)]


def rows(name: str, sized: bool = True) -> list[tuple[str, ...]]:
    """The lines of a network: one for each published file, or one.

    Args:
        sized: with its size, for which it is built.
    """
    if not sized:
        size = (name, str(FAMILY_OF[name].side(name)), "", "")
    else:
        net = get_model(name)
        total = summarise(net, net.input_size).total
        size = (name, str(net.input_size), human(total.parameters), human(total.multiply_adds))
    files = [(_percent(file.top1), _percent(file.top5), file.tag) for file in PUBLISHED.get(name, ())]
    return [(*size, *file) for file in files or [("-", "-", "-")]]


def _percent(score: float | None) -> str:
    return "-" if score is None else f"{score:.2f}"


@command
def main(argv: list[str] | None = None) -> int:
    parser = Parser(__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="of names, such as resnet50 (all networks)")
    parts = parser.parse_args(argv).parts
    names = named(parts)
    ours = [name for name in names if name in list_models()]
    theirs = [name for name in names if name not in ours]
    if ours:
        print(table(HEAD, [row for name in ours for row in rows(name)]))
    if theirs:
        print(end="\n" if ours else "")
        print(table((THEIRS, *HEAD[1:]), [row for name in theirs for row in rows(name, bool(parts))]))
    counts = [plural(len(ours), "network")] * bool(ours) + [f"{len(theirs)} of GluonCV's own"] * bool(theirs)
    print(f"\n{' and '.join(counts)}")
    return 0
