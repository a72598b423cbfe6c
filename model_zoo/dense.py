"""A network over whole images of any size: its dense layers turned into convolutions."""

from __future__ import annotations

import math

import mxnet as mx
from mxnet.gluon import HybridBlock, nn

from gluon_tricks.core.errors import Refused
from model_zoo.classifier import Classifier

_LARGEST = 4096  # px; beyond it no network's least side is looked for
_KEPT = (nn.Activation, nn.BatchNorm, nn.Dropout)  # the same on a map as on a vector
_POOLS = (nn.GlobalAvgPool2D, nn.AvgPool2D)


class FullyConvolutional(HybridBlock):
    """See fully_convolutional, which makes it.

    Attributes:
        name: the classifier's.
        smallest_side: images with fewer pixels on a side are refused.
    """

    def __init__(self, net: Classifier, layers: list[HybridBlock], smallest_side: int):
        super().__init__(prefix=net.prefix)
        self._called, self.smallest_side = net.name, smallest_side
        for k, layer in enumerate([*net.trunk, *layers]):
            self.register_child(layer, str(k))

    @property
    def name(self) -> str:
        return self._called

    def forward(self, images, *args):
        if isinstance(images, mx.nd.NDArray) and min(images.shape[2:]) < self.smallest_side:
            least = f"{self.smallest_side}x{self.smallest_side}"
            raise Refused(
                f"{self.name} as convolutions takes images of at least {least} pixels, but got "
                f"{images.shape[2]}x{images.shape[3]}"
            )
        return super().forward(images, *args)

    def hybrid_forward(self, F, images):
        x = images
        for part in self._children.values():
            x = part(x)
        return F.flatten(F.Pooling(x, kernel=(1, 1), pool_type="avg", global_pool=True))


def fully_convolutional(net: Classifier) -> FullyConvolutional:
    """The network as it slides over a whole image: logits at every place of the last map, averaged over the places.

    A dense layer behind a map of h x w becomes a convolution of kernel h x w, the dense layers after it convolutions
    of kernel 1. An average pool of a fixed window becomes a global one; behind a global pool there is one place.
    On images of the size that the network was made for the logits are those of the network.

    Args:
        net: with parameters, which were made for square images; it shares its convolutions with the result and stays
            as it is. Of auxiliary classifiers there is no use here.

    Returns: images (N, 3, H, W) of any size from `smallest_side` on -> logits (N, classes), in the network's dtype.

    Raises:
        Refused: the network has no parameters yet, or a layer before its logits that is not the same on a map.

    Source: Sermanet et al., OverFeat (ICLR 2014), section 3.5; Simonyan and Zisserman, Very deep convolutional networks
        (ICLR 2015), section 3.2; He et al., Deep residual learning (CVPR 2016), section 3.4.
    Differs: the papers do not say whether scores are averaged over the places before or after the softmax. Here it is
        before, as a network with a global average pool does it by itself.
    """
    if any(parameter._data is None for parameter in net.collect_params().values()):
        raise Refused(f"{net.name} has no parameters yet that could become convolutions: load some, or train it")
    layers, contexts, kernel = [], net.head.weight.list_ctx(), 1
    for layer in [*net.neck, net.head]:
        if isinstance(layer, _POOLS) and not layers:
            layers.append(nn.GlobalAvgPool2D())
        elif isinstance(layer, nn.Dense):
            side = 1 if layers else _kernel_side(net, layer)
            kernel = max(kernel, side)
            layers.append(_as_convolution(layer, side, contexts))
        elif isinstance(layer, _KEPT):
            layers.append(layer)
        elif not isinstance(layer, nn.Flatten):
            raise Refused(f"{net.name} cannot see whole images: its {type(layer).__name__} works on a vector only")
    return FullyConvolutional(net, layers, _least_side(net, kernel))


def _kernel_side(net: Classifier, layer: nn.Dense) -> int:
    """The side of the square map that a dense layer takes flattened."""
    units, channels = layer.weight.shape[1], _last_map(net, net.usual.input_size)[0]
    side = math.isqrt(units // channels)
    if side**2 * channels != units:
        raise Refused(
            f"{net.name} cannot see whole images: its dense layers take {units} numbers of {channels} channels, no "
            "square map"
        )
    return side


def _last_map(net: Classifier, side: int) -> tuple[int, int]:
    """Channels and height of the last map of a square image."""
    x = mx.sym.var("images")
    for part in net.trunk:
        x = part(x)
    return x.infer_shape(images=(1, 3, side, side))[1][0][1:3]


def _least_side(net: Classifier, kernel: int) -> int:
    """The least side of images whose last map is as large as the kernel; maps grow with the images."""
    low, high = net.smallest_side, _LARGEST
    while low < high and kernel > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _last_map(net, middle)[1] >= kernel else (middle + 1, high)
    return low


def _as_convolution(dense: nn.Dense, side: int, contexts: list[mx.Context]) -> HybridBlock:
    """The same numbers for every place of a map; an activation of the dense layer goes with it."""
    units, flat = dense.weight.shape
    channels = flat // side**2
    conv = nn.Conv2D(units, side, in_channels=channels, use_bias=dense.bias is not None)
    conv.cast(dense.weight.dtype)
    conv.initialize(mx.init.Zero(), ctx=contexts)
    conv.weight.set_data(dense.weight.data(contexts[0]).reshape((units, channels, side, side)))
    if dense.bias is not None:
        conv.bias.set_data(dense.bias.data(contexts[0]))
    if dense.act is None:
        return conv
    both = nn.HybridSequential()
    both.add(conv, dense.act)
    return both
