"""The tags of a DICOM file as numbers and words: what is empty is absent, what is malformed is refused.

In enhanced files a frame's tags lie in functional groups (PS3.3 C.7.6.16): its own come first, then those all frames
share, then the file's.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from delineate.core.errors import InputError
from delineate.core.terminal_text import printable

# the sequences of a functional group that hold a tag
_MACROS = {
    "ImagePositionPatient": ("PlanePositionSequence",),
    "ImageOrientationPatient": ("PlaneOrientationSequence",),
    "PixelSpacing": ("PixelMeasuresSequence",),
    "SliceThickness": ("PixelMeasuresSequence",),
    "SpacingBetweenSlices": ("PixelMeasuresSequence",),
    "RescaleSlope": ("PixelValueTransformationSequence",),
    "RescaleIntercept": ("PixelValueTransformationSequence",),
    "RescaleType": ("PixelValueTransformationSequence",),
    "WindowCenter": ("FrameVOILUTSequence",),
    "WindowWidth": ("FrameVOILUTSequence",),
    "FrameType": ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence"),
    "ComplexImageComponent": ("MRImageFrameTypeSequence",),
    "EffectiveEchoTime": ("MREchoSequence",),
    "DiffusionBValue": ("MRDiffusionSequence",),
    "DiffusionDirectionality": ("MRDiffusionSequence",),
    "StackID": ("FrameContentSequence",),
    "TemporalPositionIndex": ("FrameContentSequence",),
    "DimensionIndexValues": ("FrameContentSequence",),
    "FrameAcquisitionNumber": ("FrameContentSequence",),
    "NominalCardiacTriggerDelayTime": ("CardiacSynchronizationSequence",),
    "ConvolutionKernel": ("CTReconstructionSequence",),
    "InversionTimes": ("MRModifierSequence",),
}


class Tags:
    """What a file, or one of its frames, says of itself.

    Every getter gives ``None`` (or "" and ()) for what is absent or empty.
    Raises InputError, with the tag and its text, for what is there and is not a number.
    """

    def __init__(self, data: Dataset, path: Path, groups: tuple[Dataset, ...] = ()) -> None:
        self.data, self.path, self._groups = data, path, groups

    def framed(self, *groups: Dataset) -> Tags:
        """The tags of a frame: its functional groups before those of the file."""
        return Tags(self.data, self.path, groups)

    def number(self, name: str) -> float | None:
        values = self.numbers(name)
        return values[0] if values else None

    def whole(self, name: str) -> int | None:
        value = self.number(name)
        if value is not None and not value.is_integer():
            raise self._malformed(name, str(value), "a whole number")
        return None if value is None else int(value)

    def numbers(self, name: str, count: int | None = None) -> tuple[float, ...]:
        """All values of a tag; ``count``: how many there must be, where there are any."""
        value = self._value(name)
        if value is None:
            return ()
        parts = value.split("\\") if isinstance(value, str) else [value] if not _is_several(value) else list(value)
        try:
            numbers = tuple(float(part) for part in parts)
        except (TypeError, ValueError, OverflowError):
            raise self._malformed(name, str(value), "a number") from None
        if not all(map(math.isfinite, numbers)):
            raise self._malformed(name, str(value), "a number")
        if count is not None and len(numbers) != count:
            raise self._malformed(name, str(value), f"{count} numbers")
        return numbers

    def text(self, name: str) -> str:
        return "\\".join(self.words(name))

    def words(self, name: str) -> tuple[str, ...]:
        value = self._value(name)
        if value is None:
            return ()
        return tuple(str(part) for part in value) if _is_several(value) else (str(value),)

    def items(self, name: str) -> tuple[Tags, ...]:
        """The items of a sequence."""
        value = self._value(name)
        if value is None or not _is_several(value):
            return ()
        return tuple(Tags(item, self.path) for item in value if isinstance(item, Dataset))

    def bytes(self, name: str) -> bytes | None:
        """A tag whose type depends on the pixels, where it was left as bytes."""
        value = self._value(name)
        return value if isinstance(value, bytes) else None

    def _value(self, name: str) -> Any:
        for source in self._sources(name):
            value = self._read(source, name)
            if value is not None and not (hasattr(value, "__len__") and len(value) == 0):
                return value
        return None

    def _sources(self, name: str) -> list[Dataset]:
        found = []
        for group in self._groups:
            for macro in _MACROS.get(name, ()):
                items = self._read(group, macro)
                if items is not None and _is_several(items) and len(items) and isinstance(items[0], Dataset):
                    found.append(items[0])
        return [*found, self.data]

    def _read(self, source: Dataset, name: str) -> Any:
        try:
            return source.get(name)
        except Exception:  # pydicom's converters raise whatever the text makes them
            raw = getattr(source.get_item(tag_for_keyword(name) or 0), "value", b"")
            text = raw.decode("latin-1") if isinstance(raw, bytes) else str(raw)
            raise self._malformed(name, text, "what it should be") from None

    def _malformed(self, name: str, text: str, wanted: str) -> InputError:
        shown = printable(text.strip()[:80].replace("\n", " "))
        return InputError(
            "E-DICOM-TAG",
            f'{printable(self.path.name)}: {name} is "{shown}", not {wanted}.',
            "Export the series again, or correct the tag.",
        )


def _is_several(value: Any) -> bool:
    return not isinstance(value, (str, bytes)) and hasattr(value, "__iter__")
