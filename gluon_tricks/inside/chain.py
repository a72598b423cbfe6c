"""A feed-forward network as a chain of steps, each of which can be computed and gone back through.

The way back is that of a deconvnet: through a convolution or dense layer by its transposed weights, through a max pool
to where each maximum came from, through a relu by another relu.
"""

from __future__ import annotations

import dataclasses
import itertools

import mxnet as mx
from mxnet import autograd

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import quoted, some
from gluon_tricks.initialise.walk import Graph, Node, invoke
from gluon_tricks.networks.of_recipe import restore_plain_layout
from model_zoo.lrn import LRN

_LRN = "local response normalisation"  # is several operators
# Linear, or linear where the maxima are fixed.
_BY_GRADIENT = ("Convolution", "FullyConnected", "Pooling", "Flatten", "Reshape")
_OF_A_LAYER = ("Reshape", "BatchNorm", "Activation", "relu")  # what may follow a layer and belongs to it
_PASSED = (_LRN, "Dropout", "_copy")


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of a chain.

    Args:
        kind: MXNet's name of the operator.
        path: the block's place in the network, such as "stage1.0".
        nodes: its operators; several of LRN alone.
    """

    kind: str
    path: str
    nodes: tuple[int, ...]
    attributes: dict[str, str]

    def window(self) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]] | None:
        """(extent, stride, padding) of what one number of the output sees, (y, x) each; None: the whole map."""
        if self.kind in ("FullyConnected", "Flatten") or self.attributes.get("global_pool") in ("True", "1"):
            return None
        if self.kind not in ("Convolution", "Pooling"):
            return (1, 1), (1, 1), (0, 0)
        kernel = _pair(self.attributes["kernel"])
        stride, pad, dilate = (
            _pair(self.attributes.get(name, "()"), usual) for name, usual in (("stride", 1), ("pad", 0), ("dilate", 1))
        )
        return tuple((k - 1) * d + 1 for k, d in zip(kernel, dilate)), stride, pad


@dataclasses.dataclass(frozen=True)
class Layer:
    """A convolution or dense layer whose channels can be looked at.

    Args:
        path: its place, such as "stage3.4" or "head".
        end: the step whose output is looked at: its relu, if it has one, else its normalisation, else itself.
        channels: how many it has.
        is_map: it has a place in the image: it is a convolution.
    """

    path: str
    end: int
    channels: int
    is_map: bool


class Chain:
    """A network without branches, step by step, in predict mode.

    Args:
        net: an initialised classifier. On several devices the first one counts.

    Attributes:
        steps: in order.
        layers: the convolutions and dense layers among them, in order.

    Raises:
        Refused: the network has branches, or a step for which there is no way back.

    Source: Zeiler and Fergus, Visualizing and understanding convolutional networks (ECCV 2014), section 2.1.
    Differs: the paper leaves normalisations open. Batch normalisation by running statistics is y = s x + t with
        s = gamma / sqrt(variance + eps): the way back multiplies by s, as it takes a convolution's weights and leaves
        its bias out. Local response normalisation and dropout are passed as they are.
    """

    def __init__(self, net: mx.gluon.HybridBlock):
        self.name, self._net, self._graph = net.name, net, Graph(net)
        self.context = self._graph.context
        self.steps = self._find_steps()
        self.layers = [*self._find_layers()]

    def _find_steps(self) -> list[Step]:
        """The operators in order, each having one input that is no parameter: the output of the one before it."""
        graph, steps = self._graph, []
        nodes = [k for k, node in enumerate(graph.nodes) if _computes(node)]
        lrn = graph.prefixes(LRN)
        before = next(k for k, node in enumerate(graph.nodes) if node.name == "data")

        def of_lrn(k: int) -> str | None:
            return next((prefix for prefix in lrn if graph.nodes[k].name.startswith(prefix)), None)

        for prefix, group in itertools.groupby(nodes, of_lrn):
            for part in [tuple(group)] if prefix else [(k,) for k in group]:
                node = graph.nodes[part[0]]
                entering = {j for k in part for j, _ in graph.nodes[k].inputs if _is_data(graph.nodes[j])} - {*part}
                if entering != {before}:
                    raise Refused(self._no_chain(f"it branches at {node.path}"))
                steps.append(Step(_LRN if prefix else node.kind, node.path, part, node.attributes))
                before = part[-1]
        if [head[0] for head in graph.heads] != [before]:
            raise Refused(self._no_chain("it has several outputs"))
        for step in steps:
            self._require_way_back(step)
        return steps

    def _no_chain(self, why: str) -> str:
        return (
            f"{self.name} cannot be followed back, because {why}: deconvolution views are of networks that are a "
            "chain of layers, such as alexnet, zfnet and vgg16"
        )

    def _require_way_back(self, step: Step) -> None:
        relu = step.kind == "relu" or (step.kind == "Activation" and step.attributes.get("act_type") == "relu")
        if not relu and step.kind not in (*_BY_GRADIENT, *_PASSED, "BatchNorm"):
            called = step.attributes.get("act_type", step.kind)
            raise Refused(self._no_chain(f"{step.path} is a {called}, for which there is no way back"))

    def _find_layers(self):
        for k, step in enumerate(self.steps):
            if step.kind not in ("Convolution", "FullyConnected"):
                continue
            end = k
            while end + 1 < len(self.steps) and self.steps[end + 1].kind in _OF_A_LAYER:
                end += 1
            units = self._graph.parameter(self._graph.nodes[step.nodes[0]], 1).shape[0]
            yield Layer(step.path, end, units, step.kind == "Convolution")

    def layer(self, path: str) -> Layer:
        """The layer at a place. Raises: Refused."""
        for layer in self.layers:
            if layer.path == path:
                return layer
        raise Refused(f"{self.name} has no layer {quoted(path)}: there are {some([a.path for a in self.layers], 24)}")

    def forward(self, step: Step, x: mx.nd.NDArray) -> mx.nd.NDArray:
        """The output of a step for its input, each (n, C, h, w) or (n, C)."""
        if step.kind == "Dropout":
            return x
        values = {}
        for k in step.nodes:
            node = self._graph.nodes[k]
            values[k] = invoke(node, [self._argument(j, x, values) for j, _ in node.inputs])[0]
        return values[step.nodes[-1]]

    def _argument(self, j: int, x: mx.nd.NDArray, values: dict) -> mx.nd.NDArray:
        """What a node takes from node j: what was computed in this step, a parameter, or the step's input."""
        parameter = self._graph.parameters.get(self._graph.nodes[j].name)
        if parameter is not None:
            return parameter.data(self.context).detach()  # else its gradient would be computed, and overwritten
        return values.get(j, x)

    def settle(self) -> None:
        """Ends a pass over the steps: the weights are as training needs them (see restore_plain_layout)."""
        restore_plain_layout(self._net)

    def back(self, step: Step, x: mx.nd.NDArray, signal: mx.nd.NDArray) -> mx.nd.NDArray:
        """The signal at the input of a step, given that at its output.

        Max pools put each number where its maximum came from; where the windows of a pool overlap and share a maximum,
        the numbers add up.

        Args:
            x: the step's input in the forward pass, which has the places of the maxima.
            signal: of the shape of the step's output.

        Differs: the paper does not say what becomes of a place that is the maximum of two windows, as its pools of 3x3
            with stride 2 have them. The sum is what makes unpooling the transpose of pooling.
        """
        if step.kind in _PASSED:
            return signal
        if step.kind in ("Activation", "relu"):
            return mx.nd.maximum(signal, 0)
        if step.kind == "BatchNorm":
            return mx.nd.broadcast_mul(signal, self._slope(step).reshape((1, -1) + (1,) * (signal.ndim - 2)))
        x = x.copy()
        x.attach_grad()
        with autograd.record():
            y = self.forward(step, x)
        y.backward(signal)
        return x.grad

    def _slope(self, step: Step) -> mx.nd.NDArray:
        """gamma / sqrt(running variance + eps), (C,)."""
        node = self._graph.nodes[step.nodes[0]]
        gamma, _, _, variance = (self._argument(j, None, {}) for j, _ in node.inputs[1:])
        scale = mx.nd.rsqrt(variance + float(step.attributes.get("eps", 1e-3)))
        return scale if step.attributes.get("fix_gamma", "True") == "True" else scale * gamma

    def sees(self, layer: Layer, y: int, x: int, height: int, width: int) -> tuple[int, int, int, int]:
        """The receptive field of a place of a layer: (top, left, bottom, right) px, bottom and right outside of it.

        What of it lies beyond the image is cut off.

        Args:
            y, x: in the layer's map.
            height, width: of the image.
        """
        spans = [[y, y + 1], [x, x + 1]]
        for step in reversed(self.steps[: layer.end + 1]):
            window = step.window()
            if window is None:
                return 0, 0, height, width
            for span, extent, stride, pad in zip(spans, *window):
                span[0], span[1] = span[0] * stride - pad, (span[1] - 1) * stride - pad + extent
        (top, bottom), (left, right) = spans
        return max(top, 0), max(left, 0), min(bottom, height), min(right, width)


def _computes(node: Node) -> bool:
    return node.kind not in ("null", "amp_cast", "amp_multicast")


def _is_data(node: Node) -> bool:
    """Whether it comes from the images, not from the parameters alone."""
    return node.kind != "null" or node.name == "data"


def _pair(text: str, usual: int = 1) -> tuple[int, int]:
    """(3, 3) of "(3, 3)"; of "()" the usual number twice."""
    numbers = [int(part) for part in text.strip("()[] ").split(",") if part.strip()]
    return tuple(numbers) if len(numbers) == 2 else (usual, usual)
