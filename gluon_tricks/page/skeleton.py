"""The HTML that every page of ours begins with: one file that opens from a disk and asks no network for anything."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Sequence

from gluon_tricks.core.wording import printable


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a page with a heading.

    Args:
        key: a word, by which links lead to it.
        title: its heading, text.
        body: HTML.
    """

    key: str
    title: str
    body: str


def text(words: object, most: int = 400) -> str:
    """Any text or name as HTML, on one line and with nothing in it that a browser would obey."""
    return html.escape(printable(words, most))


def page(title: str, head: str, sections: Sequence[Section], script: str = "") -> str:
    """The whole page.

    Args:
        title: text.
        head: HTML above the contents.
        sections: in order.
        script: JavaScript; the page is complete without it.
    """
    contents = "".join(f'<a href="#{section.key}">{text(section.title)}</a>' for section in sections)
    parts = "\n".join(f'<section id="{s.key}"><h2>{text(s.title)}</h2>\n{s.body}</section>' for s in sections)
    code = f"<script>{script}</script>\n" if script else ""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="generator" '
        f'content="gluon_tricks">\n<title>{text(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n{head}\n<nav>{contents}</nav>\n<main>\n{parts}\n</main>\n"
        f"{code}</body>\n</html>\n"
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """A table in a box that scrolls where it is too wide.

    Args:
        heads: HTML of the columns' heads.
        rows: HTML of the cells.
        numbers: which columns are numbers, set to the right.
    """
    kinds = [' class="n"' if k in numbers else "" for k in range(len(heads))]
    top = "".join(f"<th{kind}>{head}</th>" for kind, head in zip(kinds, heads))
    body = "\n".join(f"<tr>{''.join(f'<td{kind}>{cell}</td>' for kind, cell in zip(kinds, row))}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead>\n<tbody>{body}</tbody></table></div>'


def folded(summary: str, body: str, opened: bool = False) -> str:
    """HTML that is shown when its line, a text, is clicked on; no script is needed for that."""
    return f"<details{' open' if opened else ''}><summary>{text(summary)}</summary>\n{body}</details>"


STYLE = """
:root { --ink: #1c2430; --soft: #586374; --line: #dfe4ea; --back: #f6f7f9; --blue: #1667a8; --red: #c0392b;
  color-scheme: light }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; color: var(--ink);
  background: var(--back); margin: 0 auto; padding: 28px 20px 60px; max-width: 1240px; overflow-wrap: anywhere }
h1 { font-size: 25px; line-height: 1.25; margin: 0 0 6px; letter-spacing: -.01em }
h2 { font-size: 18px; margin: 0 0 10px }
h3 { font-size: 15px; margin: 18px 0 6px }
p { margin: 4px 0 10px; max-width: 78ch }
.soft { color: var(--soft) }
a { color: var(--blue) }
nav { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 18px 0; font-size: 14px }
main { display: grid; grid-template-columns: minmax(0, 1fr); gap: 18px }
section { background: #fff; border: 1px solid var(--line); border-radius: 10px;
  padding: 18px 20px }
.scores { display: flex; flex-wrap: wrap; gap: 12px; margin: 16px 0 }
.score { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 10px 18px; min-width: 120px }
.score b { display: block; font-size: 30px; line-height: 1.2; font-weight: 650; letter-spacing: -.02em }
.score span { display: block; font-size: 13px; color: var(--soft) }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(220px, 1fr)); gap: 8px 24px; margin: 10px 0 }
dl div { min-width: 0 } dt { font-size: 12.5px; color: var(--soft) } dd { margin: 0 }
.scroll { overflow: auto; overflow-wrap: normal } details .scroll { max-height: 620px }
table { border-collapse: collapse; font-size: 13.5px; width: 100% }
th { text-align: left; font-weight: 600; color: var(--soft); background: #fff; position: sticky; top: 0; z-index: 1 }
th, td { padding: 3px 8px; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere }
th { overflow-wrap: break-word } td:first-child { min-width: 104px }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; overflow-wrap: normal }
details { margin: 10px 0 } summary { cursor: pointer; color: var(--blue) }
code { white-space: nowrap }
pre { font: 12.5px/1.45 ui-monospace, Menlo, Consolas, monospace; background: var(--back); padding: 12px;
  border-radius: 6px; overflow: auto; max-height: 480px; overflow-wrap: normal }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 330px), 1fr)); gap: 16px 22px }
.small { grid-template-columns: repeat(auto-fill, minmax(min(45%, 165px), 1fr)); gap: 12px 16px }
figure { margin: 0; min-width: 0 }
figcaption { font-size: 13px; overflow-wrap: anywhere }
figcaption b, figcaption .soft { unicode-bidi: isolate }
.chart figcaption { font-weight: 600; font-size: 14px }
svg { display: block; width: 100%; height: auto; overflow: hidden }
svg text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; fill: var(--soft) }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 4px 0 0; padding: 0;
  font-size: 13px }
.legend li { display: flex; gap: 6px; align-items: center; min-width: 0 }
.legend svg { flex: none; width: 34px; height: 14px }
.bar { background: linear-gradient(to right, var(--tint, #cfe2f3) var(--v), var(--back) 0); border-radius: 3px;
  padding: 1px 6px; text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; min-width: 58px }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 210px), 1fr)); gap: 14px }
.pictures.large { grid-template-columns: repeat(auto-fill, minmax(min(100%, 480px), 1fr)) }
.pictures figure { border: 1px solid var(--line); border-radius: 8px; padding: 8px; background: #fff }
.pictures img { display: block; width: 100%; height: 180px; object-fit: contain; background: var(--back);
  border-radius: 4px; margin-bottom: 6px }
.pictures.large img { height: auto }
.right { color: #1d7a3e } .wrong { color: var(--red) }
.matrix { width: auto; font-size: 12px } .matrix td, .matrix th { border: 1px solid #fff; padding: 2px 4px }
.matrix td { text-align: center; min-width: 26px; white-space: nowrap; font-variant-numeric: tabular-nums }
.matrix th { position: static; font-weight: 500 } .matrix thead th { text-align: center }
.matrix tbody th { max-width: 260px; min-width: 96px } .matrix .own { outline: 1px solid #9fb4c9; outline-offset: -2px }
.map { position: relative; overflow: hidden; border: 1px solid var(--line); width: 100%; max-width: 720px;
  aspect-ratio: 1; touch-action: none; cursor: crosshair; background: #fff }
.map img { position: absolute; left: 0; top: 0; width: 100%; height: 100%; image-rendering: pixelated;
  transform-origin: 0 0; user-select: none; -webkit-user-drag: none }
.tools { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; margin: 8px 0 }
.tools output { min-height: 1.5em }
.sheet { margin: 14px 0; overflow-x: auto } .sheet img { display: block; max-width: 100%; margin: 0 auto 6px }
button { font: inherit; padding: 2px 12px; border: 1px solid var(--line); border-radius: 6px; background: #fff }
@media (max-width: 760px) { section { padding: 14px 12px }
  body { padding: 18px 10px 40px } th, td { padding: 3px 4px } th { font-size: 12px } }
@media (max-width: 800px) { .sheet img { max-width: none; width: 1000px } }
@media print { body { background: #fff } .scroll, pre { max-height: none } }
"""
