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

from delineate.core import terminal_text
from delineate.core.prompts import Box, Point
from delineate.core.rle import Rle
from delineate.core.segmentation import Segmentation
from delineate.demo.phantom import phantom_volume, ultrasound_clip
from delineate.io.naming import beside
from delineate.io.opening import open_scan
from delineate.io.outputs import Outputs
from delineate.io.overlay import save_film, save_preview
from delineate.io.own_files import png_mark
from delineate.io.saving import outline_files, output_record, write_manifest, write_outlines
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
    path = folder / "abdomen.nii.gz"
    image = nib.Nifti1Image(phantom.scan.voxels(), phantom.scan.grid.affine)
    with Outputs([path], overwrite=True) as outputs:
        nib.save(image, outputs.stage(path))
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
    picture = _finish(session, output)
    command = terminal_text.command("delineate", "replay", folder / "abdomen_seg.manifest.json", "-o", "again.nii.gz")
    title = "CT-like volume: four organs, one box each, followed through the slices"
    return DemoResult(title, picture, command, seconds, _dice(session.segmentation, phantom.truth))


def _clip(folder: Path) -> DemoResult:
    phantom = ultrasound_clip()
    frames = folder / "echo"
    with Outputs([frames], overwrite=True) as outputs:
        outputs.stage(frames).mkdir()
        for n, frame in enumerate(phantom.scan.frames()):
            Image.fromarray(frame.pixels).save(outputs.stage(frames) / f"{n:03d}.png", pnginfo=png_mark(scan=True))
    scan = open_scan(frames)
    began = perf_counter()
    session = Session(scan)
    session.prompt(Box(*_bounds(phantom.truth["chamber"].masks[0]), frame=0), "chamber")
    session.propagate()
    seconds = perf_counter() - began
    picture = _finish(session, folder / "echo_seg", folder / "echo_seg.film.mp4")
    command = terminal_text.command("delineate", "replay", folder / "echo_seg.manifest.json", "-o", "again")
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
    picture = _finish(session, output)
    command = terminal_text.command("delineate", "segment", path, "--point", "58,66", "-o", "again.png")
    return DemoResult("One real CT slice (comes with pydicom): one click", picture, command, seconds, None)


def _finish(session: Session, output: Path, film: Path | None = None) -> Path:
    """Write outlines, manifest, picture and film as ``segment`` does; gives the picture."""
    scan, outlines = session.scan, session.segmentation
    manifest, picture = beside(output, ".manifest.json"), beside(output, ".preview.png")
    files = outline_files(output, scan.kind)
    written = [*files, manifest, picture, *([film] if film is not None else [])]
    with Outputs(written, [scan.file.path if scan.file else None], overwrite=True) as outputs:
        write_outlines(outlines, files, scan, outputs)
        write_manifest(session.manifest([output_record(outputs.seal(output), output.suffix)]), outputs.stage(manifest))
        save_preview(scan, outlines, outputs.stage(picture))
        if film is not None:
            save_film(scan, outlines, outputs.stage(film), 30)
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
