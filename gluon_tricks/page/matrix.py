"""Which classes are taken for which: few with numbers; of many a map, and the blocks of most confusion."""

from __future__ import annotations

import json
from collections.abc import Sequence

import cv2
import numpy as np

from gluon_tricks.core.wording import plural, printable
from gluon_tricks.page.bars import FEW
from gluon_tricks.page.images import png
from gluon_tricks.page.skeleton import text

_MOST = 1000  # classes of a map
_BLOCK = 12  # classes of a block at most
_BLOCKS = 6
_APART = 0.99  # distance of clusters that have next to nothing to do with each other
_TOLD = 200_000  # cells whose numbers a page has


def confusion(names: Sequence[str], matrix: np.ndarray, what: str, shares: bool = False) -> str:
    """A confusion matrix, as HTML.

    Args:
        names: K, text.
        matrix: counts (K, K), row the true class, column the named one.
        what: is counted ("images").
        shares: cells have percent of their row in place of counts.
    """
    totals, wrong, classes = matrix.sum(axis=1), int(matrix.sum() - np.trace(matrix)), len(names)
    if classes <= FEW:
        said = "percent of its row" if shares else f"how many {what}"
        about = f"<p>Row: what it is. Column: what it was taken for, by the row's number. A cell: {said}.</p>"
        return about + numbered(names, matrix, totals, what, range(classes), shares)
    chosen = _most_confused(matrix)
    names, matrix, totals = [names[k] for k in chosen], matrix[np.ix_(chosen, chosen)], totals[chosen]
    order, tree = clustered(matrix, totals)
    blocks = worst_blocks(matrix, tree)
    told = "".join(
        f"<h3>{k}. {text(names[max(block, key=lambda c: _wrong(matrix, block, c))])} and others</h3>"
        + numbered(names, matrix, totals, what, block, shares)
        for k, block in enumerate(blocks, 1)
    )
    shown = plural(classes, "class")
    if len(chosen) < classes:
        shown = f"the {len(chosen)} of {shown} with most mistakes"
    return (
        f"{_map(names, matrix, totals, order, what, shown)}<h3>The blocks of most confusion</h3>"
        f"{_block_words(matrix, blocks, wrong)}{told}"
    )


def numbered(
    names: Sequence[str], matrix: np.ndarray, totals: np.ndarray, what: str, of: Sequence[int], shares: bool = False
) -> str:
    """The cells of some classes as a table; columns have the numbers of the rows.

    Args:
        totals: of the rows, (K,); of a part of a matrix those of the whole one.
    """
    of = [*of]
    heads = "".join(f'<th scope="col" title="{text(names[k])}">{n}</th>' for n, k in enumerate(of, 1))
    rows = []
    for n, k in enumerate(of, 1):
        cells = "".join(_cell(names, matrix, totals, k, other, what, shares) for other in of)
        rows.append(f'<tr><th scope="row">{n}. {text(names[k])}</th>{cells}</tr>')
    return (
        f'<div class="scroll"><table class="matrix"><thead><tr><th></th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(names, matrix, totals, k: int, other: int, what: str, shares: bool) -> str:
    count, share = int(matrix[k, other]), float(matrix[k, other] / max(totals[k], 1))
    said = (f"{100 * share:.0f}" if share >= 0.005 else "&lt;1" if count else "") if shares else f"{count or ''}"
    tip = f"{names[k]} taken for {names[other]}: {count:,} {what}, {share:.1%}"
    red, green, blue = _colours(np.array([[share]]), np.array([[k == other]]))[0, 0]
    ink = ";color:#fff" if share > 0.6 else ""
    own = ' class="own"' if k == other else ""
    shade = f"background:#{red:02x}{green:02x}{blue:02x}" if count else "background:#f6f7f9"
    return f'<td{own} style="{shade}{ink}" title="{text(tip)}">{said}</td>'


def _colours(shares: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(..., 3) uint8: white to blue where it is right, white to red where it is not."""
    strength = np.sqrt(np.clip(shares, 0, 1))[..., None]
    ends = np.where(right[..., None], (22, 103, 168), (192, 57, 43))
    return (255 + (ends - 255) * strength).round().astype(np.uint8)


def _most_confused(matrix: np.ndarray) -> np.ndarray:
    """The classes of a map, in their order: all, or those with most mistakes."""
    if len(matrix) <= _MOST:
        return np.arange(len(matrix))
    wrong = matrix.sum(axis=1) + matrix.sum(axis=0) - 2 * matrix.diagonal()
    return np.sort(np.argsort(-wrong, kind="stable")[:_MOST])


def clustered(matrix: np.ndarray, totals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The classes in an order in which those that are taken for each other are neighbours, and scipy's tree of them.

    Classes are the nearer the larger the share of either that is taken for the other; the tree is by mean distances
    (average linkage).

    Args:
        totals: as of numbered.
    """
    import scipy.cluster.hierarchy
    import scipy.spatial.distance

    shares = matrix / np.maximum(totals, 1)[:, None]
    alike = (shares + shares.T) / 2
    np.fill_diagonal(alike, 0)
    distances = 1 - alike / max(alike.max(), 1e-12)
    np.fill_diagonal(distances, 0)
    tree = scipy.cluster.hierarchy.linkage(scipy.spatial.distance.squareform(distances, checks=False), "average")
    return scipy.cluster.hierarchy.leaves_list(tree), tree


def worst_blocks(matrix: np.ndarray, tree: np.ndarray) -> list[list[int]]:
    """The branches of the tree of up to _BLOCK classes within which most images are confused, none within another."""
    branches, sized = [[k] for k in range(len(matrix))], []
    for left, right, distance, size in tree:
        branches.append([*branches[int(left)], *branches[int(right)]])
        if size <= _BLOCK and distance < _APART:
            sized.append(branches[-1])
    inside = [int(matrix[np.ix_(branch, branch)].sum() - matrix[branch, branch].sum()) for branch in sized]
    chosen: list[list[int]] = []
    for k in np.argsort([-count for count in inside], kind="stable").tolist():
        if inside[k] and len(chosen) < _BLOCKS and not any(set(sized[k]) & set(other) for other in chosen):
            chosen.append(sized[k])
    return chosen


def _wrong(matrix: np.ndarray, block: Sequence[int], k: int) -> int:
    """How often a class of a block is taken for another of it, or another for it."""
    others = [c for c in block if c != k]
    return int(matrix[k, others].sum() + matrix[others, k].sum())


def _block_words(matrix: np.ndarray, blocks: Sequence[Sequence[int]], wrong: int) -> str:
    """Args: wrong: all mistakes, those of classes that are not shown too."""
    if not blocks:
        return "<p>No two classes are confused.</p>"
    inside = sum(int(matrix[np.ix_(b, b)].sum() - matrix[b, b].sum()) for b in blocks)
    return (
        f"<p>Groups of classes that are taken for each other: {inside / max(wrong, 1):.0%} of all mistakes lie in "
        f"{plural(len(blocks), 'block')}.</p>"
    )


def _map(names: Sequence[str], matrix: np.ndarray, totals: np.ndarray, order: np.ndarray, what: str, shown: str) -> str:
    """The matrix as a picture of a pixel a cell, which a script enlarges and reads out.

    Args:
        totals: as of numbered.
        shown: which classes it has, in words.
    """
    ordered = matrix[np.ix_(order, order)]
    shares = ordered / np.maximum(totals[order], 1)[:, None]
    picture = _colours(shares, np.eye(len(order), dtype=bool))
    picture = cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST) if len(order) < 400 else picture
    rows, columns = np.nonzero(ordered)
    cells = np.column_stack([rows, columns, ordered[rows, columns]])
    cells = cells[np.argsort(-cells[:, 2], kind="stable")[:_TOLD]]
    told = [printable(names[k], 60) for k in order]
    data = json.dumps({"names": told, "cells": cells.ravel().tolist(), "what": what}, separators=(",", ":"))
    data = data.replace("<", "\\u003c")  # so that no name ends the script
    return (
        f"<p>Row: what it is. Column: what it was taken for. Blue: right, red: wrong; the darker, the larger the share "
        f"of the row. Classes that are taken for each other are neighbours. Click and drag, turn the wheel or press + "
        f"to look closer; the line below names the cell.</p>"
        f'<div class="tools"><button type="button" data-zoom="1.6" aria-label="closer">+</button>'
        f'<button type="button" data-zoom="0.625" aria-label="farther">−</button>'
        f'<button type="button" data-zoom="0">all</button></div><div class="map">'
        f'<img src="{png(picture)}" alt="confusion matrix of {shown}" draggable="false"></div>'
        f'<div class="tools"><output>{shown}</output></div>'
        f'<script type="application/json" class="cells">{data}</script>'
    )


SCRIPT = """
document.querySelectorAll('.map').forEach(function (map) {
  var part = map.parentElement, img = map.querySelector('img'), out = part.querySelector('output');
  var told = JSON.parse(part.querySelector('.cells').textContent), n = told.names.length, counts = {};
  for (var i = 0; i < told.cells.length; i += 3) counts[told.cells[i] * n + told.cells[i + 1]] = told.cells[i + 2];
  var z = 1, x = 0, y = 0, held = null;
  function draw() {
    var w = map.clientWidth;
    z = Math.min(Math.max(z, 1), n / 4);
    x = Math.min(Math.max(x, w * (1 - z)), 0); y = Math.min(Math.max(y, w * (1 - z)), 0);
    img.style.transform = 'translate(' + x + 'px,' + y + 'px) scale(' + z + ')';
  }
  function zoom(by, px, py) {
    var before = z;
    z = by ? Math.min(Math.max(z * by, 1), n / 4) : 1;
    x = px - (px - x) * z / before; y = py - (py - y) * z / before;
    draw();
  }
  function place(e) { var r = map.getBoundingClientRect(); return [e.clientX - r.left, e.clientY - r.top]; }
  map.addEventListener('wheel', function (e) {
    if (z === 1 && e.deltaY > 0) return;  // the page goes on
    e.preventDefault(); var p = place(e); zoom(e.deltaY < 0 ? 1.25 : 0.8, p[0], p[1]);
  }, {passive: false});
  map.addEventListener('pointerdown', function (e) { held = place(e); map.setPointerCapture(e.pointerId); });
  map.addEventListener('pointerup', function () { held = null; });
  map.addEventListener('pointermove', function (e) {
    var p = place(e), cell = map.clientWidth * z / n;
    if (held) { x += p[0] - held[0]; y += p[1] - held[1]; held = p; draw(); }
    var c = Math.floor((p[0] - x) / cell), r = Math.floor((p[1] - y) / cell);
    if (r < 0 || c < 0 || r >= n || c >= n) return;
    out.textContent = told.names[r] + (r === c ? ', right: ' : ' taken for ' + told.names[c] + ': ') +
      (counts[r * n + c] || 0) + ' ' + told.what;
  });
  part.querySelectorAll('button').forEach(function (b) {
    b.addEventListener('click', function () { zoom(+b.dataset.zoom, map.clientWidth / 2, map.clientWidth / 2); });
  });
});
"""
