"""DICOM segmentations and contours of radiotherapy of a few voxels, and the series they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from small_dicom import UPRIGHT, dicom, item

SEG, SHAPE, STEP = "1.2.840.10008.5.1.4.1.1.66.4", (6, 12, 16), 2.0  # slices, rows, columns; mm between slices


def series(folder: Path, **tags: Any) -> Path:
    for k in range(SHAPE[0]):
        dicom(folder / f"{k}.dcm", np.full(SHAPE[1:], 100 + k, np.uint16), z=STEP * k, Modality="CT", **tags)
    return folder


def drawn(low: int, high: int) -> np.ndarray:
    """A structure on slices 2 to 4."""
    mask = np.zeros(SHAPE, bool)
    mask[2:5, 3:9, low:high] = True
    return mask


def seg(path: Path, masks: list[np.ndarray], kind: str = "BINARY", **tags: Any) -> Path:
    """Frames where something is drawn, a segment after the other; the first frames last."""
    frames, groups = [], []
    for number, mask in enumerate(masks, 1):
        for k in np.flatnonzero(mask.any(axis=(1, 2)))[::-1]:
            group = Dataset()
            group.PlanePositionSequence = item(ImagePositionPatient=[0, 0, STEP * int(k)])
            group.PlaneOrientationSequence = item(ImageOrientationPatient=UPRIGHT)
            group.PixelMeasuresSequence = item(PixelSpacing=[1, 1], SliceThickness=STEP)
            group.SegmentIdentificationSequence = item(ReferencedSegmentNumber=number)
            groups.append(group)
            frames.append(mask[k])
    segments = []
    for number in range(1, len(masks) + 1):
        one = Dataset()
        one.SegmentNumber, one.SegmentLabel = number, f"structure {number}"
        segments.append(one)
    stack = np.stack(frames)
    pixels = (stack > 0).astype(np.uint8) * 255 if kind == "FRACTIONAL" else stack.astype(np.uint8)
    if kind == "FRACTIONAL":
        pixels = np.round(stack.astype(float) * 255).astype(np.uint8)
    more: dict[str, Any] = {
        "Modality": "SEG", "SegmentationType": kind, "NumberOfFrames": len(frames),
        "SegmentSequence": Sequence(segments), "PerFrameFunctionalGroupsSequence": Sequence(groups),
    }  # fmt: skip
    if kind == "FRACTIONAL":
        more["MaximumFractionalValue"] = 255
    if kind == "BINARY":
        packed = np.packbits(pixels.ravel(), bitorder="little").tobytes()
        more |= {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0, "PixelData": packed + b"\0" * (len(packed) % 2)}
    return dicom(path, pixels, None, SEG, **more, **tags)


def structures(path: Path, *rois: list[list[tuple[float, float, float]]]) -> Path:
    """An RTSTRUCT of closed contours, LPS mm."""
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    data.Modality = "RTSTRUCT"
    said, drawn_rois = [], []
    for number, contours in enumerate(rois, 1):
        name, roi = Dataset(), Dataset()
        name.ROINumber, name.ROIName = number, f"organ {number}"
        roi.ReferencedROINumber = number
        roi.ContourSequence = Sequence(
            [
                item(ContourGeometricType="CLOSED_PLANAR", ContourData=[value for point in one for value in point])[0]
                for one in contours
            ]
        )
        said.append(name)
        drawn_rois.append(roi)
    data.StructureSetROISequence, data.ROIContourSequence = Sequence(said), Sequence(drawn_rois)
    data.save_as(path, enforce_file_format=True)
    return path


def square(x0: float, y0: float, x1: float, y1: float, k: int) -> list[tuple[float, float, float]]:
    z = STEP * k
    return [(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)]
