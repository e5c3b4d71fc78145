"""Outlines: blobs of many kinds, tubes and branching trees, as fields that are negative inside.

A shape is drawn at a time ``t``: 0 is the first frame, 1 the next one, where it has moved, grown or shrunk a little.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from delineate.quill.data.synthetic.noise import Field, slow_field, texture

FAR = np.float32(99)
ANGLES = 512  # steps of a blob's outline
MOST_SEGMENTS = 900  # of one tree
ENDING, BEGINNING = 0.15, 0.1  # shares of blobs that end at some time at once, and that begin at one
SOLID = 0.6  # share of blobs that taper to both ends, as what is cut into slices does
LATEST = 2.0  # time until which they do
REACHES = (-0.4, 2.0)  # logarithms of a solid's half length, in time


class Shape(Protocol):
    radius: float

    def level(self, t: float) -> Field:
        """(side, side), roughly the distance in pixels to the outline, negative inside."""
        ...


class BlobKind(StrEnum):
    ORGANIC = "organic"  # a radius that varies with the angle
    CLOUD = "cloud"  # a disc with a noisy border
    BEAN = "bean"  # with a bite
    SUPERELLIPSE = "superellipse"
    POLYGON = "polygon"


_KINDS = (BlobKind.ORGANIC, BlobKind.ORGANIC, *BlobKind)


class Blob:
    """A compact shape of about ``radius`` pixels around ``center`` (y, x)."""

    def __init__(
        self,
        rng: np.random.Generator,
        side: int,
        radius: float,
        center: NDArray[np.float64] | None = None,
        kind: BlobKind | None = None,
        roughness: float = 1.0,
    ) -> None:
        self.side, self.radius = side, radius
        self.center = rng.uniform(0.05, 0.95, 2) * side if center is None else center
        self.kind = kind or _KINDS[rng.integers(len(_KINDS))]
        self._turn = rng.uniform(0, np.pi)
        self._stretch = float(np.exp(rng.normal(0, 0.35 if rng.random() < 0.7 else 0.8)))
        waves = np.arange(2, rng.integers(4, 11))
        self._waves = waves
        self._heights = rng.normal(0, 1, len(waves)) / waves ** rng.uniform(0.8, 2) * rng.uniform(0, 0.5) * roughness
        self._phases = rng.uniform(0, 2 * np.pi, len(waves))
        self._power = int(rng.choice([2, 3, 4, 6]))
        self._corners = int(rng.integers(3, 8))
        self._border = 0.3 * texture(rng, side) + slow_field(rng, side)
        self._border_size = rng.uniform(0.05, 0.5)
        self._bite = rng.uniform(0, 2 * np.pi)
        self._motion = rng.normal(0, 0.03, 2) * side
        self._growth = rng.normal(0, 0.3)  # slices of a thick stack change this much
        self._reach = float(np.exp(rng.uniform(*REACHES))) if rng.random() < SOLID else None
        self._place = rng.uniform(-0.75, 0.75)  # of the first frame, between both ends
        self._others = rng.permutation(self._heights) * rng.choice([-1, 1], len(waves))
        self._other_border = 0.3 * texture(rng, side) + slow_field(rng, side)
        self._change = rng.uniform(0, 0.7)  # of the outline, in radians of a turn from its waves into the others
        fate = rng.random()
        at = float(rng.uniform(0, LATEST))
        self.until = at if fate < ENDING else np.inf
        self.since = at if fate > 1 - BEGINNING else -np.inf

    def level(self, t: float) -> Field:
        out = np.full((self.side, self.side), FAR, np.float32)
        radius = self._radius_at(t)
        if radius <= 1 or not self.since < t <= self.until:
            return out
        rows, columns = self._window(radius, t)
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return out
        cy, cx = self.at(t)
        y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(cy)
        x = np.arange(columns.start, columns.stop, dtype=np.float32)[None] - np.float32(cx)
        cos, sin = np.float32(np.cos(self._turn)), np.float32(np.sin(self._turn))
        pull = np.float32(np.sqrt(self._stretch))
        u, v = (x * cos + y * sin) / pull, (-x * sin + y * cos) * pull
        out[rows, columns] = self._field(u, v, radius, t, rows, columns)
        return out

    def at(self, t: float) -> NDArray[np.float64]:
        """Its center (y, x)."""
        return self.center + self._motion * t

    def _radius_at(self, t: float) -> float:
        """A straight change, or the cut through an ellipsoid, 0 beyond its ends."""
        if self._reach is None:
            return float(self.radius * (1 + self._growth * t))
        here = self._place + t / self._reach
        return float(self.radius * np.sqrt(max(0.0, 1 - here**2) / (1 - self._place**2)))

    def _turned(self, one: NDArray[np.floating], other: NDArray[np.floating], t: float) -> NDArray[np.floating]:
        """``one`` at time 0, later more and more of the ``other``."""
        return np.cos(self._change * t) * one + np.sin(self._change * t) * other

    def _window(self, radius: float, t: float) -> tuple[slice, slice]:
        """The part of the frame the shape can reach."""
        waves = 1.2 + 1.5 * np.abs(self._heights).sum()
        loose = {BlobKind.ORGANIC: waves, BlobKind.CLOUD: 1.6 + 4 * self._border_size}
        reach = radius * max(self._stretch, 1 / self._stretch) ** 0.5 * loose.get(self.kind, 1.8) + 6
        cy, cx = self.at(t)
        return (
            slice(int(max(0, cy - reach)), int(min(self.side, cy + reach + 1))),
            slice(int(max(0, cx - reach)), int(min(self.side, cx + reach + 1))),
        )

    def _field(
        self, u: NDArray[np.floating], v: NDArray[np.floating], radius: float, t: float, rows: slice, columns: slice
    ) -> NDArray[np.floating]:
        if self.kind is BlobKind.SUPERELLIPSE:
            power = np.float32(self._power)
            return (np.abs(u) ** power + np.abs(v) ** power) ** (1 / power) - np.float32(radius)
        distance = np.sqrt(u * u + v * v)
        if self.kind is BlobKind.CLOUD:
            border = self._turned(self._border[rows, columns], self._other_border[rows, columns], t)
            return distance - radius * (1 - self._border_size * border)
        step = ((np.arctan2(v, u) + np.float32(np.pi)) * np.float32(ANGLES / 2 / np.pi)).astype(np.int32) % ANGLES
        field = distance - (radius * self._outline(t)).astype(np.float32)[step]
        if self.kind is BlobKind.BEAN:
            by, bx = np.sin(self._bite) * radius * 0.9, np.cos(self._bite) * radius * 0.9
            field = np.maximum(field, radius * 0.75 - np.sqrt((u - bx) ** 2 + (v - by) ** 2))
        return field

    def _outline(self, t: float) -> NDArray[np.float64]:
        """Relative radius at each of ANGLES angles."""
        angle = np.linspace(-np.pi, np.pi, ANGLES, endpoint=False)
        if self.kind is BlobKind.POLYGON:
            sector = 2 * np.pi / self._corners
            return np.asarray(np.cos(sector / 2) / np.cos((angle + self._turn) % sector - sector / 2))
        waves = np.cos(self._waves[:, None] * angle + self._phases[:, None] + 0.3 * t)
        return np.maximum(1 + self._turned(self._heights, self._others, t) @ waves, 0.2)


class Half:
    """What lies of a blob on one side of a soft line, which drifts and turns: a lobe beside another one."""

    def __init__(self, rng: np.random.Generator, blob: Blob) -> None:
        self.radius = blob.radius / 2
        self._blob = blob
        self._angle, self._turn = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.3)
        self._place, self._drift = rng.uniform(-0.5, 0.5) * blob.radius, rng.normal(0, 0.4) * blob.radius
        self._wave = np.float32(rng.uniform(0, 0.3) * blob.radius) * slow_field(rng, blob.side)

    def level(self, t: float) -> Field:
        cos, sin = np.cos(self._angle + self._turn * t), np.sin(self._angle + self._turn * t)
        y, x = np.ogrid[: self._blob.side, : self._blob.side]
        cy, cx = self._blob.at(t)
        beyond = (y - cy) * sin + (x - cx) * cos + self._place + self._drift * t
        return np.maximum(self._blob.level(t), (beyond + self._wave).astype(np.float32))


class Lines:
    """Thick curves: straight pieces (from, to, width) in pixels, y before x."""

    def __init__(self, rng: np.random.Generator, side: int) -> None:
        self.side, self.radius = side, side / 8
        self._pieces: list[tuple[NDArray[np.float64], NDArray[np.float64], float]] = []
        self._motion = rng.normal(0, 0.015, 2) * side

    def level(self, t: float) -> Field:
        """1 outside, -1 inside, in between on the border."""
        fine = Image.new("L", (2 * self.side, 2 * self.side))
        pen = ImageDraw.Draw(fine)
        for start, end, width in self._pieces:
            (y0, x0), (y1, x1) = 2 * (start + self._motion * t), 2 * (end + self._motion * t)
            pen.line([(x0, y0), (x1, y1)], fill=255, width=max(1, round(2 * width)))
            if width > 2:
                pen.ellipse([x1 - width, y1 - width, x1 + width, y1 + width], fill=255)
        coarse = np.asarray(fine.resize((self.side, self.side), Image.Resampling.BOX), np.float32)
        return 1 - coarse / np.float32(127.5)


def tube(rng: np.random.Generator, side: int) -> Lines:
    """One winding tube of constant width."""
    lines = Lines(rng, side)
    step = 8 * side / 192
    width = 10 ** rng.uniform(0.4, 1.5) * side / 192
    at, heading = rng.uniform(0.1, 0.9, 2) * side, rng.uniform(0, 2 * np.pi)
    for _ in range(rng.integers(6, 30)):
        heading += rng.normal(0, 0.35)
        there = at + step * np.array([np.sin(heading), np.cos(heading)])
        lines._pieces.append((at, there, width))
        at = there
    return lines


def tree(rng: np.random.Generator, side: int) -> Lines:
    """Branching vessels of one to seven pixels, getting thinner towards their ends."""
    lines = Lines(rng, side)
    root = rng.uniform(0, 1, 2) * side
    for _ in range(rng.integers(1, 7)):
        start = root if rng.random() < 0.6 else rng.uniform(0, 1, 2) * side
        width = 10 ** rng.uniform(0.1, 0.85) * side / 192
        _branch(rng, lines, start, rng.uniform(0, 2 * np.pi), width, 0, rng.uniform(0.25, 0.7) * side)
    return lines


def fan(rng: np.random.Generator, side: int) -> Lines:
    """Vessels that spread from one place over the whole frame, as on a retina or from a hilus."""
    lines = Lines(rng, side)
    root = rng.uniform(0.25, 0.75, 2) * side
    count = int(rng.integers(4, 10))
    for n in range(count):
        heading = 2 * np.pi * n / count + rng.normal(0, 0.3)
        width = 10 ** rng.uniform(-0.1, 0.7) * side / 192
        start = root + rng.normal(0, 0.02, 2) * side
        most = len(lines._pieces) + MOST_SEGMENTS // count
        _branch(rng, lines, start, heading, width, 0, rng.uniform(0.4, 0.9) * side, most)
    return lines


def _branch(
    rng: np.random.Generator,
    lines: Lines,
    at: NDArray[np.float64],
    heading: float,
    width: float,
    depth: int,
    length: float,
    most: int = MOST_SEGMENTS,
) -> None:
    step = 5 * lines.side / 192
    curve = rng.normal(0, 0.03)
    for _ in range(int(length / step * rng.uniform(0.5, 1.3)) + 1):
        heading += curve + rng.normal(0, 0.12)
        there = at + step * np.array([np.sin(heading), np.cos(heading)])
        lines._pieces.append((at, there, max(width, 0.8)))
        at, width = there, width * 0.985
        if len(lines._pieces) > most:
            return
        if depth < 4 and rng.random() < 0.1:
            turn = rng.choice([-1, 1]) * rng.uniform(0.3, 1.2)
            _branch(rng, lines, at, heading + turn, width * rng.uniform(0.5, 0.8), depth + 1, length * 0.6, most)
    if depth < 4 and width > 1:
        for side in (-1, 1):
            turn = side * rng.uniform(0.2, 0.7)
            _branch(rng, lines, at, heading + turn, width * rng.uniform(0.6, 0.85), depth + 1, length * 0.6, most)
