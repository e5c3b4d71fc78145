"""Headers in text whose numbers are none, units of length, fields that change what is read; names of data files."""

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

VOXELS = np.arange(6 * 5 * 4, dtype="<i2").reshape(6, 5, 4, order="F")
RAW = VOXELS.tobytes(order="F")
TEXT = " ".join(map(str, VOXELS.ravel(order="F"))).encode()
SPACE = "space: left-posterior-superior\nspace origin: (0,0,0)\n"
STEPS = "space directions: (2,0,0) (0,2,0) (0,0,3)\n"
FOUR = "kinds: {kind} domain domain domain\n" + SPACE + "space directions: none (2,0,0) (0,2,0) (0,0,3)\n"
ESCAPES = "\x1b[2J" + "x" * 9000


def nrrd(
    folder: Path,
    extra: str,
    data: bytes = RAW,
    sizes: str = "6 5 4",
    encoding: str = "raw",
    name: str = "a.nrrd",
    kind: str = "short",
) -> Path:
    count = len(sizes.split())
    head = (
        f"NRRD0004\ntype: {kind}\ndimension: {count}\nsizes: {sizes}\nencoding: {encoding}\nendian: little\n{extra}\n"
    )
    (folder / name).write_bytes(head.encode("utf-8", "surrogatepass") + data)
    return folder / name


def meta(
    folder: Path, extra: str = "", data: bytes = RAW, place: str = "LOCAL", size: str = "6 5 4", name: str = "a.mha"
) -> Path:
    axes = len(size.split())
    head = f"ObjectType = Image\nNDims = {axes}\nDimSize = {size}\nElementType = MET_SHORT\n{extra}ElementDataFile = {place}\n"
    (folder / name).write_bytes(head.encode("utf-8", "surrogatepass") + data)
    return folder / name


def parts(folder: Path) -> None:
    for k in range(4):
        (folder / f"s{k}.raw").write_bytes(RAW[60 * k : 60 * k + 60])


def nifti(folder: Path, unit: str, factor: float, kind: Any = nib.Nifti1Image, name: str = "a.nii.gz") -> Path:
    image = kind(VOXELS, np.diag([0.05 * factor, 0.05 * factor, 0.08 * factor, 1]))
    image.header.set_xyzt_units(unit)
    nib.save(image, folder / name)
    return folder / name


def changed(folder: Path, change: Callable[[Any], None], sform: bool = True) -> Path:
    """A NIfTI file with its header's fields changed after all checks."""
    image = nib.Nifti1Image(VOXELS, np.diag([2.0, 2, 3, 1]))
    image.set_qform(np.diag([2.0, 2, 3, 1]), 1)
    image.set_sform(np.diag([2.0, 2, 3, 1]), 1 if sform else 0)
    raw = bytearray(image.to_bytes())
    header = np.frombuffer(raw, nib.nifti1.header_dtype, 1)
    change(header)
    (folder / "a.nii").write_bytes(raw)
    return folder / "a.nii"


def field(name: str, value: Any) -> Callable[[Any], None]:
    def change(header: Any) -> None:
        header[name] = value

    return change


def npz(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "a.npz", **arrays)
    return folder / "a.npz"


def npy(folder: Path, array: Any, keep: int | None = None) -> Path:
    np.save(folder / "a.npy", array)
    (folder / "a.npy").write_bytes((folder / "a.npy").read_bytes()[:keep])
    return folder / "a.npy"


def values(scan: Any) -> None:
    np.testing.assert_array_equal(scan.voxels(), VOXELS)


def at(*spacing: float) -> Callable[[Any], None]:
    def check(scan: Any) -> None:
        np.testing.assert_allclose(scan.grid.spacing, spacing, rtol=1e-5)
        values(scan)

    return check


def is_so(of: Callable[[Any], bool]) -> Callable[[Any], None]:
    def check(scan: Any) -> None:
        assert of(scan)

    return check


def segments(scan: Any) -> None:
    """Two overlapping squares in two layers that both say 1."""
    voxels = scan.voxels()
    assert (voxels > 0).sum() == 4 * (9 + 9 - 4) and set(np.unique(voxels)) == {0, 1, 2} and (voxels == 2).sum() == 36


def two_layers(folder: Path, layer: str = "1") -> Path:
    stored = np.zeros((2, 6, 5, 4), "<i2")
    stored[0, 0:3, 0:3] = stored[1, 1:4, 1:4] = 1
    said = f"Segment0_ID:=a\nSegment0_LabelValue:=1\nSegment0_Layer:=0\nSegment1_ID:=b\nSegment1_LabelValue:=1\nSegment1_Layer:={layer}\n"
    return nrrd(folder, FOUR.format(kind="list") + said, stored.tobytes(order="F"), "2 6 5 4")


BAD_NRRD = {
    "direction-word": (SPACE + STEPS.replace("2,0,0", "x,0,0"), "space directions"),
    "direction-two": (SPACE + STEPS.replace("2,0,0", "2,0"), "space directions"),
    "direction-open": (SPACE + STEPS.replace("(2", "2"), "space directions"),
    "direction-inf": (SPACE + STEPS.replace("2,0,0", "inf,0,0"), "space directions"),
    "direction-missing": (SPACE + STEPS.replace("(2,0,0)", ""), "space directions"),
    "origin-word": (SPACE.replace("(0,0,0)", "(0,a,0)") + STEPS, "space origin"),
    "origin-two": (SPACE.replace("(0,0,0)", "(0,0)") + STEPS, "space origin"),
    "origin-many": (SPACE.replace("(0,0,0)", "(0,0,0) (1,1,1)") + STEPS, "space origin"),
    "space-word": (SPACE.replace("left-posterior-superior", ESCAPES) + STEPS, "space"),
    "spacings-word": ("spacings: 1 one 1\n", "spacings"),
    "spacings-one": ("spacings: 2\n", "spacings"),
    "spacings-zero": ("spacings: 1 0 1\n", "spacings"),
    "spacings-large": ("spacings: 1 1e30 1\n", "spacings"),
    "line-skip-word": ("line skip: two\n", "line skip"),
    "byte-skip-fraction": ("byte skip: 1.5\n", "byte skip"),
    "byte-skip-below": ("byte skip: -2\n", "byte skip"),
    "dimension": ("dimension: 7\n", "dimension"),
}  # fmt: skip
BAD_META = {
    "spacing-words": "ElementSpacing = a b c\n", "spacing-one": "ElementSpacing = 1\n", "spacing-zero": "ElementSpacing = 1 0 1\n",
    "spacing-nan": "ElementSpacing = 1 nan 1\n", "matrix-short": "TransformMatrix = 1 0 0\n", "matrix-word": "TransformMatrix = 1 0 0 0 x 0 0 0 1\n",
    "offset-four": "Offset = 1 2 3 4\n", "offset-inf": "Offset = 1 inf 3\n", "channels": "ElementNumberOfChannels = two\n",
    "header-size": "HeaderSize = 1e3\n", "header-below": "HeaderSize = -2\n",
}  # fmt: skip

ROWS: list[Row] = [
    *(Row(f"h-nrrd-{name}", lambda f, extra=extra: open_scan(nrrd(f, extra)), error="E-HEADER-FIELD", says=(f'"{says}"',))
      for name, (extra, says) in BAD_NRRD.items()),
    *(Row(f"h-meta-{name}", lambda f, extra=extra: open_scan(meta(f, extra)), error="E-HEADER-FIELD", says=(extra.split()[0],))
      for name, extra in BAD_META.items()),
    Row("h-nrrd-sizes", lambda f: open_scan(nrrd(f, "", sizes="6 five 4")), error="E-HEADER-FIELD", says=("sizes", "6 five 4")),
    Row("h-nrrd-type", lambda f: open_scan(nrrd(f, "", kind="block")), error="E-HEADER-FIELD", says=("block",)),
    Row("h-nrrd-endian", lambda f: open_scan(nrrd(f, "endian: middle\n")), error="E-HEADER-FIELD", says=("endian",)),
    Row("h-nrrd-hex", lambda f: open_scan(nrrd(f, "", encoding="hex")), error="E-NRRD-ENCODING", says=("hex", "gzip")),
    Row("h-nrrd-blanks", lambda f: open_scan(nrrd(f, SPACE + "space directions: ( 2 , 0,0)\t(0,2,0)  (0,0,3)\n")), check=at(2, 2, 3)),
    Row("h-nrrd-upper-case", lambda f: open_scan(nrrd(f, (SPACE + STEPS).upper())), check=at(2, 2, 3)),
    Row("h-nrrd-time", lambda f: open_scan(nrrd(f, "space: right-anterior-superior-time\nspace directions: (2,0,0,0) (0,2,0,0) (0,0,3,0) (0,0,0,1)\n", RAW * 2, "6 5 4 2"), index=1), check=at(2, 2, 3)),
    Row("h-nrrd-list-of-three", lambda f: open_scan(nrrd(f, FOUR.format(kind="list"), RAW * 3, "3 6 5 4")), error="E-NRRD-LIST", says=("0 to 2",)),
    Row("h-nrrd-vector-of-three", lambda f: open_scan(nrrd(f, FOUR.format(kind="3-vector"), RAW * 3, "3 6 5 4")), error="E-NRRD-LIST"),
    Row("h-nrrd-index", lambda f: open_scan(nrrd(f, FOUR.format(kind="list"), RAW * 2, "2 6 5 4"), index=9), error="E-PAGE-RANGE"),
    Row("h-nrrd-colors", lambda f: open_scan(nrrd(f, FOUR.format(kind="RGB-color"), RAW * 3, "3 6 5 4")), check=is_so(lambda s: s.channels == 3)),
    Row("h-nrrd-no-kinds", lambda f: open_scan(nrrd(f, "", RAW[:120], "3 5 4")), check=is_so(lambda s: s.kind is ScanKind.VOLUME)),
    Row("h-nrrd-layers", lambda f: open_scan(two_layers(f)), notice="W-SEGMENTS-OVERLAP", check=segments),
    Row("h-nrrd-no-such-layer", lambda f: open_scan(two_layers(f, "2")), error="E-NRRD-LAYER"),
    Row("h-nrrd-layer-word", lambda f: open_scan(two_layers(f, "second")), error="E-HEADER-FIELD", says=("Segment1_Layer",)),
    Row("h-nrrd-byte-skip", lambda f: open_scan(nrrd(f, "byte skip: 64\n", b"\xff" * 64 + RAW)), check=values),
    Row("h-nrrd-byte-skip-end", lambda f: open_scan(nrrd(f, "byteskip: -1\n", b"\xff" * 64 + RAW)), check=values),
    Row("h-nrrd-line-skip", lambda f: open_scan(nrrd(f, "line skip: 2\n", b"a\nb\n" + RAW)), check=values),
    Row("h-nrrd-both-skips", lambda f: open_scan(nrrd(f, "line skip: 1\nbyte skip: 3\n", b"a\n123" + RAW)), check=values),
    Row("h-nrrd-skip-packed", lambda f: open_scan(nrrd(f, "line skip: 1\nbyte skip: 3\n", b"a\n" + gzip.compress(b"123" + RAW), encoding="gzip")), check=values),
    Row("h-nrrd-skip-text", lambda f: open_scan(nrrd(f, "line skip: 1\n", b"not a number\n" + TEXT, encoding="ascii")), check=values),
    Row("h-nrrd-skip-detached", lambda f: ((f / "a.raw").write_bytes(b"ab" + RAW), open_scan(nrrd(f, "byte skip: 2\ndata file: a.raw\n", b"", name="a.nhdr")))[1], check=values),
    Row("h-nrrd-skip-too-far", lambda f: open_scan(nrrd(f, "line skip: 9\n")), error="E-NRRD-CUT"),
    Row("h-nrrd-pattern", lambda f: (parts(f), open_scan(nrrd(f, "data file: s%d.raw 0 3 1\n", b"", name="a.nhdr")))[1], check=values),
    Row("h-nrrd-listed", lambda f: (parts(f), open_scan(nrrd(f, "data file: LIST\ns0.raw\ns1.raw\ns2.raw\ns3.raw\n", b"", name="a.nhdr")))[1], check=values),
    Row("h-nrrd-listed-missing", lambda f: (parts(f), open_scan(nrrd(f, "data file: s%d.raw 0 4 1\n", b"", sizes="6 5 5", name="a.nhdr")))[1], error="E-NRRD-DATA", says=("s4.raw",)),
    Row("h-nrrd-pattern-endless", lambda f: open_scan(nrrd(f, "data file: s%d.raw 0 999999999 1\n", b"")), error="E-NRRD-DATA"),
    Row("h-nrrd-unknown", lambda f: open_scan(nrrd(f, "foo bar: 7\n")), notice="W-HEADER-FIELD", says=("foo bar",), check=values),
    Row("h-meta-ascii", lambda f: open_scan(meta(f, "BinaryData = False\n", TEXT)), check=values),
    Row("h-meta-ascii-cut", lambda f: open_scan(meta(f, "BinaryData = False\n", TEXT[:40])), error="E-META-CUT"),
    Row("h-meta-ascii-word", lambda f: open_scan(meta(f, "BinaryData = False\n", b"x " + TEXT)), error="E-META-CUT"),
    Row("h-meta-ascii-large", lambda f: open_scan(meta(f, "BinaryData = False\n", b"99999 " + TEXT)), error="E-META-CUT", says=("fit",)),
    Row("h-meta-pattern", lambda f: (parts(f), open_scan(meta(f, "", b"", "s%d.raw 0 3 1", name="a.mhd")))[1], check=values),
    Row("h-meta-listed", lambda f: (parts(f), open_scan(meta(f, "", b"s0.raw\ns1.raw\ns2.raw\ns3.raw\n", "LIST", name="a.mhd")))[1], check=values),
    Row("h-meta-absurd", lambda f: open_scan(meta(f, size="90000 1000000 100000")), error="E-VOXELS-LARGE"),
    *(Row(f"h-{kind}-name-{name}", lambda f, make=make, place=place: open_scan(make(f, place)), error=code)
      for kind, make, code in (("nrrd", lambda f, place: nrrd(f, f"data file: {place}\n", b""), "E-NRRD-DATA"),
                               ("meta", lambda f, place: meta(f, "", b"", place), "E-META-DATA"))
      for name, place in {"long": "x" * 5000, "null": "a\0b.raw", "folder": ".", "above": "../a.raw", "root": "/etc/passwd", "gone": "gone.raw"}.items()),
    Row("h-units-micron", lambda f: open_scan(nifti(f, "micron", 1000)), notice="W-UNITS", says=("micron",), check=at(0.05, 0.05, 0.08)),
    Row("h-units-meter", lambda f: open_scan(nifti(f, "meter", 0.001)), notice="W-UNITS", says=("meter",), check=at(0.05, 0.05, 0.08)),
    Row("h-units-mm", lambda f: open_scan(nifti(f, "mm", 1)), check=at(0.05, 0.05, 0.08)),
    Row("h-units-unknown", lambda f: open_scan(nifti(f, "unknown", 1)), check=at(0.05, 0.05, 0.08)),
    Row("h-units-nifti-2", lambda f: open_scan(nifti(f, "micron", 1000, nib.Nifti2Image, "a.nii")), notice="W-UNITS", check=at(0.05, 0.05, 0.08)),
    Row("h-units-nrrd", lambda f: open_scan(nrrd(f, SPACE + 'space units: "um" "um" "um"\nspace directions: (50,0,0) (0,50,0) (0,0,80)\n')), notice="W-UNITS", check=at(0.05, 0.05, 0.08)),
    Row("h-units-nrrd-axes", lambda f: open_scan(nrrd(f, 'spacings: 5 5 8\nunits: "cm" "cm" "cm"\n')), notice="W-UNITS", check=at(50, 50, 80)),
    Row("h-units-nrrd-mixed", lambda f: open_scan(nrrd(f, SPACE + STEPS + 'space units: "um" "mm" "mm"\n')), error="E-UNIT"),
    Row("h-units-nrrd-other", lambda f: open_scan(nrrd(f, SPACE + STEPS + 'space units: "furlong" "furlong" "furlong"\n')), error="E-UNIT"),
    Row("h-units-meta", lambda f: open_scan(meta(f, "ElementSpacing = 50 50 80\nDistanceUnits = um\n")), notice="W-UNITS", check=at(0.05, 0.05, 0.08)),
    Row("h-nifti-plain-gz", lambda f: ((f / "a.nii.gz").write_bytes(nib.Nifti1Image(VOXELS, np.eye(4)).to_bytes()), open_scan(f / "a.nii.gz"))[1], check=values),
    Row("h-nifti-packed-nii", lambda f: ((f / "a.nii").write_bytes(gzip.compress(nib.Nifti1Image(VOXELS, np.eye(4)).to_bytes())), open_scan(f / "a.nii"))[1], check=values),
    Row("h-nifti-no-ending", lambda f: ((f / "scan").write_bytes(nib.Nifti1Image(VOXELS, np.eye(4)).to_bytes()), open_scan(f / "scan"))[1], check=values),
    Row("h-nifti-upper-case", lambda f: ((f / "X.NII.GZ").write_bytes(gzip.compress(nib.Nifti1Image(VOXELS, np.eye(4)).to_bytes())), open_scan(f / "X.NII.GZ"))[1], check=values),
    Row("h-nifti-img", lambda f: (nib.save(nib.Nifti1Pair(VOXELS, np.eye(4)), f / "a.img"), open_scan(f / "a.img"))[1], check=values),
    Row("h-nifti-img-alone", lambda f: (nib.save(nib.Nifti1Pair(VOXELS, np.eye(4)), f / "a.img"), (f / "a.hdr").unlink(), open_scan(f / "a.img"))[2], error="E-FORMAT-UNKNOWN"),
    Row("h-nifti-packed-pair", lambda f: (nib.save(nib.Nifti1Pair(VOXELS, np.eye(4)), f / "a.img.gz"), open_scan(f / "a.img.gz"))[1], check=values),
    Row("h-analyze", lambda f: (nib.save(nib.AnalyzeImage(VOXELS, np.diag([1, 2, 3, 1])), f / "a.img"), open_scan(f / "a.hdr"))[1], notice="W-NO-ORIENTATION", check=at(1, 2, 3)),
    Row("h-nifti-2-slope", lambda f: (nib.save(nib.Nifti2Image(VOXELS, np.eye(4)), f / "a.nii"), open_scan(f / "a.nii"))[1], check=is_so(lambda s: s.notices == ())),
    Row("h-nifti-slope-int32", lambda f: open_scan(scaled(f)), check=lambda s: np.testing.assert_array_equal(np.unique(s.voxels()), [2**25, 2**25 + 2])),
    Row("h-nifti-quaternion", lambda f: open_scan(changed(f, field("quatern_b", 3.0), sform=False)), error="E-NIFTI-QFORM"),
    Row("h-nifti-quaternion-beside", lambda f: open_scan(changed(f, field("quatern_b", 3.0))), notice="W-NIFTI-QFORM", check=at(2, 2, 3)),
    Row("h-nifti-offset-nan", lambda f: open_scan(changed(f, field("vox_offset", np.nan))), error="E-NIFTI-HEADER"),
    Row("h-nifti-offset-far", lambda f: open_scan(changed(f, field("vox_offset", 3e38))), error="E-NIFTI-HEADER"),
    Row("h-nifti-type", lambda f: open_scan(changed(f, field("datatype", 1))), error="E-NIFTI-HEADER"),
    Row("h-nifti-inter", lambda f: open_scan(changed(f, lambda h: (field("scl_slope", 2)(h), field("scl_inter", np.inf)(h)))), error="E-NIFTI-HEADER"),
    Row("h-nifti-far-steps", lambda f: open_scan(changed(f, field("srow_x", [1e30, 0, 0, 0]))), error="E-GRID-SIZE"),
    Row("h-npz-words", lambda f: open_scan(npz(f, imgs=np.array([["a", "b"], ["c", "d"]]))), error="E-NPZ-DTYPE"),
    Row("h-npz-complex", lambda f: open_scan(npz(f, imgs=VOXELS * 1j)), error="E-NPZ-DTYPE", says=("complex",)),
    Row("h-npz-times", lambda f: open_scan(npz(f, imgs=VOXELS.astype("M8[s]"))), error="E-NPZ-DTYPE"),
    Row("h-npz-spacing-words", lambda f: open_scan(npz(f, imgs=VOXELS, spacing=np.array(["a", "b", "c"]))), error="E-NPZ-SPACING"),
    Row("h-npz-spacing-large", lambda f: open_scan(npz(f, imgs=VOXELS, spacing=[1e30] * 3)), error="E-GRID-SIZE"),
    Row("h-npy", lambda f: open_scan(npy(f, VOXELS.transpose(2, 1, 0))), check=values),
    Row("h-npy-cut", lambda f: open_scan(npy(f, VOXELS, 200)), error="E-NPY-DAMAGED"),
    Row("h-npy-objects", lambda f: open_scan(npy(f, np.array([{}], dtype=object))), error="E-NPY-DAMAGED"),
]  # fmt: skip


def scaled(folder: Path) -> Path:
    """int32 with a slope of 2, whose values are next to each other beyond what float32 tells apart."""
    image = nib.Nifti1Image(np.where(VOXELS % 2, 2**24 + 1, 2**24).astype(np.int32), np.eye(4))
    image.header.set_slope_inter(2, 0)
    raw = bytearray(image.to_bytes())
    raw[112:120] = np.array([2, 0], "<f4").tobytes()
    (folder / "a.nii").write_bytes(raw)
    return folder / "a.nii"
