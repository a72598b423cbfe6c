import importlib.util

import numpy as np
import PIL.features
import pytest

from gluon_tricks.tasks import lettering, pictures
from gluon_tricks.tasks.lettering import runs, shortened, width, write

NAMES = {
    "German": "Straßenkäfer",
    "Greek": "σκύλος",
    "Cyrillic": "собака",
    "Chinese": "猫狗",
    "Japanese": "ねこいぬ",
    "Korean": "고양이",
    "Arabic": "قطة",
    "Hebrew": "חתול",
    "Hindi": "बिल्ली",
    "Thai": "แมวน้ำ",
    "emoji": "🐈🐕",
}


@pytest.fixture(scope="module", autouse=True)
def fonts(missing):
    for package in ("manimgx_fonts", "noto_cjk_sans_jp_regular"):
        if importlib.util.find_spec(package) is None:
            missing(f"the fonts of {package} are not installed: make venv")


def drawn(text, height=20):
    paper = np.full((3 * height, width(text, height) + 2 * height, 3), 255, np.uint8)
    write(paper, text, (height, 2 * height), height, (0, 0, 0))
    return paper[:, :, 0]


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_names_of_every_script_are_drawn_with_their_own_letters(name):
    """No letter is the box that a font draws for what it does not have, and different letters differ."""
    tofu = {}  # font -> its box
    for run in runs(name):
        font = lettering._opened(run.font, 20)
        tofu[run.font] = bytes(font.getmask("\U0010fffd"))
        shapes = [bytes(font.getmask(c)) for c in run.text]
        assert tofu[run.font] not in shapes and len(set(shapes)) == len(set(run.text))
    assert "".join(run.text for run in runs(name)) == name
    assert (drawn(name) < 128).sum() > 40 * len(name) / 2


def test_a_picture_shows_different_names_differently():
    image = np.full((300, 300, 3), 90, np.uint8)
    one, two, three = (pictures.overlay(image, np.zeros((300, 300), int), [name]) for name in ("猫", "狗", "??"))
    assert (one != two).any() and (one != three).any() and (two != three).any()
    assert (one[:300] == two[:300]).all()  # the photo is the same


def test_what_no_font_has_is_a_code_point():
    assert [run.text for run in runs("a\U00012000")] == ["aU+12000"]
    assert [run.text for run in runs("a\ud800 \ufe0f\u200bb\n\tc")] == [
        "aU+D800 \u200bb c"
    ]  # the space of no width is in the font


def test_spaces_go_with_what_follows_another_script():
    """Raqm puts a space at the end of Arabic to its left, where the score would then stand close to the letters."""
    assert [run.text for run in runs("قطة سوداء 0.78")] == ["قطة سوداء", " 0.78"]


def test_chinese_characters_have_their_form_of_japanese_beside_kana():
    """骨 turns its upper corner to the left in China and to the right in Japan; the font is one."""
    if not PIL.features.check("raqm"):
        pytest.skip("this Pillow has no Raqm, which chooses between the forms")
    chinese, japanese = drawn("骨", 60), drawn("骨ね", 60)
    letter = width("骨", 60) + 40
    assert runs("骨")[0].font == runs("骨ね")[0].font
    assert (chinese[:, :letter] != japanese[:, :letter]).sum() > 100


def test_decomposed_letters_are_composed():
    assert runs("Ka\u0308fer") == runs("Käfer") and len(runs("Käfer")) == 1


@pytest.mark.parametrize("name", ["a long name of a class " * 9, "猫狗" * 60, "قطة سوداء " * 30])
def test_long_names_end_in_dots_within_the_width(name):
    cut = shortened(name, 12, 200)
    assert cut.endswith("...") and name.startswith(cut[:-3]) and 150 < width(cut, 12) <= 200
    assert shortened(name, 12, 3) == "" and shortened("cat", 12, 200) == "cat"


def test_nothing_is_drawn_beyond_the_edge():
    """A line that begins left of the picture and ends right of it, and one that is wholly outside."""
    paper, around = np.full((30, 40, 3), 255, np.uint8), np.full((50, 60, 3), 255, np.uint8)
    write(around[10:40, 10:50], "Wortungetüm", (-20, 20), 12, (0, 0, 0))
    write(paper, "Wortungetüm", (-20, 20), 12, (0, 0, 0))
    assert (around[10:40, 10:50] == paper).all() and (paper < 128).any()
    assert (around[:10] == 255).all() and (around[:, 50:] == 255).all() and (around[:, :10] == 255).all()
    before = paper.copy()
    for at in ((500, 20), (-500, 20), (5, 500), (5, -500)):
        write(paper, "cat", at, 12, (0, 0, 0))
    assert (paper == before).all()


def test_capitals_are_as_high_as_asked():
    rows = np.flatnonzero((drawn("HEH", 40) < 128).any(axis=1))
    assert rows.max() == 79 and abs(len(rows) - 40) <= 1


def test_without_the_wheels_of_fonts_letters_become_code_points(monkeypatch):
    """DejaVu Sans, which matplotlib brings, has Latin, Greek and Cyrillic."""
    monkeypatch.setattr(lettering, "_folder", lambda package: None)
    for cached in (lettering.font_files, lettering.runs):
        cached.cache_clear()
    try:
        assert [run.text for run in runs("Жук é 猫")] == ["Жук é U+732B"]
        assert runs("a")[0].font.name == "DejaVuSans.ttf"
    finally:
        for cached in (lettering.font_files, lettering.runs):
            cached.cache_clear()
