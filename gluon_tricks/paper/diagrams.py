"""Figures 1 and 2: the architecture and its blocks, drawn from the graphs of the networks themselves."""

from __future__ import annotations

import dataclasses
import re

import mxnet as mx
from mxnet.gluon import HybridBlock

from gluon_tricks.tasks.lettering import import_pyplot
from model_zoo import get_model, graph

_FOLDED = ("BatchNorm", "Activation", "Flatten")  # told in the box of what they follow


@dataclasses.dataclass
class Box:
    """A box of a diagram: what it says, whose outputs it takes, and where it stands."""

    lines: list[str]
    inputs: list[str]
    depth: int = 0
    path: int = 0


def boxes(block: HybridBlock, channels: int, side: int) -> dict[str, Box]:
    """The operators of a block as boxes; norms and activations stand in the box of the layer before them.

    Args:
        block: what is drawn; channels, side: of its input.
    """
    symbol = block(mx.sym.Variable("data"))
    found = {"data": Box([f"input: {channels} × {side} × {side}"], [])}
    folded_into = {"data": "data"}
    for operator in graph.operators(symbol, (1, channels, side, side)):
        inputs = [folded_into[name] for name, _ in operator.inputs if name in folded_into]
        if operator.kind in _FOLDED and len(inputs) == 1 and inputs[0] != "data":
            found[inputs[0]].lines.append({"BatchNorm": "BN", "Activation": "ReLU"}.get(operator.kind, ""))
            folded_into[operator.name] = inputs[0]
            continue
        found[operator.name] = Box([_label(operator)], inputs)
        folded_into[operator.name] = operator.name
    _place(found)
    return found


def _label(operator: graph.Operator) -> str:
    attributes, shape = operator.attributes, operator.outputs[0]
    window = " × ".join(re.findall(r"\d+", attributes.get("kernel", "")))
    stride = (re.findall(r"\d+", attributes.get("stride", "")) or ["1"])[0]
    step = f", stride {stride}" if stride != "1" else ""
    if operator.kind == "Convolution":
        groups = attributes.get("num_group", "1")
        return f"conv {window}, {shape[1]}{step}" + (f", {groups} groups" if groups != "1" else "")
    if operator.kind == "Pooling":
        if attributes.get("global_pool") == "True":
            return "global average pool"
        return f"{attributes.get('pool_type', 'max')} pool {window}{step}"
    return {"elemwise_add": "+", "FullyConnected": f"dense, {shape[-1]}"}.get(operator.kind, operator.kind)


def _place(found: dict[str, Box]) -> None:
    """Depth: the longest way from the input. Path: 0 for what the residual sum takes first, 1 for its shortcut."""
    for box in found.values():
        box.depth = 1 + max((found[name].depth for name in box.inputs), default=-1)
    for box in found.values():
        if len(box.inputs) == 2:
            name = box.inputs[1]
            while name != "data":
                found[name].path = 1
                (name,) = found[name].inputs


def draw_block(panel, block: HybridBlock, channels: int, side: int, title: str) -> None:
    """A block from top to bottom on matplotlib axes."""
    found = boxes(block, channels, side)
    deepest = max(box.depth for box in found.values())
    on_side = [box for box in found.values() if box.path]
    for k, box in enumerate(on_side):  # the shortcut is spread over the height of the other path
        box.depth = deepest * (k + 1) / (len(on_side) + 1)
    two = any(len(box.inputs) == 2 for box in found.values())
    at = {
        name: (0.5 if not two or len(b.inputs) == 2 or not b.inputs else (0.26, 0.76)[b.path], -b.depth)
        for name, b in found.items()
    }
    style = dict(boxstyle="round,pad=0.4", facecolor="#eef3fa", edgecolor="#4a6fa5")
    texts = {}
    for name, box in found.items():
        lines = "\n".join((box.lines[0], ", ".join(filter(None, box.lines[1:])))).strip()
        texts[name] = panel.text(*at[name], lines, ha="center", va="center", fontsize=9, bbox=style, zorder=3)
    for name, box in found.items():
        for source in box.inputs:
            _arrow(panel, texts[source], texts[name], bend=0.6 if len(box.inputs) == 2 and source == "data" else 0)
    panel.set(xlim=(0, 1), ylim=(-deepest - 0.5, 0.5), title=title)
    panel.axis("off")


def _arrow(panel, source, target, bend: float = 0.0) -> None:
    """From the edge of one text's box to that of another's."""
    ends = dict(patchA=source.get_bbox_patch(), patchB=target.get_bbox_patch(), shrinkA=0, shrinkB=0)
    style = dict(arrowstyle="-|>", color="#555555", connectionstyle=f"arc3,rad={-bend}", **ends)
    panel.annotate("", target.get_position(), source.get_position(), arrowprops=style, zorder=1)


def figure1():
    """The architecture of ResNet-50: its parts with their shapes, its stem, and the blocks of stage 4."""
    net = get_model("resnet50_v1")
    figure, panels = import_pyplot().subplots(
        1, 4, figsize=(15, 6.4), layout="constrained", width_ratios=(1.1, 0.8, 1.2, 1.2)
    )
    _draw_parts(panels[0], net, 224)
    draw_block(panels[1], net.stem, 3, 224, "stem")
    draw_block(panels[2], net.stage4[0], 1024, 14, "stage 4, block 1 (downsampling)")
    draw_block(panels[3], net.stage4[1], 2048, 7, f"stage 4, blocks 2 to {len(net.stage4)}")
    figure.suptitle(f"{net.name}, drawn from the network")
    return figure


def _draw_parts(panel, net: HybridBlock, side: int) -> None:
    """Stem, stages and head with the shapes of what they give, one below the other."""
    x, parts = mx.sym.Variable("data"), [("input", (3, side, side))]
    for name, part in zip(("stem", "stage 1", "stage 2", "stage 3", "stage 4"), net.trunk):
        x = part(x)
        blocks = f", {len(part)} blocks" if name != "stem" else ""
        parts.append((name + blocks, x.infer_shape(data=(1, 3, side, side))[1][0][1:]))
    parts.append(("average pool, dense", (net.classes,)))
    style = dict(boxstyle="round,pad=0.5", facecolor="#fdf3e1", edgecolor="#b07d2b")
    above = None
    for k, (name, shape) in enumerate(parts):
        lines = f"{name}\n{' × '.join(map(str, shape))}"
        text = panel.text(0.5, -k, lines, ha="center", va="center", fontsize=9, bbox=style)
        if above:
            _arrow(panel, above, text)
        above = text
    panel.set(xlim=(0, 1), ylim=(-len(parts) + 0.4, 0.6), title=net.name)
    panel.axis("off")


def figure2():
    """The three tweaks: ResNet-B's downsampling block, ResNet-C's stem, ResNet-D's downsampling block."""
    figure, panels = import_pyplot().subplots(
        1, 4, figsize=(15, 6.8), layout="constrained", width_ratios=(1.2, 1.2, 0.8, 1.2)
    )
    draw_block(panels[0], get_model("resnet50_v1").stage2[0], 256, 56, "ResNet-50: downsampling")
    draw_block(panels[1], get_model("resnet50_v1b").stage2[0], 256, 56, "(a) ResNet-B: stride in the 3 × 3")
    draw_block(panels[2], get_model("resnet50_v1c").stem, 3, 224, "(b) ResNet-C: stem")
    draw_block(panels[3], get_model("resnet50_v1d").stage2[0], 256, 56, "(c) ResNet-D: pooled shortcut")
    figure.suptitle("The tweaks of section 4, drawn from the networks")
    return figure
