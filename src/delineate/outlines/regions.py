"""What is done to one mask: its parts, its holes, its border. Arrays of two or three axes, lengths in mm.

Distances run between centers of voxels, and are true on anisotropic, oblique and sheared grids.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.signal import fftconvolve

from delineate.outlines.stacks import Stack, Steps

RIGHT_ANGLE: Final = 1e-3  # cosine between axes below which a grid is not sheared
SIGMAS: Final = 4.0  # how far a Gaussian reaches


def components(mask: Stack) -> tuple[NDArray[np.int32], int]:
    """Connected components, numbered from 1; voxels that touch by a corner are connected."""
    labels, count = ndimage.label(mask, np.ones((3,) * mask.ndim, bool))
    return labels, int(count)


def largest_component(mask: Stack) -> Stack:
    """The largest connected component alone; of two of a size the first."""
    labels, count = components(mask)
    if count < 2:
        return mask
    return np.asarray(labels == 1 + int(np.bincount(labels.ravel())[1:].argmax()))


def without_islands(mask: Stack, smallest: float) -> Stack:
    """Without the connected components of fewer than ``smallest`` voxels."""
    labels, count = components(mask)
    keep = np.bincount(labels.ravel(), minlength=count + 1) >= smallest
    keep[0] = False
    return np.asarray(keep[labels])


def fill_holes(mask: Stack, axis: int | None = None) -> Stack:
    """With what it encloses on all sides; with ``axis``, in each slice along it."""
    if axis is None:
        return np.asarray(_within_box(mask, [1] * mask.ndim, ndimage.binary_fill_holes))
    slices = np.moveaxis(mask, axis, 0)
    filled = np.stack([_within_box(one, [1] * one.ndim, ndimage.binary_fill_holes) for one in slices])
    return np.moveaxis(filled, 0, axis)


def grow(mask: Stack, steps: Steps, distance: float) -> Stack:
    """With all voxels whose centers are at most ``distance`` mm from the center of a voxel of it."""
    reach = _reach(steps, distance)
    return _within_box(mask, reach, lambda part: _near(part, steps, distance))


def shrink(mask: Stack, steps: Steps, distance: float) -> Stack:
    """Without voxels whose centers are at most ``distance`` mm from one outside; behind the scan's border is none."""
    return _within_box(mask, [1] * mask.ndim, lambda part: part & ~_near(~part, steps, distance))


def smooth(mask: Stack, steps: Steps, sigma: float) -> Stack:
    """Smoothed by a Gaussian of ``sigma`` mm; the number of voxels stays, so nothing shrinks away.

    Taken is what is highest after the blur, as many voxels as before. On a sheared grid the blur is along its axes. A
    blur as wide as the stack is the widest.
    """
    sigmas = np.minimum(sigma / np.linalg.norm(steps, axis=0), mask.shape)
    reach = [int(np.ceil(SIGMAS * one)) + 1 for one in sigmas]

    def blurred(part: Stack) -> Stack:
        count = int(part.sum())
        soft = ndimage.gaussian_filter(part.astype(np.float32), sigmas, mode="nearest", truncate=SIGMAS)
        return np.asarray(soft >= np.partition(soft.ravel(), -count)[-count])

    return _within_box(mask, reach, blurred)


def distance_from(mask: Stack, steps: Steps) -> NDArray[np.float64]:
    """Distance of every voxel from the nearest voxel of a mask, mm along the axes; 0 inside."""
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=np.linalg.norm(steps, axis=0)))


def is_sheared(steps: Steps) -> bool:
    """Whether axes do not stand at right angles."""
    unit = steps / np.linalg.norm(steps, axis=0)
    return bool(np.abs((unit.T @ unit)[np.triu_indices(steps.shape[1], 1)]).max() > RIGHT_ANGLE)


def box_around(mask: Stack, margin: Any = 0) -> tuple[slice, ...] | None:
    """The smallest box around a mask, ``margin`` voxels wider on each side where there is room; None: it is empty."""
    if not mask.any():
        return None
    margins = np.broadcast_to(margin, mask.ndim)
    found = []
    for axis, extra in enumerate(margins):
        seen = np.flatnonzero(mask.any(axis=tuple(n for n in range(mask.ndim) if n != axis)))
        found.append(slice(max(0, int(seen[0]) - int(extra)), int(seen[-1]) + 1 + int(extra)))
    return tuple(found)


def _within_box(mask: Stack, margin: list[int], change: Callable[[Stack], Stack]) -> Stack:
    """A change of a mask that reaches no farther than a margin, worked out where the mask is alone."""
    box = box_around(mask, margin)
    if box is None:
        return mask
    out = np.zeros_like(mask)
    out[box] = change(mask[box])
    return out


def _reach(steps: Steps, distance: float) -> list[int]:
    """How many voxels along each axis a ball of a radius can span, whatever the angles between the axes."""
    rows = np.linalg.norm(np.linalg.pinv(steps), axis=1)
    return [int(np.floor(distance * row + 1e-9)) for row in rows]


def _near(mask: Stack, steps: Steps, distance: float) -> Stack:
    """Voxels whose centers lie within a distance of a center of the mask, the mask among them."""
    if not mask.any():
        return mask
    limit = distance * (1 + 1e-9)
    if not is_sheared(steps):
        return np.asarray(distance_from(mask, steps) <= limit)
    offsets = np.meshgrid(*(np.arange(-n, n + 1) for n in _reach(steps, distance)), indexing="ij")
    ball = np.linalg.norm(np.tensordot(steps, np.stack(offsets), 1), axis=0) <= limit
    touched = fftconvolve(mask.astype(np.float32), ball.astype(np.float32), mode="same")
    return np.asarray(touched > 0.5) | mask
