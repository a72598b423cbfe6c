"""GluonCV's own networks by GluonCV's names: those that this zoo has not built anew, as they are, in our interface."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import mxnet as mx
from mxnet.gluon import HybridBlock, nn

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.foreign import import_gluoncv
from model_zoo.classifier import Classifier, Peer, check_drop, check_switch
from model_zoo.gluoncv_layers import ChannelGroupNorm, DropBlock, join_with_care
from model_zoo.gluoncv_peers import TIMM
from model_zoo.gluoncv_table import FAMILY_OF, Family, no_stages
from model_zoo.norm import BATCH_NORM, Norm
from model_zoo.preprocessing import CIFAR10, Preprocessing

_SWITCHES = ("last_gamma", "dilated", "use_aux")  # the other keywords are probabilities of dropping
_GROUPED = "_gn"  # how the names of networks end that GluonCV normalises by groups


class GluonCVNetwork(Classifier):
    """A network as GluonCV builds it. Its layers and parameters have GluonCV's names, and net.layer4 and its like work.

    It has no stem, stages and neck: detectors, segmenters and what looks at stages cannot stand on it.

    Args:
        name: as GluonCV has it.
        family: what is known of it.
        classes: number of logits.
        norm: the normalisation layers.
        further: other keywords of GluonCV's constructor, of those that the family names.

    Raises:
        Refused: an argument out of its range, or a norm that GluonCV's code does not use everywhere.

    Source: gluoncv 0.10.5, model_zoo.
    Differs: what GluonCV's DropBlock drops in training it also drops in prediction once the network is hybridized, and
        it takes images of 224 px only: gluoncv_layers.DropBlock is in its place. GluonCV's GroupNorm cannot be
        hybridized: ChannelGroupNorm computes the same.
    """

    def __init__(self, name: str, family: Family, classes: int, norm: Norm, further: Mapping[str, Any]):
        sides, usual = family.sides, CIFAR10 if family.classes == 10 else {}
        super().__init__(
            name,
            classes=classes,
            preprocessing=Preprocessing(family.side(name), **usual),
            smallest_side=sides.least,
            largest_side=sides.most,
            peers={"gluoncv": Peer(name, {}), **({"timm": TIMM[name]} if name in TIMM else {})},
        )
        for key, value in further.items():
            check_switch(name, **{key: value}) if key in _SWITCHES else check_drop(name, value)
        self._sides, self._place = sides, family.output
        further, dropblock = dict(further), further.get("dropblock_prob")
        further.pop("dropblock_prob", None)
        with self.name_scope():  # so that the parameters' names do not depend on what the process has built before
            named = {family.classes_keyword: int(classes)} if family.classes_keyword else {}
            block = _Builder(name, norm).build({**named, **further})
        object.__setattr__(self, "_block", block)  # not as a child: its children are ours
        for key, child in block._children.items():
            self.register_child(child, key)
        _replace_drop_blocks(self, dropblock)
        for cell in _blocks(self):
            if type(cell).__name__ in family.joining:
                join_with_care(cell)
        if not named and classes != family.classes:
            with block.name_scope():
                self.output = nn.Dense(int(classes), in_units=self.head._in_units)
        self.output_parts = (family.output.split(".")[0], *(["out_aux"] if "out_aux" in self._children else []))

    def __getattr__(self, name: str):
        """GluonCV's own attributes, such as net.layer4 and net.fc."""
        if name.startswith("_") or "_block" not in vars(self):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self._block, name)

    def __setattr__(self, name: str, value: object) -> None:
        if not isinstance(value, mx.gluon.Block):
            return object.__setattr__(self, name, value)
        if name in ("output", "head", self._place):
            self._check_head(value)
            self.classes = value._units
            return self._put(self._place, value)
        if name == "features" and isinstance(value, type(self.features)):
            return self._put("features", value)
        raise Refused(
            f"{self.name} is GluonCV's own network, in which only the last layer, net.output, and net.features are "
            f"replaced, and not {name!r} by a {type(value).__name__}"
        )

    def _put(self, place: str, layer: HybridBlock) -> None:
        """Puts a layer in the place of another, for GluonCV's code and for ours."""
        *above, key = place.split(".")
        owners = [self._at(above)] if above else [self, self._block]
        for owner in owners:
            if key in vars(owner):
                object.__setattr__(owner, key, layer)
            owner._children[key] = layer
        self.apply(lambda block: block._clear_cached_op() if isinstance(block, HybridBlock) else None)

    def _at(self, place: list[str]) -> HybridBlock:
        block = self
        for key in place:
            block = block._children[key]
        return block

    @property
    def output(self) -> HybridBlock:
        """What GluonCV's code calls last; see Classifier.output."""
        return self._at(self._place.split("."))

    @property
    def head_name(self) -> str:
        """The place of the head: that of its weight without ".weight"."""
        inner = [f".{key}" for key, child in self.output._children.items() if hasattr(child, "weight")]
        return self._place + "".join(inner[-1:])

    @property
    def head(self) -> HybridBlock:
        """The dense layer or 1x1 convolution that gives the logits."""
        return self._at(self.head_name.split("."))

    @property
    def heads(self) -> list[HybridBlock]:
        aux = self._children.get("out_aux")
        return [self.head] if aux is None else [self.head, [*aux._children.values()][-1]]

    @property
    def features(self) -> HybridBlock:
        """GluonCV's `features`; Raises: Refused, where GluonCV's network has none."""
        if "features" not in self._children:
            raise Refused(f"{self.name} has no features in GluonCV: its layers are {', '.join(self._children)}")
        return self._children["features"]

    @property
    def trunk(self) -> list[HybridBlock]:
        """Raises: Refused: the network has no stages, and so no features_at and no neck."""
        raise Refused(no_stages(self.name))

    stages = neck = trunk

    def features_at(self, *stages: int) -> HybridBlock:
        """Raises: Refused, as trunk does."""
        return self.trunk

    def check_images(self, shape: tuple[int, ...]) -> None:
        """Refuses images of a shape that the network cannot take."""
        super().check_images(shape)
        sides = self._sides
        wrong = next((side for side in shape[2:] if not sides.fit(side)), None)
        if wrong is not None:
            near = " or ".join(sides.near(wrong))
            raise Refused(
                f"{self.name} takes images with sides of {sides.least} to {sides.least + sides.slack} px and a "
                f"multiple of {sides.every} more, but got {shape[2]}x{shape[3]}: make {wrong} {near}"
            )

    def hybrid_forward(self, F, images):
        return self._block.hybrid_forward(F, images)


class _Builder:
    """Makes GluonCV's block. Args: as of GluonCVNetwork."""

    def __init__(self, name: str, norm: Norm):
        self.name, self.norm = name, norm
        self.made: set[int] = set()  # the normalisation layers that GluonCV's code has asked us for

    def build(self, arguments: dict[str, Any]) -> HybridBlock:
        name, norm = self.name, self.norm
        grouped = name.endswith(_GROUPED)
        if grouped:
            arguments |= {"norm_layer": ChannelGroupNorm}
        elif norm.norm_layer is not nn.BatchNorm or norm.norm_kwargs:
            arguments |= {"norm_layer": self._make, "norm_kwargs": dict(norm.norm_kwargs or {})}
        theirs = import_gluoncv().model_zoo.get_model
        try:
            block = theirs(name.removesuffix(_GROUPED), pretrained=False, **arguments)
        except TypeError as error:
            if "multiple values" not in str(error):
                raise
            said = "GluonCV's code says itself what norm_kwargs say: leave them out"
            raise Refused(f"{name}: {said} ({error})") from error
        for parameter in block.collect_params().values():
            parameter._shape = parameter._shape or (0,)  # a pruned network's: not known yet, but of one axis
        layers = [layer for layer in _blocks(block) if hasattr(layer, "gamma") and hasattr(layer, "beta")]
        own = [layer for layer in layers if id(layer) not in self.made]
        if arguments.get("norm_layer") == self._make and own:
            raise Refused(
                f"{name}: GluonCV's code takes BatchNorm for {len(own)} of its {len(layers)} normalisation layers, "
                "whatever it is asked for: leave out --use-gn, --sync-bn, norm_layer and norm_kwargs"
            )
        for layer in layers if norm.use_global_stats else ():
            if not isinstance(layer, nn.BatchNorm):
                raise Refused(
                    f"{name}: use_global_stats is for BatchNorm, and {type(layer).__name__} has no statistics"
                )
            layer._kwargs["use_global_stats"] = True
        return block

    def _make(self, **arguments) -> HybridBlock:
        """A layer of norm_layer, without the momentum that GluonCV gives to all where it has none."""
        parameters = inspect.signature(self.norm.norm_layer).parameters.values()
        takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
        unknown = {"momentum", "in_channels"} - {p.name for p in parameters}
        known = {key: value for key, value in arguments.items() if takes_all or key not in unknown}
        try:
            layer = self.norm.norm_layer(**known)
        except TypeError as error:
            called = getattr(self.norm.norm_layer, "__name__", repr(self.norm.norm_layer))
            raise Refused(
                f"{self.name}: norm_layer={called} cannot be made with {', '.join(known)}: {error}"
            ) from error
        self.made.add(id(layer))
        return layer


def _blocks(block: HybridBlock) -> Iterator[HybridBlock]:
    yield block
    for child in block._children.values():
        yield from _blocks(child)


def _replace_drop_blocks(net: HybridBlock, rate: float | None) -> None:
    """Ours in the place of GluonCV's. Args: rate: the share that they drop; None: what GluonCV has them drop."""
    for owner in [*_blocks(net)]:
        for key, child in owner._children.items():
            if type(child).__name__ == "DropBlock":
                layer = DropBlock(child.drop_prob if rate is None else rate, child.block_size, (child.h, child.w))
                object.__setattr__(owner, key, layer)
                owner._children[key] = layer


class _Constructor:
    """A network's constructor, whose signature says the keywords that it takes."""

    def __init__(self, name: str, family: Family):
        self._name, self._family = name, family
        keys = ("classes", *family.keywords)
        self.__signature__ = inspect.Signature([inspect.Parameter(k, inspect.Parameter.KEYWORD_ONLY) for k in keys])

    def __call__(self, *, classes: int | None = None, norm: Norm = BATCH_NORM, **further) -> GluonCVNetwork:
        classes = self._family.classes if classes is None else classes
        return GluonCVNetwork(self._name, self._family, classes, norm, further)


MODELS: dict[str, Callable[..., GluonCVNetwork]] = {
    name: _Constructor(name, family) for name, family in FAMILY_OF.items()
}
