"""Scans written anew in another format, on the same grid, with the same values."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from delineate.core.errors import Notice, OutputError
from delineate.core.grid import Placement
from delineate.core.scan import Scan, ScanKind
from delineate.io.atomic import replacing
from delineate.io.grid_record import picture_text
from delineate.io.own_files import MARK, png_mark
from delineate.io.readers.nifti_header import header_with
from delineate.io.writers.metaimage import DIGITS, metaimage_header, write_packed
from delineate.io.writers.nifti import COMMENT_CODE, placed_image, write_planes
from delineate.io.writers.npz import store_array, store_mark
from delineate.io.writers.seg_nrrd import nrrd_header
from delineate.io.writers.tiff import CLASSIC
from delineate.preprocess.display import shown, shown_window

Written = Callable[[Scan, Path], None]
_EXACT_PNG: Final = (np.dtype(np.uint8), np.dtype(np.uint16))
_EXACT_TIFF: Final = {"u1": np.uint8, "u2": np.uint16, "i1": np.float32, "i2": np.float32, "f4": np.float32}


def image_writer(path: Path, scan: Scan) -> Written:
    """What writes a scan in the format that a name says. Raises OutputError where there is none, or it has no room."""
    name = path.name.lower()
    placed: dict[str, Written] = {
        ".nii.gz": _nifti, ".nii": _nifti, ".nrrd": _nrrd, ".mha": _metaimage, ".npz": _npz, ".tif": _tiff,
        ".tiff": _tiff,
    }  # fmt: skip
    table: dict[ScanKind, dict[str, Written]] = {
        ScanKind.VOLUME: placed,
        ScanKind.IMAGE: placed | {".png": _png},
        ScanKind.VIDEO: {key: placed[key] for key in (".npz", ".tif", ".tiff")},
    }
    if not path.suffix and scan.kind is not ScanKind.IMAGE:
        return _folder
    ending = next((one for one in table[scan.kind] if name.endswith(one)), None)
    if ending is None or name.endswith(".seg.nrrd"):
        folder = "" if scan.kind is ScanKind.IMAGE else ", or a folder of PNGs (no ending)"
        raise OutputError(
            "E-OUTPUT-FORMAT",
            f'"{path.name}" does not say a format that {scan.kind.with_article} can be saved in.',
            f"Use one of {', '.join(table[scan.kind])}{folder}.",
        )
    if scan.channels > 1 and ending in (".nii", ".nii.gz"):
        raise OutputError("E-CONVERT-COLOR", "NIfTI files of colors are read by few.", "Use .nrrd, .mha, .tif or .npz.")
    if ending in (".tif", ".tiff") and _stored(scan).str.lstrip("<|=>") not in _EXACT_TIFF:
        raise OutputError(
            "E-CONVERT-VALUES", f"A TIFF stack cannot hold {scan.dtype} exactly.", "Use .nrrd or .nii.gz."
        )
    return table[scan.kind][ending]


def picture_notice(path: Path, scan: Scan) -> tuple[Notice, ...]:
    """That values do not fit into PNGs, where they do not: they are then shown as a viewer shows them."""
    is_png = path.suffix.lower() == ".png" or not path.suffix
    if not is_png or _fits_png(scan):
        return ()
    window = shown_window(scan)
    text = f"PNGs hold no {scan.dtype}: values {window.low:g} to {window.high:g} became 0 to 255 ({window.source})."
    return (Notice("W-CONVERT-WINDOW", text),)


def _stored(scan: Scan) -> np.dtype[Any]:
    """The type its values are written as: its own, little-endian; booleans as bytes, half floats as floats."""
    if scan.dtype == bool:
        return np.dtype(np.uint8)
    return np.dtype(np.float32) if scan.dtype == np.float16 else scan.dtype.newbyteorder("<")


def _planes(scan: Scan) -> Iterator[NDArray[Any]]:
    """Values (k, j, i[, color]) plane by plane of a volume, (1, height, width[, color]) otherwise."""
    dtype = _stored(scan)
    if scan.kind is not ScanKind.VOLUME:
        for index in range(len(scan)):
            yield np.ascontiguousarray(scan.pixels(index)[None], dtype)
        return
    voxels = scan.voxels()
    for k in range(voxels.shape[2]):
        yield np.ascontiguousarray(voxels[:, :, k].swapaxes(0, 1)[None], dtype)


def _nifti(scan: Scan, path: Path) -> None:
    stub = np.broadcast_to(_stored(scan).type(0), (*scan.grid.shape, 1)[:3])
    image = placed_image(stub, scan.grid)
    if scan.geometry is not None:
        header = header_with(scan.geometry)
        header.set_data_dtype(stub.dtype)
        header.set_data_shape(stub.shape)
        image = type(image)(stub, None, header, dtype=stub.dtype)
    text = json.dumps({"mark": MARK}).encode()
    image.header.extensions.insert(0, nib.nifti1.Nifti1Extension(COMMENT_CODE, text))
    write_planes(image, path, _planes(scan))


def _nrrd(scan: Scan, path: Path) -> None:
    colors = ("RGB-color", scan.channels) if scan.channels > 1 else ("", 1)
    with replacing(path) as temporary, temporary.open("wb") as stream:
        stream.write(nrrd_header(scan.grid, _stored(scan), *colors).encode() + b"\n")
        with gzip.GzipFile("", "wb", 6, stream, mtime=0) as packed:
            for planes in _planes(scan):
                packed.write(planes.tobytes())


def _metaimage(scan: Scan, path: Path) -> None:
    colors = [f"ElementNumberOfChannels = {scan.channels}"] if scan.channels > 1 else []
    before, after = metaimage_header(scan.grid, _stored(scan), colors)
    with replacing(path) as temporary, temporary.open("wb") as stream:
        stream.write(before.encode())
        size_at = stream.tell()
        stream.write(b"0" * DIGITS + after.encode())
        write_packed(_planes(scan), stream, size_at)


def _npz(scan: Scan, path: Path) -> None:
    pieces: Iterator[NDArray[Any]] = _planes(scan)
    colors = (scan.channels,) if scan.channels > 1 else ()
    shape: tuple[int, ...] = (len(scan), scan.height, scan.width)
    if scan.kind is ScanKind.VOLUME:
        shape = scan.grid.shape[::-1]
    if scan.kind is ScanKind.IMAGE:
        shape = shape[1:]
    with replacing(path) as temporary, store_mark(temporary) as archive:
        store_array(archive, "imgs", (*shape, *colors), _stored(scan), pieces)
        if scan.kind is not ScanKind.VIDEO and scan.grid.placement is not Placement.PIXELS:
            for name, array in (("spacing", np.array(scan.grid.spacing)), ("spacing_order", np.array("xyz"))):
                store_array(archive, name, array.shape, array.dtype, [array])


def _tiff(scan: Scan, path: Path) -> None:
    """As ImageJ writes it; as OME-TIFF what ImageJ has no place for: colors of more than 8 bits, and above 4 GB."""
    axes = {ScanKind.VOLUME: "ZYX", ScanKind.VIDEO: "TYX", ScanKind.IMAGE: "YX"}[scan.kind]
    shape: tuple[int, ...] = (len(scan), scan.height, scan.width)
    if scan.kind is not ScanKind.VIDEO:
        shape = scan.grid.shape[::-1]
    if scan.channels > 1:
        axes, shape = f"{axes}S", (*shape, scan.channels)
    dtype = np.dtype(_EXACT_TIFF[_stored(scan).str.lstrip("<|=>")])
    steps: tuple[float, ...] = ()
    if scan.grid.placement is not Placement.PIXELS and scan.kind is not ScanKind.VIDEO:
        steps = scan.grid.spacing
    large = int(np.prod(shape)) * dtype.itemsize > CLASSIC
    imagej = not large and (scan.channels == 1 or dtype == np.uint8)
    about = _imagej_notes(axes, steps) if imagej else _ome_notes(axes, steps)
    writer = partial(tifffile.TiffWriter, bigtiff=large, imagej=imagej, ome=not imagej)
    with replacing(path) as temporary, writer(temporary) as out:
        out.write(
            (plane[0].astype(dtype) for plane in _planes(scan)),
            shape=shape,
            dtype=dtype,
            photometric="rgb" if scan.channels > 1 else "minisblack",
            resolution=(1 / steps[0], 1 / steps[1]) if steps and imagej else None,
            software=MARK,
            metadata=about,
        )


def _imagej_notes(axes: str, steps: Sequence[float]) -> dict[str, Any]:
    """Axes and mm (the pixels' own are a resolution); "YX" goes without saying."""
    about: dict[str, Any] = {"axes": axes} if axes[0] in "ZT" else {}
    about |= {"unit": "mm"} if steps else {}
    return about | ({"spacing": steps[2]} if len(steps) == 3 else {})


def _ome_notes(axes: str, steps: Sequence[float]) -> dict[str, Any]:
    about: dict[str, Any] = {"axes": axes}
    for axis, step in zip("XYZ", steps, strict=False):
        about |= {f"PhysicalSize{axis}": step, f"PhysicalSize{axis}Unit": "mm"}
    return about


def _fits_png(scan: Scan) -> bool:
    return scan.dtype == np.uint8 or (scan.dtype in _EXACT_PNG and scan.channels == 1) or scan.dtype == bool


def _png(scan: Scan, path: Path) -> None:
    with replacing(path) as temporary:
        _picture(scan, 0).save(temporary, "PNG", pnginfo=png_mark(scan=True, text=picture_text(scan)))


def _picture(scan: Scan, index: int) -> Image.Image:
    pixels = scan.pixels(index)
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    if _fits_png(scan):
        return Image.fromarray(np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("="))))
    window = shown_window(scan)
    gray = shown(pixels, (window.low, window.high))
    return Image.fromarray(gray if scan.channels > 1 else gray[..., 0])


def _folder(scan: Scan, path: Path) -> None:
    """Every frame or slice as ``00000.png`` and so on."""
    path.mkdir(parents=True)
    for index in range(len(scan)):
        _picture(scan, index).save(path / f"{index:05d}.png", "PNG", pnginfo=png_mark(scan=True))
