"""The manifest of packed records: the .json beside a .rec, with its classes, counts, sizes and digests."""

from __future__ import annotations

import functools
import hashlib
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.json_text import parse_json
from gluon_tricks.core.reading import JSON_BYTES, read_bytes

_REMEDY = "pack again, or delete it: the classes then have no names"


def read_manifest(path: pathlib.Path, remedy: str = _REMEDY) -> tuple[dict[str, Any], str]:
    """The manifest and its sha256, which where the photos lay (its `folder`) does not change.

    Every entry may be missing. Those that this project reads are of their kind: count, classes, images_per_class, and
    of rec and idx their bytes and sha256. Classes that many files share are one object.

    A shard says its classes by `classes_of`, the manifest of all shards in the same folder and the classes' digest.

    Args:
        remedy: for the message, where it is damaged.

    Raises: Refused when it cannot be read, is no JSON object, is too large, or has an entry of another kind; or when
        the manifest of all shards is missing or names other classes.
    """
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
    digest = hashlib.sha256(content).hexdigest()
    if "classes_of" in manifest:
        named = manifest["classes_of"]
        manifest["classes"] = _classes_of_all(path.parent / named["manifest"], named["sha256"])
    elif "classes" in manifest:
        manifest["classes"] = _shared(tuple(manifest["classes"]))
    return manifest, digest


def classes_of(manifest: str, classes: Sequence[str]) -> dict[str, str]:
    """What a shard says of its classes. Args: manifest: the name of that of all shards."""
    return {"manifest": manifest, "sha256": _digest(classes)}


def _digest(classes: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(classes)).encode()).hexdigest()


@functools.lru_cache(maxsize=8)
def _shared(classes: tuple[str, ...]) -> list[str]:
    return list(classes)


@functools.lru_cache(maxsize=8)
def _classes_of_all(path: pathlib.Path, sha256: str) -> list[str]:
    if not path.is_file():
        raise Refused(f"{path}, which names the classes of the shards beside it, is missing: copy it too")
    manifest, _ = read_manifest(path)
    if _digest(manifest.get("classes", [])) != sha256:
        raise Refused(f"{path} names other classes than the shards beside it were packed with: copy both again")
    return manifest["classes"]


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
    named = manifest.get("classes_of", {"manifest": "", "sha256": ""})
    texts = named.values() if isinstance(named, dict) and named.keys() == {"manifest", "sha256"} else [None]
    if not all(isinstance(text, str) and "/" not in text for text in texts):
        return '"classes_of" should have the name of a "manifest" in this folder and a "sha256"'
    numbers = (manifest.get("count", 0), rec.get("bytes", 0), idx.get("bytes", 0))
    if not all(map(_is_count, numbers)):
        return '"count" and "bytes" should be whole numbers'
    each = manifest.get("images_per_class", [])
    if not isinstance(each, list) or not all(map(_is_count, each)):
        return '"images_per_class" should be a list of whole numbers'
    classes = manifest.get("classes", [])
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        return '"classes" should be a list of names'
    return ""


def _is_count(number: Any) -> bool:
    return type(number) is int and number >= 0
