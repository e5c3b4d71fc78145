"""Lines over a number as SVG: axes with round numbers, a key beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

COLORS = ("#c0392b", "#2471a3", "#1e8449", "#b7950b", "#6c3483", "#566573")
WIDTH, HEIGHT, LEFT, TOP, LOW = 560, 300, 48, 12, 44  # of the field with its labels
KEY = 190  # for names
Line = Sequence[tuple[float, float]]


def chart(lines: Mapping[str, Line], across: str, up: str, reach: float) -> str:
    """Lines by name, over 0 to a round number that is at least ``reach``, and 0 to 1."""
    wide, high = WIDTH - LEFT - 12, HEIGHT - LOW - TOP
    step, most = _round_steps(reach)
    bottom, right = TOP + high, LEFT + wide
    parts = [f'<rect x="{LEFT}" y="{TOP}" width="{wide}" height="{high}" fill="#fafafa" stroke="#ddd"/>']
    for n in range(6):
        y = bottom - high * n / 5
        parts.append(f'<line x1="{LEFT}" x2="{right}" y1="{y:.0f}" y2="{y:.0f}" stroke="#e5e5e5"/>')
        parts.append(_text(LEFT - 6, y + 4, f"{n / 5:.1f}", 11, "end"))
    for n in range(round(most / step) + 1):
        x = LEFT + wide * n * step / most
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 4}" stroke="#999"/>')
        parts.append(_text(x, bottom + 17, f"{n * step:.6g}", 11))
    for n, (name, points) in enumerate(lines.items()):
        color, y = COLORS[n % len(COLORS)], TOP + 12 + 18 * n
        path = " ".join(f"{LEFT + wide * x / most:.1f},{bottom - high * v:.1f}" for x, v in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts.append(f'<line x1="{WIDTH}" x2="{WIDTH + 16}" y1="{y}" y2="{y}" stroke="{color}" stroke-width="3"/>')
        parts.append(_text(WIDTH + 22, y + 4, name, 12, "start"))
    parts.append(_text(LEFT + wide / 2, HEIGHT - 6, across, 12))
    y = TOP + high / 2
    parts.append(f'<g transform="rotate(-90 12 {y})">{_text(12, y, up, 12)}</g>')
    size = f'width="{WIDTH + KEY}" height="{HEIGHT}" viewBox="0 0 {WIDTH + KEY} {HEIGHT}"'
    return f'<svg {size} role="img">{"".join(parts)}</svg>'


def in_steps(points: Line) -> list[tuple[float, float]]:
    """What has been counted up to each place, as stairs from nothing."""
    found, before = [(points[0][0], 0.0)], 0.0
    for x, share in points:
        found += [(x, before), (x, share)]
        before = share
    return found


def _round_steps(most: float) -> tuple[float, float]:
    """A round distance of labels (1, 2 or 5 times a power of ten), and the first of them at or beyond ``most``."""
    most = max(most, 1e-9)
    power = 10.0 ** math.floor(math.log10(most / 4))
    step = next(factor * power for factor in (1, 2, 5, 10) if most / (factor * power) <= 5)
    return step, step * math.ceil(most / step - 1e-9)


def _text(x: float, y: float, words: str, size: int, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(words)}</text>'
