"""The page of pictures read back, the table, and which photos are found. (tests/scripts/test_predict.py: the rest)"""

import csv
import html
import html.parser
import json
import os
import pathlib
import shutil
import subprocess
import unicodedata

import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import CannotWrite, distinct_names, file_name
from gluon_tricks.tasks.prediction import Prediction
from gluon_tricks.trained.contact_sheet import Shown, contact_sheet
from gluon_tricks.trained.found_photos import Photo, find_photos, folder_classes
from gluon_tricks.trained.prediction_files import Results
from gluon_tricks.trained.prediction_table import PredictionTable

ODD = ["=cmd()", "a,b", 'say "x"', "two\nlines", "<b>", "猫", "x" * 200, " space ", "-1", "@here", "ünï"]


class Page(html.parser.HTMLParser):
    """The links, sources, texts and figures of a page; what a browser would load from elsewhere is an error."""

    def __init__(self, path):
        super().__init__()
        self.links, self.sources, self.text, self.tags, self.figures, self.options = [], [], [], set(), [], []
        self.source = path.read_text(encoding="utf-8")
        assert "http" not in self.source and "@import" not in self.source and "url(" not in self.source
        self.feed(self.source)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.links += [value for key, value in attributes if key == "href"]
        self.sources += [value for key, value in attributes if key == "src"]
        self.figures += [dict(attributes)] if tag == "figure" else []
        self.options += [tag + dict(attributes).get("name", "")] if tag == "select" else []

    def handle_data(self, data):
        self.text.append(data.strip())


def test_contact_sheet(tmp_path):
    odd = 'a & <b>"100%" #1'
    shown = [Shown(pathlib.PurePath(f"{odd}.png"), odd)]
    shown += [Shown(pathlib.PurePath("in/plain.png"), "in/plain", "words", pathlib.PurePath("in/plain.json"))]
    assert contact_sheet(tmp_path, "Cats & <dogs>", shown) == tmp_path / "index.html"
    page = Page(tmp_path / "index.html")
    assert page.sources == ["a%20%26%20%3Cb%3E%22100%25%22%20%231.png", "in/plain.png"]
    assert page.links == [page.sources[0], "in/plain.png", "in/plain.json"]
    assert {odd, "in/plain", "words", "Cats & <dogs>", "2 pictures"} <= {*page.text} and "b" not in page.tags
    assert not page.options  # there is nothing to choose
    contact_sheet(tmp_path, "Gazelles", [Shown(pathlib.PurePath("x.png"), "x", "غزال 9.1 %, cat 2.0 %")])
    assert "<br>غزال&lrm; 9.1 %, cat 2.0 %<" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_the_wrong_ones_come_first_and_the_surest_of_them(tmp_path):
    of = {"a": (True, 0.9), "b": (False, 0.3), "c": (None, 0.99), "d": (False, 0.8), "e": (True, 0.95)}
    of["f"] = (None, None)
    shown = [
        Shown(pathlib.PurePath(f"{name}.png"), name, truth="x" if right is not None else "", named="<b>", right=right,
              confidence=sure)
        for name, (right, sure) in of.items()
    ]  # fmt: skip
    page = Page(contact_sheet(tmp_path, "t", shown))
    assert [source[0] for source in page.sources] == ["d", "b", "c", "e", "a", "f"]
    verdicts = [figure["class"] for figure in page.figures]
    assert verdicts == ["wrong", "wrong", "unknown", "right", "right", "unknown"]
    assert page.figures[0]["data-truth"] == "1" and page.figures[0]["data-named"] == "0"  # <b> comes before x
    assert "data-truth" not in page.figures[2] and "6 pictures, 2 of them wrong" in page.text
    assert page.options == ["selectright"] and {"all", "wrong", "right", "unknown"} <= {*page.text}


def test_a_row_of_every_odd_text_reads_back(tmp_path):
    """What a spreadsheet would compute has an apostrophe in front; all else is as it was."""
    with PredictionTable(tmp_path / "t.csv") as table:
        for name in ODD:
            table.add([[("file", name), ("=cmd()", 0.25), ("right", True), ("none", None)]])
            rows = [*csv.reader((tmp_path / "t.csv").open(encoding="utf-8", newline=""))]  # as an interrupt leaves it
    assert rows[0] == ["file", "'=cmd()", "right", "none"] and len(rows) == 1 + len(ODD)
    safe = [f"'{name}" if name[0] in "=-@" else name for name in ODD]
    assert rows[1:] == [[name, "0.250000", "yes", ""] for name in safe]


def test_a_table_replaces_a_link_and_tells_of_a_full_disk(tmp_path):
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "t.csv").symlink_to("victim")
    with PredictionTable(tmp_path / "t.csv") as table:
        assert (tmp_path / "t.csv").is_symlink()  # until there is a row
        table.add([[("file", "a")]])
    assert (tmp_path / "victim").read_text() == "precious" and (tmp_path / "t.csv").read_text() == "file\na\n"
    with pytest.raises(CannotWrite, match="t.csv cannot be written"):
        PredictionTable(tmp_path / "no" / "t.csv").add([[("file", "a")]])


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_trees_of_photos(tmp_path):
    touch(
        tmp_path, "t/b/x.jpg", "t/a/deep/y.PNG", "t/a/x.webp", "t/z.tif", "t/.hidden/h.jpg", "t/a/.h.jpg", "t/a/n.txt"
    )
    touch(tmp_path, "t/@eaDir/thumb.jpg", "t/__MACOSX/m.jpg", "out/far/f.jpg")
    (tmp_path / "t" / "0").symlink_to("a/deep")  # comes before what it leads to
    (tmp_path / "t" / "b" / "loop").symlink_to("..")
    (tmp_path / "t" / "linked").symlink_to("../out")
    (tmp_path / "t" / "gone.jpg").symlink_to("nowhere")
    found = {str(photo.name): photo for photo in find_photos([tmp_path / "t"])}
    assert list(found) == ["a/deep/y.PNG", "a/x.webp", "b/x.jpg", "linked/far/f.jpg", "z.tif"]
    assert found["a/deep/y.PNG"].path == tmp_path / "t/a/deep/y.PNG"
    assert found["a/deep/y.PNG"].folders == ("deep", "a", "t") and found["z.tif"].folders == ("t",)
    several = find_photos([tmp_path / "t/a", tmp_path / "t/a/n.txt", tmp_path / "t/a/x.webp"])
    assert [str(photo.name) for photo in several] == ["deep/y.PNG", "x.webp", "n.txt"]
    assert [photo.folders for photo in several] == [("deep", "a"), ("a",), ("a",)]


def test_a_file_that_is_named_is_taken_whatever_it_ends_in(tmp_path):
    touch(tmp_path, "a/x", "a/y.jpg")
    (photo,) = find_photos([str(tmp_path / "a" / "x")])
    assert photo == Photo(tmp_path / "a" / "x", pathlib.PurePath("x"), ("a",))
    assert len(find_photos([tmp_path / "a" / "y.jpg", tmp_path / "a", tmp_path / "a" / ".." / "a"])) == 1


def test_a_photo_is_what_training_takes_for_one(tmp_path):
    touch(tmp_path, "a/x.jfif", "a/y.jpe", "a/scan.dcm", "a/notes.txt")
    (tmp_path / "a" / "no ending").write_bytes(b"\xff\xd8\xff\xe0 and so on")
    assert [photo.path.name for photo in find_photos([tmp_path])] == ["no ending", "scan.dcm", "x.jfif", "y.jpe"]


def test_no_photos(tmp_path, monkeypatch):
    touch(tmp_path, "a/b/x.txt")
    with pytest.raises(Refused, match="no images found: .*/a holds no file that is an image"):
        find_photos([tmp_path / "a"])
    with pytest.raises(Refused, match="nowhere is no file or folder that can be read .No such file"):
        find_photos([tmp_path / "nowhere"])
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(Refused, match="/a/b is no file or folder that can be read .Permission denied"):
        find_photos([tmp_path / "a"])


@pytest.mark.parametrize("name", [name for name in ODD if "\n" not in name])
def test_the_truth_that_a_folder_says(name):
    classes = folder_classes(("tench", name, "crane", "crane"), ("n01", "n02", "n03", "n04"))
    apart = unicodedata.normalize("NFD", name)
    folders = {("n04",): 3, (apart,): 1, ("deep", name, "x"): 1, ("val", "n03", "x"): 2, ("crane",): None, (): None}
    folders[("n04", name, "x")] = 1  # as in WRONG/TRUE/NAMED of evaluate --errors: training has it so too
    folders[("n04", name)] = 1
    parts = folder_classes(("car", "train", "val"))
    for inside, truth in {("car", "train"): 0, ("car", "train", "data"): 0, ("train",): 1, ("val", "train"): 2}.items():
        assert Photo(pathlib.Path("x"), pathlib.PurePath("x"), inside).truth(parts) == truth, inside
    for inside, truth in folders.items():
        assert Photo(pathlib.Path("x"), pathlib.PurePath("x"), inside).truth(classes) == truth, inside


def prediction(mask=None):
    return Prediction("cat", {"classes": []}, np.zeros((4, 4, 3), np.uint8), mask)


def test_results_keep_their_folders(tmp_path):
    results, out = Results(tmp_path / "out"), tmp_path / "out"
    mask, pure = np.zeros((4, 4), np.uint8), pathlib.PurePath
    names = ["x.jpg", "a/x.jpg", "b/x.jpg", "b/x.png", "masks/x.jpg", "x.png/y.jpg", f"{'猫' * 85}/{'é' * 125}.jpg"]
    for _ in range(2):  # again: each takes the place that it had
        places = [results.add(tmp_path / name, prediction(mask), {}, pure(name)).relative_to(out) for name in names]
        long = f"{'猫' * 76}/{'é' * 115}.json"
        expected = ["x.json", "a/x.json", "b/x.json", "b/x-2.json", "masks/x-2.json", "x.png-2/y.json", long]
        assert [str(place) for place in places] == expected
        assert {str(path.relative_to(out / "masks")) for path in (out / "masks").rglob("*.png")} >= {
            "x.png", "a/x.png", "b/x.png", "b/x-2.png", "masks/x-2.png", "x.png-2/y.png",
        }  # fmt: skip
    for name in names[1:4]:  # of another network, which gives no masks
        results.add(tmp_path / name, prediction(), {}, pure(name))
    assert not [*(out / "masks" / "a").iterdir(), *(out / "masks" / "b").iterdir()]
    assert [str(shown.picture) for shown in results.shown[:2]] == ["x.png", "a/x.png"] and len(results.shown) == 7


@pytest.mark.parametrize("name", [*ODD, "", ".", "..", "a/b", "\x00", ".hidden", "caf\udce9", "猫" * 100])
def test_any_text_makes_the_name_of_a_file(name, tmp_path):
    made = file_name(name)
    (tmp_path / made).mkdir()
    assert os.listdir(tmp_path) == [made] and made[0] != "." and made.isprintable() and len(os.fsencode(made)) <= 255


def test_names_that_collide_are_told_apart():
    long = "é" * 127
    names = distinct_names(["a", "A", "a-2", "e\u0301", "é", long + "xy", long + "xz", "a/b", "a_b"])
    assert names == ["a", "A-2", "a-2-2", "e\u0301", "é-2", long + "x", "é" * 126 + "-2", "a_b", "a_b-2"]
    assert len(distinct_names(["same"] * 50)) == 50


PROBE = """<script>
const found = [], form = document.querySelector("form"), root = document.documentElement;
const ask = asked => {
  for (const key of ["right", "truth", "named"]) form.elements[key].value = "";
  for (const [key, text] of Object.entries(asked)) {
    const list = form.elements[key];
    list.value = [...list.options].find(option => option.text === text).value;
  }
  form.dispatchEvent(new Event("change"));
  found.push([...document.querySelectorAll("figure")].filter(one => one.offsetParent).map(one => one.textContent[0]));
};
ask({}); ask({right: "wrong"}); ask({truth: "猫"}); ask({truth: "猫", named: "<b>"}); ask({right: "unknown"});
document.title = JSON.stringify([root.scrollWidth <= root.clientWidth, ...found]);
</script></html>"""


def test_the_page_in_a_browser(tmp_path, missing):
    """What is chosen is shown, and nothing is wider than the window, whatever it is called."""
    chromium = shutil.which("chromium") or missing("no chromium: apt-get install chromium")
    of = {"a": ("猫", "猫"), "b": ("猫", "<b>"), "c": ("<b>", "猫"), "d": ("", "猫"), "e": ("x" * 200, "y" * 200)}
    shown = [
        Shown(
            pathlib.PurePath(f"{k}.png"), k + "z" * 200, "w" * 300, None, true, named, true == named if true else None
        )
        for k, (true, named) in of.items()
    ]
    page = contact_sheet(tmp_path, "t" * 200, shown)
    page.write_text(page.read_text(encoding="utf-8").replace("</html>", PROBE), encoding="utf-8")
    words = ("--headless", "--no-sandbox", "--disable-gpu", "--window-size=500,900", "--dump-dom", page.as_uri())
    dom = subprocess.run([chromium, *words], capture_output=True, text=True, timeout=120).stdout
    told = json.loads(html.unescape(dom.partition("<title>")[2].partition("</title>")[0]))
    assert told == [True, [*"bcead"], [*"bce"], [*"ba"], ["b"], ["d"]]


@pytest.mark.parametrize("name, called", [("..jpg", "_"), ("...jpg", "_."), (".a.jpg", "_a"), ("in/..jpg", "in/_")])
def test_what_is_called_as_no_file_can_be_has_results_all_the_same(tmp_path, name, called):
    prediction = Prediction("cat 90.0%", {}, np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), np.uint8))
    results = Results(tmp_path)
    for _ in range(2):  # the second replaces the first
        told = results.add(pathlib.Path("photos") / name, prediction, {"params": "run"}, pathlib.PurePath(name))
        assert told == tmp_path / f"{called}.json"
    assert {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.*")} == {
        f"{called}.json", f"{called}.png", f"masks/{called}.png",
    }  # fmt: skip
