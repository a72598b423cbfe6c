"""Reading: regular files up to a size, everything else in one sentence. (test_hostile_files.py: by every reader)"""

import errno
import os
import socket
import tracemalloc

import pytest

from gluon_tricks.cli.selection import class_names
from gluon_tricks.core import reading
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import CannotWrite
from gluon_tricks.core.reading import Unreadable
from gluon_tricks.data.annotations.annotated import Problem
from gluon_tricks.data.records import BadRecord


def test_a_file_is_read_up_to_a_size(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert reading.read_bytes(tmp_path / "file", 5) == b"12345" and reading.read_text(tmp_path / "file", 5) == "12345"
    with pytest.raises(Unreadable, match="file cannot be read: it has 5 bytes, and 4 bytes are the most"):
        reading.read_bytes(tmp_path / "file", 4)
    assert os.path.getsize("/proc/self/status") == 0  # as of a file that grows while it is read
    with pytest.raises(Unreadable, match="it grows while it is read, and 10 bytes are the most"):
        reading.read_bytes("/proc/self/status", 10)
    assert b"VmPeak" in reading.read_bytes("/proc/self/status", 1 << 20)


def test_the_folder_of_a_person(monkeypatch):
    """~nobody stays as it is, where pathlib ends with a RuntimeError."""
    monkeypatch.setenv("HOME", "/home/somebody")
    assert str(reading.expanded("~/x")) == "/home/somebody/x" and str(reading.expanded("a/~")) == "a/~"
    assert str(reading.expanded("~no-such-user/x")) == "~no-such-user/x"
    assert class_names("~no-such-user, b") == ("~no-such-user", "b")


def test_no_more_memory_is_taken_than_a_file_has(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    tracemalloc.start()
    assert reading.read_bytes(tmp_path / "file", 1 << 40) == b"12345"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_what_cannot_be_opened_is_one_sentence(tmp_path, monkeypatch):
    with pytest.raises(Unreadable, match="xxx cannot be read: File name too long"):
        reading.opened("x" * 300)
    with pytest.raises(Unreadable, match=r"a\\x00b cannot be read: no file can have this name"):
        reading.opened("a\0b")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        with pytest.raises(Unreadable, match="it is a socket, not a file"):
            reading.opened(tmp_path / "socket")

    def no(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(reading, "_without_waiting", no)  # root may read everything
    with pytest.raises(Unreadable, match="secret cannot be read: Permission denied") as error:
        reading.opened(tmp_path / "secret")
    assert isinstance(error.value, Refused) and isinstance(error.value, OSError)


def test_an_error_quotes_nothing_that_a_terminal_would_obey():
    for kind in (Refused, CannotWrite, BadRecord, Problem):
        assert str(kind("no caf\udce9 or \x1b[31m\nhere")) == r"no caf\xe9 or \x1b[31m\nhere"
    assert len(str(Refused("x" * 50_000_000))) == 2000
