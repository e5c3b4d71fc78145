"""The npz files of the MedSAM challenges: ``imgs``, ``gts``, ``spacing``, ``boxes``; and single arrays in npy files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import InputError, Notice
from delineate.core.grid import Grid, Placement
from delineate.core.scan import Scan
from delineate.core.terminal_text import excerpt
from delineate.io.options import ReadOptions, SpacingOrder
from delineate.io.readers.array_archive import array_archive, read_npy
from delineate.io.readers.modality import guess


def read(path: Path, options: ReadOptions) -> Scan:
    """``imgs`` of a challenge file: (D, H, W) is a volume with axes i = W, j = H, k = D; (H, W, 3) an image.

    Writers disagree on whether ``spacing`` is x, y, z or z, y, x, so a spacing that is not the same along all axes
    needs ``options.spacing_order`` (our own files say it themselves).
    """
    notices: list[Notice] = []
    with array_archive(path, options) as stored:
        if "imgs" not in stored.names:
            names = ", ".join(excerpt(name, 30) for name in stored.names[:8]) or "nothing"
            raise InputError(
                "E-NPZ-IMGS",
                f"{path.name} holds {names}, but no array imgs.",
                "Save the image as imgs: numpy.savez(FILE, imgs=...).",
            )
        for name in stored.names:
            if stored.header(name)[1].hasobject and name not in ("imgs", "spacing", "spacing_order"):
                notices.append(Notice("W-NPZ-PICKLE", "An array of the file needs code to read; it is ignored."))
        pixels = stored["imgs"]
        spacing = stored["spacing"] if "spacing" in stored.names else None
        order = str(stored["spacing_order"]) if "spacing_order" in stored.names else None
    return array_scan(path, pixels, spacing, order, options, notices)


def read_array(path: Path, options: ReadOptions) -> Scan:
    """An npy file, its array as ``imgs`` of an npz."""
    return array_scan(path, read_npy(path, options), None, None, options, [])


def array_scan(
    path: Path,
    pixels: NDArray[Any],
    spacing: NDArray[Any] | None,
    order: str | None,
    options: ReadOptions,
    notices: Sequence[Notice] = (),
) -> Scan:
    """An array (D, H, W) as a volume, (H, W) as an image. Raises InputError for other shapes and types.

    A spacing of two lengths is that of an image.
    """
    if pixels.dtype.kind not in "buif" or pixels.dtype.itemsize > 8:
        raise InputError(
            "E-NPZ-DTYPE",
            f"The array in {path.name} holds {pixels.dtype}, not gray values or colors.",
            "Save whole numbers or floats.",
        )
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3):
        size = (pixels.shape[1], pixels.shape[0])
        flat = None if spacing is None or spacing.size != len(size) else _grid(path, size, spacing, order, options)
        return Scan.from_image(pixels, flat, modality=guess(pixels, path), notices=tuple(notices))
    if pixels.ndim not in (3, 4) or (pixels.ndim == 4 and pixels.shape[3] != 3):
        raise InputError(
            "E-NPZ-SHAPE",
            f"The array in {path.name} has the shape {pixels.shape}; (D, H, W) is meant.",
            "Save imgs as (slices, rows, columns).",
        )
    voxels = pixels.transpose(2, 1, 0, *range(3, pixels.ndim))
    grid = _grid(path, voxels.shape[:3], spacing, order, options)
    return Scan.from_volume(voxels, grid, 2, modality=guess(voxels, path, volume=True), notices=tuple(notices))


def _grid(
    path: Path, shape: tuple[int, ...], spacing: NDArray[Any] | None, order: str | None, options: ReadOptions
) -> Grid:
    if spacing is None:
        return Grid(shape, placement=Placement.PIXELS)
    steps = [float(v) for v in np.ravel(spacing)] if spacing.dtype.kind in "buif" and spacing.size < 100 else []
    if len(steps) != len(shape) or not np.isfinite(steps).all() or min(steps) <= 0:
        raise InputError(
            "E-NPZ-SPACING",
            f"spacing in {path.name} is {excerpt(spacing.tolist())}; three lengths in mm are meant.",
            "Save spacing as three lengths above 0.",
        )
    known = options.spacing_order or (SpacingOrder(order) if order in ("xyz", "zyx") else None)
    if known is None and len({round(s, 6) for s in steps}) > 1:
        raise InputError(
            "E-NPZ-SPACING-ORDER",
            f"{path.name} gives the spacing {steps} without saying of which axis first; writers disagree.",
            "Say it: --spacing-order xyz (MedSAM's own files) or zyx.",
        )
    return Grid.scaled(shape, steps[::-1] if known is SpacingOrder.ZYX else steps)
