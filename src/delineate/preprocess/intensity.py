"""Scanner values turned into the 8-bit pictures that models of photographs expect, through one window a scan."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import InputError
from delineate.core.frame import Frame, Modality, ModalityName
from delineate.core.intensities import Intensities, IntensityWindow
from delineate.core.scan import Scan

# level and width in Hounsfield units (MedSAM's presets; bone as radiologists set it)
CT_WINDOWS: Final = {
    "soft": (40.0, 400.0), "abdomen": (40.0, 400.0), "lung": (-600.0, 1500.0), "brain": (40.0, 80.0),
    "mediastinum": (50.0, 350.0), "bone": (400.0, 1800.0),
}  # fmt: skip


class WindowRule(StrEnum):
    """How a system decides the intensity window of a scan that nobody chose one for.

    Exported systems hold these words, so they stay; "nonzero" means above zero.
    """

    MEDSAM = "CT: -160 to 240 HU; 8 bit: as it is; others: 0.5th to 99.5th percentile of the scan's nonzero values"
    MEDSAM2 = "CT: the window of the file, else -160 to 240 HU; others as MedSAM"
    CROP = "each crop by its own percentiles"  # Quill


def named_window(text: str) -> IntensityWindow:
    """A preset for CT by its name, or ``LOW,HIGH``.

    Raises InputError for anything else.
    """
    if text in CT_WINDOWS:
        level, width = CT_WINDOWS[text]
        return IntensityWindow(level - width / 2, level + width / 2, f"preset {text}")
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            "E-WINDOW",
            f'"{text}" is no intensity window.',
            f"Use {', '.join(CT_WINDOWS)}, or LOW,HIGH such as -160,240.",
        ) from None
    return IntensityWindow(low, high)


def scan_window(scan: Scan, rule: WindowRule) -> IntensityWindow | None:
    """The window a system with this rule sees a scan through; None: 8-bit values as they are, or crop by crop."""
    return _decided(rule, scan.intensity_window, scan.modality, scan.intensities, scan.window)


def frame_window(frame: Frame, rule: WindowRule = WindowRule.MEDSAM) -> IntensityWindow | None:
    """The same for one frame: it is the window of its scan."""
    return _decided(rule, frame.window, frame.modality, frame.intensities, frame.file_window)


def _decided(
    rule: WindowRule,
    chosen: IntensityWindow | None,
    modality: Modality,
    intensities: Intensities,
    of_file: tuple[float, float] | None,
) -> IntensityWindow | None:
    if rule is WindowRule.CROP or intensities.dtype == np.uint8:
        return chosen
    if chosen is not None:
        return chosen.narrowed(*intensities.extent)
    unknown = modality.name is ModalityName.UNKNOWN
    if modality.name is ModalityName.CT or (unknown and intensities.statistics.look_like_hounsfield):
        window = replace(named_window("soft"), source="CT: soft tissue")
        if rule is WindowRule.MEDSAM2 and of_file is not None and of_file[0] < of_file[1]:
            window = IntensityWindow(*of_file, "CT: the window of the file")
        return window.narrowed(*intensities.extent)
    return IntensityWindow(*intensities.statistics.display_range, "0.5th to 99.5th percentile of positive values")


def eight_bit(frame: Frame, rule: WindowRule = WindowRule.MEDSAM) -> NDArray[np.uint8]:
    """A frame as RGB (height, width, 3) uint8, seen through the window of its scan.

    NaN is shown as the low end of the window, -inf too, +inf as the high end.
    """
    pixels, window = frame.pixels, frame_window(frame, rule)
    pixels = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    if window is not None:
        pixels = window.to_8bit(pixels)
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels[..., :3]
