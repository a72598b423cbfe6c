"""Files and folders as they come from cameras, downloads, archives and file managers."""

import io
import os
import re
import wave

import cv2
import numpy as np
import PIL.Image
import PIL.ImageCms
import PIL.ImageOps
import pytest

from gluon_tricks.cli import pack as script
from gluon_tricks.core.errors import Refused
from gluon_tricks.data.headers import image_header, is_cut_jpeg
from gluon_tricks.data.packed import packed_photos
from gluon_tricks.data.records import Records, decode_image
from gluon_tricks.data.sources import read_classes


def picture(kind: str, mode="RGB", **options) -> bytes:
    """48 x 32 px in four colours, so that no turn of it looks like another."""
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:16, :24, 0] = pixels[16:, :24, 1] = pixels[:16, 24:, 2] = 255
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).convert(mode).save(file, kind, **options)
    return file.getvalue()


def sound() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframes(bytes(4000))
    return file.getvalue()


JPEG, PNG = picture("JPEG"), picture("PNG", compress_level=0)
ICC = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
SOUND = {
    "a.jpg": JPEG,
    "progressive.jpg": picture("JPEG", progressive=True),
    "cmyk.jpg": picture("JPEG", "CMYK"),
    "trailer.jpg": JPEG + b"what a camera adds" * 9,
    "two.jpg": JPEG + JPEG,  # as MPO, and as some phones
    "thumbnail.jpg": JPEG[:2] + b"\xff\xe1" + (2 + len(JPEG)).to_bytes(2, "big") + JPEG + JPEG[2:],
    "grey16.png": cv2.imencode(".png", np.full((9, 9), 40000, np.uint16))[1].tobytes(),
    "profile.png": picture("PNG", icc_profile=ICC),
    "named_jpeg.jpg": PNG,
    "a.bmp": picture("BMP"),
    "a.tif": picture("TIFF"),
    "a.webp": picture("WEBP"),
    "no ending": JPEG,
}  # fmt: skip
BROKEN = {
    "cut.jpg": (JPEG[: len(JPEG) * 6 // 10], "a JPEG that is cut off"),
    "cut_progressive.jpg": (SOUND["progressive.jpg"][: len(JPEG) * 6 // 10], "a JPEG that is cut off"),
    "cut_thumbnail.jpg": (SOUND["thumbnail.jpg"][: -len(JPEG) // 3], "a JPEG that is cut off"),
    "cut.png": (PNG[: len(PNG) // 2], "a PNG that is cut off"),
    "cut.tif": (SOUND["a.tif"][:900], "no image that can be decoded"),
    "cut.webp": (SOUND["a.webp"][:60], "no image that can be decoded"),
    "cut.bmp": (SOUND["a.bmp"][:900], "no image that can be decoded"),
    "text.bmp": (b"BM is how this text begins, and it goes on", "no JPEG, PNG, BMP, WebP or TIFF"),
    "sound.webp": (sound(), "no JPEG, PNG, BMP, WebP or TIFF"),
    "page.jpg": (b"<html>404</html>", "no JPEG, PNG, BMP, WebP or TIFF"),
    "moving.gif": (picture("GIF"), "no JPEG, PNG, BMP, WebP or TIFF"),
    "empty.jpg": (b"", "empty"),
    "bomb.png": (PNG[:16] + (60000).to_bytes(4, "big") * 2 + PNG[24:], "an image of more than 134 million pixels"),
}


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def run(*arguments) -> int:
    return script.main([str(argument) for argument in arguments])


@pytest.mark.parametrize("resize", [[], ["--resize", 16]])
def test_every_broken_file_is_named_and_every_sound_one_packed(tmp_path, capfd, resize):
    write(tmp_path / "photos" / "a", SOUND)
    write(tmp_path / "photos" / "b", {**{name: data for name, (data, _) in BROKEN.items()}, "1.jpg": JPEG})
    assert run(tmp_path / "photos", tmp_path / "out", *resize) == 0
    said = capfd.readouterr()
    assert said.err == ""  # neither OpenCV's lines nor those of libpng and libtiff
    reasons = {name: f"{tmp_path}/photos/b/{name} ({reason})" for name, (_, reason) in BROKEN.items()}
    assert (tmp_path / "out.left_out.txt").read_text().splitlines() == sorted(reasons.values())
    assert f"left out: {len(BROKEN)} files and folders in all; {tmp_path}/out.left_out.txt lists all" in said.out
    assert said.out.splitlines()[:10] == [f"left out: {line}" for line in sorted(reasons.values())[:10]]
    records = Records(tmp_path / "out.rec")
    assert sorted(map(records.name, range(len(records)))) == sorted([*(f"a/{name}" for name in SOUND), "b/1.jpg"])
    assert run("--check", tmp_path / "out.rec") == 0
    assert "undecodable: 0" in capfd.readouterr().out
    write(tmp_path / "less" / "a", {"1.jpg": JPEG})
    assert run(tmp_path / "less", tmp_path / "out", "--overwrite") == 0
    assert not (tmp_path / "out.left_out.txt").exists()  # nothing was left out this time


def test_without_looking_a_later_message_names_the_photo(tmp_path, capfd):
    write(tmp_path / "photos" / "a", {"1.jpg": JPEG, "2\n\u2028\u00e9.jpg": BROKEN["cut.png"][0]})
    with open(os.fsencode(tmp_path / "photos" / "a") + b"/caf\xe9.jpg", "wb") as file:
        file.write(BROKEN["cut.jpg"][0])
    write(tmp_path / "photos" / "b", {"1.jpg": JPEG})
    assert run(tmp_path / "photos", tmp_path / "out", "--no-verify") == 0
    assert run("--check", tmp_path / "out.rec") == 2
    said = capfd.readouterr()
    assert re.search(r"  image \d \(a/2\\n\\u2028\u00e9.jpg, id 1\) of .*out.rec at byte \d+\n", said.out)
    assert r"(a/caf\xe9.jpg, id 2)" in said.out and said.err == ""
    names = (tmp_path / "out.files").read_text()
    (tmp_path / "out.files").write_text(names.replace("sha256\t", "sha256\t0"))  # those of other records
    assert {Records(tmp_path / "out.rec").name(i) for i in range(4)} == {""}
    (tmp_path / "out.files").unlink()
    assert run("--check", tmp_path / "out.rec") == 2
    assert re.search(r"  image \d \(id 1\) of ", capfd.readouterr().out)


def test_names_do_not_change_the_datas_identity(tmp_path):
    for folder, end in (("one", ""), ("two", "/")):
        write(tmp_path / folder / "a", {f"{folder}.jpg": JPEG})
        assert run(f"{tmp_path / folder}{end}", tmp_path / folder) == 0
    one, two = Records(tmp_path / "one.rec"), Records(tmp_path / "two.rec")
    assert one.digest == two.digest and (one.name(0), two.name(0)) == ("a/one.jpg", "a/two.jpg")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_images_are_turned_as_their_exif_says(kind):
    for orientation in range(1, 9):
        exif = PIL.Image.Exif()
        exif[0x0112] = orientation
        options = {"TIFF": {"tiffinfo": {0x0112: orientation}}, "WEBP": {"lossless": True}}.get(kind, {})
        data = picture(kind, exif=exif, **options)
        upright = PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(data))).convert("RGB")
        found = decode_image(data)[:, :, ::-1].astype(int)
        assert found.shape == (48, 32, 3) if orientation > 4 else (32, 48, 3)
        assert abs(found - np.asarray(upright)).mean() < 2, orientation
        header = image_header(data)
        assert (header.format, header.orientation, header.pixels) == (kind.lower(), orientation, 32 * 48)


def test_a_jpeg_without_an_end_is_cut_wherever_it_is_cut():
    for name in ("a.jpg", "progressive.jpg", "thumbnail.jpg"):
        data = SOUND[name]
        assert not is_cut_jpeg(data)
        assert all(is_cut_jpeg(data[:cut]) for cut in range(len(data) - 300, len(data)))


def test_leavings_are_no_classes(tmp_path, capsys):
    photos = tmp_path / "photos"
    write(photos / "ant", {"1.jpg": JPEG, "Thumbs.db": b"x", "._1.jpg": b"AppleDouble"})
    write(photos / "bee", {"1": JPEG})
    write(photos / "__MACOSX", {"1.jpg": JPEG})
    write(photos / "@eaDir" / "1.jpg", {"THUMB.jpg": JPEG})
    write(photos / "notes", {"look.ipynb": b"{}"})
    write(photos / "checkpoints" / "old", {"1.jpg": JPEG})
    write(photos / ".ipynb_checkpoints", {"1.jpg": JPEG})
    write(photos, {".DS_Store": b"x", "Thumbs.db": b"x"})
    for classes in ([], ["--classes", tmp_path / "names"]):
        (tmp_path / "names").write_text("ant\nbee\n")
        assert run(photos, tmp_path / "out", "--overwrite", *classes) == 0
        said = capsys.readouterr().out
        assert "2 images, 2 classes" in said and Records(tmp_path / "out.rec").classes == ("ant", "bee")
        for name in ("ant/Thumbs.db (no JPEG", "__MACOSX (no class", "@eaDir (no class", "notes (no image in it",
                     "checkpoints (its images lie a folder deeper", "Thumbs.db (not in a class folder"):  # fmt: skip
            assert f"photos/{name}" in said, name


def test_the_parent_of_train_and_val_is_told(tmp_path, capsys):
    for split in ("train", "val"):
        write(tmp_path / "data" / split / "ant", {"1.jpg": JPEG})
    write(tmp_path / "data" / "labels", {"a.txt": b"x"})
    write(tmp_path / "zip" / "photos" / "ant", {"1.jpg": JPEG})
    write(tmp_path / "flat" / "train", {"1.jpg": JPEG})
    write(tmp_path / "flat" / "val", {"1.jpg": JPEG})
    for folder, says in {
        "data": f"holds train, val, which are no classes: pack each by itself, first {tmp_path}/data/train",
        "flat": "holds train, val, which are no classes",
        "zip": f"lie a folder too deep, such as {tmp_path}/zip/photos/ant/1.jpg: pack {tmp_path}/zip/photos",
    }.items():
        assert run(tmp_path / folder, tmp_path / "out") == 2
        said = capsys.readouterr().err
        assert says in said and said.count("\n") == 1
    write(tmp_path / "vehicles" / "train", {"1.jpg": JPEG})
    write(tmp_path / "vehicles" / "bus", {"1.jpg": JPEG})
    assert run(tmp_path / "vehicles", tmp_path / "out") == 0  # a class may be called train


def test_reproduce_tells_what_of_its_photos_is_left_out(tmp_path, capsys):
    for split in ("train", "val"):
        write(tmp_path / "data" / split / "ant", {"1.jpg": JPEG})
        write(tmp_path / "data" / split / "bee", {"1.jpg": JPEG, "2.jpg": BROKEN["cut.jpg"][0]})
    packed_photos(tmp_path / "data", tmp_path / "cache", "--data")
    lines = [f"left out: {tmp_path}/data/{split}/bee/2.jpg (a JPEG that is cut off)" for split in ("train", "val")]
    assert capsys.readouterr().err.splitlines() == lines


@pytest.mark.parametrize("value", ["", " "])
@pytest.mark.parametrize("flag", ["--list", "--voc", "--ground-truth", "--places365", "--meta", "--classes"])
def test_a_flag_without_a_name_is_not_taken_as_left_out(tmp_path, capsys, flag, value):
    write(tmp_path / "photos" / "ant", {"1.jpg": JPEG})
    for words, called in {(tmp_path / "out", flag, value): flag, (value,): "OUT_PREFIX"}.items():
        with pytest.raises(SystemExit, match="2"):
            run(tmp_path / "photos", *words)
        said = capsys.readouterr().err
        assert f"{called} names nothing: perhaps a variable of a script is empty; give" in said
        assert said.count("\n") == 1 and not [*tmp_path.glob("out*")]
    with pytest.raises(Refused, match="the file of the classes' names has no name: perhaps"):
        read_classes(value)
