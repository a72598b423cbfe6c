"""CIFAR's binary files in miniature: two images in each, written byte by byte."""

import dataclasses
import os
import pathlib

import cv2
import numpy as np
import pytest

from gluon_tricks.cli import pack as command
from gluon_tricks.core.errors import Refused
from gluon_tricks.data import cifar
from gluon_tricks.data.cifar import is_cifar
from gluon_tricks.data.packed import packed_photos
from gluon_tricks.data.records import Records

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
FINE = [f"fine{k}" for k in range(100)]


def image(label, red, green, blue, corner=0):
    """3073 bytes: a label and three planes of one value each; the first byte of red, the top left, is `corner`."""
    return bytes([label, corner or red]) + bytes([red]) * 1023 + bytes([green]) * 1024 + bytes([blue]) * 1024


@pytest.fixture
def two_images(monkeypatch):
    """The real files have 10,000 images each, which the test with the real sizes checks."""
    monkeypatch.setattr(
        cifar,
        "_VERSIONS",
        tuple(
            dataclasses.replace(version, files={s: dict.fromkeys(files, 2) for s, files in version.files.items()})
            for version in cifar._VERSIONS
        ),
    )


@pytest.fixture
def ten(tmp_path, two_images):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for k in range(1, 6):
        (folder / f"data_batch_{k}.bin").write_bytes(image(k, 10 * k, 1, 2, corner=255) + image(0, 3, 4, 5))
    (folder / "test_batch.bin").write_bytes(image(9, 200, 100, 50) + image(8, 7, 8, 9))
    (folder / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    return folder


def pixels(records, i):
    return cv2.imdecode(np.frombuffer(records.read(i)[2], np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


def by_id(path):
    records = Records(path)
    return {records.read(i)[1]: (records.read(i)[0], pixels(records, i), records.name(i)) for i in range(len(records))}


def test_the_layout_of_an_image(ten, tmp_path, capsys):
    assert command.main([str(ten), str(tmp_path / "out"), "--cifar"]) == 0
    assert "train.rec: 10 images, 10 classes" in capsys.readouterr().out
    train, val = by_id(tmp_path / "out" / "train.rec"), by_id(tmp_path / "out" / "val.rec")
    assert list(Records(tmp_path / "out" / "train.rec").classes) == NAMES
    assert [train[k][0] for k in range(10)] == [1, 0, 2, 0, 3, 0, 4, 0, 5, 0] and [val[k][0] for k in (0, 1)] == [9, 8]
    label, rgb, name = train[4]  # the first of data_batch_3
    assert name == "data_batch_3.bin image 0" and rgb.shape == (32, 32, 3)
    assert rgb[0, 0].tolist() == [255, 1, 2] and (rgb[0, 1:] == [30, 1, 2]).all() and (rgb[1:] == [30, 1, 2]).all()
    assert (val[0][1] == [200, 100, 50]).all() and (val[1][1] == [7, 8, 9]).all()


def test_rows_lie_from_the_top_and_pixels_from_the_left(ten):
    counted = bytes(range(256)) * 4
    (ten / "test_batch.bin").write_bytes(bytes([1]) + counted + bytes(2048) + image(0, 0, 0, 0))
    source = cifar.cifar_sources(ten)["val"]
    red = cv2.imdecode(np.frombuffer(source.stored(source.entries[0]), np.uint8), cv2.IMREAD_COLOR)[:, :, 2]
    assert red[0].tolist() == list(range(32)) and red[1].tolist() == list(range(32, 64)) and red[31, 31] == 255


def test_the_fine_label_of_cifar_100(tmp_path, two_images):
    rest = image(0, 1, 2, 3)[1:]
    (tmp_path / "train.bin").write_bytes(bytes([19, 99]) + rest + bytes([0, 1]) + rest)
    (tmp_path / "test.bin").write_bytes(bytes([3, 42]) + rest + bytes([3, 7]) + rest)
    (tmp_path / "fine_label_names.txt").write_text("\n".join(FINE))
    sources = cifar.cifar_sources(tmp_path)
    labels = {split: [entry.label for entry in source.entries] for split, source in sources.items()}
    assert labels == {"train": [99, 1], "val": [42, 7]}
    assert sources["train"].classes[99] == "fine99"


def test_a_folder_of_cifar_is_packed_once(ten, tmp_path):
    train, val = packed_photos(ten, tmp_path / "cache", "--data")
    assert len(Records(train)) == 10 and len(Records(val)) == 2
    before = pathlib.Path(train[0]).stat().st_mtime_ns
    assert packed_photos(ten, tmp_path / "cache", "--data") == (train, val)
    assert pathlib.Path(train[0]).stat().st_mtime_ns == before
    (ten / "test_batch.bin").write_bytes(image(1, 1, 1, 1) * 2)
    assert packed_photos(ten, tmp_path / "cache", "--data")[0] != train


def test_the_real_sizes():
    ten, hundred = cifar._VERSIONS
    assert sum(ten.files["train"].values()) == sum(hundred.files["train"].values()) == 50_000
    assert ten.files["val"] == {"test_batch.bin": 10_000} and hundred.files["val"] == {"test.bin": 10_000}


def remove(name):
    return lambda folder: (folder / name).unlink()


def write(name, data):
    return lambda folder: (folder / name).write_bytes(data)


def pickles(folder):
    for path in folder.glob("*.bin"):
        path.rename(path.with_suffix(""))


@pytest.mark.parametrize(
    "spoil, text",
    [
        (write("data_batch_2.bin", image(1, 1, 1, 1)), "data_batch_2.bin has 3073 bytes, and 2 images .* take 6146"),
        (write("data_batch_2.bin", image(1, 1, 1, 1) * 3), "data_batch_2.bin has 9219 bytes, .* take 6146"),
        (write("data_batch_2.bin", b""), "data_batch_2.bin has 0 bytes"),
        (write("test_batch.bin", image(0, 1, 1, 1) + image(10, 1, 1, 1)), "image 1 has the label 10, .* 10 classes"),
        (write("batches.meta.txt", b"cat\ndog\n"), "batches.meta.txt names 2 classes and CIFAR-10 has 10"),
        (write("batches.meta.txt", b"cat\n" * 10), "names the class 'cat' twice"),
        (remove("data_batch_5.bin"), "lacks data_batch_5.bin of CIFAR-10: get cifar-10-binary.tar.gz again"),
        (remove("batches.meta.txt"), "lacks batches.meta.txt"),
        (pickles, "the Python version of CIFAR-10: data_batch_1 is a pickle, .* get the binary version"),
    ],
)
def test_what_is_wrong_takes_one_sentence(ten, tmp_path, capsys, spoil, text):
    spoil(ten)
    with pytest.raises(Refused, match=text):
        cifar.cifar_sources(ten)
    assert command.main([str(ten), str(tmp_path / "out"), "--cifar"]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "out").exists()
    with pytest.raises(Refused, match=text):
        packed_photos(ten, tmp_path / "cache", "--data")


def test_a_pipe_is_not_waited_for(ten):
    (ten / "data_batch_1.bin").unlink()
    os.mkfifo(ten / "data_batch_1.bin")
    with pytest.raises(Refused, match="lacks data_batch_1.bin"):
        cifar.cifar_sources(ten)


def test_other_folders_and_flags(ten, tmp_path, capsys):
    with pytest.raises(Refused, match="has no files of CIFAR-10 or CIFAR-100"):
        cifar.cifar_sources(tmp_path)
    assert command.main([str(ten), str(tmp_path / "out")]) == 2
    assert "has the files of CIFAR: give --cifar" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command.main([str(ten), str(tmp_path / "out"), "--cifar", "--resize", "64"])
    assert "--cifar goes with" in capsys.readouterr().err


def test_no_folder_has_a_name_of_300_letters():
    assert not is_cifar("x" * 300)  # pathlib would raise


def test_nothing_is_packed_where_one_of_the_two_is_there(ten, tmp_path, capsys):
    assert command.main([str(ten), str(tmp_path / "out"), "--cifar"]) == 0
    for path in (tmp_path / "out").glob("train.*"):
        path.unlink()
    assert command.main([str(ten), str(tmp_path / "out"), "--cifar"]) == 2
    assert "out/val." in capsys.readouterr().err and not (tmp_path / "out" / "train.rec").exists()
    assert command.main([str(ten), str(tmp_path / "out"), "--cifar", "--overwrite"]) == 0
