"""Large outputs are written a few planes at a time: the same voxels as at once, in little memory."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from delineate.core.grid import Grid
from delineate.core.rle import Rle
from delineate.core.scan import Scan
from delineate.core.segmentation import Overlap, Segmentation
from delineate.io.opening import open_scan
from delineate.io.saving import save
from peak_memory import linux_only, peak_mib

SHAPE = (13, 11, 7)


def outlined(axis: int, objects: int = 4, label: int | None = None) -> tuple[Scan, Segmentation]:
    """Structures at random, most of which overlap; the last one is empty."""
    rng = np.random.default_rng(3)
    scan = Scan.from_volume(np.zeros(SHAPE, np.int16), Grid(SHAPE, np.diag([1.0, 2.0, 3.0, 1.0])), axis)
    outlines = Segmentation.empty(scan)
    for n in range(objects):
        outlines = outlines.adding(f"structure {n}", label=label if n == 1 else None)
        masks = {f: Rle.encode(rng.random(outlines.frame_shape) < 0.2) for f in range(0, len(scan), 2)}
        outlines = outlines.with_masks(f"structure {n}", masks if n < objects - 1 else {})
    return scan, outlines


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("piece_bytes", [1, 500, 1 << 26], ids=["plane", "few-planes", "all"])
@pytest.mark.parametrize("overlap", list(Overlap))
def test_planes_are_the_label_map(axis: int, piece_bytes: int, overlap: Overlap) -> None:
    _, outlines = outlined(axis)
    planes = np.concatenate(list(outlines.label_planes(overlap, piece_bytes)))
    assert np.array_equal(planes.transpose(2, 1, 0), outlines.label_map(overlap))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("label", [None, 300], ids=["8-bit", "16-bit"])
def test_every_segment_is_in_its_layer(axis: int, label: int | None, tmp_path: Path) -> None:
    nrrd = pytest.importorskip("nrrd")
    scan, outlines = outlined(axis, label=label)
    save(outlines, tmp_path / "a.seg.nrrd", scan)
    data, header = nrrd.read(str(tmp_path / "a.seg.nrrd"))
    assert data.dtype == (np.uint16 if label else np.uint8)
    for number, one in enumerate(outlines.objects):
        mask = outlines.voxels(one.name)
        assert np.array_equal(data[int(header[f"Segment{number}_Layer"])] == one.label, mask)
        where = np.nonzero(mask)
        extent = [v for axis in where for v in (axis.min(), axis.max())] if mask.any() else [0, -1] * 3
        assert [int(v) for v in header[f"Segment{number}_Extent"].split()] == extent


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_npz_lies_as_challenges_want_it(axis: int, tmp_path: Path) -> None:
    scan, outlines = outlined(axis)
    save(outlines, tmp_path / "a.npz", scan)
    stored = np.load(tmp_path / "a.npz")
    assert np.array_equal(stored["segs"].transpose(2, 1, 0), outlines.label_map())
    assert str(stored["spacing_order"]) == "xyz" and stored["spacing"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("label", [None, 300], ids=["8-bit", "16-bit"])
def test_a_nifti_holds_the_label_map(axis: int, name: str, label: int | None, tmp_path: Path) -> None:
    scan, outlines = outlined(axis, label=label)
    save(outlines, tmp_path / name, scan)
    image = nib.load(tmp_path / name)
    assert image.get_data_dtype() == outlines.label_dtype
    assert np.array_equal(np.asarray(image.dataobj), outlines.label_map())


def test_a_segmentation_without_objects_is_a_file_that_can_be_read(tmp_path: Path) -> None:
    scan, _ = outlined(2)
    save(Segmentation.empty(scan), tmp_path / "a.seg.nrrd", scan)
    assert not open_scan(tmp_path / "a.seg.nrrd").voxels().any()


MANY = """
import numpy as np
from pathlib import Path
from delineate.core.grid import Grid
from delineate.io.saving import save
from delineate.core.rle import Rle
from delineate.core.scan import Scan, ScanKind
from delineate.core.segmentation import Segmentation
class Nothing:
    shape, dtype = (300, 300, 200), np.dtype(np.int16)
    def __getitem__(self, cut): raise AssertionError
scan = Scan.from_volume(Nothing(), Grid(Nothing.shape, np.eye(4)), {axis})
outlines = Segmentation.empty(scan)
mask = np.zeros(outlines.frame_shape, bool)
mask[20:90, 30:80] = True
for n in range(12):
    name = str(n)
    outlines = outlines.adding(name).with_masks(name, {{f: Rle.encode(mask) for f in range(0, len(scan), 3)}})
"""


@linux_only
@pytest.mark.parametrize("axis", [0, 2])
@pytest.mark.parametrize("name", ["a.seg.nrrd", "a.npz", "a.nii.gz", "a.nii"])
def test_memory_is_that_of_a_few_planes(axis: int, name: str, tmp_path: Path) -> None:
    """12 overlapping structures in 300 x 300 x 200 voxels: 206 MiB as dense layers of a byte, and once more stacked."""
    peak = peak_mib(
        f"save(outlines, Path({str(tmp_path / name)!r}), scan)",
        MANY.format(axis=axis),
    )
    assert peak < 130
