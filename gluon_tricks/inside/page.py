"""One HTML page of all sheets, in a single file that opens from a disk and asks no network for anything."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from gluon_tricks.core.files import write_text
from gluon_tricks.core.reading import opened
from gluon_tricks.page.images import jpeg
from gluon_tricks.page.skeleton import Section, page, text
from gluon_tricks.tasks.pictures import save_png

TITLE = "seen from inside"  # after the network's name
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
    sections = []
    for view in dict.fromkeys(sheet.view for sheet in sheets):
        figures = "\n".join(_figure(sheet) for sheet in sheets if sheet.view == view)
        sections.append(Section(view, view.capitalize(), f"<p>{_INTRODUCTIONS[view]}</p>\n{figures}"))
    head = f"<h1>{text(title)}</h1>\n" + "\n".join(f"<p>{text(fact, 2000)}</p>" for fact in facts)
    write_text(folder / "index.html", page(title, head, sections))
    return folder / "index.html"


def is_page(path: pathlib.Path) -> bool:
    """Whether a file is a page that write_page wrote under the title of a network."""
    try:
        with opened(path) as file:
            return f"{TITLE}</title>".encode() in file.read(4000)
    except OSError:
        return False


def _figure(sheet: Sheet) -> str:
    about = text(sheet.about, 2000)
    return (
        f'<figure class="sheet"><img src="{jpeg(sheet.picture, max(sheet.picture.shape), _QUALITY)}" alt="{about}">'
        f"<figcaption>{about} ({text(sheet.name)}.png)</figcaption></figure>"
    )
