"""The pages in Chromium, at 400 and 1400 px: no text lies over another, nothing is too wide, no request leaves them."""

import html
import json
import re
import shutil
import subprocess

import pytest

from gluon_tricks.report.comparison import write_comparison
from gluon_tricks.report.single import write_report

from .conftest import TASKS, long_names

WIDTHS = (400, 1400)
MEASURE = """
function shown(node, top) {
  var clips = [], box = null;
  for (var e = node.parentElement; e; e = e.parentElement)
    if (/auto|scroll|hidden/.test(top.getComputedStyle(e).overflowX) && e !== node.ownerDocument.documentElement)
      clips.push(e.getBoundingClientRect());
  var range = node.ownerDocument.createRange();
  range.selectNodeContents(node);
  return Array.from(range.getClientRects()).map(function (r) {
    var cut = {left: r.left, right: r.right, top: r.top + r.height * .18, bottom: r.bottom - r.height * .18};
    clips.forEach(function (c) {
      cut.left = Math.max(cut.left, c.left); cut.right = Math.min(cut.right, c.right);
      cut.top = Math.max(cut.top, c.top); cut.bottom = Math.min(cut.bottom, c.bottom);
    });
    return cut;
  }).filter(function (r) { return r.right - r.left > 1 && r.bottom - r.top > 1; });
}
function measure(frame) {
  var doc = frame.contentDocument, top = frame.contentWindow, width = doc.documentElement.clientWidth;
  var found = {overlaps: [], wide: [], outside: [], small: [], texts: 0}, rects = [];
  var walker = doc.createTreeWalker(doc.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    var node = walker.currentNode, parent = node.parentElement;
    if (!node.data.trim() || /script|style/i.test(parent.tagName) || !parent.checkVisibility()) continue;
    found.texts += 1;
    shown(node, top).forEach(function (r) { rects.push([r, node]); });
    if (parent.ownerSVGElement) {
      var own = parent.getBoundingClientRect(), all = parent.ownerSVGElement.getBoundingClientRect();
      if (own.left < all.left - 1 || own.right > all.right + 1 || own.top < all.top - 1 || own.bottom > all.bottom + 1)
        found.outside.push(node.data);
    }
    var size = parent.ownerSVGElement ? parent.ownerSVGElement.getBoundingClientRect().width /
      parent.ownerSVGElement.viewBox.baseVal.width : 1;
    if (parseFloat(top.getComputedStyle(parent).fontSize) * size < 8.5) found.small.push(node.data);
  }
  rects.sort(function (a, b) { return a[0].top - b[0].top; });
  for (var i = 0; i < rects.length; i++)
    for (var j = i + 1; j < rects.length && rects[j][0].top < rects[i][0].bottom - 1; j++) {
      var a = rects[i][0], b = rects[j][0];
      if (rects[i][1] !== rects[j][1] && Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1.5)
        found.overlaps.push([rects[i][1].data, rects[j][1].data]);
    }
  if (doc.documentElement.scrollWidth > width) found.wide.push('the page: ' + doc.documentElement.scrollWidth);
  doc.querySelectorAll('section, figure, img, svg, h1, p, .scroll').forEach(function (e) {
    if (!e.closest('.scroll *, .map *') && e.getBoundingClientRect().right > width + 1) found.wide.push(e.outerHTML);
  });
  found.requests = top.performance.getEntriesByType('resource').map(function (r) { return r.name; })
    .filter(function (name) { return !/^data:/.test(name); });
  found.broken = Array.from(doc.images).filter(function (i) { return !i.naturalWidth; }).length;
  var closer = doc.querySelector('[data-zoom="1.6"]'), map = doc.querySelector('.map');
  if (closer) {
    closer.click();
    found.zoomed = map.querySelector('img').style.transform;
    var r = map.getBoundingClientRect();
    map.dispatchEvent(new top.PointerEvent('pointermove', {clientX: r.left + 9, clientY: r.top + 9}));
    found.told = doc.querySelector('output').textContent;
  }
  return found;
}
window.addEventListener('load', function () {
  var found = {};
  document.querySelectorAll('iframe').forEach(function (f) { found[f.title] = measure(f); f.remove(); });
  document.getElementById('found').textContent = JSON.stringify(found);
});
"""


@pytest.fixture(scope="module")
def chromium(missing):
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return path or missing("there is no Chromium, in which the pages are looked at: apt-get install chromium")


def look(chromium, folder, pages):
    """What `measure` says of each page at each width, by "name width"."""
    frames = "".join(
        f'<iframe title="{name} {width}" width="{width}" height="900" style="border:0" '
        f'srcdoc="{html.escape(page)}"></iframe>'
        for name, page in pages.items()
        for width in WIDTHS
    )
    (folder / "look.html").write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><pre id="found"></pre>{frames}<script>{MEASURE}</script>'
    )
    words = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}", "--dump-dom"]
    done = subprocess.run(
        [chromium, *words, (folder / "look.html").as_uri()], capture_output=True, text=True, timeout=300
    )
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found and found[1], done.stderr[-2000:]
    return json.loads(html.unescape(found[1]))


def pages_of(made, folder):
    """A page of each task after one epoch, one of 1000 classes, one of many epochs, and runs side by side."""
    names, pages = [*long_names(11), "background"], {}
    for task in TASKS:
        one = made(task, names, name=f"{task} {'long name ' * 12}", score=-0.00041)  # ticks of many digits
        write_report(one.run, folder / "page.html", one.images)
        pages[task] = (folder / "page.html").read_text()
    many = made("classifier", [f"n{k:04d} {'word ' * (k % 4)}" for k in range(1000)], name="many", epochs=120)
    write_report(many.run, folder / "page.html", None, "They are gone.")
    pages["1000 classes"] = (folder / "page.html").read_text()
    runs = [made("classifier", names, name=f"{k} {'run ' * 15}", epochs=k, score=k / 10).run for k in (1, 2, 3)]
    write_comparison(runs, folder / "page.html")
    pages["side by side"] = (folder / "page.html").read_text()
    return pages


def test_pages_in_a_browser(chromium, made, tmp_path):
    pages = pages_of(made, tmp_path)
    for name, page in pages.items():
        assert len(page.encode()) < 5e6, name
        assert not re.search(r"""(?:src|href|url)\s*[=(]\s*["']?\s*(?:https?:)?//""", page), name
    found = look(chromium, tmp_path, pages)
    assert len(found) == len(pages) * len(WIDTHS)
    for place, seen in found.items():
        assert seen["texts"] > 50 and seen["broken"] == 0, place
        for wrong in ("overlaps", "wide", "outside", "small", "requests"):
            assert seen[wrong] == [], (place, wrong)
    for width in WIDTHS:
        seen = found[f"1000 classes {width}"]
        assert "scale(1.6)" in seen["zoomed"] and ("taken for" in seen["told"] or "right" in seen["told"])


def test_what_lies_over_another_is_found(chromium, tmp_path):
    """The measuring itself: two words at one place, one too wide, a request, a word beyond its drawing."""
    page = (
        "<!DOCTYPE html><body style='margin:0'><p style='position:absolute;top:0'>under</p>"
        "<p style='position:absolute;top:0'>over</p><p style='width:2000px;margin-top:90px'>wide</p>"
        "<p style='font-size:6px'>tiny</p>"
        "<svg viewBox='0 0 10 10' width='10'><text x='50' y='50'>out</text></svg><img src='http://127.0.0.1:1/x.png'>"
    )
    found = look(chromium, tmp_path, {"bad": page})["bad 400"]
    assert found["overlaps"] == [["under", "over"]] and found["wide"] and found["outside"] == ["out"]
    assert found["small"] == ["tiny"] and found["requests"] == ["http://127.0.0.1:1/x.png"] and found["broken"] == 1
