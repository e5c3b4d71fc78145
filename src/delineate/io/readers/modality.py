"""A guess at what kind of picture this is, with its reason. CT gets a window of its own; else nothing depends on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.core.intensities import IntensityStatistics
from delineate.core.scan import Modality, ModalityName

DICOM_MODALITIES = {
    "CT": ModalityName.CT, "MR": ModalityName.MR, "US": ModalityName.ULTRASOUND, "IVUS": ModalityName.ULTRASOUND,
    "CR": ModalityName.XRAY, "DX": ModalityName.XRAY, "MG": ModalityName.XRAY, "XA": ModalityName.XRAY,
    "RF": ModalityName.XRAY, "PX": ModalityName.XRAY, "PT": ModalityName.PET, "ES": ModalityName.ENDOSCOPY,
    "SM": ModalityName.MICROSCOPY, "GM": ModalityName.MICROSCOPY, "OP": ModalityName.FUNDUS,
}  # fmt: skip

_WORDS = {
    ModalityName.CT: ("ct", "cta"),
    ModalityName.MR: ("mr", "mri", "t1", "t2", "t1w", "t2w", "flair", "dwi", "bold", "t1gd"),
    ModalityName.ULTRASOUND: ("us", "ultrasound", "echo"),
    ModalityName.XRAY: ("xray", "cxr", "dx"),
}


def from_dicom(code: str) -> Modality:
    """What a DICOM Modality tag says."""
    name = DICOM_MODALITIES.get(code.upper())
    if name is None:  # what the tag holds is not repeated: the reason is kept in manifests
        return Modality(reason="DICOM names an unknown kind" if code else "DICOM does not say")
    return Modality(name, f"DICOM says {code.upper()}")


def guess(pixels: NDArray[Any], path: Path | None = None, volume: bool = False) -> Modality:
    """A guess from some pixels (any shape; color last) and, weakly, from the file's name."""
    sample = np.asarray(pixels)
    if sample.size == 0:
        return Modality()
    if sample.ndim >= 3 and sample.shape[-1] == 3 and not volume:
        return _guess_color(sample)
    statistics = IntensityStatistics.of(sample)
    low, high = statistics.minimum, statistics.maximum
    if statistics.look_like_hounsfield:
        return Modality(ModalityName.CT, f"values from {low:g} to {high:g} look like Hounsfield units")
    words = set((path.name if path else "").lower().replace(".", "_").replace("-", "_").split("_"))
    for name, hints in _WORDS.items():
        if (found := words.intersection(hints)) and (name is not ModalityName.CT or low < 0):  # fat is below water
            return Modality(name, f'the file name says "{sorted(found)[0]}"')
    if volume and low >= 0 and high > 255:
        return Modality(ModalityName.MR, f"a volume of positive values up to {high:g}, not Hounsfield units")
    return Modality(ModalityName.UNKNOWN, f"gray values from {low:g} to {high:g} say nothing certain")


def _guess_color(pixels: NDArray[Any]) -> Modality:
    flat = pixels.reshape(-1, 3)[:: max(1, pixels.size // 300_000)].astype(np.float32)
    if np.abs(flat - flat.mean(axis=1, keepdims=True)).max() <= 2:
        return Modality(ModalityName.UNKNOWN, "color file of gray values only")
    top = 65535.0 if pixels.dtype == np.uint16 else 255.0
    red, green, blue = (float(v) for v in flat.mean(axis=0) / top)
    dark = float((flat.max(axis=1) < 0.1 * top).mean())
    if dark > 0.15 and red > 1.6 * green and green > 3 * blue:
        return Modality(ModalityName.FUNDUS, "an orange disc on black")
    if min(red, green, blue) > 0.4 and min(red, blue) > green + 0.08:
        return Modality(ModalityName.MICROSCOPY, "purple and pink on white, as in H&E stains")
    if red > 1.25 * green and red > 1.25 * blue:
        if dark > 0.2:
            return Modality(ModalityName.UNKNOWN, "red and orange with black corners: endoscopy or fundus")
        return Modality(ModalityName.ENDOSCOPY, "mostly red, as inside the body")
    return Modality(ModalityName.UNKNOWN, "a color picture")
