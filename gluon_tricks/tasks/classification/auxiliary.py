"""Auxiliary classifiers: what a network such as googlenet_2014_aux gives beside its own logits, for training alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

import mxnet as mx
from mxnet.gluon import HybridBlock

from gluon_tricks.networks.of_recipe import parameters_by_name, set_parameters
from gluon_tricks.tasks.protocol import TaskLoss
from gluon_tricks.tricks import Loss
from model_zoo import get_model, keywords, weights
from model_zoo.classifier import Classifier

Outputs = Union[mx.nd.NDArray, Sequence[mx.nd.NDArray]]  # of a network: its logits; or its own, then others


def own(outputs: Outputs) -> mx.nd.NDArray:
    """The network's own logits (n, K)."""
    return outputs[0] if isinstance(outputs, (list, tuple)) else outputs


class OwnOutput(HybridBlock):
    """A network that gives its own logits alone: images (n, 3, H, W) -> (n, K). Hybridized, it computes no others."""

    def __init__(self, net: HybridBlock):
        super().__init__()
        self.net = net

    def hybrid_forward(self, F, images):
        return own(self.net(images))


def without_auxiliaries(net: Classifier) -> Classifier:
    """The network that gives another's own logits alone, with its parameters: googlenet_2014 of googlenet_2014_aux.

    Returns: what get_model gives by that name and keywords; the network itself if it has no auxiliary classifiers.
    """
    if len(net.heads) == 1:
        return net
    name = net.name.removesuffix("_aux")
    taken = keywords(name)
    kwargs = {key: value for key, value in net.keywords.items() if key in taken} | {"classes": net.classes}
    kwargs |= {"use_aux": False} if "use_aux" in taken else {}
    plain = get_model(name, **kwargs)
    plain.initialize(ctx=next(iter(net.collect_params().values())).list_ctx())
    values, wanted = weights.values_of(net), parameters_by_name(plain)
    set_parameters(plain, {key: value for key, value in values.items() if key in wanted}, net.name)
    plain.preprocessing, plain.stated = net.preprocessing, net.stated
    return plain


def with_auxiliaries(loss: Loss, weight: float) -> TaskLoss:
    """The loss of a network that may have auxiliary classifiers.

        l = l_0 + weight (l_1 + l_2 + ...)    l_k = loss(images, z_k, target), z_0 the network's own logits

    Its gradient is that of l, its value is l_0: what is told of a training then compares with the validation loss,
    which is of the network's own logits, and with that of the same network without auxiliary classifiers.

    Args:
        loss: the recipe's whole loss, which every classifier has: the same smoothed and mixed targets, the same
            teacher.
        weight: of each auxiliary classifier's loss, at least 0.

    Returns: (images (n, 3, H, W), logits (n, K) or a list of such, target) -> (n,) float32.

    Source: Szegedy et al., Going deeper with convolutions (CVPR 2015), section 5, weight 0.3; figure 4 of Kraehenbuehl
        et al. (ICLR 2016), which shows the loss of the final classifier alone.
    """

    def whole(images, outputs, target):
        value = loss(images, own(outputs), target)
        for logits in outputs[1:] if isinstance(outputs, (list, tuple)) else ():
            of_it = loss(images, logits, target)
            value = value + weight * (of_it - of_it.detach())  # 0, and weight times its gradient
        return value

    return whole
