"""Marks on a few slices become a box on each slice between, as MedSAM's sparse-marker extension makes them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.interpolate import interp1d
from scipy.ndimage import distance_transform_edt

from delineate.core.errors import DelineateError, PromptError
from delineate.tracking.markers import marker_boxes

SHAPE = (9, 60, 70)


def crosses(places: dict[int, tuple[int, int, int]], shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Two axes drawn on some slices: {slice: (x, y, half length)}."""
    marks = np.zeros(shape, dtype=bool)
    for n, (x, y, half) in places.items():
        marks[n, y, x - half : x + half + 1] = True
        marks[n, y - half : y + half + 1, x] = True
    return marks


def grown(mask: np.ndarray) -> tuple[int, ...]:
    y, x = np.nonzero(mask)
    return (max(0, x.min() - 5), max(0, y.min() - 5), min(mask.shape[1], x.max() + 5), min(mask.shape[0], y.max() + 5))


def by_the_rule(marks: np.ndarray) -> dict[int, tuple[int, ...]]:
    """The same step by step: boxes drawn, distances interpolated along slices, rounded, boxes around what is left."""
    marked = [n for n in range(len(marks)) if marks[n].any()]
    boxes = np.zeros(marks.shape, dtype=bool)
    for n in marked:
        x0, y0, x1, y1 = grown(marks[n])
        boxes[n, y0:y1, x0:x1] = True
    distances = interp1d(marked, [distance_transform_edt(~boxes[n]) for n in marked], axis=0)
    found = {}
    for n in range(marked[0], marked[-1] + 1):
        inside = np.round(distances(n)) <= 0
        if inside.any():
            found[n] = grown(inside)
    return found


CASES = {
    "moving": {1: (20, 20, 4), 4: (26, 24, 7), 7: (30, 30, 3)},
    "at the border": {0: (3, 3, 2), 3: (6, 5, 3)},
    "neighbors": {2: (30, 30, 6), 3: (31, 30, 5)},
    "far apart": {1: (10, 10, 2), 7: (55, 50, 2)},
}


@pytest.mark.parametrize("case", CASES)
def test_boxes_are_those_of_the_rule(case: str) -> None:
    marks = crosses(CASES[case])
    assert {box.frame: box.corners for box in marker_boxes(marks)} == by_the_rule(marks)


def test_one_mark_is_one_box_and_none_is_an_error() -> None:
    (box,) = marker_boxes(crosses({4: (30, 30, 6)}))
    assert box.frame == 4 and box.corners == (14, 14, 45, 45)
    with pytest.raises(PromptError, match="empty"):
        marker_boxes(np.zeros(SHAPE, dtype=bool))


def volumes(folder: Path) -> tuple[Path, Path]:
    import nibabel as nib

    _, y, x = np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    voxels = (100 + 300 * ((y - 30) ** 2 + (x - 28) ** 2 < 12**2)).astype(np.int16)
    for name, array in (("scan", voxels), ("marks", crosses({2: (28, 30, 8), 5: (28, 30, 9)}).astype(np.uint8))):
        nib.save(nib.Nifti1Image(array.transpose(2, 1, 0), np.diag([1.0, 1, 4, 1])), folder / f"{name}.nii.gz")
    return folder / "scan.nii.gz", folder / "marks.nii.gz"


def run(*arguments: str) -> dict:
    from typer.testing import CliRunner

    from delineate.cli import app

    result = CliRunner().invoke(app, ["segment", *arguments, "--json"])
    if isinstance(result.exception, DelineateError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.strip().split("\n")[-1])["manifest"]


def test_the_marked_range_is_segmented_and_replays(tmp_path: Path) -> None:
    scan, marks = volumes(tmp_path)
    first = run(str(scan), "--markers", str(marks), "-o", str(tmp_path / "one.nii.gz"))
    assert first["objects"][0]["prompted"] == [2, 3, 4, 5]
    assert {int(n) for n in first["objects"][0]["confidence"]} == {2, 3, 4, 5}
    again = run(str(scan), "--prompts", str(tmp_path / "one.manifest.json"), "-o", str(tmp_path / "two.nii.gz"))
    assert again["outputs"][0]["sha256"] == first["outputs"][0]["sha256"] or again["objects"] == first["objects"]


def test_marks_on_another_grid_are_refused(tmp_path: Path) -> None:
    import nibabel as nib

    scan, _ = volumes(tmp_path)
    nib.save(nib.Nifti1Image(np.ones((5, 5, 5), np.uint8), None), tmp_path / "other.nii.gz")  # which lies nowhere
    with pytest.raises(PromptError) as caught:
        run(str(scan), "--markers", str(tmp_path / "other.nii.gz"), "-o", str(tmp_path / "out.nii.gz"))
    assert caught.value.code == "E-MARKS-GRID"
