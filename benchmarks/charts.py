"""Charts as SVG: one line for each server over one growing number.

A file of its own, and no library, because that is all the page on performance needs: axes, lines,
names.  Colours are readable on light and dark pages.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 50
COLOURS = ("#2f7ed8", "#d9822b", "#3f9c5a", "#a0489a")
GREY = "#888888"
TICKS = 5


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn: `lines` maps a server to its points, ascending by x; y begins at 0."""

    title: str
    x_name: str
    y_name: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


def draw(chart: Chart) -> str:
    """Return the chart as the text of an SVG file; x is spread by its logarithm."""
    points = [point for line in chart.lines.values() for point in line]
    xs = sorted({x for x, _ in points})
    top = nice(max((y for _, y in points), default=1.0))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        f' font-family="sans-serif" font-size="12" fill="{GREY}">',
        f"<title>{escape(chart.title)}</title>",
        _text(LEFT, 18, chart.title, "start", 'font-weight="bold"'),
        _text(LEFT, TOP - 8, chart.y_name, "start"),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, chart.x_name, "middle"),
    ]
    for number in range(TICKS + 1):
        value = top * number / TICKS
        y = _y(value, top)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"'
            f' stroke="{GREY}" stroke-opacity="0.3"/>'
        )
        parts.append(_text(LEFT - 6, y + 4, short(value), "end"))
    parts += [_text(_x(x, xs), HEIGHT - BOTTOM + 18, short(x), "middle") for x in xs]
    for colour, (name, line) in zip(COLOURS, chart.lines.items(), strict=False):
        parts += _line(line, xs, top, colour)
        at = WIDTH - RIGHT - 90 * (len(chart.lines) - list(chart.lines).index(name) - 1)
        parts.append(_text(at, 18, name, "end", f'fill="{colour}" font-weight="bold"'))
    return "\n".join([*parts, "</svg>", ""])


def _line(
    line: Sequence[tuple[float, float]], xs: Sequence[float], top: float, colour: str
) -> list[str]:
    places = [(_x(x, xs), _y(y, top)) for x, y in line]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
    return [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>', *dots]


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    space = " " if more else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{space}{more}>{escape(text)}</text>'
    )


def _x(x: float, xs: Sequence[float]) -> float:
    """Return where `x` is drawn; 0, which has no logarithm, comes first."""
    places = [_spread(one, xs) for one in xs]
    low, high = places[0], places[-1]
    share = (_spread(x, xs) - low) / (high - low) if high > low else 0.5
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _spread(x: float, xs: Sequence[float]) -> float:
    if x > 0:
        return math.log10(x)
    return math.log10(min((one for one in xs if one > 0), default=1.0)) - 1


def _y(y: float, top: float) -> float:
    return HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM)


def nice(value: float) -> float:
    """Return the next number up that has five even steps: 1, 2, 2.5, 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if value <= step * power * 1.0000001)


def short(value: float) -> str:
    """Return a number for an axis: `250`, `1.5k`, `2M`."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:.3g}"
