"""Two ways of measuring as SVG: Bland-Altman differences, and one against the other."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from delineate.echo.agreement import agreement

WIDTH, HEIGHT, LEFT, TOP, LOW = 420, 300, 52, 14, 44  # of the picture; room for numbers and titles
DOT, LINE, DASHED = "#2471a3", "#c0392b", "#566573"
Pairs = Sequence[tuple[float, float]]  # measured, reference
Level = tuple[float, str, str]  # height, words, color


def bland_altman(pairs: Pairs, what: str) -> str:
    """Difference over mean, with the bias and the limits of agreement."""
    points = [((m + r) / 2, m - r) for m, r in pairs]
    one = agreement([m for m, _ in pairs], [r for _, r in pairs])
    levels = [(one.bias, f"bias {one.bias:+.1f}", LINE)]
    levels += [(v, f"{v:+.1f}", DASHED) for v in (one.low, one.high) if np.isfinite(v)]
    return _picture(points, levels, f"mean {what}", "measured - reference")


def correlation(pairs: Pairs, what: str) -> str:
    """Measured over reference, with the line on which both are equal."""
    r = agreement([m for m, _ in pairs], [r for _, r in pairs]).correlation
    title = f"measured (r = {r:.2f})" if np.isfinite(r) else "measured"
    return _picture([(ref, m) for m, ref in pairs], [], f"reference {what}", title, equal=True)


def _picture(
    points: Sequence[tuple[float, float]], levels: Sequence[Level], across: str, up: str, equal: bool = False
) -> str:
    places = np.array(points)
    heights = [*places[:, 1], *(level[0] for level in levels)]
    x_span, y_span = _span(places[:, 0]), _span(np.array(heights))
    if equal:
        x_span = y_span = _span(places.ravel())

    def at(x: float, y: float) -> tuple[float, float]:
        wide, high = WIDTH - LEFT - 12, HEIGHT - TOP - LOW
        return (
            LEFT + wide * (x - x_span[0]) / (x_span[1] - x_span[0]),
            TOP + high * (y_span[1] - y) / (y_span[1] - y_span[0]),
        )

    parts = [
        f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - 12}" height="{HEIGHT - TOP - LOW}" fill="#fafafa" '
        'stroke="#ddd"/>'
    ]
    for n in range(5):
        x, y = (low + (high - low) * n / 4 for low, high in (x_span, y_span))
        parts.append(_text(at(x, 0)[0], HEIGHT - LOW + 16, f"{x:.4g}", 11))
        parts.append(_text(LEFT - 5, at(0, y)[1] + 4, f"{y:.3g}", 11, "end"))
    if equal:
        (x0, y0), (x1, y1) = at(x_span[0], x_span[0]), at(x_span[1], x_span[1])
        parts.append(_line(x0, y0, x1, y1, DASHED))
    for height, words, color in levels:
        (x0, y0), (x1, _) = at(x_span[0], height), at(x_span[1], height)
        parts += [_line(x0, y0, x1, y0, color), _text(x1 - 4, y0 - 4, words, 11, "end")]
    for x, y in points:
        px, py = at(x, y)
        parts.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3.2" fill="{DOT}" fill-opacity="0.7"/>')
    middle = TOP + (HEIGHT - TOP - LOW) / 2
    parts.append(_text(LEFT + (WIDTH - LEFT) / 2, HEIGHT - 8, across, 12))
    parts.append(f'<g transform="rotate(-90 12 {middle})">{_text(12, middle, up, 12)}</g>')
    return f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>'


def _span(values: np.ndarray) -> tuple[float, float]:
    """A tenth more than the values take, on each side."""
    low, high = float(values.min()), float(values.max())
    margin = 0.1 * (high - low) or max(1.0, abs(high) * 0.1)
    return low - margin, high + margin


def _line(x0: float, y0: float, x1: float, y1: float, color: str) -> str:
    dashes = ' stroke-dasharray="5 4"' if color == DASHED else ""
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="{color}"{dashes}/>'


def _text(x: float, y: float, words: str, size: int, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(words)}</text>'
