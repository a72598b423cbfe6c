"""The files that timm keeps at the Hugging Face hub for networks of the zoo, one repository each.

Source: names, licences and sizes: the registry of timm 1.0.31 (a test compares them); accuracies:
    pytorch-image-models, results/results-imagenet.csv at commit aa4b5850 of 2026-08-08.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class TimmFile:
    """A repository at the hub, timm/NAME.

    Args:
        name: timm's architecture, a dot, and how it was trained.
        licence: as timm's registry has it.
        scores: (side of the images, px; top-1; top-5, percent) on ImageNet's validation images, as timm measured it.
    """

    name: str
    licence: str
    scores: tuple[tuple[int, float, float], ...]

    @property
    def reference(self) -> str:
        """What `pretrained=` takes."""
        return f"hf-hub:timm/{self.name}"


def _file(name: str, licence: str, *scores: tuple[int, float, float]) -> TimmFile:
    return TimmFile(name, licence, scores)


_APACHE, _BSD, _MIT, _NC = "apache-2.0", "bsd-3-clause", "mit", "cc-by-nc-4.0"

FILES: dict[str, tuple[TimmFile, ...]] = {
    "resnet18_v1b": (
        _file("resnet18.a1_in1k", _APACHE, (224, 71.50, 90.09), (288, 73.16, 91.05)),
        _file("resnet18.a2_in1k", _APACHE, (224, 70.63, 89.49), (288, 72.36, 90.62)),
        _file("resnet18.a3_in1k", _APACHE, (160, 65.67, 86.27), (224, 68.25, 88.17)),
        _file("resnet18.fb_ssl_yfcc100m_ft_in1k", _NC, (224, 72.64, 91.42)),
        _file("resnet18.fb_swsl_ig1b_ft_in1k", _NC, (224, 73.29, 91.75)),
        _file("resnet18.gluon_in1k", _APACHE, (224, 70.84, 89.75)),
        _file("resnet18.tv_in1k", _BSD, (224, 69.75, 89.08)),
    ),
    "resnet18_v1d": (
        _file("resnet18d.ra2_in1k", _APACHE, (224, 72.30, 90.68), (288, 73.79, 91.83)),
        _file("resnet18d.ra4_e3600_r224_in1k", _APACHE, (224, 74.36, 91.83), (288, 76.01, 92.78)),
    ),
    "resnet26_v1b": (
        _file("resnet26.bt_in1k", _APACHE, (224, 75.30, 92.58), (288, 76.38, 93.18)),
    ),
    "resnet26_v1d": (
        _file("resnet26d.bt_in1k", _APACHE, (224, 76.70, 93.16), (288, 77.42, 93.63)),
    ),
    "resnet34_v1b": (
        _file("resnet34.a1_in1k", _APACHE, (224, 76.42, 92.90), (288, 77.93, 93.76)),
        _file("resnet34.a2_in1k", _APACHE, (224, 75.52, 92.45), (288, 77.15, 93.29)),
        _file("resnet34.a3_in1k", _APACHE, (160, 70.58, 89.54), (224, 73.00, 91.12)),
        _file("resnet34.bt_in1k", _APACHE, (224, 75.18, 92.17), (288, 76.51, 93.34)),
        _file("resnet34.gluon_in1k", _APACHE, (224, 74.57, 91.99)),
        _file("resnet34.ra4_e3600_r224_in1k", _APACHE, (224, 77.49, 93.50), (288, 78.97, 94.45)),
        _file("resnet34.tv_in1k", _BSD, (224, 73.30, 91.42)),
    ),
    "resnet34_v1d": (
        _file("resnet34d.ra2_in1k", _APACHE, (224, 77.11, 93.37), (288, 78.44, 94.35)),
    ),
    "resnet50_v1b": (
        _file("resnet50.a1_in1k", _APACHE, (224, 80.38, 94.60), (288, 81.24, 95.11)),
        _file("resnet50.a1h_in1k", _APACHE, (176, 79.26, 94.50), (224, 80.65, 95.31)),
        _file("resnet50.a2_in1k", _APACHE, (224, 79.83, 94.56), (288, 80.77, 94.98)),
        _file("resnet50.a3_in1k", _APACHE, (160, 75.99, 92.49), (224, 78.05, 93.78)),
        _file("resnet50.am_in1k", _APACHE, (224, 79.00, 94.39)),
        _file("resnet50.b1k_in1k", _APACHE, (224, 79.56, 94.62), (288, 80.71, 95.43)),
        _file("resnet50.b2k_in1k", _APACHE, (224, 79.39, 94.58), (288, 80.47, 95.31)),
        _file("resnet50.bt_in1k", _APACHE, (224, 78.44, 94.27), (288, 79.65, 94.91)),
        _file("resnet50.c1_in1k", _APACHE, (224, 79.77, 94.95), (288, 80.93, 95.55)),
        _file("resnet50.c2_in1k", _APACHE, (224, 79.87, 94.86), (288, 80.86, 95.53)),
        _file("resnet50.d_in1k", _APACHE, (224, 79.90, 94.67), (288, 81.01, 95.46)),
        _file("resnet50.fb_ssl_yfcc100m_ft_in1k", _NC, (224, 79.25, 94.83)),
        _file("resnet50.fb_swsl_ig1b_ft_in1k", _NC, (224, 81.15, 95.98)),
        _file("resnet50.gluon_in1k", _APACHE, (224, 77.58, 93.70)),
        _file("resnet50.ra_in1k", _APACHE, (224, 78.82, 94.31), (288, 79.86, 94.97)),
        _file("resnet50.ram_in1k", _APACHE, (224, 79.03, 94.39), (288, 79.98, 95.04)),
        _file("resnet50.tv2_in1k", _BSD, (176, 79.43, 94.64), (224, 80.85, 95.43)),
        _file("resnet50.tv_in1k", _BSD, (224, 76.16, 92.87)),
    ),
    "resnet50_v1c": (
        _file("resnet50c.gluon_in1k", _APACHE, (224, 78.02, 93.99)),
    ),
    "resnet50_v1d": (
        _file("resnet50d.a1_in1k", _APACHE, (224, 80.73, 94.68), (288, 81.47, 95.22)),
        _file("resnet50d.a2_in1k", _APACHE, (224, 80.27, 94.64), (288, 81.16, 95.10)),
        _file("resnet50d.a3_in1k", _APACHE, (160, 77.22, 93.26), (224, 78.74, 94.24)),
        _file("resnet50d.gluon_in1k", _APACHE, (224, 79.08, 94.46)),
        _file("resnet50d.ra2_in1k", _APACHE, (224, 80.55, 95.16), (288, 81.35, 95.74)),
        _file("resnet50d.ra4_e3600_r224_in1k", _APACHE, (224, 80.96, 95.38), (288, 81.84, 95.93)),
    ),
    "resnet101_v1b": (
        _file("resnet101.a1_in1k", _APACHE, (224, 81.49, 95.16), (288, 82.33, 95.63)),
        _file("resnet101.a1h_in1k", _APACHE, (224, 81.95, 95.76), (288, 82.80, 96.32)),
        _file("resnet101.a2_in1k", _APACHE, (224, 81.34, 95.20), (288, 82.22, 95.74)),
        _file("resnet101.a3_in1k", _APACHE, (160, 77.93, 93.69), (224, 79.84, 94.61)),
        _file("resnet101.gluon_in1k", _APACHE, (224, 79.31, 94.54)),
        _file("resnet101.tv2_in1k", _BSD, (176, 79.91, 94.61), (224, 81.91, 95.77)),
        _file("resnet101.tv_in1k", _BSD, (224, 77.40, 93.55)),
    ),
    "resnet101_v1c": (
        _file("resnet101c.gluon_in1k", _APACHE, (224, 79.54, 94.59)),
    ),
    "resnet101_v1d": (
        _file("resnet101d.gluon_in1k", _APACHE, (224, 80.47, 95.03)),
        _file("resnet101d.ra2_in1k", _APACHE, (256, 82.25, 96.07), (320, 83.02, 96.46)),
    ),
    "resnet152_v1b": (
        _file("resnet152.a1_in1k", _APACHE, (224, 82.00, 95.29), (288, 82.74, 95.73)),
        _file("resnet152.a1h_in1k", _APACHE, (224, 82.82, 96.12), (288, 83.49, 96.52)),
        _file("resnet152.a2_in1k", _APACHE, (224, 81.76, 95.27), (288, 82.61, 95.75)),
        _file("resnet152.a3_in1k", _APACHE, (160, 78.90, 94.14), (224, 80.55, 95.00)),
        _file("resnet152.gluon_in1k", _APACHE, (224, 79.71, 94.72)),
        _file("resnet152.tv2_in1k", _BSD, (176, 80.22, 94.65), (224, 82.29, 96.00)),
        _file("resnet152.tv_in1k", _BSD, (224, 78.33, 94.05)),
    ),
    "resnet152_v1c": (
        _file("resnet152c.gluon_in1k", _APACHE, (224, 79.90, 94.85)),
    ),
    "resnet152_v1d": (
        _file("resnet152d.gluon_in1k", _APACHE, (224, 80.48, 95.19)),
        _file("resnet152d.ra2_in1k", _APACHE, (256, 83.16, 96.37), (320, 83.68, 96.75)),
    ),
    "resnext50_32x4d": (
        _file("resnext50_32x4d.a1_in1k", _APACHE, (224, 80.53, 94.46), (288, 81.48, 95.15)),
        _file("resnext50_32x4d.a1h_in1k", _APACHE, (224, 81.14, 95.32), (288, 82.02, 95.93)),
        _file("resnext50_32x4d.a2_in1k", _APACHE, (224, 80.44, 94.63), (288, 81.30, 95.11)),
        _file("resnext50_32x4d.a3_in1k", _APACHE, (160, 77.73, 93.31), (224, 79.26, 94.31)),
        _file("resnext50_32x4d.fb_ssl_yfcc100m_ft_in1k", _NC, (224, 80.32, 95.39)),
        _file("resnext50_32x4d.fb_swsl_ig1b_ft_in1k", _NC, (224, 82.16, 96.22)),
        _file("resnext50_32x4d.gluon_in1k", _APACHE, (224, 79.35, 94.42)),
        _file("resnext50_32x4d.ra_in1k", _APACHE, (224, 79.80, 94.61), (288, 80.72, 95.34)),
        _file("resnext50_32x4d.tv2_in1k", _BSD, (176, 79.38, 94.30), (224, 81.19, 95.34)),
        _file("resnext50_32x4d.tv_in1k", _BSD, (224, 77.63, 93.67)),
    ),
    "resnext101_32x4d": (
        _file("resnext101_32x4d.fb_ssl_yfcc100m_ft_in1k", _NC, (224, 80.94, 95.73)),
        _file("resnext101_32x4d.fb_swsl_ig1b_ft_in1k", _NC, (224, 83.27, 96.76)),
        _file("resnext101_32x4d.gluon_in1k", _APACHE, (224, 80.34, 94.91)),
    ),
    "se_resnext50_32x4d": (
        _file("seresnext50_32x4d.gluon_in1k", _APACHE, (224, 79.92, 94.82)),
        _file("seresnext50_32x4d.racm_in1k", _APACHE, (224, 81.27, 95.62), (288, 82.19, 96.15)),
    ),
    "mobilenet1.0": (
        _file("mobilenetv1_100.ra4_e3600_r224_in1k", _APACHE, (224, 75.39, 92.31), (256, 76.09, 93.01)),
    ),
    "inceptionv3": (
        _file("inception_v3.gluon_in1k", _APACHE, (299, 78.81, 94.37)),
        _file("inception_v3.tf_adv_in1k", _APACHE, (299, 77.60, 93.73)),
        _file("inception_v3.tf_in1k", _APACHE, (299, 77.87, 93.64)),
        _file("inception_v3.tv_in1k", _APACHE, (299, 77.47, 93.47)),
    ),
    "densenet121": (
        _file("densenet121.ra_in1k", _APACHE, (224, 75.57, 92.65), (288, 76.49, 93.38)),
        _file("densenet121.tv_in1k", _APACHE, (224, 74.75, 92.16)),
    ),
    "densenet169": (
        _file("densenet169.tv_in1k", _APACHE, (224, 75.92, 92.98)),
    ),
    "densenet201": (
        _file("densenet201.tv_in1k", _APACHE, (224, 77.28, 93.48)),
    ),
    "vgg11": (
        _file("vgg11.tv_in1k", _BSD, (224, 69.05, 88.63)),
    ),
    "vgg13": (
        _file("vgg13.tv_in1k", _BSD, (224, 69.95, 89.26)),
    ),
    "vgg16": (
        _file("vgg16.tv_in1k", _BSD, (224, 71.59, 90.40)),
    ),
    "vgg19": (
        _file("vgg19.tv_in1k", _BSD, (224, 72.40, 90.88)),
    ),
    "vgg11_bn": (
        _file("vgg11_bn.tv_in1k", _BSD, (224, 70.37, 89.80)),
    ),
    "vgg13_bn": (
        _file("vgg13_bn.tv_in1k", _BSD, (224, 71.56, 90.37)),
    ),
    "vgg16_bn": (
        _file("vgg16_bn.tv_in1k", _BSD, (224, 73.35, 91.49)),
    ),
    "vgg19_bn": (
        _file("vgg19_bn.tv_in1k", _BSD, (224, 74.23, 91.85)),
    ),
    "resnet50_v1s": (
        _file("resnet50s.gluon_in1k", _APACHE, (224, 78.71, 94.25)),
    ),
    "resnet101_v1s": (
        _file("resnet101s.gluon_in1k", _APACHE, (224, 80.28, 95.16)),
    ),
    "resnet152_v1s": (
        _file("resnet152s.gluon_in1k", _APACHE, (224, 81.05, 95.44)),
    ),
    "resnext101_64x4d": (
        _file("resnext101_64x4d.c1_in1k", _APACHE, (224, 82.45, 95.92), (288, 83.16, 96.37)),
        _file("resnext101_64x4d.gluon_in1k", _APACHE, (224, 80.64, 95.00)),
        _file("resnext101_64x4d.tv_in1k", _BSD, (224, 82.98, 96.25)),
    ),
    "se_resnext101_32x4d": (
        _file("seresnext101_32x4d.gluon_in1k", _APACHE, (224, 80.89, 95.27)),
    ),
    "se_resnext101_64x4d": (
        _file("seresnext101_64x4d.gluon_in1k", _APACHE, (224, 80.88, 95.31)),
    ),
    "senet_154": (
        _file("senet154.gluon_in1k", _APACHE, (224, 81.26, 95.36)),
    ),
    "resnest14": (
        _file("resnest14d.gluon_in1k", _APACHE, (224, 75.52, 92.51)),
    ),
    "resnest26": (
        _file("resnest26d.gluon_in1k", _APACHE, (224, 78.48, 94.30)),
    ),
    "hrnet_w18_small_v1_c": (
        _file("hrnet_w18_small.gluon_in1k", _APACHE, (224, 73.93, 91.18)),
        _file("hrnet_w18_small.ms_in1k", _MIT, (224, 72.34, 90.69)),
    ),
    "hrnet_w18_small_v2_c": (
        _file("hrnet_w18_small_v2.gluon_in1k", _APACHE, (224, 78.20, 93.91)),
        _file("hrnet_w18_small_v2.ms_in1k", _MIT, (224, 75.09, 92.41)),
    ),
}  # fmt: skip

# Our name -> timm's architecture.
ARCHITECTURES = {name: files[0].name.partition(".")[0] for name, files in FILES.items()}

# Architectures as timm called them before version 0.8, which configs of that time say -> today's.
FORMERLY = {
    **{f"{whose}_{net}": net for whose in ("ssl", "swsl") for net in (
        "resnet18", "resnet50", "resnext50_32x4d", "resnext101_32x4d"
    )},
    **{f"tv_{net}": net for net in (
        "densenet121", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d"
    )},
    **{f"gluon_resnet{depth}_v1b": f"resnet{depth}" for depth in (18, 34, 50, 101, 152)},
    **{f"gluon_resnet{depth}_v1{end}": f"resnet{depth}{end}" for depth in (50, 101, 152) for end in "cds"},
    **{f"gluon_{net}": net for net in (
        "resnext50_32x4d", "resnext101_32x4d", "seresnext50_32x4d", "inception_v3", "resnext101_64x4d",
        "seresnext101_32x4d", "seresnext101_64x4d", "senet154",
    )},
    **{f"{whose}_inception_v3": "inception_v3" for whose in ("tf", "adv")},
}  # fmt: skip


def copy_of(name: str) -> TimmFile | None:
    """timm's copy of the file that GluonCV published as its default for a network of the zoo; None: there is none."""
    return next((file for file in FILES.get(name, ()) if file.name.endswith(".gluon_in1k")), None)
