"""MXNet's resize to the size of another array as ONNX, which MXNet's exporter knows for fixed sizes only."""

from __future__ import annotations

from typing import Any

import numpy as np

from gluon_tricks.core.errors import Refused  # noqa: F401 (first: it prepares the process for `import mxnet`)

# isort: split
import mxnet as mx

_RESIZE = "_contrib_BilinearResize2D"


def register(onnx) -> None:
    """Makes MXNet's exporter translate it in any mode that the zoo's networks use. Args: onnx: the module."""
    graph = mx.onnx.mx2onnx._export_onnx.MXNetGraph
    theirs = graph.registry_[12][_RESIZE]

    def translated(node: dict[str, Any], **about: Any) -> list:
        return _like(onnx, node, about) if node.get("attrs", {}).get("mode") == "like" else theirs(node, **about)

    graph.registry_[13][_RESIZE] = translated


def _like(onnx, node: dict[str, Any], about: dict[str, Any]) -> list:
    """The first input resized to height and width of the second, corners on corners, whatever their shapes are."""
    name, make = node["name"], onnx.helper.make_node
    maps, images = (about["outputs_lookup"][place[0]][place[1]].name for place in node["inputs"])
    constants = {"0": np.int64([0]), "2": np.int64([2]), "4": np.int64([4]), "none": np.float32([])}
    for key, value in constants.items():
        about["initializer"].append(onnx.numpy_helper.from_array(value, f"{name}_{key}"))
    return [
        make("Shape", [maps], [f"{name}_of_maps"]),
        make("Shape", [images], [f"{name}_of_images"]),
        make("Slice", [f"{name}_of_maps", f"{name}_0", f"{name}_2"], [f"{name}_images_and_channels"]),
        make("Slice", [f"{name}_of_images", f"{name}_2", f"{name}_4"], [f"{name}_sides"]),
        make("Concat", [f"{name}_images_and_channels", f"{name}_sides"], [f"{name}_sizes"], axis=0),
        make(
            "Resize", [maps, f"{name}_none", f"{name}_none", f"{name}_sizes"], [name], name=name, mode="linear",
            coordinate_transformation_mode="align_corners",
        ),
    ]  # fmt: skip
