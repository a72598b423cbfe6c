"""Line charts as SVG: labelled axes, points where there are few, lines that need no colours to be distinguished."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from gluon_tricks.page.skeleton import text

_WIDTH, _HEIGHT = 420, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 12, 12, 40
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b0479a", "#8a6d00", "#3b3b98", "#000000")  # after Okabe and Ito
_DASHES = ("", "7 3", "2 3", "9 3 2 3", "12 4")
_SHAPES = ("circle", "square", "triangle", "diamond", "cross", "plus")
_MOST_POINTS = 24  # of a line that are marked each


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of a chart.

    Args:
        label: in the legend, text.
        x, y: its points; where y is not finite it is interrupted.
        style: a number, by which colour, dashes and shape of the points are chosen: up to 30 differ without colours.
        faint: thin and without points, for what is noisy.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    style: int = 0
    faint: bool = False


@dataclasses.dataclass(frozen=True)
class Mark:
    """An upright line at a place of the x axis. Args: label: in the legend, where equal ones stand once."""

    label: str
    at: float
    style: int = 0


def chart(
    title: str, lines: Sequence[Line], x_label: str, y_label: str, *, marks: Sequence[Mark] = (),
    percent: bool = False, whole: bool = True, bounds: tuple[float, float] | None = None,
) -> str:  # fmt: skip
    """A chart with its legend, as HTML; "" where no line has a point.

    Args:
        title, x_label, y_label: text.
        percent: y is a fraction.
        whole: only whole numbers of x have ticks.
        bounds: of y; None: those of the lines, with a margin.
    """
    points = [(x, y) for line in lines for x, y in zip(line.x, line.y) if math.isfinite(y)]
    if not points:
        return ""
    xs, ys = zip(*points)
    low = min(xs) if any(line.faint for line in lines) or not whole else max(min(xs) - 1, 0)
    plane = _Plane(_margined(low, max(xs), 0.03, 0.0), bounds or _margined(min(ys), max(ys), 0.08, _even(ys)))
    drawn = [_axes(plane, x_label, y_label, percent, whole)]
    drawn += [_mark(plane, mark) for mark in marks if plane.x[0] <= mark.at <= plane.x[1]]
    drawn += [_drawn(plane, line) for line in sorted(lines, key=lambda line: not line.faint)]
    legend = _legend(lines, marks)
    return (
        f'<figure class="chart"><figcaption>{text(title)}</figcaption><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'role="img" aria-label="{text(title)}">{"".join(drawn)}</svg>{legend}</figure>'
    )


def small_curve(title: str, y: Sequence[float], note: str = "") -> str:
    """Precision at recalls from 0 to 1 as a small chart. Args: title: text; y: in [0, 1]; note: HTML behind it."""
    side, left, bottom = 150, 26, 18
    width, height = side - left - 6, 110 - bottom - 6
    steps = max(len(y) - 1, 1)
    places = [(left + width * k / steps, 6 + height * (1 - v)) for k, v in enumerate(y) if math.isfinite(v)]
    frame = f'<path d="M{left} 6V{6 + height}H{left + width}" fill="none" stroke="#9aa5b1"/>'
    line = f'<path d="M{_joined(places)}" fill="none" stroke="{_COLOURS[0]}" stroke-width="2"/>' if places else ""
    ticks = (
        f'<text x="{left - 4}" y="14" text-anchor="end">1</text><text x="{left - 4}" y="{6 + height}" '
        f'text-anchor="end">0</text><text x="{left + width}" y="{6 + height + 14}" text-anchor="end">1</text>'
    )
    return (
        f'<figure><svg viewBox="0 0 {side} 110" role="img" aria-label="precision by recall">{frame}{line}{ticks}</svg>'
        f"<figcaption>{text(title)} {note}</figcaption></figure>"
    )


def ticks(low: float, high: float, most: int = 6, whole: bool = False) -> list[float]:
    """Round numbers between two, at most so many: multiples of 1, 2 or 5 times a power of ten."""
    span = max(high - low, 1e-12)
    step = 10.0 ** math.floor(math.log10(span / most))
    step = next(step * factor for factor in (1, 2, 5, 10, 20) if span / (step * factor) <= most)
    step = max(round(step), 1) if whole else step
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


class _Plane:
    """From numbers to places of the drawing. Args: x, y: the ends of the axes."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]):
        self.x, self.y = x, y

    def across(self, x: float) -> float:
        return _LEFT + (x - self.x[0]) / (self.x[1] - self.x[0]) * (_WIDTH - _LEFT - _RIGHT)

    def down(self, y: float) -> float:
        return _HEIGHT - _BOTTOM - (y - self.y[0]) / (self.y[1] - self.y[0]) * (_HEIGHT - _TOP - _BOTTOM)


def _even(ys: Sequence[float]) -> float:
    """The margin where all numbers are the same."""
    return abs(ys[0]) * 0.1 or 1.0


def _margined(low: float, high: float, share: float, even: float) -> tuple[float, float]:
    span = high - low
    if span <= 1e-12 * max(abs(high), 1e-300):
        return low - (even or 0.5), high + (even or 0.5)
    return low - span * share * bool(even), high + span * share


def _axes(plane: _Plane, x_label: str, y_label: str, percent: bool, whole: bool) -> str:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = []
    found = ticks(*plane.y)
    words = [f"{said}%" for said in _numbers([100 * y for y in found])] if percent else _numbers(found)
    for y, said in zip(found, words):
        at = f"{plane.down(y):.1f}"
        parts.append(f'<path d="M{_LEFT} {at}H{right}" stroke="#e6eaee"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{at}" dy="4" text-anchor="end">{said}</text>')
    across = ticks(*plane.x, most=7, whole=whole)
    for x, said in zip(across, _numbers(across)):
        at = f"{plane.across(x):.1f}"
        parts.append(f'<path d="M{at} {bottom}v4" stroke="#9aa5b1"/>')
        parts.append(f'<text x="{at}" y="{bottom + 17}" text-anchor="middle">{said}</text>')
    parts.append(f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="#9aa5b1"/>')
    middle = (_LEFT + right) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">{text(x_label)}</text>')
    turned = f'transform="translate(12 {(_TOP + bottom) / 2}) rotate(-90)"'
    parts.append(f'<text {turned} text-anchor="middle">{text(y_label)}</text>')
    return "".join(parts)


def _numbers(values: Sequence[float]) -> list[str]:
    """Ticks in words, with as many digits as they differ by; small and large ones as 1.5e-4."""
    step = min((b - a for a, b in zip(values, values[1:])), default=abs(values[0]) if values else 1.0) or 1.0
    digits = max(-math.floor(math.log10(step) + 1e-9), 0)
    if digits <= 4 and max(map(abs, values), default=0) < 1e5:
        return [f"{value:.{digits}f}" for value in values]
    power = math.floor(math.log10(max(map(abs, values))))
    more = max(power - math.floor(math.log10(step) + 1e-9), 0)
    return [f"{value / 10.0**power:.{more}f}e{power}" for value in values]


def _drawn(plane: _Plane, line: Line) -> str:
    colour, dash, _ = _style(line.style)
    pieces, places = [], []
    for x, y in zip(line.x, line.y):
        if math.isfinite(y):
            places.append((plane.across(x), plane.down(y)))
        elif places:
            pieces, places = [*pieces, places], []
    pieces = [piece for piece in [*pieces, places] if piece]
    look = 'stroke-width="1" opacity=".45"' if line.faint else f'stroke-width="2" stroke-dasharray="{dash}"'
    path = "".join(f"M{_joined(piece)}" for piece in pieces if len(piece) > 1)
    drawn = f'<path d="{path}" fill="none" stroke="{colour}" stroke-linejoin="round" {look}/>' if path else ""
    if line.faint:
        return drawn
    marked = [place for piece in pieces for place in piece]
    step = math.ceil(len(marked) / _MOST_POINTS) or 1
    return drawn + "".join(_point(x, y, line.style) for x, y in marked[::-step][::-1])


def _joined(places: Sequence[tuple[float, float]]) -> str:
    return "L".join(f"{x:.1f} {y:.1f}" for x, y in places)


def _style(number: int) -> tuple[str, str, str]:
    return (
        _COLOURS[number % len(_COLOURS)],
        _DASHES[number % len(_DASHES)],
        _SHAPES[number % len(_SHAPES)],
    )  # the lengths have no common divisor


def _point(x: float, y: float, style: int) -> str:
    colour, _, shape = _style(style)
    r = 4
    outline = f'stroke="{colour}" stroke-width="1.8" fill="#fff"'
    paths = {
        "square": f"M{x - r:.1f} {y - r:.1f}h{2 * r}v{2 * r}h-{2 * r}z",
        "triangle": f"M{x:.1f} {y - r - 1:.1f}l{r + 1} {2 * r}h-{2 * r + 2}z",
        "diamond": f"M{x:.1f} {y - r - 1:.1f}l{r + 1} {r + 1}l-{r + 1} {r + 1}l-{r + 1} -{r + 1}z",
        "cross": f"M{x - r:.1f} {y - r:.1f}l{2 * r} {2 * r}m0 -{2 * r}l-{2 * r} {2 * r}",
        "plus": f"M{x:.1f} {y - r - 1:.1f}v{2 * r + 2}m-{r + 1} -{r + 1}h{2 * r + 2}",
    }
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" {outline}/>'
    return f'<path d="{paths[shape]}" {outline}/>'


_MARKS = (("#586374", "2 4"), ("#c0392b", "6 3"))


def _mark(plane: _Plane, mark: Mark) -> str:
    colour, dash = _MARKS[mark.style]
    at = f"{plane.across(mark.at):.1f}"
    return (
        f'<path d="M{at} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="{colour}" stroke-width="1.5" stroke-dasharray="{dash}"/>'
    )


def _legend(lines: Sequence[Line], marks: Sequence[Mark]) -> str:
    items = []
    for line in lines:
        colour, dash, _ = _style(line.style)
        look = 'stroke-width="1" opacity=".6"' if line.faint else f'stroke-width="2" stroke-dasharray="{dash}"'
        drawn = f'<path d="M1 7H33" stroke="{colour}" {look}/>' + ("" if line.faint else _point(17, 7, line.style))
        items.append(f'<li><svg viewBox="0 0 34 14">{drawn}</svg><span>{text(line.label)}</span></li>')
    for label, style in dict.fromkeys((mark.label, mark.style) for mark in marks):
        colour, dash = _MARKS[style]
        drawn = f'<path d="M17 0V14" stroke="{colour}" stroke-width="1.5" stroke-dasharray="{dash}"/>'
        items.append(f'<li><svg viewBox="0 0 34 14">{drawn}</svg><span>{text(label)}</span></li>')
    return f'<ul class="legend">{"".join(items)}</ul>'
