"""The parameter files that GluonCV published of the networks of gluoncv_table, as published.Published has them."""

from __future__ import annotations

_MIXUP, _SMOOTHING = "mixup, label smoothing", "label smoothing"
_CIFAR = "CIFAR-10, mixup (as GluonCV's page says of its files; without mixup {})"
_GN = "GluonCV's page gives it the tag of resnet50_v1b"

# sha1 or, where only that is known, tag; top-1, top-5 and a note, where there are such. The first is the default.
# Source: gluoncv 0.10.5, model_zoo/model_store.py; gluon-cv, docs/model_zoo/csv_tables/Classifications/*.csv.
FILES: dict[str, tuple[tuple, ...]] = {
    "resnet18_v2": (("a81db45fd7b7a2d12ab97cd88ef0a5ac48b8f657", 71.00, 89.92),),
    "resnet34_v2": (("9d6b80bbc35169de6b6edecffdd6047c56fdd322", 74.40, 92.08),),
    "resnet50_v2": (("ecdde35339c1aadbec4f547857078e734a76fb49", 77.11, 93.43),),
    "resnet101_v2": (("18e93e4f48947e002547f50eabbcc9c83e516aa6", 78.53, 94.17),),
    "resnet152_v2": (("f2695542de38cf7e71ed58f02893d82bb409415e", 79.21, 94.31),),
    "resnet50_v1b_gn": (("48ddf358d5acc879f76740dae695be67d96beea6", 77.36, 93.59, _GN),),
    "resnet50_v1s": (("25a187fa281ddc98afbcd0cc0f0646885b874b80",),),
    "resnet101_v1s": (("bd93a83c05f709a803b1221aeff0b028e6eebb03",),),
    "resnet152_v1s": (("cf74621d988ad06c6c6aa44f5597e5b600a966cc",),),
    "resnet18_v1b_0.89": (("54f7742b1f8939ef8e59ede3469bfa5eb6e247fa", 67.20, 87.45),),
    "resnet50_v1d_0.86": (("a230c33f7966ab761597328686b28d0545e4ea30", 78.02, 93.82),),
    "resnet50_v1d_0.48": (("0d3e69bb033d1375c3734419bbc653c3a474ea53", 74.66, 92.34),),
    "resnet50_v1d_0.37": (("9982ae4985b14e1c0ab25342a9f08bc4773b3998", 70.71, 89.74),),
    "resnet50_v1d_0.11": (("6a25eeceb7d27bd9c05fa2bf250c55d3960ad4c7", 63.22, 84.79),),
    "resnet101_v1d_0.76": (("a872796b63fb883116831db3454711421a628154", 79.46, 94.69),),
    "resnet101_v1d_0.73": (("712fccb185921a596baebe9246ff6c994b88591b", 78.89, 94.48),),
    "resnext101_64x4d": (("2f0d1c9d343d140775bfa7548dd3a881a35855de", 80.69, 95.17),),
    "se_resnext101_32x4d": (("688e238985d45a38803c62cf345af2813d0e8aa0", 80.91, 95.39),),
    "se_resnext101_64x4d": (("11c50114a0483e27e74dc4236904254ef05b634b", 81.01, 95.32),),
    "senet_154": (("b5538ef10557243511b9b46063aa4c40790d74ba", 81.26, 95.51),),
    "resnest14": (("7e0b0cae2fd7e9084d1e498b858af1429a6eb1cb", 75.75, 92.70),),
    "resnest26": (("364590740605b6a2b95f5bb77436d781a817436f", 78.68, 94.38),),
    "resnest50": (("bcfefe1dd1dd1ef5cfed5563123c1490ea37b42e", 81.04, 95.42),),
    "resnest101": (("5da943b3230f071525a98639945a6b3b3a45ac95", 82.83, 96.42),),
    "resnest200": (("0c5d117df664ace220aa6fc2922c094bb079d381", 83.86, 96.86),),
    "resnest269": (("11ae7f5da2bcdbad05ba7e84f9b74383e717f3e3", 84.53, 96.98),),
    "mobilenetv2_1.0": (("f9952bcde7a7982947ac5240546e1c1c8f057370", 72.04, 90.57),),
    "mobilenetv2_0.75": (("b56e3d1c33eb52d0b90678db4ce6c5ca6c9a6704", 69.36, 88.50),),
    "mobilenetv2_0.5": (("0803818513599fa1329524ee3607b708b4a4630f", 64.43, 85.31),),
    "mobilenetv2_0.25": (("9b1d2cc38fed4cd171a7f7a0d17fe1a905573887", 51.76, 74.89),),
    "mobilenetv3_large": (("eaa44578554ddffaf2a2630ced9093181ff79688", 75.32, 92.30),),
    "mobilenetv3_small": (("10430433698d18f49991e4a366c9fce8f9286298",), ("33c100a7", 67.72, 87.51)),
    "densenet161": (("b6c8a95717e3e761bd88d145f4d0a214aaa515dc", 77.70, 93.80),),
    "squeezenet1.0": (("264ba4970a0cc87a4f15c96e25246a1307caf523", 56.11, 79.09),),
    "squeezenet1.1": (("33ba0f93753c83d86e1eb397f38a667eaf2e9376", 54.96, 78.17),),
    "xception": (("37c1c90b56800303a66934487fbf017bca8bba00", 79.56, 94.77),),
    "darknet53": (
        ("2189ea49720a116dead245b9b252301cffa18d28", 78.56, 94.43, _MIXUP),
        ("95975047", 78.13, 93.86, _SMOOTHING),
    ),
    "dla34": (("5fd8d651eea4b8f3767174ea63bd0afc1fa541d8",),),
    "hrnet_w18_c": (("9c946e56229ae6d1e4ec482c3be63ae2ee33d654",),),
    "hrnet_w18_small_v1_c": (("c224ae0fe80dd060d244b6a934dada1de0a9c021",),),
    "hrnet_w18_small_v2_c": (("346da53060b949a3a3ffb83a9b6f9ba46c5c4fbc",),),
    "hrnet_w30_c": (("2d8eb90b4a3dc8a4fc8d95910e83de425f002c74",),),
    "hrnet_w32_c": (("d1d41a36de3d1eca7b595973779268bc3f828f5b",),),
    "hrnet_w40_c": (("f8b0a2f9e2db56d23c594847b7f913db9e56cc57",),),
    "hrnet_w44_c": (("b36ab13a611bfd196c46dc9cdda918b63789722d",),),
    "hrnet_w48_c": (("be50e56dea846e87343b09b4ba9687b98bd47d0c",),),
    "hrnet_w64_c": (("76f1b7077179f21c4147ff77f9e0999db879d7ec",),),
    "cifar_resnet20_v2": (("4f2d18804c94f2d283b8b45256d048bd3d6dd479", 92.70, None, _CIFAR.format(92.1)),),
    "cifar_resnet56_v2": (("0a3e74104ec7bcfffefe2d9d5cc1f8e74311ec51", 94.60, None, _CIFAR.format(93.7)),),
    "cifar_resnet110_v2": (("bf160f8b3cb3884a1ea871739f3c8e151e114159", 95.50, None, _CIFAR.format(94.3)),),
    "cifar_wideresnet16_10": (("7c07b5ba6e850f9c37ca1e57c0a2e529455cc2e4", 96.70, None, _CIFAR.format(95.1)),),
    "cifar_wideresnet28_10": (("4a3466aadd4c3ddbcb968bca862d0e59d6f15ec1", 97.20, None, _CIFAR.format(95.6)),),
    "cifar_wideresnet40_8": (("085ca2afabbe0ddfe87d0edc5408bcfcfbffd414", 97.30, None, _CIFAR.format(95.9)),),
    "cifar_resnext29_16x64d": (("e8ff9f4f9cb319dfbf524d01e487af9a7f8a3cf5", 97.30, None, _CIFAR.format(96.3)),),
}  # fmt: skip

FILE_NAMES = {  # what GluonCV calls the files of a network that are not called like it
    "resnet18_v1b_0.89": "resnet18_v1b_2.6x",
    "resnet50_v1d_0.86": "resnet50_v1d_1.8x",
    "resnet50_v1d_0.48": "resnet50_v1d_3.6x",
    "resnet50_v1d_0.37": "resnet50_v1d_5.9x",
    "resnet50_v1d_0.11": "resnet50_v1d_8.8x",
    "resnet101_v1d_0.76": "resnet101_v1d_1.9x",
    "resnet101_v1d_0.73": "resnet101_v1d_2.2x",
    **{name: f"{name[:-1]}cls" for name in FILES if name.startswith("hrnet_")},
}
