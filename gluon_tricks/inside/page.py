"""One HTML page of all sheets, in a single file that opens from a disk and asks no network for anything."""

from __future__ import annotations

import base64
import dataclasses
import html
import pathlib
from collections.abc import Sequence

import cv2
import numpy as np

from gluon_tricks.core.files import write_text
from gluon_tricks.core.wording import one_line, printable
from gluon_tricks.tasks.pictures import save_png

_QUALITY = 92  # of the JPEGs: text stays sharp
_INTRODUCTIONS = {
    "filters": "What the first layer looks for in the pixels themselves.",
    "deconvolution": "What makes deeper layers fire: their strongest activations, gone back to pixels.",
    "evolution": "How that came to be in the training, checkpoint by checkpoint.",
    "occlusion": "Which parts of an image its class depends on: its probability while a square hides one part.",
    "invariance": "How much the network's numbers change as an image is shifted, enlarged and turned.",
}


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A picture on the page.

    Args:
        view: a key of the page's sections.
        name: of its file, without ending.
        about: what it shows.
        picture: (H, W, 3) uint8 RGB.
    """

    view: str
    name: str
    about: str
    picture: np.ndarray

    def save(self, folder: pathlib.Path) -> None:
        """Writes it as NAME.png."""
        save_png(folder / f"{self.name}.png", self.picture)


def write_page(folder: pathlib.Path, title: str, facts: Sequence[str], sheets: Sequence[Sheet]) -> pathlib.Path:
    """Writes index.html, which holds the sheets as JPEGs, a quarter of their PNGs' size.

    Args:
        folder: of the page.
        title: of the page.
        facts: sentences about the network and the images.
        sheets: in order.

    Returns: the page's path. It needs no other file.
    """
    views = list(dict.fromkeys(sheet.view for sheet in sheets))
    contents = " · ".join(f'<a href="#{view}">{view}</a>' for view in views)
    sections = "\n".join(_section(view, [sheet for sheet in sheets if sheet.view == view]) for view in views)
    page = _PAGE.format(
        title=html.escape(printable(title)),
        facts="\n".join(f"<p>{html.escape(one_line(fact))}</p>" for fact in facts),
        contents=contents,
        sections=sections,
    )
    write_text(folder / "index.html", page)
    return folder / "index.html"


def _section(view: str, sheets: Sequence[Sheet]) -> str:
    figures = "\n".join(_figure(sheet) for sheet in sheets)
    return f'<section id="{view}"><h2>{view.capitalize()}</h2><p>{_INTRODUCTIONS[view]}</p>\n{figures}\n</section>'


def _figure(sheet: Sheet) -> str:
    encoded = cv2.imencode(".jpg", sheet.picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
    data = base64.b64encode(encoded.tobytes()).decode("ascii")
    about = html.escape(one_line(sheet.about))
    return (
        f'<figure><img src="data:image/jpeg;base64,{data}" alt="{about}">'
        f"<figcaption>{about} ({html.escape(sheet.name)}.png)</figcaption></figure>"
    )


_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 16px/1.45 sans-serif; margin: 0 auto; padding: 24px; max-width: 1340px; color: #222; background: #fff }}
h1 {{ font-size: 26px }} h2 {{ margin: 36px 0 4px; border-top: 1px solid #ddd; padding-top: 20px }}
p {{ margin: 4px 0 }}
figure {{ margin: 16px 0; border: 1px solid #ddd; border-radius: 6px; padding: 8px }}
img {{ max-width: 100%; height: auto; display: block; margin: auto }}
@media (max-width: 800px) {{ figure {{ overflow-x: auto }} img {{ max-width: none; width: 1000px }} }}
figcaption {{ margin-top: 6px; color: #555; font-size: 14px; overflow-wrap: anywhere }}
</style>
<h1>{title}</h1>
{facts}
<p>On this page: {contents}</p>
{sections}
</html>
"""
