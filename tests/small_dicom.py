"""DICOM files of a few pixels, with any tag set, emptied or malformed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian, generate_uid

UPRIGHT = [1, 0, 0, 0, 1, 0]


def dicom(path: Path, pixels: Any, z: float | None = 0.0, sop: str = CTImageStorage, **tags: Any) -> Path:
    """One slice at height ``z`` mm, or without a place (None); a tag given as None is left out."""
    data, array = Dataset(), np.asarray(pixels)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = sop
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    data.SeriesInstanceUID, data.SeriesNumber, data.SeriesDescription, data.Modality = "1.2.3.4", 1, "T", "MR"
    data.Rows, data.Columns = array.shape[-2:]
    if array.ndim == 3:
        data.NumberOfFrames = len(array)
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.PixelRepresentation = int(array.dtype.kind == "i")
    data.BitsAllocated = data.BitsStored = array.dtype.itemsize * 8
    data.HighBit, data.PixelData = data.BitsStored - 1, array.tobytes()
    if z is not None:
        data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, z], UPRIGHT
        data.PixelSpacing, data.SliceThickness = [1, 1], 2
    for name, value in tags.items():
        if value is None:
            data.pop(name, None)
        else:
            setattr(data, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def item(**tags: Any) -> Sequence:
    data = Dataset()
    for name, value in tags.items():
        setattr(data, name, value)
    return Sequence([data])


def enhanced(path: Path, pixels: Any, places: list[tuple[float, ...]], groups: Any = None, **tags: Any) -> Path:
    """A file of frames with a functional group each; ``groups``: further sequences of a frame, by its number."""
    frames = []
    for number, place in enumerate(places):
        group = Dataset()
        group.PlanePositionSequence = item(ImagePositionPatient=list(place))
        group.PlaneOrientationSequence = item(ImageOrientationPatient=UPRIGHT)
        group.PixelMeasuresSequence = item(PixelSpacing=[0.5, 0.7], SliceThickness=2)
        for name, value in (groups(number) if groups else {}).items():
            setattr(group, name, value)
        frames.append(group)
    return dicom(path, pixels, None, EnhancedMRImageStorage, PerFrameFunctionalGroupsSequence=Sequence(frames), **tags)


def with_raw(path: Path, name: str, raw: bytes) -> Path:
    """The same file with a tag's bytes as some scanner or anonymizer left them."""
    data = pydicom.dcmread(path)
    tag = pydicom.tag.Tag(tag_for_keyword(name) or 0)
    data._dict[tag] = RawDataElement(tag, dictionary_VR(tag), len(raw), raw, 0, False, True)
    data.save_as(path)
    return path


def levels(count: int, size: int = 6) -> np.ndarray:
    """(count, size, size) uint16: picture n is n * 100 plus its pixel number."""
    return (np.arange(size * size, dtype=np.uint16).reshape(size, size) + 100 * np.arange(count)[:, None, None]).astype(
        np.uint16
    )
