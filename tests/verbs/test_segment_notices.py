"""What a person asked for and does not get is told of."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from delineate.core.errors import OutputError, PromptError
from delineate.core.prompts import Box
from delineate.verbs.request import OutputChoice
from delineate.verbs.segment import SegmentRequest, SegmentTarget, segment

PIXELS = np.random.default_rng(0).integers(0, 60, (48, 64), dtype=np.uint8)
PIXELS[10:30, 12:40] += 120


def picture(folder: Path) -> tuple[Path, Box]:
    Image.fromarray(PIXELS).save(folder / "a.png")
    return folder / "a.png", Box(12, 10, 40, 30)


def volume(folder: Path) -> tuple[Path, Box]:
    nib.save(nib.Nifti1Image(np.stack([PIXELS.T] * 3, axis=2), np.diag([1.0, 1, 3, 1])), folder / "a.nii.gz")
    return folder / "a.nii.gz", Box(12, 10, 1, 40, 30, 2)


@pytest.mark.parametrize(("made", "what"), [(picture, "an image"), (volume, "a volume")], ids=["image", "volume"])
def test_a_film_of_what_does_not_move_is_refused(made: object, what: str, tmp_path: Path) -> None:
    file, box = made(tmp_path)  # type: ignore[operator]
    asked, output = SegmentTarget(prompts=(box,), propagate=False), OutputChoice(path=tmp_path / "o.nii.gz", film=True)
    if what == "an image":
        output = OutputChoice(path=tmp_path / "o.png", film=True)
    with pytest.raises(OutputError, match=f"A film is made of a video, and this is {what}: there is none."):
        segment(SegmentRequest(input=file, asked=asked, output=output))
    assert sorted(tmp_path.iterdir()) == [file]


def test_a_label_of_no_mask_is_refused(tmp_path: Path) -> None:
    file, box = picture(tmp_path)
    with pytest.raises(PromptError, match="--mask-label"):
        segment(SegmentRequest(input=file, asked=SegmentTarget(prompts=(box,), mask_label=3)))
