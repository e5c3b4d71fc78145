"""Small valid files of labels: DICOM segmentations and contours, and what this package writes outlines to."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np

import small_data_sets as layouts
from delineate.core.scan import Scan
from delineate.core.segmentation import Segmentation
from delineate.io.saving import save
from fuzz import documents
from fuzz.seeds import Seed, read_back, single
from small_dicom_labels import drawn, seg, square, structures

NIBABEL = Path(nib.__file__).parent / "tests" / "data"  # comes with most installations of nibabel


def dicom_labels() -> Iterator[Seed]:
    """Segments as bits, as shares and as labels; contours with a hole, and of two structures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first, second = drawn(2, 6), drawn(8, 14)
        outer = [square(1.5, 2.5, 9.5, 9.5, k) for k in (1, 2, 3)]
        made = (
            seg(folder / "bits.dcm", [first, second]),
            seg(folder / "overlap.dcm", [first, drawn(4, 9)]),
            seg(folder / "shares.dcm", [first * 0.9, second * 0.6], "FRACTIONAL"),
            structures(folder / "rt.dcm", [*outer, square(3.5, 4.5, 6.5, 7.5, 2)], [square(10.5, 2.5, 13.5, 5.5, 2)]),
        )
        for path in made:
            yield single(path.name, path.read_bytes())


def written() -> Iterator[Seed]:
    """One file of every format that outlines are saved in, and COCO as others write it."""
    done = documents.session()
    volume, image = done.scan, Scan.from_image(np.zeros((20, 24), np.uint8))
    outlines = Segmentation.empty(image).adding("liver", None, 3)
    outlines = outlines.with_masks("liver", {0: done.segmentation["block"].masks[1]})
    clip = Scan.from_frames(np.zeros((4, 20, 24), np.uint8))
    moving = Segmentation.empty(clip).adding("liver", None, 3)
    moving = moving.with_masks("liver", dict(done.segmentation["block"].masks))
    for name in ("a.nii.gz", "a.seg.nrrd", "a.nrrd", "a.mha", "a.tif", "a.npz", "a.json"):
        yield _saved(name, volume, done.segmentation)
    yield _saved("a.png", image, outlines)
    yield _saved("b.json", image, outlines)
    yield _saved("clip", clip, moving)
    yield _saved("clip.npz", clip, moving)
    with tempfile.TemporaryDirectory() as name:
        layouts.coco(Path(name))
        file = next(Path(name).rglob("*.json"))
        yield single("instances.json", file.read_bytes())


def _saved(name: str, scan: Scan, outlines: Segmentation) -> Seed:
    with tempfile.TemporaryDirectory() as folder:
        save(outlines, Path(folder) / name, scan)
        return read_back(name, Path(folder), name)


def measured() -> Iterator[Seed]:
    """PAR/REC, AFNI and MINC 1, as they come with nibabel; none where it was installed without them."""
    header = NIBABEL / "phantom_EPI_asc_CLEAR_2_1.PAR"
    if header.is_file():
        data = header.with_suffix(".REC")
        yield Seed("par", {"a.par": header.read_bytes(), "a.rec": data.read_bytes()}, "a.par")
        afni = NIBABEL / "scaled+tlrc"
        voxels = afni.with_suffix(".BRIK").read_bytes()
        yield Seed("afni", {"a.HEAD": afni.with_suffix(".HEAD").read_bytes(), "a.BRIK": voxels}, "a.HEAD")
        for name in ("tiny.mnc", "minc1_4d.mnc"):
            yield single(name, (NIBABEL / name).read_bytes())
