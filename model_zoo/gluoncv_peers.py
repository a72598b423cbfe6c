"""What timm calls the networks that it and GluonCV have and this zoo has not built anew, and their parameters."""

from __future__ import annotations

from collections.abc import Mapping

from model_zoo.classifier import Peer

_BODY = {"body.0": "conv1", "body.1": "bn1", "body.3": "conv2", "body.4": "bn2", "body.6": "conv3", "body.7": "bn3"}
_SE = {"se.0": "se.fc1", "se.2": "se.fc2"}


def _layers(first: int) -> dict[str, str]:
    """The four stages, which are GluonCV's features from a number on."""
    return {f"features.{first + k}": f"layer{1 + k}" for k in range(4)}


_RESNEXT = {"features.0": "conv1", "features.1": "bn1", **_layers(4), **_BODY, "output": "fc"}
_SENET = {
    **{f"features.{k}": f"conv1.{k}" for k in (0, 1, 3, 4, 6)},
    **{"features.7": "bn1", **_layers(10), **_BODY, **_SE, "output": "fc"},
}
_RESNEST = {"conv2.bn": "conv2.bn0"}
_HRNET = {  # a map goes down to a lower branch by several convolutions, which timm nests and GluonCV has in a row
    **{"downsamp_blocks": "downsamp_modules", "incre_blocks": "incre_modules", **_BODY},
    **{
        f"fuse_layers.{to}.{start}.{3 * k + layer}": f"fuse_layers.{to}.{start}.{k}.{layer}"
        for to in range(4) for start in range(to) for k in range(to - start) for layer in (0, 1)
    },
}  # fmt: skip


def _peers(names: Mapping[str, str], table: Mapping[str, str]) -> dict[str, Peer]:
    return {name: Peer(theirs, table) for name, theirs in names.items()}


TIMM: dict[str, Peer] = {
    **_peers({f"resnet{depth}_v1s": f"resnet{depth}s" for depth in (50, 101, 152)}, {}),
    **_peers({"resnext101_64x4d": "resnext101_64x4d"}, _RESNEXT),
    **_peers({f"se_resnext101_{width}x4d": f"seresnext101_{width}x4d" for width in (32, 64)}, {**_RESNEXT, **_SE}),
    **_peers({"senet_154": "senet154"}, _SENET),
    **_peers({f"resnest{depth}": f"resnest{depth}d" for depth in (14, 26)}, _RESNEST),
    **_peers({f"hrnet_w18_small_v{k}_c": f"hrnet_w18_small{end}" for k, end in ((1, ""), (2, "_v2"))}, _HRNET),
}
