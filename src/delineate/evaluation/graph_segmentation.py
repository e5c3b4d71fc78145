"""Outlines from the graph of neighboring pixels: GrabCut and the random walker, on numpy and scipy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow
from scipy.sparse.linalg import cg

Mask = NDArray[np.bool_]
Pixels = NDArray[np.float32]
Floats = NDArray[np.float64]

COMPONENTS = 5  # Gaussians for the structure, and as many for the rest
SMOOTHNESS = 2.0  # weight of GrabCut's border term; the paper's 50 suits photographs and swallows small structures
ROUNDS = 5
CAPACITY = 1000.0  # whole-number units of the cut's costs
EDGE_SHARPNESS = 100.0  # how much a contrast, in variances of the view, slows the random walker down (Grady's beta)
NOISE = 1e-4  # variance added to every Gaussian: gray values are no more exact than this

_STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))  # right, down and both diagonals: each pair of neighbors once


@dataclass(frozen=True, eq=False)
class _Neighbors:
    """Pairs of neighboring pixels as flat indices, the step between them, and how much their values differ."""

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    distance: Floats
    contrast: Floats  # squared difference, summed over channels

    @classmethod
    def of(cls, pixels: Pixels, steps: tuple[tuple[int, int], ...]) -> _Neighbors:
        height, width = pixels.shape[:2]
        index = np.arange(height * width).reshape(height, width)
        values = pixels.reshape(height * width, -1).astype(np.float64)
        pairs = [_pair(index, down, right) for down, right in steps]
        first, second = (np.concatenate([p[n] for p in pairs]) for n in (0, 1))
        distance = np.concatenate([np.full(len(p[0]), np.hypot(*s)) for p, s in zip(pairs, steps, strict=True)])
        return cls(first, second, distance, ((values[first] - values[second]) ** 2).sum(axis=1))


def _pair(index: NDArray[np.intp], down: int, right: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    height, width = index.shape
    one = index[: height - down, max(0, -right) : width - max(0, right)]
    other = index[down:, max(0, right) : width + min(0, right)]
    return one.ravel(), other.ravel()


# --- GrabCut ---------------------------------------------------------------------------------------------------------


def grab_cut(pixels: Pixels, structure: Mask, rest: Mask) -> Mask:
    """The structure in a box by GrabCut (Rother et al., SIGGRAPH 2004).

    pixels     float (height, width, channels), 0 to 1
    structure  bool (height, width), what surely belongs to it (may be empty, as in the paper)
    rest       bool (height, width), what surely does not: outside the box

    Two mixtures of Gaussians describe the colors of the structure and of the rest, a minimum cut puts the border
    where contrast is high; both in turn, starting from the whole box. Cuts are exact, in costs rounded to 1/1000.
    """
    if not rest.any() or rest.all():
        return ~rest
    neighbors = _Neighbors.of(pixels, _STEPS)
    sharpness = 1 / max(2 * neighbors.contrast.mean(), 1e-12)
    smooth = SMOOTHNESS * np.exp(-sharpness * neighbors.contrast) / neighbors.distance
    colors = pixels.reshape(rest.size, -1).astype(np.float64)
    sure, never = structure.ravel(), rest.ravel()
    wanted = ~never
    mixtures: list[_Mixture | None] = [None, None]
    for _ in range(ROUNDS):
        mixtures = [_Mixture.of(colors[side], was) for side, was in zip((wanted, ~wanted), mixtures, strict=True)]
        if any(m is None for m in mixtures):
            break
        costs = [m.cost(colors) for m in mixtures if m is not None]
        before, wanted = wanted, _minimum_cut(costs[1] - costs[0], sure, never, neighbors, smooth)
        if np.array_equal(before, wanted):
            break
    return wanted.reshape(rest.shape)


@dataclass(frozen=True, eq=False)
class _Mixture:
    """Gaussians over colors; ``weights`` sum to 1."""

    weights: Floats
    means: Floats  # (K, channels)
    precisions: Floats  # (K, channels, channels)

    @classmethod
    def of(cls, colors: Floats, previous: _Mixture | None) -> _Mixture | None:
        """Fit to colors (N, channels), which keep the component of ``previous`` they suit best; None if too few."""
        if len(colors) < COMPONENTS:
            return None
        belongs = _clusters(colors) if previous is None else previous._component_costs(colors).argmin(axis=1)
        parts = [colors[belongs == k] for k in range(COMPONENTS)]
        parts = [part for part in parts if len(part)]
        noise = NOISE * np.eye(colors.shape[1])
        spreads = [(p - p.mean(axis=0)).T @ (p - p.mean(axis=0)) / len(p) + noise for p in parts]
        weights = np.array([len(p) / len(colors) for p in parts])
        return cls(weights, np.array([p.mean(axis=0) for p in parts]), np.linalg.inv(np.array(spreads)))

    def _component_costs(self, colors: Floats) -> Floats:
        """Negative log likelihood (N, K) of colors under each weighted Gaussian, up to a constant."""
        off = colors[:, None] - self.means
        distance = np.einsum("nki,kij,nkj->nk", off, self.precisions, off)
        return 0.5 * distance - np.log(self.weights) - 0.5 * np.linalg.slogdet(self.precisions)[1]

    def cost(self, colors: Floats) -> Floats:
        """Negative log likelihood (N,) of colors, up to a constant."""
        costs = self._component_costs(colors)
        least = costs.min(axis=1)
        return np.asarray(least - np.log(np.exp(least[:, None] - costs).sum(axis=1)))


def _clusters(colors: Floats) -> NDArray[np.intp]:
    """The cluster (N,) of each color by k-means, started at evenly spread quantiles; clusters may stay empty."""
    centers = np.quantile(colors, np.linspace(0.1, 0.9, COMPONENTS), axis=0)
    for _ in range(10):
        belongs = ((colors[:, None] - centers) ** 2).sum(axis=2).argmin(axis=1)
        members = [colors[belongs == k] for k in range(COMPONENTS)]
        centers = np.array([m.mean(axis=0) if len(m) else c for m, c in zip(members, centers, strict=True)])
    return np.asarray(belongs)


def _minimum_cut(pull: Floats, sure: Mask, never: Mask, neighbors: _Neighbors, smooth: Floats) -> Mask:
    """The cheapest split: ``pull`` is what a pixel loses outside the structure, ``smooth`` what a cut edge costs."""
    count = len(pull)
    source, sink = count, count + 1
    strong = 16 * float(smooth.max()) + float(np.abs(pull).max())
    pull = np.where(sure, strong, np.where(never, -strong, pull))
    pulled, pushed = np.flatnonzero(pull > 0), np.flatnonzero(pull < 0)
    first, second = neighbors.first, neighbors.second
    rows = [first, second, np.full(len(pulled), source), pushed]
    columns = [second, first, pulled, np.full(len(pushed), sink)]
    capacity = np.round(np.concatenate([smooth, smooth, pull[pulled], -pull[pushed]]) * CAPACITY).astype(np.int32)
    graph = csr_array((capacity, (np.concatenate(rows), np.concatenate(columns))), shape=(count + 2, count + 2))
    left = graph - csr_array(maximum_flow(graph, source, sink).flow)
    left.eliminate_zeros()
    side = np.zeros(count + 2, dtype=bool)
    side[breadth_first_order(left, source, return_predecessors=False)] = True
    return side[:count]


# --- random walker ---------------------------------------------------------------------------------------------------


def random_walker(pixels: Pixels, structure: Mask, rest: Mask) -> Mask:
    """Pixels from which a random walk, slowed down by contrast, reaches the structure's seeds first (Grady, PAMI 2006).

    pixels     float (height, width, channels), 0 to 1
    structure  bool (height, width), seeds on the structure
    rest       bool (height, width), seeds on everything else
    """
    seeds = (structure | rest).ravel()
    if not structure.any() or not rest.any() or seeds.all():
        return ~rest
    neighbors = _Neighbors.of(pixels, _STEPS[:2])
    contrast = neighbors.contrast / max(float(pixels.var()) * pixels.shape[2], 1e-12)
    ease = np.exp(-EDGE_SHARPNESS * contrast) + 1e-6
    count = seeds.size
    weights = csr_array((ease, (neighbors.first, neighbors.second)), shape=(count, count))
    weights = weights + weights.T
    free = np.flatnonzero(~seeds)
    towards = weights[free]
    degree = np.asarray(towards.sum(axis=1)).ravel()
    system = diags_array(degree) - towards[:, free]
    known = towards @ structure.ravel().astype(np.float64)
    chance, _ = cg(
        system.tocsr(), known, x0=np.full(len(free), 0.5), rtol=1e-4, maxiter=2000, M=diags_array(1 / degree)
    )
    found = structure.ravel().copy()
    found[free] = chance > 0.5
    return found.reshape(structure.shape)
