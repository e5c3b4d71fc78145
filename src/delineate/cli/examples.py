"""Three real command lines for each verb; ``--help`` and the page of commands end with them."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "clean": (
        "delineate clean organs.nii.gz --largest --holes -o tidy.nii.gz",
        "delineate clean organs.seg.nrrd --label liver --islands 0.5 --smooth 1.5 -o tidy.seg.nrrd",
        "delineate clean tumor.nii.gz --grow 5 --inside-file brain.nii.gz -o margin.nii.gz",
    ),
    "combine": (
        "delineate combine lv.nii.gz rv.nii.gz -o heart.nii.gz",
        'delineate combine heart.nii.gz --make "wall = outer - inner" --remove outer -o wall.nii.gz',
        "delineate combine reader1.nii.gz reader2.nii.gz reader3.nii.gz --how majority -o agreed.nii.gz",
    ),
    "fill-between": (
        "delineate fill-between drawn.nii.gz -o filled.nii.gz",
        "delineate fill-between drawn.nii.gz --label prostate --largest-gap 5 -o filled.nii.gz",
        "delineate fill-between drawn.seg.nrrd --axis S -o filled.seg.nrrd",
    ),
    "measure": (
        "delineate measure organs.nii.gz",
        "delineate measure lesion.nii.gz --scan ct.nii.gz -o lesion.csv --slices slices.csv",
        "delineate measure organs.seg.nrrd --label liver --space LPS --json",
    ),
    "compare": (
        "delineate compare truth.nii.gz mine.nii.gz",
        "delineate compare reader1.seg.nrrd reader2.seg.nrrd --label liver --tolerance 1 -o compared.csv",
        "delineate compare truth.nii.gz mine.nii.gz --scan ct.nii.gz --picture differences.png",
    ),
    "convert": (
        "delineate convert organs.nii.gz -o organs.seg.nrrd",
        "delineate convert dicom_folder -o ct.nii.gz",
        "delineate convert organs.nii.gz --like other_ct.nii.gz -o organs_there.nii.gz",
    ),
}
