"""The demo: three scans that belong to nobody, really segmented, with pictures to look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import nibabel as nib
import numpy as np
from PIL import Image
from pydicom.data import get_testdata_file

from delineate.demo.phantom import phantom_volume, ultrasound_clip
from delineate.io.opening import open_scan
from delineate.io.overlay import save_film, save_preview
from delineate.io.saving import output_record, save, write_manifest
from delineate.prompts import Box, Point
from delineate.rle import Rle
from delineate.segmentation import Segmentation
from delineate.session import Session

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class DemoResult:
    """One scan of the demo.

    command  does the same again
    dice     against the known truth, mean over structures; None where there is none
    """

    title: str
    picture: Path
    command: str
    seconds: float
    dice: float | None


def run_demo(folder: Path, progress: Progress | None = None) -> list[DemoResult]:
    """Segment a made-up CT volume, a made-up ultrasound clip and the CT slice that comes with pydicom."""
    steps = (_volume, _clip, _dicom)
    results = []
    for number, step in enumerate(steps):
        if progress is not None:
            progress(number, len(steps))
        results.append(step(folder))
    return results


def _volume(folder: Path) -> DemoResult:
    phantom = phantom_volume()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "abdomen.nii.gz"
    nib.save(nib.Nifti1Image(phantom.scan.voxels(), phantom.scan.grid.affine), path)
    scan = open_scan(path)
    began = perf_counter()
    session = Session(scan)
    for name in ("liver", "spleen", "left kidney", "right kidney"):
        one = phantom.truth[name]
        middle = max(one.frames, key=lambda f: one.masks[f].area)
        box = _bounds(one.masks[middle])
        session.prompt(Box(box[0], box[1], one.frames[0], box[2], box[3], one.frames[-1] + 1, frame=middle), name)
    session.propagate()
    seconds = perf_counter() - began
    output = folder / "abdomen_seg.nii.gz"
    picture = _finish(session, output, folder / "abdomen_seg")
    command = f"delineate segment {path} --prompts {folder / 'abdomen_seg.manifest.json'} -o again.nii.gz"
    title = "CT-like volume: four organs, one box each, followed through the slices"
    return DemoResult(title, picture, command, seconds, _dice(session.segmentation, phantom.truth))


def _clip(folder: Path) -> DemoResult:
    phantom = ultrasound_clip()
    frames = folder / "echo"
    frames.mkdir(parents=True, exist_ok=True)
    for n, frame in enumerate(phantom.scan.frames()):
        Image.fromarray(frame).save(frames / f"{n:03d}.png")
    scan = open_scan(frames)
    began = perf_counter()
    session = Session(scan)
    session.prompt(Box(*_bounds(phantom.truth["chamber"].masks[0]), frame=0), "chamber")
    session.propagate()
    seconds = perf_counter() - began
    picture = _finish(session, folder / "echo_seg", folder / "echo_seg")
    save_film(scan, session.segmentation, folder / "echo_seg.film.mp4", 30)
    command = f"delineate segment {frames} --prompts {folder / 'echo_seg.manifest.json'} -o again"
    title = "Ultrasound-like clip: a beating chamber, one box on the first frame (see also echo_seg.film.mp4)"
    return DemoResult(title, picture, command, seconds, _dice(session.segmentation, phantom.truth))


def _dicom(folder: Path) -> DemoResult:
    path = Path(str(get_testdata_file("CT_small.dcm", download=False)))
    scan = open_scan(path)
    began = perf_counter()
    session = Session(scan)
    session.prompt(Point(58, 66), "structure")
    seconds = perf_counter() - began
    output = folder / "ct_slice_seg.png"
    picture = _finish(session, output, folder / "ct_slice_seg")
    command = f"delineate segment {path} --point 58,66 -o again.png"
    return DemoResult("One real CT slice (comes with pydicom): one click", picture, command, seconds, None)


def _finish(session: Session, output: Path, stem: Path) -> Path:
    save(session.segmentation, output, session.scan, overwrite=True)
    write_manifest(session.manifest([output_record(output, output.suffix)]), Path(f"{stem}.manifest.json"))
    picture = Path(f"{stem}.preview.png")
    save_preview(session.scan, session.segmentation, picture)
    return picture


def _bounds(mask: Rle) -> tuple[float, float, float, float]:
    """The bounding box a person would draw, half-open."""
    array = mask.decode()
    rows, columns = np.flatnonzero(array.any(axis=1)), np.flatnonzero(array.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _dice(found: Segmentation, truth: Segmentation) -> float:
    scores = []
    for one in found.objects:
        known = truth[one.name]
        both = sum(
            int((one.masks[f].decode() & known.masks[f].decode()).sum()) for f in one.masks.keys() & known.masks.keys()
        )
        scores.append(2 * both / (one.area + known.area))
    return float(np.mean(scores))
