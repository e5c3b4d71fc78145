"""NIfTI-1 and -2 volumes, with the header's oddities named instead of guessed away (NIfTI-1 standard, nifti1.h).

Analyze 7.5 files are read too; they do not say how the patient lies.
"""

from __future__ import annotations

import threading
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import InputError, Notice
from delineate.core.grid import Grid
from delineate.core.reading import reading
from delineate.core.scan import Scan
from delineate.io.options import Pages, ReadOptions
from delineate.io.readers.modality import guess
from delineate.io.readers.nifti_file import NiftiFile, is_header, other_of_pair
from delineate.io.readers.nifti_grid import grid_of
from delineate.io.readers.nifti_header import geometry_of

SAMPLE_VOXELS = 60_000_000  # volumes up to this size are looked through for NaN when they are opened


class LazyVoxels:
    """Voxels (i, j, k[, color]) read and scaled on the first look, then kept."""

    def __init__(self, file: NiftiFile, shape: tuple[int, ...], index: int | None, dtype: np.dtype[Any]):
        self._file, self._index = file, index
        self.shape, self.dtype = shape, dtype
        self._lock = threading.Lock()

    @property
    def _array(self) -> NDArray[Any]:
        with self._lock:  # threads that look first at once would each read the file whole
            return self._read

    @cached_property
    def _read(self) -> NDArray[Any]:
        with reading(self._file.path, "E-NIFTI-CUT", what="ends before its voxels do"):
            stored = self._file.stored()
            values = (stored if self._index is None else stored[..., self._index]).reshape(self.shape)
            slope, inter = _scaling(self._file)
            if (slope, inter) == (1, 0):
                array = values if self.dtype.names else values.astype(self.dtype, copy=False)
            else:
                array = np.empty(self.shape, self.dtype, order="F")
                for k in range(self.shape[-1]):
                    array[..., k] = values[..., k].astype(np.float64) * slope + inter
        del self._file  # and with it the bytes a gzip file was unpacked to
        return array

    def __getitem__(self, cut: Any) -> NDArray[Any]:
        return np.asarray(self._array[cut])

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        return self._array if dtype is None else self._array.astype(dtype)


def read(path: Path, options: ReadOptions) -> Scan:
    """A NIfTI file as a volume (or an image, if it has one slice); the affine is kept bit for bit.

    Raises InputError or GeometryError for cut files, impossible headers, 4D files without a choice and color.
    """
    notices: list[Notice] = []
    file = NiftiFile.open(path, options, notices)
    dtype = _dtype(file, notices)
    shape, index = _choose(file, options)
    grid = grid_of(path, file.header, shape, options, notices)
    if options.pages is Pages.VIDEO and len(file.shape) == 4:
        moments = LazyVoxels(file, file.shape, None, dtype)
        stored = np.asarray(moments) if dtype.names is None else _gray(path, moments, options, notices)
        frames = stored[:, :, 0].transpose(2, 1, 0)
        return Scan.from_frames(frames, modality=guess(frames, path), notices=tuple(notices))
    geometry = geometry_of(file.header) if isinstance(file.header, nib.Nifti1Header) else None
    voxels = LazyVoxels(file, shape, index, dtype)
    about: dict[str, Any]
    if dtype.names is not None:
        gray = _gray(path, voxels, options, notices)
        about = {"modality": guess(gray, path, volume=True), "notices": tuple(notices), "geometry": geometry}
        return Scan.from_volume(gray, grid, **about)
    small = np.prod(shape) <= SAMPLE_VOXELS
    if small and dtype.kind == "f":
        bad = int((~np.isfinite(np.asarray(voxels))).sum())
        if bad:
            notices.append(
                Notice("W-NOT-FINITE", f"{bad} voxels are NaN or infinite; the model sees the minimum there.")
            )
    modality = guess(np.asarray(voxels)[::2, ::2, ::2] if small else voxels[..., shape[2] // 2], path, volume=True)
    about = {"modality": modality, "notices": tuple(notices), "geometry": geometry}
    if shape[2] == 1:
        flat = Grid(shape[:2], grid.affine, ("i", "j"), grid.placement)
        return Scan.from_image(np.asarray(voxels)[:, :, 0].T, flat, **about)
    return Scan.from_volume(voxels, grid, **about)


def detached_data(path: Path) -> list[Path]:
    """The other file of a pair of .hdr and .img; nothing for a file that holds both."""
    from delineate.io.opening import file_head

    other = other_of_pair(path)
    return [other] if other is not None and (is_header(file_head(path)) or is_header(file_head(other))) else []


def _scaling(file: NiftiFile) -> tuple[float, float]:
    """Slope and intercept of the stored values; 1 and 0 where they are not scaled, as colors never are."""
    if not isinstance(file.header, nib.Nifti1Header) or file.header.get_data_dtype().names is not None:
        return 1.0, 0.0
    with reading(file.path, "E-NIFTI-HEADER", what="has an unusable NIfTI header"):
        slope, inter = file.header.get_slope_inter()
    return (1.0, 0.0) if slope is None else (float(slope), float(inter or 0.0))


def _dtype(file: NiftiFile, notices: list[Notice]) -> np.dtype[Any]:
    """The type of the voxels once they are scaled: one that keeps whole numbers apart."""
    stored = file.header.get_data_dtype()
    if stored.kind == "c":
        raise InputError(
            "E-NIFTI-DTYPE",
            f"{file.path.name} holds complex numbers ({stored}).",
            "Save magnitude or phase as a volume first.",
        )
    if stored.names is not None:
        return stored.newbyteorder("=")
    if isinstance(file.header, nib.Nifti1Header) and float(file.header["scl_slope"]) == 0:
        notices.append(Notice("W-NIFTI-SLOPE", "The scale factor is 0; as the standard says, values are not scaled."))
    if stored.itemsize > 8:
        return np.dtype(np.float64)
    if _scaling(file) == (1, 0):
        return stored.newbyteorder("=")
    return np.dtype(np.float32 if stored.itemsize <= 2 or stored == np.float32 else np.float64)


def _choose(file: NiftiFile, options: ReadOptions) -> tuple[tuple[int, int, int], int | None]:
    """One volume of a file: its shape, and its number in a 4D file."""
    path, shape = file.path, file.shape
    if len(shape) == 3:
        return (shape[0], shape[1], shape[2]), None
    if len(shape) > 4:
        raise InputError(
            "E-NIFTI-5D", f"{path.name} has {len(shape)} dimensions: {shape}.", "Save one volume of it first."
        )
    if options.pages is Pages.VIDEO and shape[2] == 1:
        return (shape[0], shape[1], 1), 0
    if options.index is None:
        video = " or --pages video for frames in time" if shape[2] == 1 else ""
        raise InputError(
            "E-NIFTI-4D",
            f"{path.name} holds {shape[3]} volumes of {shape[0]} x {shape[1]} x {shape[2]} voxels.",
            f"Choose one with --index N (0 to {shape[3] - 1}){video}.",
        )
    if not 0 <= options.index < shape[3]:
        raise InputError(
            "E-PAGE-RANGE",
            f"{path.name} has volumes 0 to {shape[3] - 1}, not {options.index}.",
            "Choose one of them with --index, counted from 0.",
        )
    return (shape[0], shape[1], shape[2]), options.index


def _gray(path: Path, voxels: LazyVoxels, options: ReadOptions, notices: list[Notice]) -> NDArray[np.uint8]:
    """Colors as gray values, uint8. Raises InputError unless that was asked for."""
    if not options.to_gray:
        raise InputError(
            "E-NIFTI-DTYPE",
            f"{path.name} holds colors ({', '.join(voxels.dtype.names or ())}), not gray values.",
            "Turn them into gray values with --to-gray.",
        )
    stored = np.asarray(voxels)
    notices.append(Notice("W-TO-GRAY", "Colors were turned into gray values."))
    mean = np.mean([stored[name] for name in ("R", "G", "B")], axis=0)
    return np.asarray(mean.round().astype(np.uint8))
