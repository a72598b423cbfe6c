"""Sheets and the page: what stands where, and that the page needs nothing but itself."""

import base64
import html.parser
import re

import cv2
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.inside import plots, sheets
from gluon_tricks.inside.deconvolution import Pair
from gluon_tricks.inside.invariance import Invariance
from gluon_tricks.inside.occlusion import occlusion_map
from gluon_tricks.inside.page import Sheet, write_page

RED, BLUE = (255, 0, 0), (0, 0, 255)


def of_colour(colour, side=5):
    return np.full((side, side, 3), colour, np.uint8)


def count(sheet, colour):
    """Pixels of exactly this colour."""
    return int((sheet == colour).all(axis=2).sum())


def test_filters_are_shown_by_their_weights():
    """One of red alone, positive, is (255, 128, 128); one of blue alone, negative, (128, 128, 1)."""
    weights = np.zeros((2, 3, 2, 2))
    weights[0, 0], weights[1, 2] = 0.1, -7
    sheet = sheets.filter_sheet(weights, "net", "stem.0")
    assert sheet.shape[1] == 1300 and count(sheet, (255, 128, 128)) == count(sheet, (128, 128, 1)) == 93 * 93


def test_filters_of_no_colours_are_refused():
    with pytest.raises(Refused, match=r"stem.0 of net has weights \(4, 1, 3, 3\): filters of colours"):
        sheets.filter_sheet(np.zeros((4, 1, 3, 3)), "net", "stem.0")


def test_views_stand_at_the_left_of_their_patches():
    pair = Pair(of_colour(RED), of_colour(BLUE), 1.5)
    sheet = sheets.strongest_sheet({"channel 3": [pair] * 4, "dead": []}, "net", "stage1.0", (5, 32), 10)
    assert count(sheet, RED) == count(sheet, BLUE) == 4 * 62 * 62
    red, blue = (np.argwhere((sheet == colour).all(axis=2))[:, 1] for colour in (RED, BLUE))
    assert blue.max() < red.min()
    # The other 5 pairs of the first channel and the 9 of the second, which never fires, are left empty.
    assert count(sheet, (240, 240, 240)) >= 2 * (2 + 6) * 62 * 62


def test_a_white_patch_is_seen_on_the_paper():
    pair = Pair(of_colour((255, 255, 255)), of_colour(BLUE), 1.5)
    sheet = sheets.strongest_sheet({"channel 3": [pair]}, "net", "stage1.0", (5, 32), 10)
    assert count(sheet, (205, 205, 205)) >= 6 * (64 * 64 - 62 * 62)  # three views and three patches; and in letters


def test_an_evolution_has_a_column_a_checkpoint():
    pairs = [Pair(of_colour(RED), of_colour(BLUE), 1.0), None]
    sheet = sheets.evolution_sheet([sheets.Moment(f"step {k}", pairs) for k in range(3)], ["a", "b"], "net", "s")
    assert count(sheet, RED) == count(sheet, BLUE) == 3 * 140 * 140
    columns = np.unique(np.argwhere((sheet == RED).all(axis=2))[:, 1])
    assert (np.diff(columns) > 1).sum() == 2  # three stretches


def test_words_are_wrapped_at_the_width():
    lines = sheets.wrapped("a sentence of several words that is broken", 11, 120)
    assert " ".join(lines) == "a sentence of several words that is broken" and len(lines) > 2


def test_figures_are_drawn_whatever_classes_are_called():
    """$ and _ would be a formula."""
    names, image = ["$x_1$ & <b>", "plain"], of_colour((90, 90, 90), 16)
    found = occlusion_map(lambda x: np.tile([[0.25, 0.75]], (len(x), 1)), image, 4, 4)
    for label, panels in ((0, 4), (1, 3), (None, 3)):
        figure = plots.occlusion_figure(image, found, names, label, (1, 2, 3), "net")
        assert figure.dtype == np.uint8 and abs(figure.shape[1] - panels * 430) <= 1
    values = np.zeros((2, 1))
    curve = Invariance("scale", (1.0, 1.8), values, values, values)
    assert plots.invariance_figure(image[None], [curve], names, [0], (1, 2, 3), "net", True).shape[1] == 1700


def test_long_names_do_not_reach_into_the_next_title(monkeypatch):
    """As figures have them: titles of an occlusion figure's first panel have 395 px, of 12 images 108 px each."""
    ends, pixels = [], plots._pixels

    def measured(pyplot, figure):
        figure.canvas.draw()
        for panel in (panel for panel in figure.axes if panel.get_title() and panel.get_visible()):
            ends.append((panel.title.get_window_extent().width, panel.get_window_extent().width))
        return pixels(pyplot, figure)

    monkeypatch.setattr(plots, "_pixels", measured)
    names, image = ["great white shark, white shark, man-eater, man-eating shark", "W" * 60], of_colour((9, 9, 9), 16)
    found = occlusion_map(lambda x: np.tile([[0.25, 0.75]], (len(x), 1)), image, 4, 4)
    for label in (0, 1):
        plots.occlusion_figure(image, found, names, label, (1, 2, 3), "net")
    values = np.zeros((2, 12))
    curve = Invariance("scale", (1.0, 1.8), values, values, values)
    plots.invariance_figure(np.stack([image] * 12), [curve], names, [0, 1] * 6, (1, 2, 3), "net", True)
    assert len(ends) == 4 + 3 + 12 + 4 and all(title <= room + 8 for title, room in ends)


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.addresses, self.ids = [], []

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href", "action", "data")]
        self.ids += [value for name, value in attributes if name == "id"]


def test_the_page_holds_its_pictures(tmp_path):
    written = [Sheet("filters", "filters", "<script>alert(1)</script>\x1b", of_colour(RED, 16))]
    written += [Sheet("occlusion", f"occlusion-{k}", "image", of_colour(BLUE, 16)) for k in (1, 2)]
    for sheet in written:
        sheet.save(tmp_path)
    assert (cv2.imread(str(tmp_path / "filters.png"))[:, :, ::-1] == RED).all()
    text = write_page(tmp_path, "a & b", ["1 < 2"], written).read_text()
    page = Page()
    page.feed(text)
    assert page.ids == ["filters", "occlusion"]
    assert page.addresses[:2] == ["#filters", "#occlusion"] and len(page.addresses) == 5
    for address, colour in zip(page.addresses[2:], (RED, BLUE, BLUE)):
        kind, data = address.split(",")
        pixels = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
        assert kind == "data:image/jpeg;base64" and np.abs(pixels.astype(int) - colour).max() <= 3
    assert "<script" not in text and "\x1b" not in text and not re.search("https?:|url\\(|@import", text)
    # Narrower than their text can be read, sheets are scrolled.
    assert "@media (max-width: 800px) { .sheet img { max-width: none; width: 1000px } }" in text
