"""A lock keeps other processes out, and is nothing where a file system has none."""

import errno
import fcntl
import os

import pytest

from gluon_tricks.core.locks import lock


def test_the_second_is_kept_out(tmp_path):
    with open(tmp_path / "file", "w") as one, open(tmp_path / "file") as other:
        lock(one)
        with pytest.raises(BlockingIOError):
            lock(other)
    with open(tmp_path / "file") as third:
        lock(third)  # closed: nobody has it any more


@pytest.mark.parametrize("number, raises", [(errno.ENOSYS, False), (errno.ENOLCK, False), (errno.EIO, True)])
def test_a_file_system_without_locks(number, raises, tmp_path, monkeypatch):
    def refuse(file, how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with open(tmp_path / "file", "w") as file:
        if raises:
            with pytest.raises(OSError, match=os.strerror(number)):
                lock(file)
        else:
            lock(file)
