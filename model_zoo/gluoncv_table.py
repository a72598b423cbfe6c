"""The names that GluonCV has and this zoo has not built anew: which networks they are, and what is none of them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from gluon_tricks.core.errors import Refused


@dataclasses.dataclass(frozen=True)
class Sides:
    """The sides of images, in px, that a network takes.

    Args:
        least, most: bounds; None: any.
        every, slack: between these only `least` to `least + slack`, and a multiple of `every` more: maps that are made
            smaller and larger again have to meet.
    """

    least: int = 1
    most: int | None = None
    every: int = 1
    slack: int = 0

    def fit(self, side: int) -> bool:
        return side >= self.least and (side - self.least) % self.every <= self.slack

    def near(self, side: int) -> list[str]:
        """The largest below and the smallest above that fit."""
        begin = self.least + (side - self.least) // self.every * self.every
        return [str(begin + self.slack), str(begin + self.every)]


ANY = Sides()
_NORM, _GAMMA, _DROP, _DILATED = "norm", "last_gamma", "final_drop", "dilated"


@dataclasses.dataclass(frozen=True)
class Family:
    """Networks that differ in their numbers alone.

    Args:
        title, source: for the page of networks.
        names: as GluonCV has them.
        output: the place of what gives the logits.
        keywords: get_model's, beside classes; "norm" stands for those of norm.Norm.
        sides: of the images.
        classes: K by default.
        classes_keyword: what GluonCV calls them; "": it has no other number of them.
        joining: classes of GluonCV's in whose code MXNet has to be helped with concat (see gluoncv_layers).
        input_size: px of a side that they were made for; input_sizes: of those with another, by name.
    """

    title: str
    source: str
    names: tuple[str, ...]
    output: str = "output"
    keywords: tuple[str, ...] = (_NORM,)
    sides: Sides = ANY
    classes: int = 1000
    classes_keyword: str = "classes"
    joining: tuple[str, ...] = ()
    input_size: int = 224
    input_sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def side(self, name: str) -> int:
        """Of the images that a network of the family was made for, px."""
        return self.input_sizes.get(name, self.input_size)


def _names(text: str, *parts: object) -> tuple[str, ...]:
    return tuple(text.format(part) for part in parts)


_SE = "Hu et al., Squeeze-and-excitation (CVPR 2018)"
_RESIDUAL = "He et al., Deep residual learning (CVPR 2016)"
_IDENTITY = "He et al., Identity mappings (ECCV 2016)"
_TRICKS = "He et al., Bag of Tricks (CVPR 2019)"
_ATTENTION = "Wang et al., Residual attention network (CVPR 2017)"
_CIFAR = {"classes": 10, "input_size": 32}
_DEPTHS = (18, 34, 50, 101, 152)
_ATTENTIONS = (56, 92, 128, 164, 200, 236, 452)

FAMILIES = (
    Family("ResNet v2", _IDENTITY, _names("resnet{}_v2", *_DEPTHS), keywords=(_NORM, _GAMMA)),
    Family(
        "SE-ResNet", _SE, (*_names("se_resnet{}_v1", 18, 34, 101, 152), *_names("se_resnet{}_v2", *_DEPTHS)),
        keywords=(_NORM, _GAMMA),
    ),
    Family(
        "ResNet with group normalisation", "Wu and He, Group normalization (ECCV 2018)",
        ("resnet50_v1b_gn", "resnet101_v1b_gn"), "fc", (_GAMMA, _DROP, _DILATED),
    ),
    Family(
        "ResNet v1e", f"{_TRICKS}: ResNet-D with a wider stem", _names("resnet{}_v1e", 50, 101, 152), "fc",
        (_NORM, _GAMMA, _DROP, _DILATED), Sides(17),
    ),
    Family(
        "ResNet v1s", f"{_TRICKS}: ResNet-C with a wider stem", _names("resnet{}_v1s", 50, 101, 152), "fc",
        (_NORM, _GAMMA, _DROP, _DILATED),
    ),
    Family(
        "Pruned ResNet", "of GluonCV: layers with fewer channels", ("resnet18_v1b_0.89",), "fc", (_NORM, _DROP),
        classes_keyword="",
    ),
    Family(
        "Pruned ResNet-D", "of GluonCV: layers with fewer channels",
        (*_names("resnet50_v1d_{}", 0.86, 0.48, 0.37, 0.11), *_names("resnet101_v1d_{}", 0.76, 0.73)), "fc",
        (_NORM, _DROP), Sides(17), classes_keyword="",
    ),
    Family(
        "ResNeXt", "Xie et al., Aggregated residual transformations (CVPR 2017)",
        ("resnext101_64x4d", "se_resnext101_32x4d", "se_resnext101_64x4d"), keywords=(_NORM, _GAMMA),
    ),
    Family(
        "ResNeXt-e", "GluonCV's own: with ResNet-D's stem and shortcuts",
        ("resnext101e_64x4d", "se_resnext101e_64x4d"), keywords=(_NORM, _GAMMA), sides=Sides(17),
    ),
    Family("SENet", _SE, ("senet_154",), sides=Sides(5)),
    Family("SENet-e", f"{_SE}, with ResNet-D's shortcuts", ("senet_154e",), sides=Sides(19)),
    Family(
        "ResNeSt", "Zhang et al., ResNeSt: split-attention networks (2020)",
        _names("resnest{}", 14, 26, 50, 101, 200, 269), "fc",
        (_NORM, _GAMMA, _DROP, _DILATED, "dropblock_prob"), Sides(17),
        input_sizes={"resnest200": 256, "resnest269": 320},
    ),
    Family(
        "MobileNet v2", "Sandler et al., Inverted residuals and linear bottlenecks (CVPR 2018)",
        _names("mobilenetv2_{}", "1.0", "0.75", "0.5", "0.25"),
    ),
    Family(
        "MobileNet v3", "Howard et al., Searching for MobileNetV3 (ICCV 2019)",
        ("mobilenetv3_large", "mobilenetv3_small"), keywords=(_NORM, _GAMMA),
    ),
    Family("DenseNet-161", "Huang et al., Densely connected networks (CVPR 2017)", ("densenet161",),
           keywords=(_NORM, "dropout"), sides=Sides(221, 444)),
    Family("ShuffleNet v1", "Zhang et al., ShuffleNet (CVPR 2018)", ("shufflenet_v1",)),
    Family("ShuffleNet v2", "Ma et al., ShuffleNet V2 (ECCV 2018)", ("shufflenet_v2",), joining=("shuffleUnitV2",)),
    Family("SqueezeNet 1.0", "Iandola et al., SqueezeNet (2016)", ("squeezenet1.0",), keywords=(),
           sides=Sides(213, 420)),
    Family("SqueezeNet 1.1", "Iandola et al., SqueezeNet (2016)", ("squeezenet1.1",), keywords=(),
           sides=Sides(209, 416)),
    Family("Xception", "Chollet, Xception (CVPR 2017), as DeepLab has it", ("xception", "xception71"), "fc",
           input_size=299),
    Family("Darknet-53", "Redmon and Farhadi, YOLOv3 (2018)", ("darknet53",)),
    Family("DLA-34", "Yu et al., Deep layer aggregation (CVPR 2018)", ("dla34",), "fc", sides=Sides(31, None, 32, 1)),
    Family(
        "HRNet", "Wang et al., Deep high-resolution representation learning (2019)",
        _names("hrnet_w{}_c", 18, "18_small_v1", "18_small_v2", 30, 32, 40, 44, 48, 64), "classifier",
        sides=Sides(29, None, 32, 3), classes_keyword="num_classes",
    ),
    Family(
        "NASNet-A", "Zoph et al., Learning transferable architectures (CVPR 2018)",
        ("nasnet_4_1056", "nasnet_5_1538", "nasnet_7_1920", "nasnet_6_4032"), "out.3", (_NORM, "use_aux"),
        Sides(11, None, 16, 7),
        joining=("CellStem0", "CellStem1", "FirstCell", "NormalCell", "ReductionCell0", "ReductionCell1"),
        input_size=331,
    ),
    Family(
        "Residual attention network", _ATTENTION, _names("residualattentionnet{}", *_ATTENTIONS), "fc",
        sides=Sides(221, 224),
    ),
    Family("ResNet v2 for CIFAR", _IDENTITY, _names("cifar_resnet{}_v2", 20, 56, 110), **_CIFAR),
    Family(
        "Wide ResNet for CIFAR", "Zagoruyko and Komodakis, Wide residual networks (BMVC 2016)",
        _names("cifar_wideresnet{}", "16_10", "28_10", "40_8"), keywords=(_NORM, "drop_rate"), **_CIFAR,
    ),
    Family(
        "ResNeXt for CIFAR", "Xie et al., Aggregated residual transformations (CVPR 2017)",
        _names("cifar_resnext29_{}", "32x4d", "16x64d"), **_CIFAR,
    ),
    Family(
        "Residual attention network for CIFAR", _ATTENTION, _names("cifar_residualattentionnet{}", 56, 92, 452), "fc",
        sides=Sides(32, 32), **_CIFAR,
    ),
)  # fmt: skip

FAMILY_OF = {name: family for family in FAMILIES for name in family.names}

_DETECT = "gluon-tricks detect trains a Faster-RCNN"
_SEGMENT = "gluon-tricks segment trains an FCN"
_OTHERS = (  # how the rest of GluonCV's names begin or end, what they are, what to use
    (r"mobilenet1\.0_int8|resnet50_v1_int8", "8-bit integers of a classifier", "name {plain}; evaluate --form int8"),
    (r".*(_kinetics\d+|_ucf101|_hmdb51|_sthsthv2)(_int8)?|resnet(18|50)_v1b_custom|(i3d|slowfast)_.*", "videos", ""),
    (r"(simple|mobile|alpha)_pose_.*", "poses of people", ""),
    (r"(custom_)?mask_rcnn_.*", "boxes with masks", _DETECT),
    (r"(ssd|yolo3|center_net|faster_rcnn|custom_faster_rcnn|doublehead_rcnn)_.*", "boxes", _DETECT),
    (r"(fcn|psp|deeplab|icnet|danet|fastscnn)_.*|hrnet_.*_s", "segmentation", _SEGMENT),
    (r"siamrpn_.*", "following an object through a video", ""),
    (r"monodepth2_.*", "depth", ""),
)


def no_stages(name: str) -> str:
    """Why no detector, segmenter or view of stages stands on one of these networks."""
    return (
        f"{name} is GluonCV's own network, which has no stages to take feature maps from: choose one of the zoo's own, "
        "which gluon-tricks models lists first, such as resnet50_v1d"
    )


def refuse_what_is_no_classifier(name: str) -> None:
    """Refuses a name that GluonCV has for something else than a classifier of images."""
    for pattern, what, instead in _OTHERS:
        if re.fullmatch(pattern, name):
            use = instead.format(plain=name.removesuffix("_int8")) or "there is nothing like it here"
            raise Refused(f"{name} is GluonCV's network for {what}, and these are classifiers of images: {use}")
