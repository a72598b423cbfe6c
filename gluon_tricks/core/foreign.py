"""Packages of others that cannot be imported as they are: GluonCV, tensorboardX and torchvision beside PyTorch."""

from __future__ import annotations

import importlib
import importlib.abc
import sys


def import_gluoncv():
    """The module gluoncv, also where PyTorch is installed: it refuses to stand beside torch 2, which it never uses.

    What it changes in PIL, which is to take half a file for a whole image from then on, is undone.
    """
    pillow = importlib.import_module("PIL.ImageFile")
    before = pillow.LOAD_TRUNCATED_IMAGES
    try:
        return _import_without_torch("gluoncv")
    finally:
        pillow.LOAD_TRUNCATED_IMAGES = before


def import_tensorboard():
    """The module tensorboardX without PyTorch, which it would import where it is installed.

    PyTorch's copy of Gloo and Horovod's get in each other's way: a rank that loads both dies sooner or later.
    """
    return _import_without_torch("tensorboardX")


def _import_without_torch(name: str):
    torch, hidden = sys.modules.pop("torch", None), _NoTorch()
    sys.meta_path.insert(0, hidden)
    try:
        return importlib.import_module(name)
    finally:
        sys.meta_path.remove(hidden)
        if torch is not None:
            sys.modules["torch"] = torch


class _NoTorch(importlib.abc.MetaPathFinder):
    """Finds PyTorch not installed, which both take calmly.

    None in sys.modules would say so too, but scipy, which is imported with them, takes that for the module.
    """

    def find_spec(self, fullname, path=None, target=None):
        if fullname == "torch":
            raise ModuleNotFoundError("torch is hidden for this import", name="torch")


_torch_operators = []  # kept: torch forgets operators with the object that defined them


def import_torchvision():
    """The module torchvision (timm needs it too), also where its compiled operators do not load.

    They do not where torchvision's wheel was built for CUDA and torch for CPUs; the import then fails only because
    two operators are unknown to torch. The networks use neither.
    """
    torch = importlib.import_module("torch")
    for name in ("nms", "qnms"):
        if "torchvision" not in sys.modules and not hasattr(torch.ops.torchvision, name):
            library = torch.library.Library("torchvision", "FRAGMENT")
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            _torch_operators.append(library)
    return importlib.import_module("torchvision")
