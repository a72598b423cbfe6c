"""Functions that are compiled when they are called for the first time, from the text of their definition.

`import mxnet` writes some 3,000 functions as text and compiles each, one for every operator in each of its forms, and a
command calls a few dozen of them: the rest is a second that it waits in vain.
"""

from __future__ import annotations

import inspect
import re
import types


def define(code: str, globals: dict, local: dict) -> None:
    """What exec(code, globals, local) does where `code` is the definition of one function, but for when it is compiled.

    The function is called, described (inspect.signature, help) and given attributes like any other.
    """
    name = re.match(r"\s*def (\w+)\(", code)[1]
    function = types.FunctionType(_FIRST_CALL, globals, name)
    function.__qualname__ = name
    function.__wrapped__ = _Definition(function, code)  # where inspect looks for the signature
    function.__kwdefaults__ = {"_definition": function.__wrapped__}
    local[name] = function


def _first_call(*args, _definition, **kwargs):
    return _definition(*args, **kwargs)


# In no file, as what exec compiles: inspect looks for no source of it.
_FIRST_CALL = _first_call.__code__.replace(co_filename="<string>")


class _Definition:
    """Of a function that has not been called."""

    def __init__(self, function: types.FunctionType, code: str):
        self._function, self._code = function, code

    def _compiled(self) -> types.FunctionType:
        local: dict = {}
        exec(self._code, self._function.__globals__, local)
        return local[self._function.__name__]

    def __call__(self, *args, **kwargs):
        function, compiled = self._function, self._compiled()
        # Whoever calls it meanwhile in another thread finds the one code or the other with all that it needs.
        function.__defaults__ = compiled.__defaults__
        function.__kwdefaults__ = {**(compiled.__kwdefaults__ or {}), "_definition": self}
        function.__code__ = compiled.__code__
        function.__dict__.pop("__wrapped__", None)
        return function(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._compiled())
