"""A faster `import mxnet`: without two packages that it imports and hardly uses, and functions it compiles in vain.

MXNet 1.9.1 derives a class that is deprecated from scikit-learn's where that is installed, which brings pandas with it,
and imports scipy.stats for the calibration of int8 networks and for its own tests. And it compiles the functions of all
operators (late_functions). Together they take more than half of the time, and every command waits for it.
"""

from __future__ import annotations

import gc
import importlib
import importlib.abc
import importlib.machinery
import sys
import threading

from gluon_tricks.core import late_functions

_OF_OPERATORS = ("mxnet.ndarray.register", "mxnet.symbol.register")  # what gives every operator its function, by exec
_NOT_NEEDED = ("sklearn", "scipy.stats")
_USES_STATISTICS = (("mxnet.contrib.quantization", "stats"), ("mxnet.test_utils", "ss"))


def install() -> None:
    """From now on mxnet is imported so, unless it has been imported already."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Finds mxnet where Python does."""

    def find_spec(self, fullname, path=None, target=None):
        loader = _LOADERS.get(fullname)
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target) if loader else None
        if spec is not None and type(spec.loader) is importlib.machinery.SourceFileLoader:
            spec.loader = loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    """Hides what is not needed from the import; Python's collector would go through all that comes, in vain."""

    def exec_module(self, module):
        hidden, collects = _Hidden(), gc.isenabled()
        sys.meta_path.insert(0, hidden)
        gc.disable()
        try:
            super().exec_module(module)
        finally:
            sys.meta_path.remove(hidden)
            if collects:
                gc.enable()
        for user, name in _USES_STATISTICS:
            if getattr(sys.modules.get(user), name, self) is None:
                setattr(sys.modules[user], name, _Statistics())


class _OperatorsLoader(importlib.machinery.SourceFileLoader):
    """Compiles the function of an operator when it is called."""

    def exec_module(self, module):
        module.exec = lambda code, _, local: late_functions.define(code, vars(module), local)
        super().exec_module(module)


_LOADERS = {"mxnet": _Loader, **dict.fromkeys(_OF_OPERATORS, _OperatorsLoader)}


class _Hidden(importlib.abc.MetaPathFinder):
    """Finds them not installed, which MXNet takes calmly; other threads find them."""

    def __init__(self):
        self._thread = threading.get_ident()

    def find_spec(self, fullname, path=None, target=None):
        if fullname in _NOT_NEEDED and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{fullname} is hidden for this import", name=fullname)


class _Statistics:
    """scipy.stats, imported when it is first used."""

    def __getattr__(self, name):
        return getattr(importlib.import_module("scipy.stats"), name)
