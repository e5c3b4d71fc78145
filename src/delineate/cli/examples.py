"""Three real command lines for each verb; ``--help`` and the page of commands end with them."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "clean": (
        "delineate clean organs.nii.gz --largest --holes -o tidy.nii.gz",
        "delineate clean organs.seg.nrrd --label liver --islands 0.5 --smooth 1.5 -o tidy.seg.nrrd",
        "delineate clean tumor.nii.gz --grow 5 --inside-file brain.nii.gz -o margin.nii.gz",
    ),
}
