"""Several structures in one request, and how far they are followed."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from delineate.core.errors import DelineateError
from delineate.core.prompts import Box, Point
from delineate.core.propagation_options import PropagationOptions
from delineate.verbs.request import OutputChoice
from delineate.verbs.segment import SegmentRequest, SegmentTarget, segment

LEFT, RIGHT = Box(8, 10, 24, 30, frame=3), Box(36, 10, 52, 30, frame=4)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two bright blocks through eight slices."""
    voxels = np.random.default_rng(0).integers(0, 60, (64, 48, 8)).astype(np.int16)
    voxels[10:22, 12:28] += 120
    voxels[38:50, 12:28] += 180
    nib.save(nib.Nifti1Image(voxels, np.diag([1.0, 1, 3, 1])), tmp_path / "a.nii.gz")
    return tmp_path / "a.nii.gz"


def test_two_structures_with_limits_of_their_own(file: Path) -> None:
    asked = (
        SegmentTarget(name="left", prompts=(LEFT,), limit=(2, 4)),
        SegmentTarget(name="right", prompts=(RIGHT,), limit=(4, 6)),
    )
    done = segment(SegmentRequest(input=file, asked=asked, output=OutputChoice(path=file.with_name("o.nii.gz"))))
    labels = np.asarray(nib.load(file.with_name("o.nii.gz")).dataobj)
    assert [one.name for one in done.manifest.objects] == ["left", "right"]
    assert sorted(np.unique(np.nonzero(labels == 1)[2])) == [2, 3, 4]
    assert sorted(np.unique(np.nonzero(labels == 2)[2])) == [4, 5, 6]


def test_boxes_on_single_slices_are_evidence_there_and_limit_nothing(file: Path) -> None:
    """Given with six numbers or with four, they give the same."""
    found = []
    for number, prompts in enumerate(
        ((Box(8, 10, 3, 24, 30, 4), Box(8, 10, 5, 24, 30, 6)), (LEFT, Box(8, 10, 24, 30, frame=5)))
    ):
        path = file.with_name(f"{number}.nii.gz")
        segment(SegmentRequest(input=file, asked=SegmentTarget(prompts=prompts), output=OutputChoice(path=path)))
        found.append(np.asarray(nib.load(path).dataobj))
    assert (found[0] == found[1]).all() and found[0].any(axis=(0, 1)).all()


@pytest.mark.parametrize(
    ("target", "code"),
    [
        pytest.param(SegmentTarget(prompts=(LEFT,), limit=(4, 6)), "E-LIMIT", id="beyond"),
        pytest.param(SegmentTarget(prompts=(LEFT,), limit=(0, 8)), "E-LIMIT", id="off the scan"),
        pytest.param(SegmentTarget(prompts=(LEFT,), limit=(5, 3)), "E-LIMIT", id="inverted"),
        pytest.param(SegmentTarget(prompts=(LEFT,), limit=(2, 4), propagate=False), "E-OPTION-UNUSED", id="alone"),
        pytest.param(
            SegmentTarget(prompts=(Point(14, 14, frame=3),), following=PropagationOptions(stride=2), propagate=False),
            "E-OPTION-UNUSED",
            id="way",
        ),
    ],
)
def test_limits_that_cannot_hold_are_refused(file: Path, target: SegmentTarget, code: str) -> None:
    with pytest.raises(DelineateError) as caught:
        segment(SegmentRequest(input=file, asked=target, output=OutputChoice(path=file.with_name("o.nii.gz"))))
    assert caught.value.code == code and not file.with_name("o.nii.gz").exists()
