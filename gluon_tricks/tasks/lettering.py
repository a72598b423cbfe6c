"""Text in pictures, in every script: drawn by Pillow, letter by letter in the first font that has it.

The fonts come in wheels: Noto Sans for most scripts and Noto Emoji (manimgx-fonts), DejaVu Sans (matplotlib), Noto Sans
CJK (noto-cjk-sans-jp-regular). A letter that none has is drawn as its code point, such as U+12000. Pillow's wheels have
Raqm, so Arabic and Hebrew run from right to left and Indian letters join within a stretch of one script; where it is
missing they stand as they are written, from left to right.
"""

from __future__ import annotations

import functools
import importlib.util
import pathlib
import unicodedata
from typing import NamedTuple

import numpy as np
import PIL.features
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

_CAPITAL = 0.714  # height of a capital of Noto Sans; font size 1
_STAYS = ("Z", "M", "P", "Cf")  # spaces, marks, points and joiners stand in the font of what is before them


class Run(NamedTuple):
    """A stretch of text in one font."""

    text: str
    font: pathlib.Path


@functools.cache
def font_files() -> tuple[pathlib.Path, ...]:
    """The fonts that are installed, in the order in which a letter is looked for."""
    import matplotlib

    noto, chinese = _folder("manimgx_fonts"), _folder("noto_cjk_sans_jp_regular")
    files = sorted(noto.glob("*.ttf")) if noto else []
    files = [path for path in files if "Italic" not in path.name]
    first = [path for path in files if path.name.startswith("NotoSans[")]
    own = pathlib.Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    han = sorted(chinese.glob("*.otf")) if chinese else []
    last = [path for path in files if "Symbols" in path.name or "Emoji" in path.name]
    return (*first, *han, *(path for path in files if path not in (*first, *last)), *reversed(last), own)


def _folder(package: str) -> pathlib.Path | None:
    found = importlib.util.find_spec(package)
    return pathlib.Path(next(iter(found.submodule_search_locations))) if found else None


@functools.cache
def _letters(font: pathlib.Path) -> frozenset[int]:
    """The code points that a font has."""
    from fontTools.ttLib import TTFont

    with TTFont(font, lazy=True) as file:
        return frozenset(file.getBestCmap())


@functools.lru_cache(64)
def _opened(font: pathlib.Path, height: int) -> PIL.ImageFont.FreeTypeFont:
    return PIL.ImageFont.truetype(str(font), max(round(height / _CAPITAL), 1))


@functools.lru_cache(4096)
def runs(text: str) -> tuple[Run, ...]:
    """A line of text as stretches of one font each; what no font has is its code point."""
    found: list[Run] = []
    for c in unicodedata.normalize("NFC", " ".join(text.split())):
        kind = unicodedata.category(c)
        before = found[-1].font if found else None
        if before and kind.startswith(_STAYS) and ord(c) in _letters(before):
            font = before
        elif kind == "Cf" or "\ufe00" <= c <= "\ufe0f":  # joiners and selectors of a form mean nothing to another font
            continue
        else:
            font = next((path for path in font_files() if ord(c) in _letters(path)), None)
        if font is None:
            c, font = f"U+{ord(c):04X}", font_files()[0]
        if font == before:
            found[-1] = Run(found[-1].text + c, font)
            continue
        if found:  # spaces go with what follows: behind Arabic they would stand at its left
            end = found[-1].text.rstrip(" ")
            c = found[-1].text[len(end) :] + c
            found[-1] = Run(end, before)
        found.append(Run(c, font))
    return tuple(found)


def width(text: str, height: int) -> int:
    """Pixels that a line of text takes. Args: height: of a capital letter, px."""
    return round(sum(_opened(run.font, height).getlength(run.text, **_language(text)) for run in runs(text)))


def shortened(text: str, height: int, most: int) -> str:
    """The text, with ... for its end if it is wider than `most` px; "" where not even that has room."""
    if width(text, height) <= most:
        return text
    short, long = 0, len(text)  # characters that fit, and that do not
    while long - short > 1:
        middle = (short + long) // 2
        fits = width(text[:middle].rstrip(" ,") + "...", height) <= most
        short, long = (middle, long) if fits else (short, middle)
    return text[:short].rstrip(" ,") + "..." if short else ""


def write(picture: np.ndarray, text: str, at: tuple[int, int], height: int, ink: tuple[int, int, int]) -> None:
    """Draws a line of text into an RGB picture.

    Args:
        picture: (H, W, 3) uint8; what reaches beyond it is cut off.
        at: px, the left end of the line that capitals stand on.
        height: of a capital letter, px.
    """
    pad = 2 * height  # room for what hangs below the line, leans out of it or stands above capitals
    mask = PIL.Image.new("L", (width(text, height) + 2 * pad, 2 * pad + height))
    drawing, x = PIL.ImageDraw.Draw(mask), float(pad)
    for run in runs(text):
        font = _opened(run.font, height)
        drawing.text((x, pad + height), run.text, fill=255, font=font, anchor="ls", **_language(text))
        x += font.getlength(run.text, **_language(text))
    left, top = at[0] - pad, at[1] - pad - height
    y0, x0 = max(top, 0), max(left, 0)
    under = picture[y0 : max(top + mask.height, 0), x0 : max(left + mask.width, 0)]
    opacity = np.asarray(mask, np.float32)[y0 - top :, x0 - left :][: under.shape[0], : under.shape[1], None] / 255
    under[:] = (under * (1 - opacity) + np.array(ink, np.float32) * opacity).round()


@functools.cache
def import_pyplot():
    """matplotlib.pyplot, drawing into files, with the same fonts behind its own."""
    import matplotlib
    from matplotlib import font_manager

    matplotlib.use("Agg")
    listed = {font.fname for font in font_manager.fontManager.ttflist}
    for path in map(str, font_files()):
        if path not in listed:
            font_manager.fontManager.addfont(path)
    names = [font_manager.get_font(str(path)).family_name for path in font_files()]
    matplotlib.rcParams["font.family"] = list(dict.fromkeys(["DejaVu Sans", *names]))
    from matplotlib import pyplot

    return pyplot


def _language(text: str) -> dict[str, str]:
    """Chinese characters have other forms in Japanese: those are taken where the text has kana."""
    if not PIL.features.check("raqm"):
        return {}
    kana = any("\u3040" <= c <= "\u30ff" for c in text)
    return {"language": "ja" if kana else "zh-Hans"} if any("\u2e80" <= c <= "\u9fff" for c in text) else {}
