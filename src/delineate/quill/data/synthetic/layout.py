"""Which shapes lie where: bodies with organs in them, rings, cell sheets, vessel trees, layers.

Every region has a number; a region's children lie inside it. The target a person means may be a region by itself
(a wall, an organ without its lesion) or with all it encloses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from delineate.quill.data.synthetic.noise import slow_field
from delineate.quill.data.synthetic.packed import Packed
from delineate.quill.data.synthetic.shapes import LATEST, Blob, BlobKind, Half, Shape, fan, tree, tube


class Style(StrEnum):
    ORGANS = "organs"
    SINGLE = "single"
    RINGS = "rings"
    CELLS = "cells"
    SHEET = "sheet"  # cells side by side, parted by membranes
    VESSELS = "vessels"
    LAYERS = "layers"
    GLANDS = "glands"  # bodies made of many parts, among loose parts like them
    PACKED = "packed"  # tissues of any form that share borders


SHARES = {
    Style.ORGANS: 0.18, Style.SINGLE: 0.09, Style.RINGS: 0.14, Style.CELLS: 0.06, Style.SHEET: 0.06,
    Style.VESSELS: 0.23, Style.LAYERS: 0.02, Style.GLANDS: 0.06, Style.PACKED: 0.16,
}  # fmt: skip

APART = 0.4  # share of scenes whose structures share no pixel
FOLLOWED_BY = 0.12  # share of blobs where another of their kind begins where they end
DIVIDED = 0.15  # share of blobs that are two lobes, of one tissue


@dataclass(frozen=True)
class Item:
    """A shape, shrunk by ``inset`` pixels, painted inside its parent only (-1: anywhere).

    It looks like the item ``like`` (-1: like none in particular).
    """

    shape: Shape
    inset: float
    parent: int
    like: int = -1


class Ground(Protocol):
    """Regions below all shapes, numbered 1 to ``count``; ``together``: which of them may be meant as one."""

    @property
    def count(self) -> int: ...

    @property
    def together(self) -> list[list[int]]: ...

    def paint(self, t: float) -> NDArray[np.int32]:
        """Region numbers (side, side) at time ``t``, 0 where there is none; the caller may change them."""
        ...


@dataclass(frozen=True, eq=False)
class StaticGround:
    """Ground that stays as it is."""

    regions: NDArray[np.int32]
    together: list[list[int]] = field(default_factory=list)

    @property
    def count(self) -> int:
        return int(self.regions.max())

    def paint(self, t: float) -> NDArray[np.int32]:
        return self.regions.copy()


@dataclass
class SceneLayout:
    """Shapes in the order they are painted, over the ground."""

    side: int
    style: Style
    items: list[Item] = field(default_factory=list)
    ground: Ground | None = None
    apart: bool = False  # as in label maps: an organ is never meant together with the lesion in it

    @property
    def base(self) -> int:
        """Regions of the ground; items are numbered from base + 1."""
        return 0 if self.ground is None else self.ground.count

    @property
    def regions(self) -> int:
        return self.base + len(self.items)

    def add(self, shape: Shape, inset: float = 0.0, parent: int = -1, like: int = -1) -> int:
        self.items.append(Item(shape, inset, parent, like))
        return len(self.items) - 1

    def paint(self, t: float) -> NDArray[np.int32]:
        """Region numbers (side, side) at time ``t``."""
        base = self.base
        regions = np.zeros((self.side, self.side), np.int32) if self.ground is None else self.ground.paint(t)
        levels: dict[int, NDArray[np.float32]] = {}
        for number, item in enumerate(self.items):
            level = levels.get(id(item.shape))
            if level is None:
                level = levels[id(item.shape)] = item.shape.level(t)
            inside = level < -item.inset
            if item.parent >= 0:
                inside &= regions == base + item.parent + 1
            regions[inside] = base + number + 1
        return regions

    def meanings(self) -> list[list[int]]:
        """Sets of regions that a person may point at."""
        children: dict[int, list[int]] = {}
        for number, item in enumerate(self.items):
            children.setdefault(item.parent, []).append(number)

        def whole(number: int) -> list[int]:
            return [number, *(n for child in children.get(number, []) for n in whole(child))]

        sets = [[n] for n in range(1, self.base + 1)]
        if self.ground is not None and not self.apart:
            sets += self.ground.together
        for number in range(len(self.items)):
            sets.append([self.base + number + 1])
            if number in children and not self.apart:
                sets.append([self.base + n + 1 for n in whole(number)])
        return sets


def random_layout(rng: np.random.Generator, side: int) -> SceneLayout:
    style = list(SHARES)[rng.choice(len(SHARES), p=np.array(list(SHARES.values())))]
    layout = SceneLayout(side, style, apart=rng.random() < APART)
    {
        Style.ORGANS: _organs, Style.SINGLE: _single, Style.RINGS: _rings, Style.CELLS: _cells,
        Style.SHEET: _sheet, Style.VESSELS: _vessels, Style.LAYERS: _layers, Style.GLANDS: _glands,
        Style.PACKED: _packed,
    }[style](rng, layout)  # fmt: skip
    return layout


def _body(rng: np.random.Generator, layout: SceneLayout) -> int:
    """Often a body outline with a rim; returns the item organs lie in."""
    if rng.random() >= 0.7:
        return -1
    side = layout.side
    kind = BlobKind.SUPERELLIPSE if rng.random() < 0.5 else BlobKind.ORGANIC
    body = Blob(rng, side, side * rng.uniform(0.35, 0.6), side / 2 + rng.normal(0, 0.06, 2) * side, kind, 0.3)
    inside = layout.add(body)
    return layout.add(body, body.radius * rng.uniform(0.03, 0.2), inside) if rng.random() < 0.6 else inside


def _nested(rng: np.random.Generator, layout: SceneLayout, blob: Blob, parent: int = -1) -> None:
    """A blob that may be two lobes, or have a core, a core in the core, or a few lesions."""
    outer = layout.add(blob, 0.0, parent)
    if rng.random() < FOLLOWED_BY:
        radius = blob.radius * np.exp(rng.normal(0, 0.4))
        after = Blob(rng, layout.side, radius, blob.center + rng.normal(0, 0.5, 2) * blob.radius)
        blob.until = after.since = float(rng.uniform(0, LATEST))
        after.until = np.inf
        layout.add(after, 0.0, parent, outer)
    if rng.random() < DIVIDED and blob.radius > 6:
        layout.add(Half(rng, blob), 0.0, outer, outer)
        return
    if rng.random() >= 0.45 or blob.radius <= 6:
        return
    if rng.random() < 0.6:
        core = layout.add(blob, blob.radius * rng.uniform(0.12, 0.5), outer)
        if rng.random() < 0.3:
            layout.add(blob, blob.radius * rng.uniform(0.55, 0.8), core)
        return
    for _ in range(rng.integers(1, 4)):
        place = blob.center + rng.normal(0, 0.3, 2) * blob.radius
        layout.add(Blob(rng, layout.side, blob.radius * rng.uniform(0.15, 0.5), place), 0.0, outer)


def _sized(rng: np.random.Generator, layout: SceneLayout, low: float, high: float) -> Blob:
    """A blob whose radius is 10^low to 10^high of the side."""
    return Blob(rng, layout.side, layout.side * 10 ** rng.uniform(low, high))


def _organs(rng: np.random.Generator, layout: SceneLayout) -> None:
    body = _body(rng, layout)
    for _ in range(rng.integers(3, 13)):
        _nested(rng, layout, _sized(rng, layout, -1.6, -0.55), body)
    if rng.random() < 0.35:
        layout.add(tree(rng, layout.side) if rng.random() < 0.5 else tube(rng, layout.side))


def _single(rng: np.random.Generator, layout: SceneLayout) -> None:
    side = layout.side
    _nested(rng, layout, Blob(rng, side, side * rng.uniform(0.08, 0.42), side * rng.uniform(0.3, 0.7, 2)))
    for _ in range(rng.integers(0, 4)):
        layout.add(_sized(rng, layout, -1.7, -0.8))


def _rings(rng: np.random.Generator, layout: SceneLayout) -> None:
    side, body = layout.side, _body(rng, layout)
    for _ in range(rng.integers(1, 4)):
        wall = Blob(rng, side, side * rng.uniform(0.06, 0.25), roughness=0.5)
        outer = layout.add(wall, 0.0, body)
        cavity = layout.add(wall, wall.radius * rng.uniform(0.15, 0.6), outer)
        if rng.random() < 0.5:  # a neighbor like the right ventricle
            beside = wall.center + rng.normal(0, 1, 2) * wall.radius
            layout.add(Blob(rng, side, wall.radius * rng.uniform(0.6, 1.2), beside), 0.0, body)
        if rng.random() < 0.4:  # something in the cavity, like a papillary muscle
            within = wall.center + rng.normal(0, 0.2, 2) * wall.radius
            layout.add(Blob(rng, side, wall.radius * 0.15, within), 0.0, cavity)
    for _ in range(rng.integers(1, 5)):
        _nested(rng, layout, _sized(rng, layout, -1.5, -0.7), body)


def _cells(rng: np.random.Generator, layout: SceneLayout) -> None:
    side = layout.side
    radius = side * rng.uniform(0.025, 0.11)
    room = 0.5 * side**2 / (np.pi * radius**2)
    nucleus = rng.uniform(0.2, 0.6) if rng.random() < 0.4 else 0.0
    for _ in range(int(min(70, room * rng.uniform(0.2, 1)))):
        cell = Blob(rng, side, radius * np.exp(rng.normal(0, 0.25)), kind=BlobKind.ORGANIC, roughness=0.5)
        number = layout.add(cell)
        if nucleus:
            layout.add(cell, cell.radius * nucleus, number)


def _sheet(rng: np.random.Generator, layout: SceneLayout) -> None:
    side = layout.side
    seeds = rng.uniform(-0.1, 1.1, (int(10 ** rng.uniform(0.9, 2)), 2)) * side
    wave = rng.uniform(0, 18)
    y = np.arange(side)[:, None] + wave * slow_field(rng, side)
    x = np.arange(side)[None] + wave * slow_field(rng, side)
    distance, nearest = cKDTree(seeds).query(np.stack([y, x], axis=-1).reshape(-1, 2), k=2)
    membrane = distance[:, 1] - distance[:, 0] < rng.uniform(1, 4.5)
    layout.ground = StaticGround(np.where(membrane, 0, nearest[:, 0] + 1).reshape(side, side).astype(np.int32))
    for _ in range(rng.integers(0, 6)):
        layout.add(_sized(rng, layout, -1.9, -1.2))


def _vessels(rng: np.random.Generator, layout: SceneLayout) -> None:
    if rng.random() < 0.5:
        layout.add(_sized(rng, layout, -1.3, -0.8))  # like an optic disc, under the vessels
    layout.add(fan(rng, layout.side) if rng.random() < 0.6 else tree(rng, layout.side))
    for _ in range(rng.integers(0, 4)):
        layout.add(_sized(rng, layout, -1.8, -1.1))


def _layers(rng: np.random.Generator, layout: SceneLayout) -> None:
    side = layout.side
    height = np.arange(side)[:, None] / side * rng.integers(3, 9) + slow_field(rng, side) * rng.uniform(0.1, 0.6)
    layout.ground = StaticGround(np.clip(height + rng.uniform(0, 1), 0, 20).astype(np.int32))


def _packed(rng: np.random.Generator, layout: SceneLayout) -> None:
    layout.ground = Packed(rng, layout.side)
    for _ in range(rng.integers(0, 4)):
        _nested(rng, layout, _sized(rng, layout, -1.7, -0.8))
    if rng.random() < 0.2:
        layout.add(tree(rng, layout.side) if rng.random() < 0.5 else tube(rng, layout.side))


def _glands(rng: np.random.Generator, layout: SceneLayout) -> None:
    side = layout.side
    part = side * rng.uniform(0.015, 0.05)
    for _ in range(rng.integers(10, 50)):
        layout.add(Blob(rng, side, part * np.exp(rng.normal(0, 0.3)), kind=BlobKind.ORGANIC))
    for _ in range(rng.integers(1, 5)):
        body = Blob(rng, side, side * rng.uniform(0.1, 0.28), kind=BlobKind.ORGANIC, roughness=0.7)
        outer = layout.add(body)
        inner = layout.add(body, body.radius * rng.uniform(0.3, 0.8), outer) if rng.random() < 0.6 else outer
        for _ in range(rng.integers(6, 40)):
            place = body.center + rng.normal(0, 0.55, 2) * body.radius
            parent = inner if inner != outer and rng.random() < 0.3 else outer
            layout.add(Blob(rng, side, part * np.exp(rng.normal(0, 0.3)), place, BlobKind.ORGANIC), 0.0, parent)
