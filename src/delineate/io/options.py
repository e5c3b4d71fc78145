"""The choices a reader cannot make for the person, and the limits it keeps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from delineate.core.errors import InputError
from delineate.core.frame import ModalityName


class Pages(StrEnum):
    """What the pages of a TIFF or the pictures of an animation are."""

    STACK = "stack"  # slices of a volume
    VIDEO = "video"  # frames in time


class AffineChoice(StrEnum):
    """Which of a NIfTI header's two affines to believe."""

    SFORM = "sform"
    QFORM = "qform"


class SpacingOrder(StrEnum):
    """The order of the three numbers in an npz file's ``spacing``; writers in the wild disagree."""

    XYZ = "xyz"
    ZYX = "zyx"


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How to read a file. The defaults refuse whatever would need a guess.

    slice_axis           axis the slices of a volume are taken along, by number, name or code; None = the last one, or a
                         clearly thick one
    index                which volume of a 4D file, or which page of a TIFF or animation
    channel              which channel of a TIFF that has several which are no colors
    palette_indices      keep a palette picture's numbers, as of a label image, instead of its colors
    pages                how to take several pages (or a 4D file: VIDEO takes the 4th axis as time)
    series               part of the SeriesInstanceUID, number or description of the DICOM series to read
    affine               which NIfTI affine wins where they disagree
    spacing_order        of an npz file
    modality             what kind of scan it is, such as ``"ultrasound"``, whatever the file says or looks like
    window               intensities models see: a CT preset (``"lung"``) or ``"LOW,HIGH"``; None = the system's rule
    to_gray              turn a color volume into gray values
    resample_irregular   rebuild evenly spaced slices where a DICOM series has gaps or a tilted gantry
    stored_orientation   leave a photograph as stored, ignoring its EXIF rotation
    skip_damaged         show the frame before in place of one that cannot be read, and tell it
    max_*                limits, checked before memory is taken
    """

    slice_axis: int | str | None = None
    index: int | None = None
    channel: int | None = None
    palette_indices: bool = False
    pages: Pages | None = None
    series: str | None = None
    affine: AffineChoice | None = None
    spacing_order: SpacingOrder | None = None
    modality: ModalityName | None = None
    window: str | None = None
    to_gray: bool = False
    resample_irregular: bool = False
    stored_orientation: bool = False
    skip_damaged: bool = False
    max_pixels: int = 200_000_000
    max_voxels: int = 2_000_000_000
    max_frames: int = 1_000_000
    max_files: int = 20_000

    def __post_init__(self) -> None:
        if self.modality is not None:
            object.__setattr__(self, "modality", _modality(self.modality))
        for name, kind in (("pages", Pages), ("affine", AffineChoice), ("spacing_order", SpacingOrder)):
            value = getattr(self, name)
            if value is None:
                continue
            try:
                object.__setattr__(self, name, kind(value))
            except ValueError:
                option = name.replace("_", "-")
                raise InputError(
                    "E-OPTION", f'--{option} "{value}" is not one of {", ".join(kind)}.', "Choose one of these."
                ) from None
        for name in ("max_pixels", "max_voxels", "max_frames", "max_files"):
            if getattr(self, name) < 1:
                option = f"--{name.replace('_', '-')} {getattr(self, name)}"
                raise InputError("E-OPTION", f"With {option} nothing may be read.", "Give a number above 0.")


def _modality(said: str) -> ModalityName:
    """Raises InputError for a word that is none."""
    found = {name.casefold(): name for name in ModalityName if name is not ModalityName.UNKNOWN}
    if said.casefold() not in found:
        raise InputError("E-OPTION", f'--modality "{said}" is not one of {", ".join(found.values())}.', "Choose one.")
    return found[said.casefold()]
