"""Writing: whole or not at all, and failures that name their place."""

import contextlib
import errno
import os
import pathlib
import socket
import stat

import pytest

from gluon_tricks.core import files
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import CannotWrite, opened_to_append, require_writable, write_atomically, write_text
from gluon_tricks.data.record_writer import ENDINGS


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


@pytest.fixture
def victim(tmp_path):
    path = tmp_path / "victim"
    path.write_text("precious")
    yield path
    assert path.read_text() == "precious"


def test_a_planted_link_is_replaced_and_not_followed(tmp_path, victim, monkeypatch):
    (tmp_path / "index.html").symlink_to(victim)
    (tmp_path / f".index.html.{os.getpid()}.tmp").symlink_to(victim)  # what it was called up to version 0.5
    files.write_text(tmp_path / "index.html", "page")
    assert not (tmp_path / "index.html").is_symlink() and (tmp_path / "index.html").read_text() == "page"
    monkeypatch.setattr(files.secrets, "token_hex", lambda count: "0a1b2c3d4e5f6789")  # had somebody known it
    (tmp_path / ".gluon-tricks-0a1b2c3d4e5f6789").symlink_to(victim)
    with pytest.raises(CannotWrite, match="index.html cannot be written: File exists"):
        files.write_text(tmp_path / "index.html", "other")
    assert (tmp_path / "index.html").read_text() == "page"


def test_a_planted_pipe_is_replaced(tmp_path):
    os.mkfifo(tmp_path / "metrics.csv")  # opened, it would wait for a reader
    files.write_text(tmp_path / "metrics.csv", "epoch")
    assert (tmp_path / "metrics.csv").read_text() == "epoch"


def test_a_new_file_takes_the_name_of_a_link(tmp_path, victim):
    (tmp_path / "a.idx.partial").symlink_to(victim)
    with files.opened_anew(tmp_path / "a.idx.partial") as file:
        file.write(b"1")
    assert (tmp_path / "a.idx.partial").read_bytes() == b"1"


def test_lines_are_added_to_files_only(tmp_path, victim):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(victim)
    (tmp_path / "folder").mkdir()
    for name, reason in (("pipe", "a pipe, not a file"), ("link", "a link"), ("folder", "a folder, not a file")):
        with pytest.raises(OSError, match=f"it is {reason}: remove it") as error:
            opened_to_append(tmp_path / name)
        assert error.value.filename == str(tmp_path / name)
    for line in ("1", "2"):
        with opened_to_append(tmp_path / "log") as file:
            print(line, file=file)
    assert (tmp_path / "log").read_text() == "1\n2\n"


def test_a_log_that_a_person_named_may_be_a_link_or_a_pipe_that_is_read(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "log")
    with opened_to_append(tmp_path / "link", named=True) as file:
        file.write("line")
    assert (tmp_path / "log").read_text() == "line"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is a pipe that nobody reads"):
        opened_to_append(tmp_path / "pipe", named=True)
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with opened_to_append(tmp_path / "pipe", named=True) as file:
        assert os.get_blocking(file.fileno())
        file.write("line")
    assert os.read(reader, 9) == b"line"
    os.close(reader)


def test_a_pipe_that_a_person_named_is_written_to_while_somebody_reads_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CannotWrite, match="pipe cannot be written: it is a pipe that nobody reads"):
        require_writable(tmp_path / "pipe", "--out")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    require_writable(tmp_path / "pipe", "--out")
    with pytest.raises(BlockingIOError):  # not the end of it, which would be b""
        os.read(reader, 9)
    write_text(tmp_path / "pipe", "page", named=True)
    assert os.read(reader, 9) == b"page"
    os.close(reader)


@pytest.mark.parametrize(
    "name, wrong",
    [
        ("x" * 256, "no file can have a name of 256 bytes, choose one of up to 255"),
        ("é" * 128, "a name of 256 bytes"),
        ("/".join(["x" * 200] * 21), "a name of 200 bytes"),  # 4220 bytes in all
        ("a\nb", r"--out a\\nb: the name holds control characters"),
        ("a\x1b[31m", r"--out a\\x1b\[31m: "),
        ("a\0b", r"--out a\\x00b: "),
        ("caf\udce9", r"--out caf\\xe9: the name holds control characters or is no UTF-8, choose another"),
    ],
)
def test_names_that_no_new_file_may_have(name, wrong):
    with pytest.raises(Refused, match=wrong):
        files.require_name(name, "--out")
    files.require_name(f"{'x' * 255}/{'é' * 127}", "--out")


RUN = ("recipe.json", "classes.json", "final.params", "events.jsonl", "metrics.csv", "validation.safetensors")


@pytest.mark.parametrize("name", [*RUN, "mean_image.json", "steps.csv", "log.txt", "checkpoints/step-7.safetensors"])
def test_a_file_of_a_run_is_not_written_over(name, tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    files.require_writable(run / name, "--json")  # as no run is there yet
    (run / "recipe.json").write_text("{}")
    (tmp_path / "link").symlink_to(run / name)
    for path in (run / name, tmp_path / "link"):
        with pytest.raises(Refused, match=rf"--json .*: the run {run} has a file of its own under that name: give"):
            files.require_writable(path, "--json")
    for own in ("scores.json", "report.html", "page.html", "final-symbol.json"):
        files.require_writable(run / own, "--json")


@pytest.mark.parametrize("ending", [*ENDINGS])
def test_a_file_of_records_is_not_written_over(ending, tmp_path):
    files.require_writable(tmp_path / f"val{ending}", "--json")
    (tmp_path / "val.rec").write_bytes(b"")
    with pytest.raises(Refused, match=r"--json .*: the records .*val\.rec have a file of their own under"):
        files.require_writable(tmp_path / f"val{ending}", "--json")
    files.require_writable(tmp_path / "val-scores.json", "--json")


def test_a_place_is_looked_at_before_the_work(tmp_path):
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone" / "file")
    (tmp_path / "new").symlink_to(tmp_path / "not-yet")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    (tmp_path / "folder").mkdir()
    for name, wrong in (("nowhere", "no such folder"), ("circle", "its links lead nowhere"), ("folder", "is a folder")):
        with pytest.raises(Refused, match=f"--json .*{name}: .*{wrong}"):
            files.require_writable(tmp_path / name, "--json")
    files.require_writable(tmp_path / "new", "--json")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        with pytest.raises(CannotWrite, match="socket cannot be written: No such device or address"):
            files.require_writable(tmp_path / "socket", "--json")
    assert sorted(os.listdir(tmp_path)) == ["circle", "folder", "new", "nowhere", "socket"]  # nothing was made


def test_a_folder_is_looked_at_before_the_work(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    (tmp_path / "there" / "index.html").mkdir(parents=True)
    files.require_folder(tmp_path / "new" / "deeper", "--out", "index.html")
    for name, wrong in (("file/in", "file is no folder"), ("nowhere", "nowhere is a link that leads nowhere")):
        with pytest.raises(Refused, match=f"--out .*{wrong}"):
            files.require_folder(tmp_path / name, "--out")
    with pytest.raises(Refused, match="--out .*there: index.html in it is a folder"):
        files.require_folder(tmp_path / "there", "--out", "index.html")
    assert not (tmp_path / "new").exists()


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
