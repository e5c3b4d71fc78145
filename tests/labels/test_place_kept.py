"""Of two files on one grid the one that knows its place is believed; files that say different lengths differ."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from delineate.core.errors import GeometryError
from delineate.core.grid import Placement
from delineate.io.grid_record import GRID_KEY
from delineate.io.opening import open_scan
from delineate.verbs.clean import CleanRequest, clean
from delineate.verbs.combine import CombineRequest, combine
from delineate.verbs.compare_labels import CompareLabelsRequest, compare
from delineate.verbs.measure import MeasureRequest, measure

WIDE, HIGH = 30, 20
SHAPE = (12, 10, 6)
VOLUME_AFFINE = np.diag([-0.8, 0.9, 3.0, 1.0])
BLOCK = np.s_[3:9, 2:7, 1:4]


@pytest.mark.parametrize(
    "said",
    [
        "",
        "{}",
        "no JSON",
        json.dumps({"kind": "volume"}),
        json.dumps({"kind": "image", "shape": [9, 9], "axes": ["x", "y"], "affine": np.eye(4).tolist(),
                    "placement": "scale", "slice_axis": 2}),
        json.dumps({"kind": "image", "shape": [WIDE, HIGH], "axes": ["x", "y"], "affine": np.zeros((4, 4)).tolist(),
                    "placement": "scale", "slice_axis": 2}),
    ],
)  # fmt: skip
def test_a_grid_that_is_none_is_passed_over(tmp_path: Path, said: str) -> None:
    about = PngInfo()
    about.add_text(GRID_KEY, said)
    Image.fromarray(np.zeros((HIGH, WIDE), np.uint8)).save(tmp_path / "a.png", pnginfo=about)
    assert open_scan(tmp_path / "a.png").grid.placement is Placement.PIXELS


def placed(path: Path) -> Path:
    labels = np.zeros(SHAPE, np.uint8)
    labels[BLOCK] = 1
    nib.save(nib.Nifti1Image(labels, VOLUME_AFFINE), path)
    return path


def bare(path: Path, **about: Any) -> Path:
    labels = np.zeros(SHAPE, np.uint8)
    labels[BLOCK] = 1
    np.savez(path, segs=labels.transpose(2, 1, 0), **about)
    return path


def test_labels_without_mm_are_measured_in_those_of_their_scan(tmp_path: Path) -> None:
    scan, labels = placed(tmp_path / "scan.nii.gz"), bare(tmp_path / "labels.npz")
    (row,) = measure(MeasureRequest(input=labels, scan=scan)).measures.structures
    assert row.volume_ml == pytest.approx(6 * 5 * 3 * 0.8 * 0.9 * 3 / 1000)
    assert row.centroid_mm == pytest.approx((-5.5 * 0.8, 4 * 0.9, 2 * 3))


def test_comparing_does_not_depend_on_which_file_knows_mm(tmp_path: Path) -> None:
    files = placed(tmp_path / "a.nii.gz"), bare(tmp_path / "b.npz")
    for first, second in (files, files[::-1]):
        (row,) = compare(CompareLabelsRequest(first=first, second=second)).comparisons
        assert (row.unit, row.first, row.dice) == ("ml", pytest.approx(0.1944), 1)


def _combined(labels: Path, other: Path, output: Path) -> None:
    combine(CombineRequest(inputs=(labels, other), output=output))


def _cleaned(labels: Path, other: Path, output: Path) -> None:
    clean(CleanRequest(input=labels, inside_file=other, output=output))


@pytest.mark.parametrize("work", [_combined, _cleaned])
def test_the_result_lies_where_one_of_the_files_says(tmp_path: Path, work: Callable[[Path, Path, Path], None]) -> None:
    work(bare(tmp_path / "a.npz"), placed(tmp_path / "b.nii.gz"), tmp_path / "c.nii.gz")
    made = nib.load(tmp_path / "c.nii.gz")
    np.testing.assert_allclose(made.affine, VOLUME_AFFINE, atol=1e-6)
    assert np.count_nonzero(np.asarray(made.dataobj)) == 90


@pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (0.8, 0.9, 3.2)])
def test_another_spacing_is_another_grid(tmp_path: Path, spacing: tuple[float, ...]) -> None:
    """Of files without a place in the patient too, where equal sizes alone would be taken for the same voxels."""
    known = bare(tmp_path / "a.npz", spacing=np.array((0.8, 0.9, 3.0)), spacing_order=np.array("xyz"))
    other = bare(tmp_path / "b.npz", spacing=np.array(spacing), spacing_order=np.array("xyz"))
    for first in (known, placed(tmp_path / "c.nii.gz")):
        with pytest.raises(GeometryError) as told:
            compare(CompareLabelsRequest(first=first, second=other))
        assert told.value.code == "E-LABELS-GRID"


def test_a_spacing_that_was_rounded_is_the_same(tmp_path: Path) -> None:
    other = bare(tmp_path / "b.npz", spacing=np.array((0.8, 0.9, 3.001)), spacing_order=np.array("xyz"))
    (row,) = compare(CompareLabelsRequest(first=placed(tmp_path / "c.nii.gz"), second=other)).comparisons
    assert row.dice == 1
