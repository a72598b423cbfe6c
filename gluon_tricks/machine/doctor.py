"""What of this machine and environment would hinder a training: gluon-tricks doctor.

What may be missing or broken (MXNet, OpenCV) is imported only where it is looked at.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.metadata
import os
import pathlib
import platform
import resource
import shutil
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gluon_tricks.core.environment import CUDA_LIBRARIES, usable_cores
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.memory import available_memory
from gluon_tricks.data.handles import open_at_once
from gluon_tricks.data.shards import record_paths
from gluon_tricks.machine import checks
from gluon_tricks.machine.checks import Finding

if TYPE_CHECKING:
    from gluon_tricks.data.records import Records

_MXNETS = ("mxnet", "mxnet-cu117", "mxnet-cu112")


def loader_speed(records: Records, seconds: float = 3.0, size: int = 224) -> float:
    """Images/s of training batches, for about so many seconds."""
    from gluon_tricks.data.loader import RecordLoader

    loader = RecordLoader(records, size=size, batch_size=min(64, len(records)), train=True)
    images, epoch, started = 0, 0, time.perf_counter()
    while True:
        with contextlib.closing(loader.epoch(epoch)) as batches:
            for batch in batches:
                images += batch.count
                passed = time.perf_counter() - started
                if passed >= seconds:
                    return images / passed
        epoch += 1


def examine_disk(run_dir: pathlib.Path) -> Finding:
    """The disk of a folder that need not be there yet."""
    folder = next(path for path in (run_dir.absolute(), *run_dir.absolute().parents) if path.exists())
    writable = folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
    return checks.check_disk(folder, shutil.disk_usage(folder).free, writable)


def examine_memory() -> Finding:
    """The memory of this machine, container or batch job."""
    return checks.check_memory(available_memory())


def examine_descriptors(files: int = 0) -> Finding:
    """This process's limits."""
    return checks.check_descriptors(*resource.getrlimit(resource.RLIMIT_NOFILE), files)


def examine_records(path: str) -> Iterator[Finding]:
    """Every record of a file, as `gluon-tricks pack --check`; then, of sound ones, the loader's speed."""
    from gluon_tricks.data.check import check
    from gluon_tricks.data.records import BadRecord, Records

    try:
        records = Records(path)
        report = checks.check_report(path, check(records))
        yield from report
        if report[0].level != checks.PROBLEM and (records.label_counts() == 1).all():  # the loader is a classifier's
            yield checks.check_loader(path, loader_speed(records), usable_cores())
    except (Refused, BadRecord) as error:
        yield Finding(checks.PROBLEM, str(error))


def examine(run_dir: pathlib.Path, rec: Sequence[str] = ()) -> Iterator[Finding]:
    """Looks at this machine, one finding after the other.

    Args:
        run_dir: where runs will be written.
        rec: record files.
    """
    yield checks.check_python(tuple(map(int, platform.python_version_tuple()[:2])))
    yield checks.check_numpy(np.__version__)
    installed = [name for name in _MXNETS if _is_installed(name)]
    mx, error = _import("mxnet")
    yield checks.check_mxnet(mx.__version__ if mx else "", error, installed)
    yield from _examine_devices(mx, any("-cu" in name for name in installed))
    cv2, error = _import("cv2")
    yield checks.check_opencv(cv2.__version__ if cv2 else "", error)
    yield examine_disk(run_dir)
    yield examine_memory()
    yield examine_descriptors(_open_at_once(rec))
    if cv2:
        for path in rec:
            yield from examine_records(path)


def _open_at_once(rec: Sequence[str]) -> int:
    """How many record files a training on these holds open."""
    found = 0
    for name in rec:
        with contextlib.suppress(Refused):  # told when they are examined
            found += len(record_paths(name))
    return open_at_once(found)


def _examine_devices(mx, cuda_package: bool) -> Iterator[Finding]:
    """What asks MXNet (None: it cannot be imported) or starts processes that need it."""
    cuda_build = mx.runtime.Features().is_enabled("CUDA") if mx else cuda_package
    missing = [library for _, library in CUDA_LIBRARIES if not _loads(library)] if cuda_build else []
    if mx:
        from gluon_tricks.machine import devices
        from gluon_tricks.ranks import launcher

        yield checks.check_gpus(devices.find_gpus(), cuda_build)
        yield checks.check_cuda_libraries(cuda_build, missing, imported=True)
        yield checks.check_cpu(usable_cores(), devices.cpu_has_bfloat16())
        try:
            yield checks.check_horovod("", launcher.built_with())
        except Refused as error:
            yield checks.check_horovod(str(error))
    else:
        yield checks.check_cuda_libraries(cuda_build, missing, imported=False)


def _is_installed(package: str) -> bool:
    try:
        return bool(importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return False


def _import(name: str):
    """(module, ""), or (None, why not): a broken environment fails in every way."""
    try:
        return importlib.import_module(name), ""
    except Exception as error:
        return None, f"{type(error).__name__}: {' '.join(str(error).split())}"


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
