"""Further instances of rows that the other files have once: the same fault in another format, or by another way."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image

from bad_inputs.dicom import only_segmentation, series, setting, slice_file
from bad_inputs.prompts import PICTURE, prompted, session, volume_session
from bad_inputs.table import Row
from bad_inputs.volumes import AFFINE, VOXELS, nifti
from delineate.core.prompts import Box, Point
from delineate.core.scan import Scan, ScanKind
from delineate.io.opening import open_scan
from delineate.labels.reading import open_segmentation
from delineate.session import Session

RAW = VOXELS.tobytes(order="F")


def nrrd_gz(folder: Path, tail: bytes) -> Path:
    head = "NRRD0004\ntype: short\ndimension: 3\nsizes: 6 5 4\nendian: little\nencoding: gzip\n\n"
    (folder / "a.nrrd").write_bytes(head.encode() + gzip.compress(RAW) + tail)
    return folder / "a.nrrd"


def mgh(folder: Path) -> Path:
    """Without a word on where it lies."""
    data = bytearray(nib.MGHImage(VOXELS, AFFINE).to_bytes())
    data[28:30] = b"\0\0"
    (folder / "a.mgh").write_bytes(data)
    return folder / "a.mgh"


def saved(folder: Path, name: str, mode: str, **how: Any) -> Path:
    Image.fromarray(np.dstack([PICTURE] * 3)).convert(mode).save(folder / name, **how)
    return folder / name


def constant(folder: Path) -> Session:
    del folder
    here = Session(Scan.from_image(np.full((30, 40), 7, np.uint8)), session().predictor)
    return prompted(Box(5, 5, 20, 20), at=here)


def constant_slice(folder: Path) -> Session:
    del folder
    voxels = np.full((40, 30, 4), 7, np.int16)
    here = Session(Scan.from_volume(voxels, slice_axis=2), session().predictor)
    return prompted(Point(9, 9, 2), at=here)


def without_place(folder: Path, modality: str) -> Any:
    change = setting(Modality=modality, ImagePositionPatient="", ImageOrientationPatient="", PixelSpacing="")
    return open_scan(slice_file(folder, "x.dcm", 0, change))


def pixels_only(scan: Scan) -> None:
    assert scan.kind is ScanKind.IMAGE and str(scan.grid.placement) == "pixels"


def varied(scan: Scan) -> None:
    assert scan.pixels(0).min() < scan.pixels(0).max()


def orientation(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = number
    return exif


def deep_png(folder: Path, number: int) -> Path:
    """Colors of 16 bits, with an EXIF orientation."""
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    rows = np.repeat(PICTURE.astype(">u2")[..., None] * 200, 3, axis=2)
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    head = (40).to_bytes(4, "big") + (30).to_bytes(4, "big") + bytes([16, 2, 0, 0, 0])
    exif = orientation(number).tobytes().removeprefix(b"Exif\0\0")
    body = chunk(b"IHDR", head) + chunk(b"eXIf", exif) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    (folder / "d.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return folder / "d.png"


def lies_as_stored(scan: Scan) -> None:
    assert (scan.width, scan.height) == (40, 30) and not scan.notices
    assert scan.pixels(0)[15, 20].min() > scan.pixels(0)[2, 2].max()


def one_frame(scan: Scan) -> None:
    assert len(scan) == 1 and scan.pixels(0).size == 30


def upwards(scan: Scan) -> None:
    assert (np.diff(scan.voxels()[0, 0].astype(int)) > 0).all()


def same_voxels(scan: Scan) -> None:
    assert np.array_equal(np.asarray(scan.voxels()).astype(np.int64), VOXELS)


def labels_of(folder: Path, values: np.ndarray) -> Any:
    nib.save(nib.Nifti1Image(values, AFFINE), folder / "l.nii.gz")
    return open_segmentation(folder / "l.nii.gz")


def misnamed(folder: Path) -> Any:
    """A JPEG called .nii.gz."""
    stream = io.BytesIO()
    Image.fromarray(PICTURE).save(stream, "JPEG")
    (folder / "a.nii.gz").write_bytes(stream.getvalue())
    return open_scan(folder / "a.nii.gz")


ROWS = [
    Row("3-garbage-after-nrrd", lambda f: open_scan(nrrd_gz(f, b"garbage" * 9)), check=same_voxels),
    Row("5-slope-zero-of-dicom", lambda f: open_scan(slice_file(f, "a.dcm", 0, setting(RescaleSlope=0))), notice="W-DICOM-SLOPE", check=varied),
    Row("41-exif-that-is-none", lambda f: open_scan(saved(f, "a.jpg", "RGB", exif=orientation(9))), check=lies_as_stored),
    Row("41-exif-that-is-none-of-16-bits", lambda f: open_scan(deep_png(f, 9)), check=lies_as_stored),
    Row("7-mgh-without-a-place", lambda f: open_scan(mgh(f)), notice="W-NO-ORIENTATION", check=same_voxels),
    Row("11-one-row", lambda f: open_scan(nifti(f, VOXELS[:, :, :1])), check=one_frame),
    Row("11-two-axes", lambda f: open_scan(nifti(f, VOXELS[:, :, 0])), check=one_frame),
    Row("14-infinite", lambda f: open_scan(nifti(f, np.where(VOXELS == 7, np.inf, VOXELS).astype(np.float32))), notice="W-NOT-FINITE"),
    Row("15-constant-picture", constant, notice="W-PICTURE-BLANK"),
    Row("15-constant-slice", constant_slice, notice="W-PICTURE-BLANK", says=("slice 2",)),
    Row("16-uint16", lambda f: open_scan(nifti(f, VOXELS.astype(np.uint16))), check=same_voxels),
    Row("16-int32", lambda f: open_scan(nifti(f, VOXELS.astype(np.int32))), check=same_voxels),
    Row("17-fractions", lambda f: labels_of(f, VOXELS / 7.0), error="E-LABELS-FRACTIONS"),
    Row("17-large", lambda f: labels_of(f, (VOXELS * 1000).astype(np.int32)), error="E-LABELS-VALUES"),
    Row("18-thin-axis-first", lambda f: open_scan(nifti(f, affine=np.diag([9.0, 1, 1, 1]))), notice="W-SLICE-AXIS"),
    Row("19-one-slice", lambda f: open_scan(nifti(f, VOXELS[:, :, :1])), check=one_frame),
    Row("20-declared-only", lambda f: open_scan(nifti(f), max_voxels=119), error="E-VOXELS-LARGE", says=("--max-voxels",)),
    Row("25-one-far-away", lambda f: open_scan(series(f, (0, 3, 6, 9, 40))), error="E-DICOM-GAP"),
    Row("25-filled", lambda f: open_scan(series(f, (0, 3, 7, 10, 13)), resample_irregular=True), notice="W-DICOM-RESAMPLED"),
    Row("27-upside-down", lambda f: open_scan(series(f, (12, 9, 6, 3, 0))), check=upwards),
    Row("30-monochrome1-series", lambda f: open_scan(series(f, (0, 3, 6), setting(PhotometricInterpretation="MONOCHROME1"))), notice="W-MONOCHROME1"),
    Row("31-x-ray", lambda f: without_place(f, "CR"), check=pixels_only),
    Row("31-ultrasound", lambda f: without_place(f, "US"), check=pixels_only),
    Row("36-file-cut-in-its-tags", lambda f: [(f / "b.dcm").write_bytes(slice_file(f, "a.dcm", 0).read_bytes()[:300]), open_scan(f / "b.dcm")], error="E-DICOM-DAMAGED"),
    Row("32-segmentation-in-a-folder", only_segmentation, error="E-DICOM-NO-IMAGE"),
    Row("40-cmyk-tiff", lambda f: open_scan(saved(f, "a.tif", "CMYK")), notice="W-CMYK"),
    Row("45-jpeg-named-nifti", misnamed, notice="W-NAME-MISLEADS"),
    Row("54-box-beside-a-volume", lambda f: prompted(Box(50, 5, 60, 20, frame=2), at=volume_session()), error="E-BOX-OUTSIDE"),
    Row("55-box-over-the-edge-of-a-volume", lambda f: prompted(Box(20, 5, 60, 20, frame=2), at=volume_session()), notice="W-BOX-CLIPPED"),
    Row("56-box-inverted-in-depth", lambda f: prompted(Box(1, 1, 5, 9, 9, 2), at=volume_session()), error="E-BOX-INVERTED"),
    Row("59-two-signs-in-one-query", lambda f: [here := session(), here.prompt([Point(20, 15), Point(20, 15, positive=False), Point(22, 15)], "it")][0], notice="W-POINT-TWICE"),
]  # fmt: skip
