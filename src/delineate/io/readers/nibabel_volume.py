"""Philips PAR/REC, AFNI and MINC 1 volumes, as nibabel reads them: values as measured, and where they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
from nibabel.brikhead import AFNIImage
from nibabel.minc1 import Minc1Image
from nibabel.parrec import PARRECImage

from delineate.core.errors import InputError
from delineate.core.grid import Grid
from delineate.core.reading import COPY_AGAIN, reading
from delineate.core.scan import Scan
from delineate.io.limits import check_volume
from delineate.io.options import ReadOptions
from delineate.io.readers.modality import guess

PAR: Final = b"# === DATA DESCRIPTION FILE"
MINC: Final = (b"CDF\x01", b"CDF\x02")
BEST_PACKED: Final = 1032  # bytes that gzip makes of one, at best
EACH: Final = 4  # bytes of a value once it is scaled


def looks_like_par(head: bytes) -> bool:
    return PAR in head[:200]


def detached_data(path: Path) -> list[Path]:
    """The file with the voxels, or the header to them."""
    if (header := afni_header(path)) is not None:
        return [header]
    data = _data_of(path)
    return [] if data is None else [data]


def afni_header(path: Path) -> Path | None:
    """The ``.HEAD`` to a ``.BRIK``, packed or not; None for other files."""
    stem = path.name.removesuffix(".gz")
    return path.with_name(stem.removesuffix(".BRIK") + ".HEAD") if stem.endswith(".BRIK") else None


def _data_of(path: Path) -> Path | None:
    """The voxels of a PAR or an AFNI file; None for MINC."""
    with path.open("rb") as stream:
        head = stream.read(200)
    if head.startswith(MINC):
        return None
    if not looks_like_par(head):
        stem = path.name.removesuffix(".HEAD")
        packed, plain = path.with_name(f"{stem}.BRIK.gz"), path.with_name(f"{stem}.BRIK")
        return packed if packed.is_file() and not plain.is_file() else plain
    endings = (".REC", ".rec", ".Rec")
    return next((one for end in endings if (one := path.with_suffix(end)).is_file()), path.with_suffix(".REC"))


def read(path: Path, options: ReadOptions) -> Scan:
    """A volume; of several the one asked for.

    Raises InputError for files that are cut or damaged, and for several volumes without a choice.
    """
    image, values = _loaded(path, options)
    shape = values.shape
    if values.ndim == 4 and shape[3] == 1:
        values = values[..., 0]
    elif values.ndim == 4:
        values = values[..., _chosen(path, shape[3], options)]
    if values.ndim != 3:
        raise InputError("E-VOLUME-AXES", f"{path.name} has {values.ndim} axes: {shape}.", "Convert it to NIfTI first.")
    grid = Grid(tuple(values.shape), np.asarray(image.affine, dtype=np.float64))
    return Scan.from_volume(values, grid, modality=guess(values, path, volume=True))


def _loaded(path: Path, options: ReadOptions) -> tuple[Any, np.ndarray]:
    """The image and its values, float32."""
    path = afni_header(path) or path
    data = _data_of(path)
    if data is not None and not data.is_file():
        raise InputError(
            "E-VOLUME-PAIR", f"{path.name} keeps its voxels in {data.name}, which is missing.",
            "Keep both files in one folder, under one name.",
        )  # fmt: skip
    with reading(path, "E-VOLUME-DAMAGED", hint=COPY_AGAIN):
        if data is None:
            image = Minc1Image.from_filename(path, mmap=False)
        else:
            holders = {"header": nib.FileHolder(path), "image": nib.FileHolder(data)}
            if looks_like_par(path.read_bytes()[:200]):
                image = PARRECImage.from_file_map(holders, mmap=False, permit_truncated=False, scaling="dv")
            else:
                image = AFNIImage.from_file_map(holders, mmap=False)
        check_volume(path, image.shape, EACH, options)
        there = (data or path).stat().st_size * (BEST_PACKED if data is not None and data.suffix == ".gz" else 1)
        if there < int(np.prod(image.shape, dtype=np.int64)):
            raise InputError("E-VOLUME-CUT", f"{path.name} is cut short: {there} bytes are there.", COPY_AGAIN)
        values = np.asarray(image.dataobj, dtype=np.float32)
        return image, np.moveaxis(values, 0, -1) if data is None and values.ndim == 4 else values  # MINC: time first


def _chosen(path: Path, count: int, options: ReadOptions) -> int:
    if options.index is None:
        raise InputError(
            "E-VOLUME-4D", f"{path.name} holds {count} volumes.", f"Choose one with --index N (0 to {count - 1})."
        )
    if not 0 <= options.index < count:
        raise InputError(
            "E-PAGE-RANGE", f"{path.name} has volumes 0 to {count - 1}, not {options.index}.",
            "Choose one of them with --index, counted from 0.",
        )  # fmt: skip
    return options.index
