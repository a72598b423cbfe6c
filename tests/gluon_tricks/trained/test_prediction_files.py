"""The page of pictures, read back. (tests/scripts/test_predict.py: the other files)"""

import html.parser

import numpy as np

from gluon_tricks.tasks import pictures
from gluon_tricks.trained.prediction_files import contact_sheet


class Links(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.links, self.sources, self.text, self.tags = [], [], [], set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.links += [value for key, value in attributes if key == "href"]
        self.sources += [value for key, value in attributes if key == "src"]

    def handle_data(self, data):
        self.text.append(data)


def test_contact_sheet(tmp_path):
    odd = 'a & <b>"100%" #1'
    for name in (odd, "plain"):
        pictures.save_png(tmp_path / f"{name}.png", np.zeros((4, 6, 3), np.uint8))
    (tmp_path / "plain.json").write_text("{}")
    page = contact_sheet(tmp_path, "Cats & <dogs>")
    assert page == tmp_path / "index.html"
    read = Links()
    read.feed(page.read_text(encoding="utf-8"))
    assert read.sources == ["a%20%26%20%3Cb%3E%22100%25%22%20%231.png", "plain.png"]
    assert read.links == [read.sources[0], "plain.png", "plain.json"]
    assert {odd, "plain", "Cats & <dogs>", "2 pictures"} <= {
        text.strip() for text in read.text
    } and "b" not in read.tags
