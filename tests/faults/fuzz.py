"""Looks for files that a reader neither reads nor refuses, guided by the branches that they take (atheris).

    pip install '.[fuzz]'
    python tests/faults/fuzz.py TARGET [--seconds 600] [--out FILE.json]

TARGET is one of TARGETS. The search starts from the good files of the hostile_*.py beside it and goes on when one input
has ended the process. FILE.json gets how many were tried, the slowest, the most memory, and every fault with the input
that showed it, in base64. Exit code: 1 if there was one.
"""

from __future__ import annotations

import argparse
import base64
import collections
import importlib
import json
import os
import pathlib
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

from mutate import generator, of_json, of_text

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LONGEST = 1 << 16  # bytes of an input, at least; the longest good file and a tenth
SECONDS = 20  # that one input may take; the machine may be busy
MEGABYTES = 3000  # that the process may have
# Target -> the module with make(), and which of its kinds: a regular expression.
TARGETS = {
    "records": ("hostile_documents", r"packed\..*|im2rec\..*"),
    "tags": ("hostile_documents", r"(im2rec_)?tags\..*"),
    "runs": ("hostile_documents", r"(mean_image|classes)\.json|steps\.csv"),
    "lists": ("hostile_documents", r".*\.(lst|txt)"),
    "photos": ("hostile_documents", r"(photo|progressive)\..*"),
    "recipes": ("hostile_documents", r"recipe\.json"),
    "parameters": ("hostile_parameters", r".*"),
    "checkpoints": ("hostile_networks", r"checkpoint|header|recipe of a run|final\.params"),
    "annotations": ("hostile_annotations", r"annotation|list.*|image with boxes"),
    "masks": ("hostile_annotations", r".*mask"),
}


def kinds_of(target: str, folder: pathlib.Path) -> list[tuple[str, pathlib.Path, object]]:
    """(kind, its good file in `folder`, what reads that file), of a target."""
    name, pattern = TARGETS[target]
    module = importlib.import_module(name)
    module.make(folder)
    if name == "hostile_documents":
        found = [(kind, folder / kind, read) for kind, read in module.readers(folder).items()]
    elif name == "hostile_parameters":
        found = [(path.name, path, lambda path: module.read(path, 3)) for path in sorted(folder.iterdir())]
    elif name == "hostile_networks":
        found = [(kind, folder / file, read) for kind, (file, _, read) in module.KINDS.items()]
    else:
        found = [
            (kind, folder / file, lambda path, read=read: read(folder)) for kind, (file, read) in module.KINDS.items()
        ]
    return [kind for kind in found if re.fullmatch(pattern, kind[0])]


def search(target: str, seconds: int, work: pathlib.Path) -> None:
    """Tries inputs until the time is over; what it found is in work/found.json, even if the process is ended."""
    import atheris

    with atheris.instrument_imports(include=["gluon_tricks", "model_zoo"]):
        good = work / "good"
        shutil.rmtree(good, ignore_errors=True)
        good.mkdir()
        trial = Trial(kinds_of(target, good), work)
    if not any((work / "corpus").iterdir()):
        for k, content in enumerate(trial.contents):
            (work / "corpus" / f"good-{k}").write_bytes(bytes([k]) + content)
    longest = max(LONGEST, *(len(content) * 11 // 10 for content in trial.contents))
    options = [f"-max_total_time={seconds}", f"-timeout={SECONDS}", f"-rss_limit_mb={MEGABYTES}"]
    options += [f"-max_len={longest}", f"-artifact_prefix={work}/fatal-", "-close_fd_mask=1", str(work / "corpus")]

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        shaped = trial.structured(data, seed) if seed % 2 else None
        return atheris.Mutate(data, most) if shaped is None else shaped[:most]

    atheris.Setup([sys.argv[0], *options], trial.one, custom_mutator=mutate)
    atheris.Fuzz()


class Trial:
    """One input after another. The first byte of an input says of which kind it is, the others are the file."""

    def __init__(self, kinds: list[tuple[str, pathlib.Path, object]], work: pathlib.Path):
        self.kinds, self.work = kinds, work
        self.contents = [path.read_bytes() for _, path, _ in kinds]
        self.found = Findings(work / "found.json")

    def one(self, data: bytes) -> None:
        k = data[0] % len(self.kinds) if data else 0
        kind, path, read = self.kinds[k]
        (self.work / "last").write_bytes(data)
        path.write_bytes(data[1:])
        begun, outcome = time.perf_counter(), "read"
        try:
            read(path)
        except Exception as error:
            outcome = "refused"
            fault = wrong(error)
            if fault:
                self.found.add_fault(f"{kind}: {fault}", data)
        finally:
            path.write_bytes(self.contents[k])
        self.found.add(kind, outcome, time.perf_counter() - begun)

    def structured(self, data: bytes, seed: int) -> bytes | None:
        """The input with another value or word in it, which bytes alone rarely get past a parser; None: it has none."""
        (name, path, _), content = self.kinds[data[0] % len(self.kinds) if data else 0], data[1:]
        rng, changed = generator(seed), None
        try:
            if name == "header":
                changed = list(importlib.import_module("hostile_networks").of_header(content, rng, 4))[-1][1]
            elif path.suffix == ".json":
                changed = list(of_json(content, rng, 3))[-1][1]
            elif path.suffix in (".txt", ".lst", ".idx", ".xml"):
                changed = list(of_text(content, rng, 1))[-1][1]
        except (ValueError, LookupError, TypeError, RecursionError):  # an earlier mutation has left no JSON, no text
            return None
        return changed and data[:1] + changed


def wrong(error: Exception) -> str:
    """What is wrong with an error as the answer to a damaged file; "": it is a refusal of a sentence or two."""
    text = str(error)
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if not kinds & {"Refused", "BadRecord"}:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {pathlib.Path(place.filename).name}:{place.lineno}: {text[:200]}"
    if len(text) > 2000:
        return f"a message of {len(text)} characters: {text[:200]!r}"
    if "memory" in text.lower() or "\n" in text:
        return f"the message {text!r}"
    return ""


class Findings:
    """What was tried so far, kept in a file, as the process may be ended by the next input."""

    def __init__(self, path: pathlib.Path):
        self.path, self.written = path, 0.0
        self.values = json.loads(path.read_text()) if path.exists() else {"kinds": {}, "slowest_s": 0.0, "faults": {}}

    def add(self, kind: str, outcome: str, seconds: float) -> None:
        of_kind = self.values["kinds"].setdefault(kind, {"read": 0, "refused": 0})
        of_kind[outcome] += 1
        self.values["slowest_s"] = max(self.values["slowest_s"], round(seconds, 3))
        self.values["most_megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        if time.monotonic() > self.written + 1:
            self.write()

    def add_fault(self, what: str, data: bytes) -> None:
        key = re.sub(r"[0-9]+", "0", what)[:60]  # many inputs show the same fault
        if key not in self.values["faults"]:
            self.values["faults"][key] = {"what": what, "input": base64.b64encode(data).decode()}
            self.write()

    def write(self) -> None:
        self.path.write_text(json.dumps(self.values))
        self.written = time.monotonic()


def fuzz(target: str, seconds: float) -> dict:
    """Searches in child processes, one after another dies, for so many seconds; what was found."""
    fatal: collections.Counter[str] = collections.Counter()
    # In memory: a file is written for each input.
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        work, until, rounds = pathlib.Path(folder), time.monotonic() + seconds, 0
        (work / "corpus").mkdir()
        inputs = {}
        while (left := int(until - time.monotonic())) > 0:
            rounds += 1
            words = [sys.executable, __file__, target, "--search", folder, "--seconds", str(left)]
            environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
            done = subprocess.run(words, capture_output=True, text=True, errors="replace", env=environment)
            if done.returncode == 0:
                break
            lines = [line for line in done.stderr.splitlines() if "ERROR" in line or "Error" in line]
            why = f"ended with {done.returncode}: {(lines or done.stderr.splitlines() or [''])[-1][:200]}"
            fatal[why] += 1
            inputs.setdefault(why, base64.b64encode((work / "last").read_bytes()).decode())
            if rounds > 20 or not (work / "found.json").exists():
                break
        found = json.loads((work / "found.json").read_text()) if (work / "found.json").exists() else {}
        corpus = sum(1 for _ in (work / "corpus").iterdir())
    faults = [*found.pop("faults", {}).values()]
    faults += [{"what": why, "times": count, "input": inputs[why]} for why, count in fatal.items()]
    tried = sum(sum(outcomes.values()) for outcomes in found.get("kinds", {}).values())
    return {"target": target, "seconds": seconds, "tried": tried, "corpus": corpus, **found, "faults": faults}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--out", type=pathlib.Path, help="a JSON file")
    parser.add_argument("--search", type=pathlib.Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.search:
        search(options.target, options.seconds, options.search)
        return 0
    found = fuzz(options.target, options.seconds)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    found |= {"python": platform.python_version(), "machine": platform.machine(), "commit": commit.strip()}
    text = json.dumps(found, indent=1, ensure_ascii=True)
    if options.out:
        options.out.write_text(text + "\n")
    print(text if len(text) < 20_000 else text[:20_000] + " ...")
    return 1 if found["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
