"""The ResNets in other libraries: by which names, and how these call the parameters."""

from __future__ import annotations

from model_zoo.classifier import Peer, built_there

BLURRED = ("resnetblur18", "resnetblur50", "resnetblur50d", "resnetblur101d")
_V1 = {
    **{"stem.0": "features.0", "stem.1": "features.1"},
    **{"stage1": "features.4", "stage2": "features.5", "stage3": "features.6", "stage4": "features.7"},
    **{"conv1": "body.0", "bn1": "body.1", "conv2": "body.3", "bn2": "body.4", "conv3": "body.6", "bn3": "body.7"},
    **{"shortcut": "downsample", "head": "output"},
}
_V1B = {
    **{"stem.0": "conv1", "stem.1": "bn1"},
    **{"stage1": "layer1", "stage2": "layer2", "stage3": "layer3", "stage4": "layer4"},
    **{"se.0": "se.fc1", "se.2": "se.fc2", "shortcut": "downsample", "head": "fc"},
}
_V1C = {
    **_V1B,
    **{"stem.0": "conv1.0", "stem.1": "conv1.1", "stem.3": "conv1.3", "stem.4": "conv1.4"},
    **{"stem.6": "conv1.6", "stem.7": "bn1"},
}


def peers(name: str, depth: int, variant: str, blur: bool, dilated: bool) -> dict[str, Peer]:
    """Of Classifier. Args: as of ResNet."""
    deep_stem = variant in ("v1c", "v1d")
    torch = _V1C if deep_stem else _V1B
    gluoncv = torch if variant in ("v1b", "v1c", "v1d") else _V1
    unnamed = depth == 26 or deep_stem and depth < 50
    found = {"gluoncv": Peer(None if unnamed else name, gluoncv)}
    timm = {"v1b": f"resnet{depth}", "v1d": f"resnet{depth}d", "32x4d": name, "se_32x4d": name.replace("_", "", 1)}
    if depth >= 50:
        timm["v1c"] = f"resnet{depth}c"
    if variant in timm:
        found["timm"] = Peer(timm[variant], torch)
    if variant == "v1b" and depth != 26 or name == "resnext50_32x4d":
        found["torchvision"] = Peer(timm[variant], torch)
    without = [  # libraries that lack the network as it is
        *(["gluoncv"] if blur or dilated and variant.endswith("32x4d") else []),
        *(["torchvision"] if "torchvision" in found and (blur or dilated and depth < 50) else []),
    ]
    return built_there(_blurred(found) if blur else found, **dict.fromkeys(without, False))


def _blurred(plain: dict[str, Peer]) -> dict[str, Peer]:
    """The names of the parameters are the plain network's; timm alone has some of the networks by name."""
    found = {library: Peer(None, peer.names, peer.formerly) for library, peer in plain.items()}
    named = plain["timm"].model.replace("resnet", "resnetblur") if "timm" in plain else None
    if named in BLURRED:
        found["timm"] = Peer(named, plain["timm"].names)
    return found
