"""NIfTI-1 and -2 volumes, with the header's oddities named instead of guessed away (NIfTI-1 standard, nifti1.h)."""

from __future__ import annotations

import threading
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from delineate.core.errors import GeometryError, InputError, Notice
from delineate.core.grid import Affine, Grid, Placement
from delineate.core.scan import Scan
from delineate.io.limits import check_volume
from delineate.io.options import AffineChoice, Pages, ReadOptions
from delineate.io.readers.modality import guess
from delineate.io.readers.nifti_header import geometry_of
from delineate.io.unpacking import Packing, unpacked

SKEW_ALLOWED = 0.5  # degrees
MOST_OFFSET = 1 << 27  # bytes before the voxels: a header and its extensions
SAMPLE_VOXELS = 60_000_000  # volumes up to this size are looked through for NaN when they are opened


class LazyVoxels:
    """Voxels (i, j, k[, colour]) read and scaled on the first look, then kept."""

    def __init__(self, image: nib.nifti1.Nifti1Pair, shape: tuple[int, ...], index: int | None, dtype: np.dtype[Any]):
        self._image, self._index = image, index
        self.shape, self.dtype = shape, dtype
        self._lock = threading.Lock()

    @property
    def _array(self) -> NDArray[Any]:
        with self._lock:  # threads that look first at once would each read the file whole
            return self._read

    @cached_property
    def _read(self) -> NDArray[Any]:
        proxy = self._image.dataobj
        name = Path(self._image.get_filename() or "").name
        try:
            data = proxy if self._index is None else proxy[..., self._index]
            array = np.asarray(data) if self.dtype.kind != "f" else np.asarray(data, dtype=self.dtype)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise InputError(
                "E-NIFTI-CUT",
                f"{name} ends before its voxels do: {error}.",
                "Copy or download it again.",
            ) from None
        del self._image  # and with it the bytes a gzip file was unpacked to
        return array.reshape(self.shape)

    def __getitem__(self, cut: Any) -> NDArray[Any]:
        return np.asarray(self._array[cut])

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        return self._array if dtype is None else self._array.astype(dtype)


def read(path: Path, options: ReadOptions) -> Scan:
    """A NIfTI file as a volume (or an image, if it has one slice); the affine is kept bit for bit.

    Raises InputError or GeometryError for cut files, impossible headers, 4D files without a choice and colour.
    """
    notices: list[Notice] = []
    image = load_image(path, options, notices)
    if not isinstance(image, nib.nifti1.Nifti1Pair):
        raise InputError("E-NIFTI-HEADER", f"{path.name} is {type(image).__name__}, not NIfTI.")
    header = image.header
    shape = _shape(path, header, options)
    _require_data(path, image, shape)
    dtype = _dtype(path, image, notices)
    colour = dtype.names is not None
    shape3, index = _choose(path, shape, options)
    grid = _grid(path, header, shape3, options, notices)
    if options.pages is Pages.VIDEO and len(shape) == 4:
        voxels = LazyVoxels(image, shape, None, dtype)
        frames = np.asarray(voxels)[:, :, 0].transpose(2, 1, 0)
        return Scan.from_frames(frames, modality=guess(frames, path), notices=tuple(notices))
    voxels = LazyVoxels(image, shape3, index, dtype)
    if colour:
        return _colour(path, voxels, grid, options, notices, header)
    if np.prod(shape3) <= SAMPLE_VOXELS and dtype.kind == "f":
        bad = int((~np.isfinite(np.asarray(voxels))).sum())
        if bad:
            notices.append(
                Notice("W-NOT-FINITE", f"{bad} voxels are NaN or infinite; the model sees the minimum there.")
            )
    small = np.prod(shape3) <= SAMPLE_VOXELS
    modality = guess(np.asarray(voxels)[::2, ::2, ::2] if small else voxels[..., shape3[2] // 2], path, volume=True)
    about: dict[str, Any] = {"modality": modality, "notices": tuple(notices), "geometry": geometry_of(header)}
    if shape3[2] == 1:
        flat = Grid(shape3[:2], grid.affine, ("i", "j"), grid.placement)
        return Scan.from_image(np.asarray(voxels)[:, :, 0].T, flat, **about)
    return Scan.from_volume(voxels, grid, **about)


def detached_data(path: Path) -> list[Path]:
    """The .img beside an .hdr; nothing for a file that holds both."""
    try:
        pair = nib.Nifti1Pair.filespec_to_file_map(path)
    except ImageFileError:
        return []
    return [Path(holder.filename) for holder in pair.values() if Path(holder.filename) != path]


def load_image(path: Path, options: ReadOptions, notices: list[Notice]) -> Any:
    """The file as nibabel sees it; gzip is unpacked here, once and as far as the header promises voxels."""
    from delineate.io.opening import file_head

    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    try:
        if not packed:
            return nib.load(path)
        head = file_head(path)
        kind = nib.Nifti2Image if head[4:8] in (b"n+2\0", b"ni2\0") else nib.Nifti1Image
        header = kind.header_class(head[: kind.header_class.sizeof_hdr])
    except InputError:
        raise
    except Exception as error:
        raise InputError("E-NIFTI-HEADER", f"{path.name} has an unusable NIfTI header: {error}.") from None
    if not header.is_single:
        return nib.load(path)
    expected = _expected(path, header, _shape(path, header, options), int(header.get_data_offset()))
    try:
        with path.open("rb") as stream:
            content = unpacked(stream, Packing.GZIP, expected)
    except ValueError as error:
        raise _cut(path, str(error)) from None
    if content.tail:
        notices.append(Notice("W-GZIP-TAIL", f"{content.tail} bytes after the end of the gzip data are ignored."))
    try:
        return kind.from_stream(content.stream)
    except Exception as error:
        raise InputError("E-NIFTI-HEADER", f"{path.name} has an unusable NIfTI header: {error}.") from None


def _expected(path: Path, header: Any, shape: tuple[int, ...], offset: int) -> int:
    """Bytes up to the last voxel, where the first lies at ``offset``."""
    if not 0 <= offset <= MOST_OFFSET:
        raise InputError("E-NIFTI-HEADER", f"{path.name} says its voxels begin at byte {offset}.")
    return int(np.prod(shape, dtype=np.int64)) * header.get_data_dtype().itemsize + offset


def _cut(path: Path, why: str) -> InputError:
    return InputError("E-NIFTI-CUT", f"{path.name} is cut short or damaged: {why}.", "Copy or download it again.")


def _shape(path: Path, header: Any, options: ReadOptions) -> tuple[int, ...]:
    dims = [int(n) for n in header["dim"]]
    if not 1 <= dims[0] <= 7 or min(dims[1 : dims[0] + 1]) < 1:
        raise InputError("E-NIFTI-DIM", f"{path.name} says its size is {dims}: sizes must be 1 or more.")
    shape = dims[1 : dims[0] + 1]
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    if len(shape) == 5 and shape[3] == 1:  # vector images keep time at 1
        shape = [*shape[:3], shape[4]]
    shape += [1] * (3 - len(shape))
    check_volume(path, shape, header.get_data_dtype().itemsize, options)
    return tuple(shape)


def _require_data(path: Path, image: Any, shape: tuple[int, ...]) -> None:
    """Whether the file with the voxels is as long as the header says."""
    if image.file_map["image"].filename is None:
        return  # unpacked already
    data = Path(image.file_map["image"].filename)
    if not data.exists():
        raise InputError("E-NIFTI-PAIR", f"{path.name} keeps its voxels in {data.name}, which is missing.")
    expected = _expected(path, image.header, shape, int(image.dataobj.offset))
    if data.suffix != ".gz":
        if data.stat().st_size < expected:
            raise _cut(path, f"{data.stat().st_size} of {expected} bytes are there")
        return
    try:
        with data.open("rb") as stream:
            unpacked(stream, Packing.GZIP, expected)
    except ValueError as error:
        raise _cut(path, str(error)) from None


def _dtype(path: Path, image: Any, notices: list[Notice]) -> np.dtype[Any]:
    """The type of the voxels once they are scaled."""
    stored = image.header.get_data_dtype()
    if stored.kind == "c":
        raise InputError(
            "E-NIFTI-DTYPE",
            f"{path.name} holds complex numbers ({stored}).",
            "Save magnitude or phase as a volume first.",
        )
    if stored.names is not None:
        return stored.newbyteorder("=")
    if _stored_slope(path, image) == 0:
        notices.append(Notice("W-NIFTI-SLOPE", "The scale factor is 0; as the standard says, values are not scaled."))
    scaled = (image.dataobj.slope, image.dataobj.inter) != (1, 0)
    return np.dtype(np.float32) if scaled else stored.newbyteorder("=")


def _stored_slope(path: Path, image: Any) -> float:
    """scl_slope as it is in the file; nibabel replaces one that means "not scaled"."""
    from delineate.io.opening import file_head

    order = image.header.endianness
    where, kind = (176, "f8") if isinstance(image, nib.nifti2.Nifti2Pair) else (112, "f4")
    return float(np.frombuffer(file_head(path), order + kind, 1, where)[0])


def _choose(path: Path, shape: tuple[int, ...], options: ReadOptions) -> tuple[tuple[int, int, int], int | None]:
    """One volume of a file: its shape, and its number in a 4D file."""
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
        raise InputError("E-PAGE-RANGE", f"{path.name} has volumes 0 to {shape[3] - 1}, not {options.index}.")
    return (shape[0], shape[1], shape[2]), options.index


def _grid(path: Path, header: Any, shape: tuple[int, int, int], options: ReadOptions, notices: list[Notice]) -> Grid:
    steps = [float(v) for v in header["pixdim"][1:4]]
    sform, qform = int(header["sform_code"]), int(header["qform_code"])
    if not sform and not qform:
        if any(not np.isfinite(s) or s <= 0 for s in steps):
            raise GeometryError("E-NIFTI-PIXDIM", f"{path.name} gives a spacing (pixdim) of {steps} mm.")
        notices.append(
            Notice("W-NO-ORIENTATION", "The file does not say how the patient lies: axes are i, j, k, not R, A, S.")
        )
        affine = np.diag([*steps, 1.0])
        return Grid(shape, affine, placement=Placement.SCALE)
    affine = _affine(path, header, options, notices)
    if not np.isfinite(affine).all():
        raise GeometryError("E-GRID-NAN", f"The affine of {path.name} holds NaN or infinite numbers.")
    grid = Grid(shape, affine)
    far = [s for s in grid.spacing if s > 100 or s < 0.001]
    if far:
        notices.append(
            Notice("W-SPACING-ODD", f"The header says voxels are {far[0]:g} mm long (pixdim/affine): really?")
        )
    thin, thick = min(grid.spacing), max(grid.spacing)
    if shape[2] > 1 and thick / thin >= 6:
        axis = grid.axes[grid.thick_axis]
        notices.append(
            Notice(
                "W-ANISOTROPIC",
                f"Slices are {thick / thin:.0f} times as far apart as pixels; they are taken along {axis}.",
            )
        )
    if grid.skew_degrees >= SKEW_ALLOWED:
        notices.append(
            Notice("W-SKEWED", f"The axes are skewed by {grid.skew_degrees:.1f} degrees; the outline keeps that grid.")
        )
    return grid


def _affine(path: Path, header: Any, options: ReadOptions, notices: list[Notice]) -> Affine:
    """The affine viewers use (sform before qform), or the one asked for."""
    sform, qform = header.get_sform(coded=True)[0], header.get_qform(coded=True)[0]
    if options.affine is AffineChoice.QFORM and qform is not None:
        return np.asarray(qform, dtype=np.float64)
    if sform is None:
        return np.asarray(qform, dtype=np.float64)
    if qform is not None and options.affine is None:
        corners = (
            np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
            * [*(int(n) - 1 for n in header.get_data_shape()[:3]), 1]
            if len(header.get_data_shape()) >= 3
            else np.array([[0, 0, 0, 1]])
        )
        apart = float(np.abs((corners @ (np.asarray(sform) - np.asarray(qform)).T)[:, :3]).max())
        if apart > 0.1:
            notices.append(
                Notice(
                    "W-QFORM-SFORM",
                    f"The header's two affines disagree by up to {apart:.1f} mm; the sform is used "
                    "(--affine qform for the other).",
                )
            )
    return np.asarray(sform, dtype=np.float64)


def _colour(
    path: Path, voxels: LazyVoxels, grid: Grid, options: ReadOptions, notices: list[Notice], header: Any
) -> Scan:
    if not options.to_grey:
        raise InputError(
            "E-NIFTI-DTYPE",
            f"{path.name} holds colours ({', '.join(voxels.dtype.names or ())}), not grey values.",
            "Turn them into grey values with --to-grey.",
        )
    stored = np.asarray(voxels)
    grey = np.mean([stored[name] for name in ("R", "G", "B")], axis=0).round().astype(np.uint8)
    notices.append(Notice("W-TO-GREY", "Colours were turned into grey values."))
    return Scan.from_volume(
        grey, grid, modality=guess(grey, path, volume=True), notices=tuple(notices), geometry=geometry_of(header)
    )
