"""Writing: whole or not at all, and failures that name their place."""

import contextlib
import errno
import os
import pathlib

import pytest

from gluon_tricks.core import files
from gluon_tricks.core.files import CannotWrite, write_atomically


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
    files.write_text(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "there" / "file").read_text() == "text"


def test_devices_are_not_replaced(tmp_path):
    """Root could: /dev/null would be a file from then on."""
    files.write_text(pathlib.Path("/dev/null"), "text")
    assert pathlib.Path("/dev/null").is_char_device()
    with pytest.raises(CannotWrite, match="/dev/full cannot be written: No space left on device"):
        files.write_text(pathlib.Path("/dev/full"), "text")


@pytest.mark.parametrize("fails", [True, False])
def test_folders_that_stay_empty_are_removed(tmp_path, fails):
    """Those made here alone: "old" was empty before, and a/b/full holds something."""
    (tmp_path / "old").mkdir()
    with contextlib.suppress(KeyboardInterrupt):
        for name in ("old", "a/b/empty/c", "a/b/full", "new/er"):
            with files.no_empty_folders(tmp_path / name):
                (tmp_path / name).mkdir(parents=True, exist_ok=True)
                if name == "a/b/full":
                    (tmp_path / name / "file").touch()
                if name == "new/er" and fails:
                    raise KeyboardInterrupt
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
    assert left == ["a", "a/b", "a/b/full", "a/b/full/file", "old"]
