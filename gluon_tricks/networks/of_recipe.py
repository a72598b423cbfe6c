"""From a recipe to a classifier, built and initialised; and the parameters of any network by name."""

from __future__ import annotations

import ctypes
import functools
import itertools
import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import mxnet as mx
import numpy as np
import safetensors.numpy
from mxnet.base import _LIB, check_call

from gluon_tricks.core import memory
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import plural
from gluon_tricks.networks.start import starts
from gluon_tricks.ranks import distributed
from gluon_tricks.ranks.sync_batch_norm import SyncBatchNorm
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.settings import Settings
from model_zoo import get_model, keywords
from model_zoo.classifier import is_whole
from model_zoo.summary import summarise

_TRAINING_ALONE = ("drop_path", "drop_path_per")  # keywords of networks


def untrained(recipe: Recipe, pretrained: str = "", ctx=None, to_train: bool = False) -> mx.gluon.HybridBlock:
    """The recipe's classifier, uninitialised unless `pretrained` says where its parameters come from.

    Args:
        to_train: with layers that work over all ranks, where the recipe has them and there are several; and, at
            epoch 0, with an uninitialised head where `pretrained` has another number of classes.
        pretrained: a parameter file, the tag of one that GluonCV published, or "true" for the default one; "": none.

    Raises:
        Refused: a model or keyword that the zoo does not know.
    """
    kwargs = network_keywords(recipe, to_train)
    if recipe.classes is not None:
        kwargs["classes"] = recipe.classes
    begins = to_train and not recipe.start_epoch
    return get_model(recipe.model, pretrained=pretrained or False, ctx=ctx, any_classes=begins, **kwargs)


def network_keywords(recipe: Settings, to_train: bool, others: Sequence[str] = ()) -> dict[str, Any]:
    """The recipe's keywords of its network, or base network, a normalisation layer being made from its name.

    Args:
        to_train: as of untrained; otherwise without what the network does in training alone.
        others: keywords that are not for the recipe to say, beside those that never are.

    Raises:
        Refused: it says one of them, or a normalisation layer that there is not.
    """
    kwargs = recipe.net_kwargs()
    _require_taken(recipe)
    if not to_train:  # else an exported graph would have the dropped branches' operators, which fusion cannot pass
        kwargs = {name: value for name, value in kwargs.items() if name not in _TRAINING_ALONE}
    for name in {"name", "pretrained", "ctx", "any_classes", *others} & kwargs.keys():
        raise Refused(f"net.{name} cannot be set here: use --model, --set classes=K, --use-pretrained or --num-gpus")
    if "norm_layer" in kwargs:
        kwargs["norm_layer"] = _norm_layer(kwargs["norm_layer"], recipe.model, to_train and distributed.ranks() > 1)
    return kwargs


def _require_taken(recipe: Settings) -> None:
    """Refuses a trick whose keywords the network does not take."""
    for trick in recipe.tricks:
        missing = [name for name in trick.net_kwargs() if name not in keywords(recipe.model)]
        if missing:
            raise Refused(
                f"{trick.label()} is for networks that take {', '.join(missing)}, the residual ones, and "
                f"{recipe.model} does not: leave {trick.label()} out, or choose another network"
            )


def restored_classifier(
    recipe: Recipe, source: str | os.PathLike, contexts: Sequence[mx.Context],
    arrays: dict[str, np.ndarray] | None = None,
) -> mx.gluon.HybridBlock:  # fmt: skip
    """The recipe's classifier with trained parameters. Args and Raises: as for Task.restored."""
    if arrays is None:
        return untrained(recipe, pretrained=str(source), ctx=list(contexts))
    net = untrained(recipe, ctx=list(contexts))
    check_parameters(net, arrays, source)  # before the recipe's number of classes is believed
    for parameter in net.collect_params().values():  # drawing numbers that are replaced takes long
        parameter.initialize(mx.init.Zero(), ctx=list(contexts))
    set_parameters(net, arrays, source)
    return net


def _norm_layer(name: str, model: str, over_ranks: bool) -> Callable[..., mx.gluon.HybridBlock]:
    grouped = functools.partial(_group_norm, model)
    grouped.reads_as = mx.gluon.nn.GroupNorm, {"num_groups": 32}  # see built_with.told_keywords
    layers = {"BatchNorm": mx.gluon.nn.BatchNorm, "GroupNorm": grouped, "SyncBatchNorm": mx.gluon.nn.BatchNorm}
    if not isinstance(name, str) or name not in layers:  # of a recipe file it may be anything
        raise Refused(f"net.norm_layer is {name!r}: choose one of {', '.join(layers)}")
    if name != "SyncBatchNorm" or not over_ranks:
        return layers[name]
    number = itertools.count()
    return lambda **kwargs: SyncBatchNorm(f"sync_batch_norm.{next(number)}", **kwargs)


def _group_norm(
    model: str, in_channels: int = 0, num_groups: int = 32, momentum: float = 0.0, **kwargs
) -> mx.gluon.nn.GroupNorm:
    """Groups of 32 as in GluonCV's --use-gn, whose own layer MXNet 1.9.1 cannot hybridize. It infers in_channels.

    Args:
        in_channels: 0: GluonCV's own network, which does not say it: require_images then finds what does not divide.
        momentum: of BatchNorm's statistics, which GluonCV's networks give to every layer.
    """
    if in_channels == 3:  # of colours
        raise Refused(
            f"{model} normalises its input too, whose 3 channels GroupNorm cannot divide into its groups: leave out "
            "--use-gn, or choose another network"
        )
    if not is_whole(num_groups) or num_groups < 1 or in_channels % num_groups:
        raise Refused(
            f"{model} has a layer of {in_channels} channels, which {num_groups} groups do not divide: choose another "
            f"number of groups with --set 'net.norm_kwargs={{\"num_groups\": {math.gcd(in_channels, 32)}}}', or "
            "leave out --use-gn"
        )
    return mx.gluon.nn.GroupNorm(num_groups=num_groups, **kwargs)


def require_images(
    net: mx.gluon.HybridBlock, shape: tuple[int, int, int], context: mx.Context | None, to_train: bool = False,
    number_bytes: int = 4, copies: int = 3,
) -> None:  # fmt: skip
    """Refuses images that a network cannot take, or that take more memory than its device has, before any is taken.

    Counted is the least that is needed: the images, the parameters, and the outputs of convolutions and dense layers,
    of which training keeps all and prediction one at a time.

    Args:
        shape: how many images the device has at a time, their height and width, px.
        context: the device; None: one of any memory.
        number_bytes: of a number in the network.
        copies: of Settings.copies, in training.

    Raises:
        Refused: too small, too large, or too many for the memory.
    """
    images, height, width = shape
    needed, there = images * 3 * height * width * (1 + number_bytes), _memory_of(context)
    if needed <= there and not isinstance(net, mx.gluon.SymbolBlock):
        summary = summarise(net, (height, width), images)
        outputs = [row.activation_bytes for row in summary.rows if row.layers]
        needed += number_bytes * (sum(outputs) if to_train else max(outputs)) // 4
        needed += number_bytes * summary.total.parameters * (copies if to_train else 1)
    if needed > there:
        raise Refused(
            f"{net.name} needs at least {needed / 1e9:.1f} GB of memory for {plural(images, 'image')} of "
            f"{height}x{width} px, and {context} has {there / 1e9:.1f} GB: use smaller images or a smaller batch"
        )


def _memory_of(context: mx.Context | None) -> float:
    if context is None:
        return math.inf
    if context.device_type == "gpu":
        return mx.context.gpu_memory_info(context.device_id)[1]
    return memory.whole_memory()


def training_shape(recipe: Settings, contexts: Sequence[mx.Context], height: int, width: int) -> tuple[int, int, int]:
    """What a device has at a time in training: images, height, width; several "CPUs" are one. Of no device 1 image."""
    if not contexts:
        return 1, height, width
    devices = len(contexts) if contexts[0].device_type == "gpu" else 1
    rounds = recipe.rounds(len(contexts) * distributed.ranks())
    return recipe.batch_size // (distributed.ranks() * rounds * devices), height, width


def initialised_network(recipe: Recipe, contexts: Sequence[mx.Context]) -> mx.gluon.HybridBlock:
    """The recipe's network with parameters on every device, the same for the same seed.

    What they are is recipe.init's (see start.starts). With recipe.pretrained the file gives the parameters, except
    those of a head of another number of classes, or with recipe.new_head of any.
    """
    recipe = recipe.resolved()
    mx.random.seed(recipe.seed)
    net = untrained(recipe, pretrained=recipe.pretrained, ctx=list(contexts), to_train=True)
    _require_largest(net, recipe, contexts)
    chosen, heads = starts(recipe, net), net.output_parts if recipe.new_head else ()
    anew = {id(p) for name, p in parameters_by_name(net).items() if name.split(".")[0] in heads}
    for name, parameter in net.collect_params().items():
        if parameter._data is None or id(parameter) in anew:  # no file gave it, or not for these classes
            default = mx.init.MSRAPrelu()
            parameter.initialize(chosen[name], ctx=list(contexts), default_init=default, force_reinit=True)
    _finish(net, recipe, contexts)
    return net


def outlined_network(recipe: Recipe) -> mx.gluon.HybridBlock:
    """The same without parameters: their names and shapes, and what the tricks set of them.

    Raises:
        Refused: as of initialised_network, but for the memory of devices and the files that it starts from.
    """
    recipe = recipe.resolved()
    net = untrained(recipe, to_train=True)
    _require_largest(net, recipe, ())
    _finish(net, recipe, ())
    return net


def _finish(net: mx.gluon.HybridBlock, recipe: Recipe, contexts: Sequence[mx.Context]) -> None:
    """What follows from the shapes of the parameters: the sizes that the network takes, and what tricks change."""
    _materialise(net, recipe.input_size)
    for size in recipe.training_sizes if recipe.training_sizes != (recipe.input_size,) else ():
        _require_size(net, recipe, contexts, size)
    for trick in recipe.tricks:
        trick.after_initialize(net)


def _require_size(net: mx.gluon.HybridBlock, recipe: Recipe, contexts: Sequence[mx.Context], size: int) -> None:
    """Refuses training images of a size that the network cannot take, or that do not fit into the memory."""
    shape, number_bytes = training_shape(recipe, contexts, size, size), 4 if recipe.dtype == "float32" else 2
    try:
        context = next(iter(contexts), None)
        require_images(net, shape, context, to_train=True, number_bytes=number_bytes, copies=recipe.copies())
    except Refused as error:
        if size == recipe.input_size:
            raise
        raise Refused(
            f"training images of {size} px, where the network is for {recipe.input_size} px: {error}; or leave out "
            "resizing and train_size"
        ) from None


def _require_largest(net: mx.gluon.HybridBlock, recipe: Recipe, contexts: Sequence[mx.Context]) -> None:
    """The same of the largest training images, and of those in use, before parameters get shapes by the latter."""
    _require_size(net, recipe, contexts, recipe.training_sizes[-1])
    if recipe.input_size != recipe.training_sizes[-1]:
        shape = training_shape(recipe, contexts, recipe.input_size, recipe.input_size)
        require_images(net, shape, next(iter(contexts), None))


def input_dtype(precision: str) -> str:
    """What a network is fed: under AMP float32, which the first layer turns into bfloat16."""
    return "float16" if precision == "float16" else "float32"


def dtype_of(net: mx.gluon.HybridBlock) -> str:
    """What a network is fed that somebody has opened, and maybe cast. An exported graph has float32."""
    # Normalisation stays in float32 when a network is cast, and some begin with one.
    halves = any(np.dtype(parameter.dtype) == np.float16 for parameter in net.collect_params().values())
    return "float16" if halves else np.dtype(next(iter(net.collect_params().values())).dtype).name


def _materialise(net: mx.gluon.HybridBlock, input_size: int) -> None:
    """Gives all parameters their shapes and deferred data, by no forward, which could change layout or statistics."""
    parameters = net.collect_params().values()
    if any(0 in parameter.shape for parameter in parameters):
        net.infer_shape(mx.nd.zeros((1, 3, input_size, input_size)))
        for parameter in parameters:
            parameter._finish_deferred_init()


def parameters_by_name(net: mx.gluon.Block) -> dict[str, mx.gluon.Parameter]:
    """The network's parameters by structural name, as save_parameters writes them."""
    return net._collect_params_with_prefix()


def check_parameters(net: mx.gluon.Block, arrays: dict[str, np.ndarray], source) -> None:
    """Refuses arrays that are not those of a network, before memory is taken for what the network says it has."""
    parameters = parameters_by_name(net)
    if set(parameters) != set(arrays):
        odd = sorted(set(parameters) ^ set(arrays))
        raise Refused(
            f"{source} is of another network: {plural(len(odd), 'parameter')} of another name, such as {odd[0]}"
        )
    for name, parameter in parameters.items():
        seen, wanted = arrays[name].shape, parameter.shape  # 0: not known yet
        if len(seen) != len(wanted) or any(w not in (0, s) for s, w in zip(seen, wanted)):
            raise Refused(f"{source}: {name} has shape {seen}, this network's has {wanted}")


def set_parameters(net: mx.gluon.Block, arrays: dict[str, np.ndarray], source) -> None:
    """Sets every parameter of a network, on all its devices, in the plain layout; the arrays give open shapes.

    Args:
        arrays: by structural name; all of them and no others.
        source: what an error names.
    """
    check_parameters(net, arrays, source)
    for name, parameter in parameters_by_name(net).items():
        parameter.set_data(mx.nd.array(arrays[name], dtype=arrays[name].dtype))
        parameter._finish_deferred_init()  # of a first dense layer, whose shape the images would give


def broadcast_parameters(net: mx.gluon.Block) -> None:
    """Gives every rank the parameters that rank 0 has."""
    if distributed.ranks() == 1:
        return
    arrays = {name: p.list_data()[0].asnumpy() for name, p in parameters_by_name(net).items()}
    data = distributed.broadcast(safetensors.numpy.save(arrays) if distributed.rank() == 0 else b"")
    set_parameters(net, safetensors.numpy.load(data), "rank 0's network")


def restore_plain_layout(net: mx.gluon.Block) -> None:
    """Undoes what a predict-mode forward does on a CPU: oneDNN leaves weights in a blocked layout.

    The next update would differ in the last bits, and not always alike: the NAG kernel reads the weight again after
    writing it, so its weight decay depends on whether it works in place, which it does not on a blocked array. And
    Horovod cannot send such arrays. Setting the data anew may leave them blocked; asking for their address does not.
    """
    for parameter in parameters_by_name(net).values():
        for array in parameter.list_data():
            check_call(_LIB.MXNDArrayGetData(array.handle, ctypes.byref(ctypes.c_void_p())))
