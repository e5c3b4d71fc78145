"""Rows 21 to 36: DICOM folders as they come."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from bad_inputs.table import Row
from delineate.core.scan import ScanKind
from delineate.io.opening import open_scan

COLUMNS, ROWS_OF_PIXELS = 10, 8
SERIES = generate_uid(entropy_srcs=["delineate"])


def slice_file(
    folder: Path, name: str, z: float, change: Callable[[Dataset], None] | None = None, y: float = 0.0
) -> Path:
    """One CT slice at height ``z`` (mm), whose pixels say where it is."""
    tags = Dataset()
    tags.file_meta = FileMetaDataset()
    tags.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    tags.file_meta.MediaStorageSOPClassUID = tags.SOPClassUID = CTImageStorage
    tags.file_meta.MediaStorageSOPInstanceUID = tags.SOPInstanceUID = generate_uid(entropy_srcs=[name, str(z)])
    tags.SeriesInstanceUID, tags.SeriesNumber, tags.SeriesDescription, tags.Modality = SERIES, 4, "Abdomen", "CT"
    tags.Rows, tags.Columns, tags.SamplesPerPixel = ROWS_OF_PIXELS, COLUMNS, 1
    tags.PhotometricInterpretation = "MONOCHROME2"
    tags.BitsAllocated = tags.BitsStored = 16
    tags.HighBit, tags.PixelRepresentation = 15, 0
    tags.RescaleSlope, tags.RescaleIntercept = 1, -1024
    tags.ImagePositionPatient, tags.ImageOrientationPatient = [-20, y - 10, z], [1, 0, 0, 0, 1, 0]
    tags.PixelSpacing, tags.SliceThickness = [0.5, 0.75], 3
    pixels = np.arange(ROWS_OF_PIXELS * COLUMNS, dtype=np.uint16).reshape(ROWS_OF_PIXELS, COLUMNS) + round(
        1000 + 10 * z
    )
    tags.PixelData = pixels.tobytes()
    if change:
        change(tags)
    tags.save_as(folder / name, enforce_file_format=True)
    return folder / name


def series(
    folder: Path, heights: tuple[float, ...] = (0, 3, 6, 9, 12), change: Callable[[Dataset], None] | None = None,
    prefix: str = "a", tilt: float = 0.0,
) -> Path:  # fmt: skip
    for n, z in enumerate(heights):
        slice_file(folder, f"{prefix}{(n * 7) % 10}{n}.dcm", z, change, z * np.tan(np.radians(tilt)))
    return folder


def setting(**values: Any) -> Callable[[Dataset], None]:
    def change(tags: Dataset) -> None:
        for name, value in values.items():
            setattr(tags, name, value)

    return change


def two_series(folder: Path, **options: Any) -> Any:
    series(folder)
    series(folder, (0, 3, 6), setting(SeriesInstanceUID="1.2.3", SeriesNumber=5, SeriesDescription="Lung"), "b")
    return open_scan(folder, **options)


def with_localiser(folder: Path) -> Any:
    series(folder)
    image_type = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    series(
        folder,
        (0,),
        setting(SeriesInstanceUID="1.2.4", ImageType=image_type, ImageOrientationPatient=[0, 1, 0, 0, 0, -1]),
        "l",
    )
    return open_scan(folder)


def duplicated(folder: Path, same: bool) -> Any:
    series(folder)
    other = None if same else setting(PixelData=bytes(2 * COLUMNS * ROWS_OF_PIXELS))
    slice_file(folder, "z.dcm", 6, other)
    return open_scan(folder)


def with_strangers(folder: Path) -> Any:
    series(folder)
    (folder / "notes.txt").write_text("hello")
    (folder / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (folder / "link").symlink_to("/etc/passwd")
    return open_scan(folder)


def odd_slice(folder: Path) -> Any:
    series(folder)
    slice_file(folder, "odd.dcm", 15, setting(Columns=8, Rows=10, SeriesInstanceUID=SERIES))
    return open_scan(folder)


def only_segmentation(folder: Path) -> Any:
    return open_scan(series(folder, (0,), setting(Modality="SEG")))


def cine(folder: Path) -> Any:
    frames = np.random.default_rng(0).integers(0, 255, (6, ROWS_OF_PIXELS, COLUMNS, 3), dtype=np.uint8)
    values = {
        "Modality": "US", "NumberOfFrames": 6, "FrameTime": 40, "SamplesPerPixel": 3, "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 0, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelData": frames.tobytes(),
    }  # fmt: skip
    scan = open_scan(slice_file(folder, "c.dcm", 0, setting(**values)))
    np.testing.assert_array_equal(scan.pixels(4), frames[4])
    return scan


def check_volume(scan: Any) -> None:
    """Ordered by position, rescaled, placed in the patient."""
    assert scan.kind is ScanKind.VOLUME and scan.grid.shape == (COLUMNS, ROWS_OF_PIXELS, 5)
    np.testing.assert_allclose(scan.grid.spacing, (0.75, 0.5, 3))
    assert scan.voxels().dtype == np.int16
    np.testing.assert_array_equal(scan.voxels()[0, 0], np.array([0, 3, 6, 9, 12]) * 10 - 24)
    np.testing.assert_allclose(scan.grid.to_world((1, 2, 3), "LPS"), (-20 + 0.75, -10 + 1, 9))


def check_filled(scan: Any) -> None:
    assert len(scan) == 5
    np.testing.assert_array_equal(scan.voxels()[0, 0], np.array([0, 3, 6, 9, 12]) * 10 - 24)


def check_cine(scan: Any) -> None:
    assert (scan.kind, len(scan), scan.channels) == (ScanKind.VIDEO, 6, 3)
    np.testing.assert_allclose(scan.times[-1], 0.2)


def check_frames(count: int) -> Callable[[Any], None]:
    def check(scan: Any) -> None:
        assert len(scan) == count

    return check


def inverted(scan: Any) -> None:
    frame = scan.pixels(0)
    assert frame[0, 0] > frame[-1, -1]


ROWS = [
    Row("21-several-series", two_series, error="E-DICOM-SERIES", says=("Abdomen", "Lung", "5 slices", "--series")),
    Row("21-by-number", lambda f: two_series(f, series="4"), check=check_volume),
    Row("21-by-position", lambda f: two_series(f, series="#1"), check=check_volume),
    Row("21-by-description", lambda f: two_series(f, series="lung"), check=check_frames(3)),
    Row("21-no-such-series", lambda f: two_series(f, series="liver"), error="E-DICOM-SERIES"),
    Row("22-localiser", with_localiser, notice="W-DICOM-LOCALISER", check=check_volume),
    Row("23-gap", lambda f: open_scan(series(f, (0, 3, 9, 12))), error="E-DICOM-GAP", says=("1 slice missing after 3.00 mm", "--resample-irregular")),
    Row("23-gap-filled", lambda f: open_scan(series(f, (0, 3, 9, 12)), resample_irregular=True), notice="W-DICOM-RESAMPLED", check=check_filled),
    Row("24-duplicate", lambda f: duplicated(f, True), notice="W-DICOM-DUPLICATE", check=check_volume),
    Row("24-two-at-one-place", lambda f: duplicated(f, False), error="E-DICOM-DUPLICATE", says=("6.00 mm",)),
    Row("25-uneven", lambda f: open_scan(series(f, (0, 3, 7, 10, 13))), error="E-DICOM-GAP", says=("unevenly",)),
    Row("26-tilt", lambda f: open_scan(series(f, tilt=12)), error="E-DICOM-TILT", says=("12.0 degrees",)),
    Row("26-tilt-straightened", lambda f: open_scan(series(f, tilt=12), resample_irregular=True), notice="W-DICOM-SHEARED"),
    Row("27-file-names-out-of-order", lambda f: open_scan(series(f)), check=check_volume),
    Row("28-mixed", lambda f: open_scan([series(f), slice_file(f, "x.dcm", 15, setting(PhotometricInterpretation="MONOCHROME1"))][0]), error="E-DICOM-MIXED", says=("x.dcm",)),
    Row("28-other-size-is-another-series", odd_slice, error="E-DICOM-SERIES"),
    Row("30-monochrome1", lambda f: open_scan(slice_file(f, "a.dcm", 0, setting(PhotometricInterpretation="MONOCHROME1"))), notice="W-MONOCHROME1", check=inverted),
    Row("32-cine", cine, check=check_cine),
    Row("32-segmentation-only", only_segmentation, error="E-DICOM-NO-IMAGE"),
    Row("33-too-many-files", lambda f: open_scan(series(f), max_files=3), error="E-FOLDER-LARGE"),
    Row("34-strangers", with_strangers, notice="W-DICOM-SKIPPED", check=check_volume),
    Row("34-no-dicom", lambda f: [(f / "a.txt").write_text("x"), open_scan(f)], error="E-FOLDER-NO-SCAN"),
    Row("36-cut-file", lambda f: [(f / "b.dcm").write_bytes(slice_file(f, "a.dcm", 0).read_bytes()[:-60]), open_scan(f / "b.dcm")], error="E-DICOM-PIXELS"),
]  # fmt: skip
