"""DICOM files of many frames: enhanced CT and MR volumes, ultrasound and X-ray clips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from delineate.core.errors import InputError
from delineate.core.grid import Grid, Placement
from delineate.core.scan import Scan
from delineate.io.limits import check_frames, check_volume
from delineate.io.options import ReadOptions
from delineate.io.readers.dicom_geometry import stack_slices
from delineate.io.readers.dicom_pixels import PixelReader, pixel_bytes, window_of
from delineate.io.readers.modality import from_dicom


@dataclass(frozen=True, eq=False)
class CineFrames:
    """Frames of a DICOM clip, decoded one at a time."""

    reader: PixelReader
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self, index: int) -> NDArray[Any]:
        return self.reader.read(index)[0]


def read(path: Path, tags: Dataset, options: ReadOptions) -> Scan:
    """A volume if the frames have places in the patient, else a clip."""
    count = int(tags.NumberOfFrames)
    check_frames(path, count, options)
    if "MOSAIC" in [str(v).upper() for v in tags.get("ImageType", ())]:
        raise InputError("E-DICOM-MOSAIC", f"{path.name} is a mosaic of slices.", "Convert it with dcm2niix first.")
    if "TotalPixelMatrixColumns" in tags:
        raise InputError(
            "E-DICOM-SLIDE", f"{path.name} is a tiled slide of {tags.TotalPixelMatrixColumns} x "
            f"{tags.TotalPixelMatrixRows} pixels.", "Export a region of it as TIFF or PNG.",
        )  # fmt: skip
    modality = from_dicom(str(tags.get("Modality", "")))
    reader = PixelReader(path)
    slices = _placed_frames(tags)
    if slices is not None:
        stack = stack_slices(slices, [path] * count, options.resample_irregular)
        check_volume(path, stack.grid.shape, pixel_bytes(tags), options)
        frames = [reader.read(n)[0] for n in stack.order]
        voxels = np.stack(frames, axis=2).swapaxes(0, 1)
        voxels = voxels if stack.resample is None else stack.resample(voxels)
        return Scan.from_volume(voxels, stack.grid, modality=modality, window=window_of(tags), notices=stack.notices)
    first, notices = reader.read(0)
    source = CineFrames(reader, (count, *first.shape), first.dtype)
    return Scan.from_frames(
        source, modality=modality, window=window_of(tags), times=_times(tags, count), notices=notices
    )


def flat_grid(tags: Dataset, placed: Grid | None = None) -> Grid:
    """The grid of one 2D picture: in the patient if it says where, else its pixel size, else pixels."""
    columns, rows = int(tags.Columns), int(tags.Rows)
    if placed is not None:
        return Grid((columns, rows), placed.affine, ("i", "j"))
    steps = tags.get("PixelSpacing") or tags.get("ImagerPixelSpacing")
    if steps is None and "SequenceOfUltrasoundRegions" in tags and len(tags.SequenceOfUltrasoundRegions):
        region = tags.SequenceOfUltrasoundRegions[0]
        if region.get("PhysicalUnitsXDirection") == 3 and region.get("PhysicalUnitsYDirection") == 3:  # centimetres
            steps = [abs(float(region.PhysicalDeltaY)) * 10, abs(float(region.PhysicalDeltaX)) * 10]
    if not steps or len(steps) != 2 or min(float(s) for s in steps) <= 0:
        return Grid((columns, rows), axes=("x", "y"), placement=Placement.PIXELS)
    return Grid.scaled((columns, rows), (float(steps[1]), float(steps[0])))


def _placed_frames(tags: Dataset) -> list[Dataset] | None:
    """For each frame the tags a single slice would have; None where frames have no place."""
    groups = tags.get("PerFrameFunctionalGroupsSequence")
    if not groups:
        return None
    shared = (tags.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    slices = []
    for group in groups:
        one = Dataset()
        one.Rows, one.Columns = tags.Rows, tags.Columns
        for sequence, wanted in (
            ("PlanePositionSequence", "ImagePositionPatient"),
            ("PlaneOrientationSequence", "ImageOrientationPatient"),
            ("PixelMeasuresSequence", "PixelSpacing"),
        ):
            holder = group.get(sequence) or shared.get(sequence)
            if not holder or wanted not in holder[0]:
                return None
            setattr(one, wanted, holder[0].get(wanted))
        slices.append(one)
    return slices


def _times(tags: Dataset, count: int) -> tuple[float, ...] | None:
    vector = tags.get("FrameTimeVector")
    if vector is not None and len(vector) == count:
        return tuple(float(t) for t in np.cumsum([float(v) for v in vector]) / 1000)
    step = float(tags.get("FrameTime") or 0) / 1000
    if not step and tags.get("CineRate"):
        step = 1 / float(tags.CineRate)
    return tuple(n * step for n in range(count)) if step else None
