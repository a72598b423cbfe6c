"""Lists of files to pack, and lists of classes."""

import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.sources import imagenet_validation

JPEG = b"\xff\xd8\xff\xe0" + bytes(20)


def flat(folder, files, rows):
    """A folder of files and, beside it, a list of images with their classes."""
    folder.mkdir()
    for name in files:
        (folder / name).write_bytes(JPEG if name.endswith((".jpg", ".png")) else b"{}")
    listing = folder.with_suffix(".txt")
    listing.write_text("".join(f"{row}\n" for row in rows))
    return folder, listing


@pytest.mark.parametrize("ending", ["json", "txt", "xml"])
@pytest.mark.parametrize("rows", [["1.jpg ant", "2.jpg bee"], ["1 ant", "2 bee"]])
def test_a_file_beside_an_image_is_not_taken_for_it(tmp_path, ending, rows):
    found = imagenet_validation(*flat(tmp_path / "p", ["1.jpg", f"1.{ending}", "2.jpg"], rows))
    assert [entry.path for entry in found.entries] == [f"{tmp_path}/p/1.jpg", f"{tmp_path}/p/2.jpg"]
    assert found.left_out == [f"1.{ending} (not in {tmp_path}/p.txt)"]


def test_of_two_images_of_one_name_the_list_says_which(tmp_path):
    files = ["1.jpg", "1.png", "2.jpg"]
    found = imagenet_validation(*flat(tmp_path / "p", files, ["1.png ant", "1.jpg bee"]))
    assert [entry.path for entry in found.entries] == [f"{tmp_path}/p/1.png", f"{tmp_path}/p/1.jpg"]
    with pytest.raises(
        Refused, match="has 1.jpg, 1.png, and .*q.txt does not say which: name the file with its ending"
    ):
        imagenet_validation(*flat(tmp_path / "q", files, ["1 ant", "2 bee"]))
    with pytest.raises(Refused, match="lacks 1 of the 1 images"):
        imagenet_validation(*flat(tmp_path / "r", ["1.json", "1.xml"], ["1 ant"]))
