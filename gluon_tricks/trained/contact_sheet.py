"""A page of many pictures, each with what was said of it: it opens from a disk and asks no network for anything."""

from __future__ import annotations

import dataclasses
import html
import os
import pathlib
import re
import urllib.parse
from collections.abc import Iterable, Sequence

from gluon_tricks.core.files import write_text
from gluon_tricks.core.wording import one_line, plural, printable

PAGE = "index.html"
# A number behind Arabic or Hebrew letters would be set at their left: a mark between them keeps it where it belongs.
_FROM_RIGHT, _TO_THE_LEFT = re.compile("([\u0590-\u08ff\ufb1d-\ufefc])(?= \\d)"), r"\1&lrm;"


@dataclasses.dataclass(frozen=True)
class Shown:
    """A picture on the page.

    Args:
        picture: its file, seen from the page's folder.
        name: what is written below it.
        words: what was said of it; "": nothing.
        data: the file of numbers beside it; None: there is none.
        truth, named: the class that it is of, and that it was taken for; "": not known.
        right: whether they are the same; None: it is not known.
        confidence: how sure that was said, in [0, 1]; None: nothing of the kind was.
    """

    picture: pathlib.PurePath
    name: str
    words: str = ""
    data: pathlib.PurePath | None = None
    truth: str = ""
    named: str = ""
    right: bool | None = None
    confidence: float | None = None


def contact_sheet(folder: pathlib.Path, title: str, shown: Iterable[Shown]) -> pathlib.Path:
    """Writes index.html in a folder: pictures, small, each linked to itself and to its numbers.

    The wrong ones come first, and then the others, each beginning with what was said with the most confidence. Where
    classes are known, only those of a class can be looked at.

    Returns: the page's path. It needs nothing but the folder.
    """
    shown = sorted(shown, key=lambda one: (one.right is not False, -(one.confidence or 0)))
    wrong, classes = sum(one.right is False for one in shown), _classes(shown)
    count = plural(len(shown), "picture") + (f", {wrong} of them wrong" if 0 < wrong < len(shown) else "")
    page = _PAGE.format(
        title=html.escape(printable(title)), count=count, chooser=_chooser(shown, classes),
        items="\n".join(_figure(one, classes) for one in shown),
    )  # fmt: skip
    write_text(folder / PAGE, page)
    return folder / PAGE


def _classes(shown: Sequence[Shown]) -> dict[str, int]:
    """The classes that occur, in the order of their names, with a number for each."""
    names = {name for one in shown for name in (one.truth, one.named) if name}
    return {name: k for k, name in enumerate(sorted(names))}


def _chooser(shown: Sequence[Shown], classes: dict[str, int]) -> str:
    """The choice of what is shown; nothing where there is nothing to choose."""
    parts = []
    if len({one.right for one in shown}) > 1:
        options = [("", "all")] + [(kind, kind) for kind in ("wrong", "right", "unknown")]
        parts.append(_select("right", "show", [pair for pair in options if pair[0] in {"", *map(_verdict, shown)}]))
    for field, label in (("truth", "of the class"), ("named", "taken for")):
        names = sorted({getattr(one, field) for one in shown} - {""})
        if len(names) > 1:
            parts.append(_select(field, label, [("", "any")] + [(str(classes[name]), name) for name in names]))
    return f'<form autocomplete="off">{" ".join(parts)}</form>' if parts else ""


def _select(key: str, label: str, options: Sequence[tuple[str, str]]) -> str:
    inside = "".join(f'<option value="{value}">{html.escape(printable(name))}</option>' for value, name in options)
    return f'<label>{label} <select name="{key}">{inside}</select></label>'


def _verdict(one: Shown) -> str:
    return {True: "right", False: "wrong", None: "unknown"}[one.right]


def _figure(one: Shown, classes: dict[str, int]) -> str:
    link, name = _link(one.picture), html.escape(printable(one.name))
    more = f' <a href="{_link(one.data)}">JSON</a>' if one.data else ""
    words = f"<br>{_FROM_RIGHT.sub(_TO_THE_LEFT, html.escape(one_line(one.words)))}" if one.words else ""
    known = "".join(f' data-{key}="{classes[getattr(one, key)]}"' for key in ("truth", "named") if getattr(one, key))
    return (
        f'<figure class="{_verdict(one)}"{known}><a href="{link}"><img src="{link}" alt="{name}" loading="lazy"></a>'
        f"<figcaption>{name}{more}{words}</figcaption></figure>"
    )


def _link(path: pathlib.PurePath) -> str:
    return urllib.parse.quote(os.fsencode(path))


_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 15px/1.4 sans-serif; margin: 24px; color: #222; background: #fff }}
h1 {{ font-size: 24px; overflow-wrap: anywhere }}
form {{ display: flex; flex-wrap: wrap; gap: 8px 20px; margin: 12px 0 }}
select {{ font: inherit; max-width: 240px }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min(280px, 100%), 1fr)); gap: 16px }}
figure {{ margin: 0; padding: 8px; border: 1px solid #ddd; border-radius: 6px }}
figure {{ content-visibility: auto; contain-intrinsic-size: auto 320px }}
figure[hidden] {{ display: none }}
figure.wrong {{ border: 2px solid #c62828; padding: 7px; background: #fff5f5 }}
figure.wrong figcaption {{ color: #a31515 }}
img {{ width: 100%; height: 240px; object-fit: contain }}
figcaption {{ margin-top: 6px; overflow-wrap: anywhere }}
</style>
<h1>{title}</h1>
<p>{count}</p>
{chooser}
<main>
{items}
</main>
<script>
const chosen = document.querySelector("form");
chosen?.addEventListener("change", () => {{
  const asked = Object.fromEntries(new FormData(chosen));
  for (const figure of document.querySelectorAll("figure")) {{
    const is = {{...figure.dataset, right: figure.className}};
    figure.hidden = Object.keys(asked).some(key => asked[key] && asked[key] !== is[key]);
  }}
}});
</script>
</html>
"""
