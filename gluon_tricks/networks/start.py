"""What the parameters of a network are before training: the initialisations that a recipe names."""

from __future__ import annotations

from collections.abc import Iterator

import mxnet as mx
import numpy as np

from gluon_tricks.recipes.recipe import Recipe


@mx.init.register
class Kaiming(mx.init.Initializer):
    """N(0, 2 / fan) for layers that relus follow.

    fan_in: of an output, inputs x kernel area; fan_out: of an input, outputs x kernel area; both within a group.

    Args:
        fan: "in" keeps the size of what goes forward, "out" that of the gradients.
        groups: of the layer.

    Source: He et al., Delving deep into rectifiers (ICCV 2015), equations 10 and 14.
    Differs: MXNet's MSRAPrelu counts the outputs of all groups in fan_out; of a depthwise convolution they are one.
    """

    def __init__(self, fan: str = "in", groups: int = 1):
        super().__init__(fan=fan, groups=groups)
        self._fan, self._groups = fan, groups

    def deviation(self, shape: tuple[int, ...]) -> float:
        """Of the weights of a layer, (outputs, inputs of a group, *kernel)."""
        each = shape[1] if self._fan == "in" else shape[0] // self._groups
        return float(np.sqrt(2 / (each * np.prod(shape[2:]))))

    def _init_weight(self, name, arr):
        arr[:] = mx.nd.random.normal(0, self.deviation(arr.shape), arr.shape, ctx=arr.context)


def starts(recipe: Recipe, net: mx.gluon.Block) -> dict[str, mx.init.Initializer | None]:
    """Of each parameter of a network, by its full name: what it is initialised by; None: what its layer brings.

    "paper": Xavier uniform, a = sqrt(6 / (fan_in + fan_out)), the fans including the kernel's area; biases 0.
    "gluoncv": what the layers bring, and He's normal initialisation for leaky units of slope 1/4 where they bring none.
    "gaussian": N(0, init_sd^2); biases stay what the layers bring, which is 1 where AlexNet has them so, else 0.
    "plain": N(0, init_sd^2); biases 0.
    "kaiming", "kaiming_out": see Kaiming; biases 0. "kaiming_conv": in convolutions; dense layers are "plain".

    All but "gluoncv" hold for every layer, whatever it brings. gamma is 1 and beta 0 in all.

    Source: Bag of Tricks, section 2.1; ILSVRC winners, "initialization" of each; for "plain" and "kaiming_conv"
        Krähenbühl et al., Data-dependent initializations (ICLR 2016), sections 4.1 and 4.2.
    Differs: Bag of Tricks gives channel sizes for Xavier's fans; with 3x3 kernels that diverges.
    """
    names = list(net.collect_params())
    if recipe.init == "gluoncv":
        return dict.fromkeys(names)
    groups = {layer.weight.name: count for layer, count in _layers_in_groups(net)}
    found: dict[str, mx.init.Initializer | None] = {}
    for name in names:
        kind = name.rsplit("_", 1)[-1]
        if kind == "weight":
            found[name] = _of_weights(recipe, groups.get(name))
        else:
            found[name] = mx.init.Zero() if kind == "bias" and recipe.init != "gaussian" else None
    return found


def _of_weights(recipe: Recipe, groups: int | None) -> mx.init.Initializer:
    """Args: groups: of a convolution; None: a dense layer."""
    if recipe.init in ("gaussian", "plain") or recipe.init == "kaiming_conv" and groups is None:
        return mx.init.Normal(recipe.init_sd)
    if recipe.init == "paper":
        return mx.init.Xavier("uniform", "avg", 3)
    return Kaiming("out" if recipe.init == "kaiming_out" else "in", groups or 1)


def _layers_in_groups(block: mx.gluon.Block) -> Iterator[tuple[mx.gluon.Block, int]]:
    """The convolutions, each with its number of groups."""
    groups = getattr(block, "_kwargs", {}).get("num_group")
    if groups is not None:
        yield block, groups
    for child in block._children.values():
        yield from _layers_in_groups(child)
