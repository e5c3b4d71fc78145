"""Rows 1 to 20: NIfTI headers and data, and their like in NRRD, MetaImage and npz."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from bad_inputs.table import Row
from delineate.core.scan import ScanKind
from delineate.io.opening import open_scan
from delineate.io.options import AffineChoice, Pages, SpacingOrder

VOXELS = np.arange(6 * 5 * 4, dtype=np.int16).reshape(6, 5, 4)
AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])


def nifti(
    folder: Path, voxels: np.ndarray = VOXELS, change: Callable[[Any], None] | None = None, affine: Any = AFFINE
) -> Path:
    image = nib.Nifti1Image(voxels, affine)
    if affine is not None:
        image.set_sform(affine, 1)
        image.set_qform(affine, 1, strip_shears=True)
    if change:
        change(image.header)
    path = folder / "a.nii.gz"
    nib.save(image, path)
    return path


def poked(folder: Path, at: int, data: bytes, keep: int | None = None, zipped: bool = False, tail: bytes = b"") -> Any:
    """A NIfTI file with some of its bytes changed, cut, or added to."""
    raw = bytearray(gzip.decompress(nifti(folder).read_bytes()))
    raw[at : at + len(data)] = data
    raw = raw[:keep]
    path = folder / ("b.nii.gz" if zipped else "b.nii")
    path.write_bytes((gzip.compress(bytes(raw)) if zipped else bytes(raw)) + tail)
    return path


def disagreeing(folder: Path) -> Path:
    moved = AFFINE.copy()
    moved[0, 3] = 30
    return nifti(folder, change=lambda h: h.set_qform(moved, 1))


def sheared(degrees: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[0, 1] = 2 * np.tan(np.radians(degrees))
    return affine


def npz(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "a.npz", **arrays)
    return folder / "a.npz"


def check_kind(kind: ScanKind) -> Callable[[Any], None]:
    def check(scan: Any) -> None:
        assert scan.kind is kind

    return check


def check_affine(expected: np.ndarray) -> Callable[[Any], None]:
    return lambda scan: np.testing.assert_array_equal(scan.grid.affine, expected.astype(np.float32))


def check_slices(axis: int) -> Callable[[Any], None]:
    def check(scan: Any) -> None:
        assert scan.slice_axis == axis

    return check


def check_values(scan: Any) -> None:
    np.testing.assert_array_equal(scan.voxels(), VOXELS)


def with_slope(slope: float) -> Callable[[Path], Any]:
    return lambda folder: open_scan(poked(folder, 112, np.float32([slope, 5]).tobytes()))


NRRD_HEAD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 6 5 4\nencoding: raw\nendian: little\n"
META_HEAD = "ObjectType = Image\nNDims = 3\nDimSize = 6 5 4\nElementType = MET_SHORT\nElementDataFile = "


def written(folder: Path, name: str, head: str, data: bytes) -> Path:
    (folder / name).write_bytes(head.encode() + data)
    return folder / name


RAW = VOXELS.tobytes(order="F")

ROWS = [
    Row("1-bad-magic", lambda f: open_scan(poked(f, 344, b"none")), error="E-NIFTI-MAGIC", says=("b.nii", "completely")),
    Row("1-cut-header", lambda f: open_scan(poked(f, 0, b"", keep=200)), error="E-NIFTI-MAGIC"),
    Row("2-cut-data", lambda f: open_scan(poked(f, 0, b"", keep=400)), error="E-NIFTI-CUT", says=("592", "400")),
    Row("2-cut-data-gz", lambda f: open_scan(poked(f, 0, b"", keep=400, zipped=True)), error="E-NIFTI-CUT"),
    Row("2-damaged-gz", lambda f: [
        (f / "b.nii.gz").write_bytes(nifti(f).read_bytes()[:40]), open_scan(f / "b.nii.gz")
    ], error="E-GZIP-DAMAGED"),
    Row("3-garbage-tail", lambda f: open_scan(poked(f, 0, b"", zipped=True, tail=b"rubbish")), notice="W-GZIP-TAIL", check=check_values),
    Row("4-negative-size", lambda f: open_scan(poked(f, 42, np.int16(-6).tobytes())), error="E-NIFTI-DIM"),
    Row("4-zero-size", lambda f: open_scan(poked(f, 42, np.int16(0).tobytes())), error="E-NIFTI-DIM"),
    Row("4-huge-size", lambda f: open_scan(poked(f, 42, np.int16([30000] * 3).tobytes())), error="E-VOXELS-LARGE",
        says=("GiB", "--max-voxels")),
    Row("5-slope-zero", with_slope(0), notice="W-NIFTI-SLOPE", check=check_values),
    Row("5-slope-nan", with_slope(np.nan), check=check_values),
    Row("6-two-affines", lambda f: open_scan(disagreeing(f)), notice="W-QFORM-SFORM", says=("30", "--affine"),
        check=check_affine(AFFINE)),
    Row("6-qform-chosen", lambda f: open_scan(disagreeing(f), affine=AffineChoice.QFORM),
        check=lambda s: np.testing.assert_allclose(s.grid.affine[0, 3], 30)),
    Row("7-no-orientation", lambda f: open_scan(nifti(f, affine=None)), notice="W-NO-ORIENTATION",
        check=lambda s: np.testing.assert_array_equal(s.grid.axis_codes, ("i", "j", "k"))),
    Row("8-small-skew", lambda f: open_scan(nifti(f, affine=sheared(0.2))), check=check_affine(sheared(0.2))),
    Row("8-large-skew", lambda f: open_scan(nifti(f, affine=sheared(8))), notice="W-SKEWED", says=("8.0",),
        check=check_affine(sheared(8))),
    Row("9-nan-affine", lambda f: open_scan(poked(f, 280, np.float32(np.nan).tobytes())), error="E-GRID-NAN"),
    Row("9-zero-column", lambda f: open_scan(poked(f, 280, bytes(4))), error="E-GRID-SINGULAR"),
    Row("9-left-handed", lambda f: open_scan(nifti(f, affine=np.diag([-2.0, 2, 3, 1]))),
        check=check_affine(np.diag([-2.0, 2, 3, 1]))),
    Row("10-spacing-huge", lambda f: open_scan(nifti(f, affine=np.diag([500.0, 2, 3, 1]))), notice="W-SPACING-ODD"),
    Row("10-spacing-zero", lambda f: open_scan(poked(f, 252, bytes(4) + b"")), check=check_values),
    Row("11-flat", lambda f: open_scan(nifti(f, VOXELS[:, :, :1])), check=check_kind(ScanKind.IMAGE)),
    Row("12-4d", lambda f: open_scan(nifti(f, np.stack([VOXELS, VOXELS], axis=3))), error="E-NIFTI-4D",
        says=("2 volumes", "--index")),
    Row("12-4d-chosen", lambda f: open_scan(nifti(f, np.stack([VOXELS * 0, VOXELS], axis=3)), index=1), check=check_values),
    Row("12-4d-no-such", lambda f: open_scan(nifti(f, np.stack([VOXELS, VOXELS], axis=3)), index=2), error="E-PAGE-RANGE"),
    Row("12-as-video", lambda f: open_scan(nifti(f, np.stack([VOXELS[:, :, :1]] * 7, axis=3)), pages=Pages.VIDEO),
        check=check_kind(ScanKind.VIDEO)),
    Row("13-complex", lambda f: open_scan(nifti(f, VOXELS.astype(np.complex64))), error="E-NIFTI-DTYPE", says=("complex",)),
    Row("13-rgb", lambda f: open_scan(nifti(f, np.zeros((6, 5, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")]))),
        error="E-NIFTI-DTYPE", says=("--to-gray",)),
    Row("13-rgb-to-gray", lambda f: open_scan(
        nifti(f, np.zeros((6, 5, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])), to_gray=True), notice="W-TO-GRAY"),
    Row("14-nan", lambda f: open_scan(nifti(f, np.where(VOXELS == 7, np.nan, VOXELS).astype(np.float32))),
        notice="W-NOT-FINITE", says=("1 voxels",)),
    Row("16-float64", lambda f: open_scan(nifti(f, VOXELS.astype(np.float64) * 1e9)),
        check=lambda s: np.testing.assert_array_equal(s.voxels(), VOXELS * 1e9)),
    Row("18-anisotropic", lambda f: open_scan(nifti(f, affine=np.diag([1.0, 10, 1, 1]))), notice="W-ANISOTROPIC",
        check=check_slices(1)),
    Row("19-two-slices", lambda f: open_scan(nifti(f, VOXELS[:, :, :2])), check=check_kind(ScanKind.VOLUME)),
    Row("20-too-many-voxels", lambda f: open_scan(nifti(f), max_voxels=100), error="E-VOXELS-LARGE", says=("100",)),
    Row("2b-nrrd-cut", lambda f: open_scan(written(f, "a.nrrd", NRRD_HEAD + "\n", RAW[:90])), error="E-NRRD-CUT"),
    Row("2b-nrrd-whole", lambda f: open_scan(written(f, "a.nrrd", NRRD_HEAD + "\n", RAW)), check=check_values),
    Row("4b-nrrd-no-sizes", lambda f: open_scan(written(f, "a.nrrd", "NRRD0004\ntype: short\n\n", b"")), error="E-NRRD-HEADER"),
    Row("46b-nrrd-elsewhere", lambda f: open_scan(written(f, "a.nhdr", NRRD_HEAD + "data file: ../x.raw\n\n", b"")),
        error="E-NRRD-DATA"),
    Row("2c-meta-cut", lambda f: open_scan(written(f, "a.mha", META_HEAD + "LOCAL\n", RAW[:90])), error="E-META-CUT"),
    Row("2c-meta-whole", lambda f: open_scan(written(f, "a.mha", META_HEAD + "LOCAL\n", RAW)), check=check_values),
    Row("46c-meta-elsewhere", lambda f: open_scan(written(f, "a.mhd", META_HEAD + "../x.raw\n", b"")), error="E-META-DATA"),
    Row("10b-npz-spacing-order", lambda f: open_scan(npz(f, imgs=VOXELS, spacing=[1.0, 2, 3])), error="E-NPZ-SPACING-ORDER",
        says=("--spacing-order",)),
    Row("10b-npz-zyx", lambda f: open_scan(npz(f, imgs=VOXELS, spacing=[3.0, 2, 1]), spacing_order=SpacingOrder.ZYX),
        check=lambda s: np.testing.assert_array_equal(s.grid.spacing, (1, 2, 3))),
    Row("66-npz-pickle", lambda f: open_scan(npz(f, imgs=VOXELS, boxes=np.array([{"a": 1}], dtype=object))),
        notice="W-NPZ-PICKLE"),
]  # fmt: skip
