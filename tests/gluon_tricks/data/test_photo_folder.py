"""What lies in a folder of photos beside them: files that are no image, results of this program, folders too many."""

import cv2
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.own_photos import OwnPhotos

HEIC = b"\0\0\0\x18ftypheic" + bytes(64)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(tmp_path / "cache"))


def jpeg(seed):
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 32, 3)).astype(np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def write(folder, *files):
    """Photos that differ; of an ending other than .jpg files that are none."""
    for k, file in enumerate(files):
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(k) if file.endswith(".jpg") else HEIC if file.endswith(".heic") else b"")
    return folder


def test_photos_of_which_none_is_an_image_are_told_with_the_reason(tmp_path):
    folder = write(tmp_path / "p", *(f"{name}/{k}.heic" for name in ("bee", "ant") for k in range(2)))
    why = rf"no images found: of 4 files none is an image; the first is {folder}/ant/0.heic \(no JPEG, PNG, BMP"
    for begin in (OwnPhotos.pack, OwnPhotos.counts):
        with pytest.raises(Refused, match=why):
            begin(OwnPhotos(folder, "--data"))


def test_classes_without_a_readable_image_are_named(tmp_path):
    folder = write(tmp_path / "p", "ant/0.jpg", "{b}/1.heic", "{b}/2.heic", "cow/3.jpg")
    with pytest.raises(Refused, match="no class of .* has two different photos.*, and {b} has no readable image: add"):
        OwnPhotos(folder, "--data").pack()
    write(folder, "ant/0.jpg", "ant/1.jpg", "cow/2.heic", "cow/3.heic")
    (folder / "cow" / "3.jpg").unlink()
    with pytest.raises(Refused, match="ant alone .*photos, and cow, {b} have no readable image, and th"):
        OwnPhotos(folder, "--data").pack()
