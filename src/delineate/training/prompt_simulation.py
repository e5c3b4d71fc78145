"""Prompts as people give them, made from the truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

MaskArray = NDArray[np.bool_]
Rng = np.random.Generator


def bounding_box(mask: MaskArray) -> NDArray[np.float64]:
    """x0, y0, x1, y1, half-open, of a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=float)


def jittered_box(rng: Rng, mask: MaskArray, amount: float) -> tuple[float, float, float, float]:
    """The bounding box with each side moved by up to ``amount`` of its length, in or out (as SAM 2 trains: 0.1)."""
    box = bounding_box(mask)
    lengths = np.array([box[2] - box[0], box[3] - box[1]] * 2)
    moved = box + rng.uniform(-amount, amount, 4) * lengths
    x0, y0, x1, y1 = (float(v) for v in (moved if (moved[2:] - moved[:2] >= 1).all() else box))
    return x0, y0, x1, y1


def click_in(rng: Rng, mask: MaskArray, central: bool) -> tuple[float, float]:
    """A click (x, y) on a mask that is not empty: a random pixel, or the one farthest from the border."""
    if central:
        depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    else:
        rows, columns = np.nonzero(mask)
        n = rng.integers(len(rows))
        y, x = rows[n], columns[n]
    return float(x), float(y)


def clicks_around(rng: Rng, mask: MaskArray) -> tuple[NDArray[np.float64], MaskArray]:
    """One to three positive clicks, and up to two negative ones just outside: (N, 2) points, (N,) labels."""
    points, labels = [], []
    for n in range(1 + int(rng.random() < 0.35) + int(rng.random() < 0.2)):
        points.append(click_in(rng, mask, central=n == 0 and rng.random() < 0.5))
        labels.append(True)
    near = max(2, int(np.sqrt(mask.sum()) * 0.25))
    ring = ndimage.binary_dilation(mask, iterations=near) & ~mask
    for _ in range(int(rng.random() < 0.3) + int(rng.random() < 0.15)):
        if ring.any():
            points.append(click_in(rng, ring, central=False))
            labels.append(False)
    return np.array(points), np.array(labels)


def correcting_click(rng: Rng, outline: MaskArray, truth: MaskArray) -> tuple[NDArray[np.float64], MaskArray] | None:
    """A click on the largest error of an outline; None where it has none."""
    parts, count = ndimage.label(outline ^ truth)
    if not count:
        return None
    largest = parts == int(np.bincount(parts.ravel())[1:].argmax()) + 1
    x, y = click_in(rng, largest, central=rng.random() < 0.7)
    return np.array([[x, y]]), np.array([truth[int(y), int(x)]])


def wrong_box(rng: Rng, mask: MaskArray, share: float) -> NDArray[np.float64]:
    """The bounding box, each side moved by just ``share`` of its length, in or out, within the picture."""
    box = bounding_box(mask)
    lengths = np.array([box[2] - box[0], box[3] - box[1]] * 2)
    height, width = mask.shape
    return np.clip(box + rng.choice((-1, 1), 4) * share * lengths, 0, (width, height, width, height))


def outward_box(rng: Rng, mask: MaskArray, most: float) -> tuple[float, float, float, float]:
    """The bounding box, each side moved outwards by 0 to ``most`` pixels by itself, within the picture (MedSAM)."""
    x0, y0, x1, y1 = bounding_box(mask)
    a, b, c, d = rng.uniform(0, most, 4)
    height, width = mask.shape
    return max(0.0, x0 - a), max(0.0, y0 - b), min(float(width), x1 + c), min(float(height), y1 + d)


def shifted_box(rng: Rng, mask: MaskArray, most: float = 5.0) -> tuple[float, float, float, float]:
    """The box of the largest part, moved as a whole by at most ``most`` pixels and half its side (SAM-Med2D)."""
    parts, count = ndimage.label(mask)
    if count > 1:
        mask = parts == int(np.bincount(parts.ravel())[1:].argmax()) + 1
    x0, y0, x1, y1 = bounding_box(mask)
    reach = min(most, 0.5 * min(x1 - x0, y1 - y0))
    across, down = rng.uniform(-reach, reach, 2)
    return x0 + across, y0 + down, x1 + across, y1 + down


def noisy_box(rng: Rng, mask: MaskArray, share: float = 0.1, most: float = 20.0) -> tuple[float, float, float, float]:
    """The bounding box, normal noise of ``share`` of a side on each side, at most ``most`` pixels (SAM sec. A)."""
    box = bounding_box(mask)
    lengths = np.array([box[2] - box[0], box[3] - box[1]] * 2)
    moved = box + np.clip(rng.normal(0, share, 4) * lengths, -most, most)
    x0, y0, x1, y1 = (float(v) for v in (moved if (moved[2:] - moved[:2] >= 1).all() else box))
    return x0, y0, x1, y1


def error_clicks(rng: Rng, outline: MaskArray, truth: MaskArray, count: int) -> tuple[NDArray[np.float64], NDArray]:
    """``count`` clicks drawn evenly, with replacement, from where an outline is wrong: (count, 2), labels (count,).

    Labels are 1 where something is missing, 0 where something is too much, -1 (padding) if nothing is wrong.
    """
    rows, columns = np.nonzero(outline ^ truth)
    if not len(rows):
        return np.zeros((count, 2)), np.full(count, -1)
    drawn = rng.integers(len(rows), size=count)
    points = np.stack([columns[drawn], rows[drawn]], axis=1).astype(float)
    return points, truth[rows[drawn], columns[drawn]].astype(int)


def coarse(rng: Rng, mask: MaskArray) -> MaskArray:
    """An outline as it is drawn where a pixel is 2 to 6 times as large: without detail, thin parts broken or lost."""
    height, width = mask.shape
    factor, least = rng.uniform(2, 6), rng.uniform(0.2, 0.6)
    size = max(1, round(width / factor)), max(1, round(height / factor))
    small = np.asarray(Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BOX)) > least
    large = Image.fromarray(small.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(large) > 0.5


def spoiled(rng: Rng, mask: MaskArray) -> MaskArray:
    """An outline that is nearly right: grown, shrunk, shifted, or with a piece too much or too little."""
    radius = max(1, int(np.sqrt(mask.sum() / np.pi) * rng.uniform(0.02, 0.25)))
    match int(rng.integers(4)):
        case 0:
            out = ndimage.binary_dilation(mask, iterations=min(radius, 6))
        case 1:
            out = ndimage.binary_erosion(mask, iterations=min(radius, 6))
        case 2:
            out = ndimage.shift(mask.astype(np.float32), rng.uniform(-radius, radius, 2), order=0) > 0.5
        case _:
            rows, columns = np.nonzero(mask)
            n = rng.integers(len(rows))
            y, x = np.ogrid[: mask.shape[0], : mask.shape[1]]
            piece = (y - rows[n]) ** 2 + (x - columns[n]) ** 2 < (2 * radius) ** 2
            out = mask & ~piece if rng.random() < 0.5 else mask | piece
    return np.asarray(out) if out.any() else mask
