"""Lists in the forms that editors and other programs leave them in."""

import os

import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.annotations.boxes import read_voc
from gluon_tricks.data.lists import read_lines, require_distinct, words
from gluon_tricks.data.places365 import categories, places365
from gluon_tricks.data.sources import imagenet_validation, list_file, read_classes

ODD = "a\u2028b\x85c\x0cd\u00a0e"  # a name with what Python, but no file system, takes for the end of a line or a blank


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_lines_end_at_line_feeds_only(tmp_path, mark, end):
    text = [f"one {ODD}", "", " \t", "two\rthree", f"{ODD}"]
    (tmp_path / "list").write_bytes(mark + end.join(line.encode() for line in text))
    assert read_lines(tmp_path / "list") == [(1, f"one {ODD}"), (4, "two\rthree"), (5, ODD)]
    assert words(f"  one\t{ODD}, two ", also=",") == ["one", ODD, "two"]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_lines_of_an_old_mac_end_at_carriage_returns(tmp_path, mark):
    (tmp_path / "names").write_bytes(mark + b"ant \r\rbee\r")
    assert read_lines(tmp_path / "names") == [(1, "ant"), (3, "bee")]
    assert read_classes(tmp_path / "names") == ("ant", "bee")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"ant\rb\xe9e\r", "names: line 2 is not UTF-8 (byte 0xe9): save it as UTF-8"),
        ("ant\nb\u00e9e\n".encode("latin-1"), "names: line 2 is not UTF-8 (byte 0xe9): save it as UTF-8"),
        ("ant\nbee\n".encode("utf-16"), "names: it is UTF-16: save it as UTF-8"),
        (b"ant\nbee\nant\n", "names names the class 'ant' twice, labels 0 and 2: give it one label"),
        (b"\n", "names names no class"),
        (b"ant\na\0\n", "the class of label 1, a\\x00, has control characters"),
    ],
)
def test_a_class_file_that_cannot_be_used_is_one_sentence(tmp_path, content, says):
    (tmp_path / "names").write_bytes(content)
    with pytest.raises(Refused) as refusal:
        read_classes(tmp_path / "names")
    assert says in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_class_named_twice_is_refused_wherever_names_are_read(tmp_path):
    (tmp_path / "a.json").write_text('{"classes": ["ant", "ant"]}')
    (tmp_path / "c.txt").write_text("/a/airfield 0\n/a/airfield 1\n")
    for read in (lambda: read_classes(tmp_path / "a.json"), lambda: categories(tmp_path / "c.txt")):
        with pytest.raises(Refused, match="twice, labels 0 and 1"):
            read()
    assert require_distinct(["a", "b"], "x") == ("a", "b")


def test_every_kind_of_list_takes_odd_names(tmp_path):
    """With a byte order mark and carriage returns: the lists of im2rec, ImageNet, Places365 and VOC."""

    def written(text: str):
        (tmp_path / "list").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
        return tmp_path / "list"

    for name in ("photos", "VOC2007/ImageSets/Main"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "photos" / f"{ODD}.jpg").write_bytes(b"1")
    names = categories(written("/a/b 0\n/a/c 1\n"))
    assert names == ("a/b", "a/c")
    path = os.path.join(tmp_path, "photos", f"{ODD}.jpg")
    for source in (
        list_file(tmp_path / "photos", written(f"5\t1\t{ODD}.jpg\n")),
        imagenet_validation(tmp_path / "photos", written(f"{ODD}.jpg 1\n")),
        imagenet_validation(tmp_path / "photos", written(f"{ODD}.jpg,n02 1 2\n"), classes=["n01", "n02"]),
        places365(tmp_path / "photos", written(f"/{ODD}.jpg 1\n"), names),
    ):
        assert [(entry.path, entry.label) for entry in source.entries] == [(path, 1)]
    listing = tmp_path / "VOC2007" / "ImageSets" / "Main" / "val.txt"
    listing.write_bytes(written(f"{ODD}\n").read_bytes())
    with pytest.raises(Refused) as refusal:
        read_voc(tmp_path, ["2007_val"])
    assert str(refusal.value).startswith("1 of 1 image ") and "/a\\u2028b\\x85c\\x0cd\u00a0e.jpg" in str(refusal.value)
