"""The npz files of the MedSAM challenges: ``imgs``, ``gts``, ``spacing``, ``boxes``; and single arrays in npy files.

Arrays only, never pickles; declared sizes are held against the limits before anything is unpacked.
"""

from __future__ import annotations

import zipfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import InputError, Notice
from delineate.core.grid import Grid, Placement
from delineate.core.reading import reading
from delineate.core.scan import Scan
from delineate.core.terminal_text import excerpt
from delineate.io.limits import check_volume
from delineate.io.options import ReadOptions, SpacingOrder
from delineate.io.readers.modality import guess
from delineate.io.unpacking import DEFLATE_RATIO


def read(path: Path, options: ReadOptions) -> Scan:
    """``imgs`` of a challenge file: (D, H, W) is a volume with axes i = W, j = H, k = D; (H, W, 3) an image.

    Writers disagree on whether ``spacing`` is x, y, z or z, y, x, so a spacing that is not the same along all axes
    needs ``options.spacing_order`` (our own files say it themselves).
    """
    _require_safe(path)
    notices: list[Notice] = []
    with reading(path, "E-NPZ-DAMAGED"), np.load(path, allow_pickle=False) as stored:
        if "imgs" not in stored.files:
            names = ", ".join(excerpt(name, 30) for name in stored.files[:8]) or "nothing"
            raise InputError(
                "E-NPZ-IMGS",
                f"{path.name} holds {names}, but no array imgs.",
                "Save the image as imgs: numpy.savez(FILE, imgs=...).",
            )
        for name in stored.files:
            if _needs_code(stored, name, path, options) and name not in ("imgs", "spacing", "spacing_order"):
                notices.append(Notice("W-NPZ-PICKLE", "An array of the file needs code to read; it is ignored."))
        pixels = _array(stored, "imgs", path)
        spacing = _array(stored, "spacing", path) if "spacing" in stored.files else None
        order = str(_array(stored, "spacing_order", path)) if "spacing_order" in stored.files else None
    return _scan(path, pixels, spacing, order, options, notices)


def read_array(path: Path, options: ReadOptions) -> Scan:
    """An npy file, its array as ``imgs`` of an npz."""
    with reading(path, "E-NPY-DAMAGED"):
        with path.open("rb") as stream:
            shape, dtype = array_header(stream)
            room = path.stat().st_size - stream.tell()
        if dtype.hasobject:
            raise InputError("E-NPY-DAMAGED", f"{path.name} needs code to read.", "Save a plain array of numbers.")
        check_volume(path, shape, dtype.itemsize, options)
        if np.prod(shape, dtype=float) * dtype.itemsize > room:
            raise InputError(
                "E-NPY-DAMAGED",
                f"{path.name} is cut short: {room} bytes of values are there.",
                "Save it anew with numpy.save, without objects in it.",
            )
        pixels = np.load(path, allow_pickle=False, mmap_mode="c")
    return _scan(path, pixels, None, None, options, [])


def _scan(
    path: Path,
    pixels: NDArray[Any],
    spacing: NDArray[Any] | None,
    order: str | None,
    options: ReadOptions,
    notices: list[Notice],
) -> Scan:
    if pixels.dtype.kind not in "buif" or pixels.dtype.itemsize > 8:
        raise InputError(
            "E-NPZ-DTYPE",
            f"The array in {path.name} holds {pixels.dtype}, not gray values or colors.",
            "Save whole numbers or floats.",
        )
    if pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3):
        return Scan.from_image(pixels, modality=guess(pixels, path), notices=tuple(notices))
    if pixels.ndim not in (3, 4) or (pixels.ndim == 4 and pixels.shape[3] != 3):
        raise InputError(
            "E-NPZ-SHAPE",
            f"The array in {path.name} has the shape {pixels.shape}; (D, H, W) is meant.",
            "Save imgs as (slices, rows, columns).",
        )
    voxels = pixels.transpose(2, 1, 0, *range(3, pixels.ndim))
    grid = _grid(path, voxels.shape[:3], spacing, order, options)
    return Scan.from_volume(voxels, grid, 2, modality=guess(voxels, path, volume=True), notices=tuple(notices))


def _require_safe(path: Path) -> None:
    """Only arrays, before anything is unpacked."""
    with reading(path, "E-NPZ-DAMAGED", what="is a damaged archive"), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    odd = [m.filename for m in members if not m.filename.endswith(".npy") or "/" in m.filename or "\\" in m.filename]
    if odd or len(members) > 1000:
        raise InputError(
            "E-NPZ-MEMBERS",
            f"{path.name} is an archive, but not of arrays: it holds {excerpt((odd or ['…'])[0])}.",
            "Unpack it and open what is in it; npz files hold .npy arrays.",
        )


def _needs_code(stored: Any, name: str, path: Path, options: ReadOptions) -> bool:
    """Whether an array is a pickle, from its header alone; its size is held against the limits and the archive.

    Raises InputError where the array would be too large, or larger than what the archive holds of it.
    """
    member = stored.zip.getinfo(f"{name}.npy")
    with _array_in(path, name), stored.zip.open(member) as stream:
        shape, dtype = array_header(stream)
        room = member.file_size - stream.tell()
    if dtype.hasobject:
        return True
    check_volume(path, shape, dtype.itemsize, options)
    size = int(np.prod(shape, dtype=float)) * dtype.itemsize
    if size > room or room > DEFLATE_RATIO * (member.compress_size + 1):
        raise InputError(
            "E-NPZ-DAMAGED",
            f'"{excerpt(name, 30)}" in {path.name} says it has {size} bytes, which are not there.',
            "Copy or download it again, or save it anew with numpy.savez.",
        )
    return False


def array_header(stream: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of the array that begins here, the stream left at its values. Raises what numpy raises."""
    version = np.lib.format.read_magic(stream)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(stream)
    return shape, dtype


def _array_in(path: Path, name: str) -> AbstractContextManager[None]:
    return reading(f'"{excerpt(name, 30)}" in {path.name}', "E-NPZ-DAMAGED", what="is no plain array")


def _array(stored: Any, name: str, path: Path) -> NDArray[Any]:
    with _array_in(path, name):
        value = stored[name]
    if not isinstance(value, np.ndarray):
        raise InputError(
            "E-NPZ-DAMAGED",
            f'"{name}" in {path.name} is no array.',
            "Copy or download it again, or save it anew with numpy.savez.",
        )
    return value


def _grid(
    path: Path, shape: tuple[int, ...], spacing: NDArray[Any] | None, order: str | None, options: ReadOptions
) -> Grid:
    if spacing is None:
        return Grid(shape, placement=Placement.PIXELS)
    steps = [float(v) for v in np.ravel(spacing)] if spacing.dtype.kind in "buif" and spacing.size < 100 else []
    if len(steps) != 3 or not np.isfinite(steps).all() or min(steps) <= 0:
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
