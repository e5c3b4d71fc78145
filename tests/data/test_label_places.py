"""Labels are compared with a scan by where they lie: turned, exchanged and cropped ones are brought onto its grid."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from delineate.core.alignment import Fit, fit_of
from delineate.core.errors import InputError, PromptError
from delineate.core.grid import Grid, Placement
from delineate.data.cases import load_cases
from delineate.data.check import check_dataset
from delineate.io.opening import open_scan
from delineate.verbs.prompt_files import marker_prompts, mask_prompt

SIZE = (24, 20, 9)
AFFINE = np.array([[1.0, 0, 0, -5], [0, 1, 0, 7], [0, 0, 3, 11], [0, 0, 0, 1]])
TRUTH = np.zeros(SIZE, np.uint8)
TRUTH[4:10, 8:17, 2:7] = 1
TRUTH[12:15, 2:6, 3:5] = 2


def turned(
    axes: tuple[int, ...], flips: tuple[int, ...], crop: tuple[slice, ...] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """The labels in another order of axes, each of ``flips`` running the other way, with the affine that says so."""
    array, step = TRUTH.transpose(axes), np.zeros((4, 4))
    step[3, 3] = 1
    for new, old in enumerate(axes):
        step[old, new] = 1
    affine = AFFINE @ step
    for axis in flips:
        back = np.eye(4)
        back[axis, axis], back[axis, 3] = -1, array.shape[axis] - 1
        array, affine = np.flip(array, axis), affine @ back
    if crop:
        first = np.eye(4)
        first[:3, 3] = [one.start or 0 for one in crop]
        array, affine = array[crop], affine @ first
    return array, affine


def moved_by(*mm: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[:3, 3] += mm
    return affine


SAME: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "as-it-is": (TRUTH, AFFINE),
    "rounded-header": (TRUTH, moved_by(0.004, -0.004, 0.01)),
    "left-right": turned((0, 1, 2), (0,)),
    "all-flipped": turned((0, 1, 2), (0, 1, 2)),
    "exchanged": turned((2, 0, 1), ()),
    "exchanged-and-flipped": turned((1, 2, 0), (1,)),
    "cropped": turned((0, 1, 2), (), (slice(2, 20), slice(1, 20), slice(1, 8))),
    "cropped-and-flipped": turned((0, 1, 2), (1,), (slice(2, 20), slice(0, 20), slice(1, 8))),
}
ELSEWHERE: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "half-a-voxel": (TRUTH, moved_by(0.5, 0, 0)),
    "far-away": (TRUTH, moved_by(300, 0, 0)),
    "other-spacing": (TRUTH, AFFINE @ np.diag([1.3, 1, 1, 1])),
    "coarser": (TRUTH[::2], AFFINE @ np.diag([2.0, 1, 1, 1])),
    "oblique": (TRUTH, AFFINE @ np.array([[0.98, -0.2, 0, 0], [0.2, 0.98, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])),
}


def data_set(folder: Path, labels: np.ndarray, affine: np.ndarray) -> Path:
    noise = np.random.default_rng(0).normal(0, 6, SIZE)
    nib.save(nib.Nifti1Image((60 + 100 * (TRUTH > 0) + noise).astype(np.int16), AFFINE), folder / "i.nii.gz")
    nib.save(nib.Nifti1Image(np.ascontiguousarray(labels), affine), folder / "l.nii.gz")
    item = {"id": "a", "dataset": "d", "task": "3d", "modality": "MR", "image": "i.nii.gz", "label": "l.nii.gz"}
    item |= {"labels": {"1": "block", "2": "other"}, "use": "test"}  # type: ignore[dict-item]
    (folder / "manifest.json").write_text(json.dumps([item]))
    return folder


@pytest.mark.parametrize(("labels", "affine"), SAME.values(), ids=SAME)
def test_labels_of_the_same_voxels_are_the_same(labels: np.ndarray, affine: np.ndarray, tmp_path: Path) -> None:
    opened = load_cases(data_set(tmp_path, labels, affine))[0].open()
    assert np.array_equal(opened.labels.voxels(), TRUTH)
    assert opened.labels.slice_axis == opened.scan.slice_axis
    told = [notice.code for notice in opened.scan.notices]
    assert ("W-LABELS-TURNED" in told) == (labels.shape != SIZE or not np.array_equal(labels, TRUTH))
    assert check_dataset(tmp_path).problems == []


@pytest.mark.parametrize(("labels", "affine"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_labels_that_lie_elsewhere_are_refused(labels: np.ndarray, affine: np.ndarray, tmp_path: Path) -> None:
    case = load_cases(data_set(tmp_path, labels, affine))[0]
    with pytest.raises(InputError) as caught:
        case.open()
    assert caught.value.code == "E-CASE-GRID" and "l.nii.gz" in caught.value.message
    assert len(check_dataset(tmp_path).problems) == 1


@pytest.mark.parametrize(("labels", "affine"), SAME.values(), ids=SAME)
@pytest.mark.parametrize("use", [lambda p, s: mask_prompt(p, s, None), marker_prompts], ids=["mask", "markers"])
def test_masks_and_marks_are_taken_where_they_lie(
    use: Callable, labels: np.ndarray, affine: np.ndarray, tmp_path: Path
) -> None:
    root = data_set(tmp_path, (labels == 1).astype(np.uint8), affine)
    scan = open_scan(root / "i.nii.gz")
    plain = data_set(tmp_path, (TRUTH == 1).astype(np.uint8), AFFINE) / "l.nii.gz"
    expected = use(plain, scan)[0]
    data_set(tmp_path, (labels == 1).astype(np.uint8), affine)
    assert use(root / "l.nii.gz", scan)[0] == expected


@pytest.mark.parametrize("use", [lambda p, s: mask_prompt(p, s, None), marker_prompts], ids=["mask", "markers"])
def test_what_is_drawn_elsewhere_is_refused(use: Callable, tmp_path: Path) -> None:
    labels, affine = ELSEWHERE["far-away"]
    root = data_set(tmp_path, (labels == 1).astype(np.uint8), affine)
    with pytest.raises(PromptError) as caught:
        use(root / "l.nii.gz", open_scan(root / "i.nii.gz"))
    assert caught.value.code == "E-MASK-ELSEWHERE"


def test_a_picture_turned_in_its_header(tmp_path: Path) -> None:
    """2D: one slice with a place in the patient."""
    root = data_set(tmp_path, TRUTH, AFFINE)
    slab, affine = turned((0, 1, 2), (0,))
    nib.save(nib.Nifti1Image(TRUTH[:, :, 3:4].astype(np.int16) * 90, moved_by(0, 0, 9)), root / "i.nii.gz")
    affine = affine @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 3], [0, 0, 0, 1.0]])
    nib.save(nib.Nifti1Image(np.ascontiguousarray(slab[:, :, 3:4]), affine), root / "l.nii.gz")
    item = json.loads((root / "manifest.json").read_text())[0] | {"task": "2d"}
    (root / "manifest.json").write_text(json.dumps([item]))
    assert np.array_equal(load_cases(root)[0].open().labels.pixels(0).T, TRUTH[:, :, 3])


@pytest.mark.parametrize(
    ("labels", "scan", "fit"),
    [
        (Grid((4, 5, 6), placement=Placement.SCALE), Grid((4, 5, 6)), Fit.SAME),
        (Grid((4, 5, 6), np.diag([9.0, 1, 1, 1]), placement=Placement.SCALE), Grid((4, 5, 6)), Fit.UNKNOWN),
        (Grid((4, 5, 6), np.diag([9.0, 1, 1, 1]), placement=Placement.PIXELS), Grid((4, 5, 6)), Fit.SAME),
        (Grid((4, 5, 7), placement=Placement.SCALE), Grid((4, 5, 6)), Fit.UNKNOWN),
        (Grid((4, 5, 7)), Grid((4, 5, 6)), Fit.REORDERED),
        (Grid((4, 5), placement=Placement.PIXELS), Grid((4, 5), placement=Placement.PIXELS), Fit.SAME),
    ],
)
def test_without_a_place_sizes_and_spacings_decide(labels: Grid, scan: Grid, fit: Fit) -> None:
    assert fit_of(labels, scan) is fit


def test_values_that_are_no_numbers_are_background(tmp_path: Path) -> None:
    root = data_set(tmp_path, np.where(TRUTH, TRUTH, np.nan).astype(np.float32), AFFINE)
    opened = load_cases(root)[0].open()
    assert {target.label: target.area for target in opened.targets(9, 0)} == {1: 54}
