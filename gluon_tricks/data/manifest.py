"""The manifest of packed records: the .json beside a .rec, with its classes, counts, sizes and digests."""

from __future__ import annotations

import hashlib
import json
import pathlib
from typing import Any

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.json_text import parse_json
from gluon_tricks.core.reading import JSON_BYTES, read_bytes


def read_manifest(path: pathlib.Path) -> tuple[dict[str, Any], str]:
    """The manifest and its sha256, which where the photos lay (its `folder`) does not change.

    Every entry may be missing. Those that this project reads are of their kind: count, classes, and of rec and idx
    their bytes and sha256.

    Raises: Refused when it cannot be read, is no JSON object, is too large, or has an entry of another kind.
    """
    remedy = "pack again, or delete it: the classes then have no names"
    try:
        content = read_bytes(path, JSON_BYTES)
    except OSError as error:
        raise Refused(f"{path} cannot be read ({error.strerror}): {remedy}") from None
    try:
        manifest = parse_json(content)
    except ValueError as error:
        raise Refused(f"{path} is not JSON ({error}): {remedy}") from None
    wrong = _wrong_entry(manifest)
    if wrong:
        raise Refused(f"{path} is no manifest: {wrong}; {remedy}")
    if "folder" in manifest:
        content = to_text({key: value for key, value in manifest.items() if key != "folder"})
    return manifest, hashlib.sha256(content).hexdigest()


def to_text(manifest: dict[str, Any]) -> bytes:
    """A manifest as it is written."""
    return json.dumps(manifest, indent=1).encode()


def _wrong_entry(manifest: Any) -> str:
    """The first entry of another kind than it must be, in words; "" if there is none."""
    if not isinstance(manifest, dict):
        return f"it is a JSON {type(manifest).__name__}, not an object"
    if not all(isinstance(manifest.get(part, {}), dict) for part in ("rec", "idx")):
        return '"rec" and "idx" should be objects with "bytes" and "sha256"'
    rec, idx = manifest.get("rec", {}), manifest.get("idx", {})
    if not all(isinstance(part.get("sha256", ""), str) for part in (rec, idx)):
        return '"sha256" should be text'
    numbers = (manifest.get("count", 0), rec.get("bytes", 0), idx.get("bytes", 0))
    if not all(type(number) is int and number >= 0 for number in numbers):
        return '"count" and "bytes" should be whole numbers'
    classes = manifest.get("classes", [])
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        return '"classes" should be a list of names'
    return ""
