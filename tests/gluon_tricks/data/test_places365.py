"""Places365's official lists, in miniature, and the file for its test server."""

import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.places365 import categories, places365, write_submission

CATEGORIES = "/a/airfield 0\n/a/airplane_cabin 1\n/s/swimming_pool/outdoor 2\n"


@pytest.fixture
def kit(tmp_path):
    """The lists and a few empty files where they say."""
    (tmp_path / "categories_places365.txt").write_text(CATEGORIES)
    (tmp_path / "train.txt").write_text("/a/airfield/00000001.jpg 0\n/s/swimming_pool/outdoor/00000007.jpg 2\n")
    (tmp_path / "val.txt").write_text("Places365_val_00000002.jpg 1\nPlaces365_val_00000001.jpg 2\n")
    (tmp_path / "test.txt").write_text("Places365_test_00000001.jpg\n")
    for name in (
        "a/airfield/00000001.jpg",
        "s/swimming_pool/outdoor/00000007.jpg",
        "Places365_val_00000001.jpg",
        "Places365_val_00000002.jpg",
        "Places365_test_00000001.jpg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_names_without_the_leading_slash(kit):
    assert categories(kit / "categories_places365.txt") == ("a/airfield", "a/airplane_cabin", "s/swimming_pool/outdoor")


@pytest.mark.parametrize("listing, labels", [("train.txt", [0, 2]), ("val.txt", [1, 2]), ("test.txt", [0])])
def test_the_lists(kit, listing, labels):
    source = places365(kit, kit / listing, categories(kit / "categories_places365.txt"))
    assert [entry.label for entry in source.entries] == labels and len(source.classes) == 3
    assert all(entry.path.startswith(str(kit)) for entry in source.entries)


@pytest.mark.parametrize(
    "text, says",
    [
        ("Places365_val_00000001.jpg 3\n", "line 1 is .* labels 0 to 2"),
        ("Places365_val_00000001.jpg x\n", "line 1 is "),
        ("Places365_val_00000009.jpg 0\n", "lacks Places365_val_00000009.jpg"),
        ("/../secret.jpg 0\n", "lies outside"),
        ("", "no images found"),
    ],
)
def test_lists_that_do_not_fit_are_refused(kit, text, says):
    (kit / "list.txt").write_text(text)
    with pytest.raises(Refused, match=says):
        places365(kit, kit / "list.txt", ("a", "b", "c"))


@pytest.mark.parametrize("text", ["/a/airfield\n", "/a/airfield 0\n/b/beach 0\n", "/a/airfield 1\n", ""])
def test_damaged_categories_are_refused(tmp_path, text):
    (tmp_path / "c.txt").write_text(text)
    with pytest.raises(Refused, match="c.txt"):
        categories(tmp_path / "c.txt")


def test_the_submission(tmp_path):
    """Five labels, the surest first, of equal ones the lower; images in the order of their names."""
    logits = np.array([[0, 5, 1, 4, 2, 3.0], [1, 1, 1, 1, 1, 9]])
    write_submission(tmp_path / "out.txt", ["x/Places365_test_00000002.jpg", "x/Places365_test_00000001.jpg"], logits)
    assert (tmp_path / "out.txt").read_text() == (
        "Places365_test_00000001.jpg 5 0 1 2 3\nPlaces365_test_00000002.jpg 1 3 5 4 2\n"
    )
