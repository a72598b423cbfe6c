"""What every network of the zoo is made of, and what it knows about itself.

images -> stem -> stage1 -> ... -> stageN -> neck -> head -> logits
"""

from __future__ import annotations

import dataclasses
import numbers
import re
from collections.abc import Mapping
from typing import Any

import mxnet as mx
from mxnet.gluon import HybridBlock, nn

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import quoted
from model_zoo.preprocessing import FIELDS, Preprocessing

MOST_CLASSES = 1 << 20  # a head of 8 GB
_USUAL = Preprocessing(224)  # ImageNet's
_PART = re.compile(r"stem|stage\d+|neck|head|aux\d+|features")  # of a network; layers by other names are not called


@dataclasses.dataclass(frozen=True)
class Peer:
    """The same network in another library.

    Args:
        model: its name there; None: it can be built there, but has no name.
        names: our parameter names -> theirs, by whole segments ("stage1" -> "layer1"); what is not listed is called the
            same. torch's words for a norm's gamma and beta are not listed: weights.py adds them.
        formerly: their names -> those of files from before they renamed parameters, likewise.
        can_build: whether that library can build it with the keywords it has; False: its files of the network without
            them, whose parameters have the same names, are read, and none is written.
    """

    model: str | None
    names: Mapping[str, str]
    formerly: Mapping[str, str] = dataclasses.field(default_factory=dict)
    can_build: bool = True


def built_there(peers: Mapping[str, Peer], **can_build: bool) -> dict[str, Peer]:
    """The peers, with Peer.can_build of the libraries that are named."""
    changed = {library: dataclasses.replace(peers[library], can_build=can) for library, can in can_build.items()}
    return {**peers, **changed}


class Classifier(HybridBlock):
    """Base of all networks. A subclass sets stem (or none), stage1, stage2, ..., neck and head, in this order.

    neck turns the last feature map into a vector per image (pooling, hidden dense layers, dropout); head is the dense
    layer that gives the logits.

    Args:
        name: the name in the registry; the parameters' prefix.
        classes: number of logits, at least 1.
        preprocessing: what the network expects to have been done to photos.
        smallest_side: images with fewer pixels on a side are refused.
        smallest_for_features: the same for features_at, where it is the neck that asks for more; None: smallest_side.
        largest_side: images with more are, because a pool of fixed size would see them in several windows; None: none.
        peers: "gluoncv", "timm", "torchvision" -> the same network there.

    Returns: called with images (N, 3, H, W): logits (N, classes), both of the parameters' dtype.
    """

    output_parts = ("head", "output")  # names of what gives the logits; all else is features
    usual_epsilon = 1e-5  # of its normalisation layers, where norm_kwargs do not say another: MXNet's own

    def __init__(
        self,
        name: str,
        *,
        classes: int,
        preprocessing: Preprocessing = _USUAL,
        smallest_side: int = 1,
        smallest_for_features: int | None = None,
        largest_side: int | None = None,
        peers: Mapping[str, Peer] | None = None,
    ):
        if not is_whole(classes) or not 1 <= classes <= MOST_CLASSES:
            raise Refused(
                f"{name}: classes={quoted(classes)}, but it is a whole number, 1 to {MOST_CLASSES}, at least 1 class"
            )
        super().__init__(prefix=f"{name}_")
        self.classes, self.usual, self._preprocessing = classes, preprocessing, preprocessing
        self.stated: tuple[str, ...] = ()
        self.keywords: Mapping[str, Any] = {}  # of get_model, that it was built with
        self.smallest_side, self.largest_side = smallest_side, largest_side
        self.smallest_for_features = smallest_side if smallest_for_features is None else smallest_for_features
        self.peers = dict(peers or {})

    @property
    def preprocessing(self) -> Preprocessing:
        """What is to be done to photos: `usual` of this network, unless a file, a run or a program states another.

        `stated` names the fields that one of these does; whoever sets it states all.
        """
        return self._preprocessing

    @preprocessing.setter
    def preprocessing(self, preprocessing: Preprocessing) -> None:
        self._preprocessing = preprocessing
        self.stated = FIELDS

    @property
    def input_size(self) -> int:
        """Pixels of the images' sides that the network was made for."""
        return self.preprocessing.input_size

    @property
    def output(self) -> HybridBlock:
        """The head, by GluonCV's name for it. A dense layer that is put in its place is the head from then on:

        with net.name_scope():
            net.output = nn.Dense(3)
        net.output.initialize()
        """
        return self.head

    @property
    def head_name(self) -> str:
        """The head's place in the network, with which the names of its parameters begin."""
        return "head"

    @property
    def heads(self) -> list[HybridBlock]:
        """Every dense layer that gives logits: of those of another number of classes a file has none."""
        return [self.head]

    @property
    def features(self) -> HybridBlock:
        """All before the head: images (N, 3, H, W) -> (N, C) or (N, C, 1, 1). It shares the network's layers.

        Those of another network of this kind that are put in its place take the places of the network's own.
        """
        features = nn.HybridSequential(prefix=self.prefix)
        for name, part in self._children.items():
            if part in self.trunk or name == "neck":
                features.register_child(part, name)
        return features

    def __setattr__(self, name, value):
        if name in ("output", "head"):
            self._check_head(value)
            name, self.classes = "head", value._units
            if "output" in self._children:
                self.register_child(value, "output")
        elif isinstance(value, mx.gluon.Block) and not _PART.fullmatch(name):
            raise Refused(
                f"{self.name} has no layer {name!r}, so it would compute the same as before: its last one, which gives "
                "the logits, is net.output"
            )
        if name != "features":
            return super().__setattr__(name, value)
        parts, own = getattr(value, "_children", {}), self.features._children
        if parts.keys() != own.keys() or any(type(part) is not type(own[key]) for key, part in parts.items()):
            raise Refused(f"{self.name}.features: give those of another {self.name}, but got {type(value).__name__}")
        for key, part in parts.items():
            super().__setattr__(key, part)

    def _check_head(self, head: object) -> None:
        if not isinstance(head, nn.Dense):
            raise Refused(f"{self.name}.output: give a dense layer such as nn.Dense(3), but got {type(head).__name__}")

    @property
    def trunk(self) -> list[HybridBlock]:
        """The stem, if there is one, and the stages, in order."""
        return [part for name, part in self._children.items() if name == "stem" or name.startswith("stage")]

    @property
    def stages(self) -> int:
        """How many stages there are."""
        return sum(name.startswith("stage") for name in self._children)

    def features_at(self, *stages: int) -> HybridBlock:
        """The network up to a stage, for detection, segmentation and transfer; it shares the network's parameters.

        Args:
            stages: numbers of stages, ascending, from 1.

        Returns: images (N, 3, H, W) -> the stage's feature map (N, C, h, w); a list of maps for several stages. Images
            of a shape that the stages cannot take are refused.

        Raises:
            Refused: no stage, one that the network does not have, or stages not ascending.
        """
        if not stages or list(stages) != sorted({*stages} & {*range(1, self.stages + 1)}):
            raise Refused(f"{self.name}.features_at{stages}: name stages from 1 to {self.stages}, in ascending order")
        return _Features(self, stages)

    def forward(self, images, *args):
        if isinstance(images, mx.nd.NDArray):
            self.check_images(images.shape)
        return super().forward(images, *args)

    def check_images(self, shape: tuple[int, ...]) -> None:
        """Refuses images of a shape that the network cannot take."""
        _check_shape(self.name, shape, self.smallest_side, self.largest_side)

    def hybrid_forward(self, F, images):
        x = images
        for part in self.trunk:
            x = part(x)
        return self.head(self.neck(x))


class _Features(HybridBlock):
    def __init__(self, net: Classifier, stages: tuple[int, ...]):
        super().__init__(prefix=net.prefix)
        self._smallest_side = net.smallest_for_features
        stem = len(net.trunk) - net.stages  # 1 or 0
        self._wanted = [stage + stem - 1 for stage in stages]
        for part in net.trunk[: self._wanted[-1] + 1]:
            self.register_child(part)

    def forward(self, images, *args):
        if isinstance(images, mx.nd.NDArray):
            _check_shape(self.name, images.shape, self._smallest_side)
        return super().forward(images, *args)

    def hybrid_forward(self, F, images):
        maps, x = [], images
        for k, part in enumerate(self._children.values()):
            x = part(x)
            if k in self._wanted:
                maps.append(x)
        return maps if len(maps) > 1 else maps[0]


def _check_shape(name: str, shape: tuple[int, ...], smallest_side: int, largest_side: int | None = None) -> None:
    if len(shape) != 4 or shape[1] != 3:
        raise Refused(f"{name} takes images of shape (N, 3, height, width), but got {shape}")
    for side, bound, beyond in (
        (smallest_side, "least", min(shape[2:]) < smallest_side),
        (largest_side, "most", largest_side is not None and max(shape[2:]) > largest_side),
    ):
        if beyond:
            raise Refused(f"{name} takes images of at {bound} {side}x{side} pixels, but got {shape[2]}x{shape[3]}")


def first_dilation(dilation: int) -> int:
    """Half the dilation, for the convolution that would have had the stride: it sees the grid of the stage before."""
    return max(1, dilation // 2)


def is_whole(number: object) -> bool:
    return isinstance(number, numbers.Integral) and not isinstance(number, bool)


def check_drop(name: str, drop: float) -> float:
    """The probability itself, if it is one with which Dropout can work."""
    if not isinstance(drop, numbers.Real) or not 0 <= drop < 1:
        raise Refused(f"{name}: a dropout of {drop!r}, but a probability to drop lies in [0, 1)")
    return drop


def check_switch(name: str, **switch: bool) -> bool:
    """The value of one keyword that is True or False."""
    ((keyword, value),) = switch.items()
    if not isinstance(value, bool):
        raise Refused(f"{name}: {keyword} is {value!r}, but it takes true or false")
    return value
