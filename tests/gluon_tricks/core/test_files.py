"""Writing: whole or not at all, and failures that name their place."""

import errno
import os
import pathlib
import stat

import pytest

from gluon_tricks.core import files
from gluon_tricks.core.files import CannotWrite, write_atomically


@pytest.fixture
def devices(tmp_path):
    """Root's own null and full, that a fault here cannot hurt the machine; nobody else could replace the machine's."""
    if os.geteuid():
        return pathlib.Path("/dev/null"), pathlib.Path("/dev/full")
    try:
        for name, minor in (("null", 3), ("full", 7)):
            os.mknod(tmp_path / name, stat.S_IFCHR | 0o666, os.makedev(1, minor))
    except PermissionError:
        pytest.skip("a container in which root may make no devices")
    return tmp_path / "null", tmp_path / "full"


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fails(temporary):
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(CannotWrite, match="file cannot be written: No space left on device"):
        write_atomically(path, fails)
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_a_link_stays_one(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "file")
    files.write_text(tmp_path / "link", "text", named=True)
    assert (tmp_path / "link").is_symlink() and (tmp_path / "there" / "file").read_text() == "text"


def test_devices_are_not_replaced(devices):
    """Root could: /dev/null would be a file from then on, for every program of the machine."""
    device, full = devices
    files.write_text(device, "text", named=True)
    assert device.is_char_device()
    with pytest.raises(CannotWrite, match="null cannot be written: it is a device, not a file"):
        files.write_text(device, "text")
    assert device.is_char_device()
    with pytest.raises(CannotWrite, match="full cannot be written: No space left on device"):
        files.write_text(full, "text", named=True)
