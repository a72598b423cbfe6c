"""Lists of files to pack, and lists of classes."""

import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.sources import imagenet_validation, list_file, read_classes

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
    with pytest.raises(Refused, match="has 1.jpg, 1.png, and .*q.txt does not say which: name the file with"):
        imagenet_validation(*flat(tmp_path / "q", files, ["1 ant", "2 bee"]))
    with pytest.raises(Refused, match="lacks 1 of the 1 images"):
        imagenet_validation(*flat(tmp_path / "r", ["1.json", "1.xml"], ["1 ant"]))


def test_a_runs_list_of_classes_gives_names(tmp_path):
    path = tmp_path / "classes.json"
    path.write_text('["ant", "bee"]')
    assert read_classes(path) == ("ant", "bee")
    path.write_text('["ant", "ant"]')
    with pytest.raises(Refused, match="names the class 'ant' twice"):
        read_classes(path)
    for content in ('["ant", 3]', "[", '"ant"', '{"classes": 3}', "[]"):
        path.write_text(content)
        with pytest.raises(Refused) as error:
            read_classes(path)
        assert "delete" not in str(error.value) and str(path) in str(error.value)


def test_one_file_under_two_labels_of_a_list_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("a/1.jpg", "a/2.jpg"):
        (tmp_path / name).write_bytes(JPEG)
    listing = tmp_path / "train.lst"
    listing.write_text("0\t0\ta/1.jpg\n1\t1\ta/2.jpg\n2\t1\ta/./1.jpg\n")
    with pytest.raises(Refused, match="train.lst names a/1.jpg with two labels, 0 and 1: give it one"):
        list_file(tmp_path, listing)
    listing.write_text("0\t0\t1\ta/1.jpg\n1\t1\t1\ta/1.jpg\n")
    with pytest.raises(Refused, match=r"names a/1.jpg with two labels, \(0, 1\) and \(1, 1\): give it one"):
        list_file(tmp_path, listing)
    listing.write_text("0\t0\ta/1.jpg\n1\t1\ta/2.jpg\n2\t0\ta/1.jpg\n")  # as some repeat a rare class
    assert len(list_file(tmp_path, listing).entries) == 3
