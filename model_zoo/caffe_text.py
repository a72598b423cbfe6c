"""A prototxt as text: which of its layers and inputs make which blobs, as far as OpenCV has to be helped with them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_TOKEN = re.compile(r"""#[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[{}<>]|\[[^]]*\]|[^\s{}<>"'#:;,[\]]+""")
_INPUTS = ("input", "input_dim", "input_shape")


class Field(NamedTuple):
    """A field of a message in protobuf's text form.

    Args:
        value: a word or number, a string without its quotes, or the inside of a message.
        start, end: where it stands in the text.
    """

    name: str
    value: str
    start: int
    end: int


def fields(text: str) -> Iterator[Field]:
    """The fields of a message, of those in it the whole text; what is no such text ends them."""
    tokens = (token for token in _TOKEN.finditer(text) if not token[0].startswith("#"))
    for name in tokens:
        value = next(tokens, None)
        if value is None or name[0] in "{}<>":
            return
        if value[0] not in "{<":
            yield Field(name[0], value[0].strip("\"'"), name.start(), value.end())
            continue
        depth = 1
        for token in tokens:
            depth += (token[0] in "{<") - (token[0] in "}>")
            if not depth:
                yield Field(name[0], text[value.end() : token.start()], name.start(), token.end())
                break


def with_inputs_once(text: str) -> str:
    """Without the inputs of the network, where layers of type Input make all of them too, as Caffe allows."""
    found = list(fields(text))
    named = {field.value for field in found if field.name == "input"}
    if not named or not named <= {top for _, kind, tops in _layers(found) if kind == "Input" for top in tops}:
        return text
    gone = [field for field in found if field.name in _INPUTS]
    starts, ends = [field.start for field in gone], [field.end for field in gone]
    return "".join(text[start:end] for start, end in zip([0, *ends], [*starts, len(text)]))


def made_twice(text: str) -> tuple[str, list[str]] | None:
    """The first blob that several make, and these: layers by their names, and "input"; None: there is no such blob."""
    found = list(fields(text))
    makers: dict[str, list[str]] = {}
    for field in found:
        if field.name == "input":
            makers.setdefault(field.value, []).append("input")
    for name, _, tops in _layers(found):
        for top in tops:
            makers.setdefault(top, []).append(name)
    return next(((blob, names) for blob, names in makers.items() if len(names) > 1), None)


def _layers(found: list[Field]) -> Iterator[tuple[str, str, list[str]]]:
    """Name, type and the blobs that are new of each layer: others it changes in their place."""
    for layer in found:
        if layer.name in ("layer", "layers"):
            parts: dict[str, list[str]] = {}
            for field in fields(layer.value):
                parts.setdefault(field.name, []).append(field.value)
            new = [top for top in parts.get("top", []) if top not in parts.get("bottom", [])]
            yield *(parts.get(key, [""])[0] for key in ("name", "type")), new
