"""The pixels of a DICOM file as they are meant: rescaled, dark where little was measured, colors as RGB."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.encaps import get_frame
from pydicom.pixels import apply_color_lut, apply_modality_lut, get_decoder, pixel_array
from pydicom.uid import UID, JPEGLSTransferSyntaxes

from delineate.core.errors import InputError, MissingExtraError, Notice
from delineate.io.readers import dicom_jpeg
from delineate.io.readers.dicom_stream import opened
from delineate.io.readers.dicom_tags import Tags

INVERTED = Notice("W-MONOCHROME1", "The file shows low values bright (MONOCHROME1); gray values were inverted.")
LUT = Notice("W-DICOM-LUT", "Values are those of the file's own table (modality LUT).")
PADDED = Notice("W-DICOM-PADDING", "Pixels that the file calls padding, not image, were set to the lowest other value.")
SLOPE = Notice("W-DICOM-SLOPE", "RescaleSlope is 0, which would make all values one; 1 is taken.")
END_OF_IMAGE = b"\xff\xd9"  # of JPEG-LS; never within its pixels
PLAIN = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")  # transfer syntaxes that pack nothing
LEAST_HOUNSFIELD = -4096  # padding of a CT down to this is left as it is: no window of a CT reaches below air


@dataclass(frozen=True, eq=False)
class DicomPixels:
    """One decoded picture.

    array    (height, width) or (height, width, 3)
    padding  (height, width) bool: what is no image; None where the file says nothing of it
    """

    array: NDArray[Any]
    notices: tuple[Notice, ...] = ()
    padding: NDArray[np.bool_] | None = None

    def filled(self, value: float | None = None) -> NDArray[Any]:
        """With padding set to ``value``, or to the lowest other value of the picture."""
        if self.padding is None or not self.padding.any() or self.padding.all():
            return self.array
        array = self.array.copy()
        array[self.padding] = array[~self.padding].min() if value is None else value
        return array

    @property
    def lowest(self) -> float | None:
        """Of what is not padding."""
        inside = self.array if self.padding is None else self.array[~self.padding]
        return float(inside.min()) if inside.size else None


class PixelReader:
    """The frames of one DICOM file, decoded one at a time; its tags are read once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        dicom_jpeg.register()
        try:
            self._stream = opened(path)
            self._data = pydicom.dcmread(self._stream, force=True, stop_before_pixels=True)
            self._point_at_pixels()
        except InputError:
            raise
        except Exception as error:  # pydicom raises whatever damaged bytes make it
            raise _damaged(path, error) from None

    def read(self, frame: int, tags: Tags, mirror: float | None = None) -> DicomPixels:
        """A picture of the file, and what was done to it.

        tags    the frame's
        mirror  of MONOCHROME1 pictures: the sum that a value and its inverted one have, as ``mirror_of`` gives it
        Whole-number results of the rescaling stay whole numbers (int16 where they fit), others become float32.
        """
        stored = self.stored(frame)
        if self._data.get("PhotometricInterpretation") == "PALETTE COLOR":
            stored = (apply_color_lut(stored, self._data) // self._palette_unit).astype(np.uint8)
        if stored.ndim == 3:
            return DicomPixels(np.ascontiguousarray(stored[..., :3]))
        notices: tuple[Notice, ...] = ()
        padding = _padding(stored, tags)
        if tags.items("ModalityLUTSequence"):
            array, notices = apply_modality_lut(stored, self._data), (*notices, LUT)
        else:
            array = rescaled(stored, tags)
            notices = (*notices, *([SLOPE] if tags.number("RescaleSlope") == 0 else []))
        if padding is not None and tags.text("Modality") == "CT" and mirror is None:
            padding = padding & (array < LEAST_HOUNSFIELD)
        if padding is not None and padding.any():
            notices = (*notices, PADDED)
        if mirror is not None:
            array, notices = _inverted(array, mirror), (*notices, INVERTED)
        return DicomPixels(array, notices, padding)

    @cached_property
    def _palette_unit(self) -> int:
        """What a level of 8 bits is in the palette: 1, or 256 where any of its colors needs 16, on whatever frame."""
        count, first, _ = (int(n) for n in self._data.RedPaletteColorLookupTableDescriptor)
        numbers = np.arange(first, first + (count or 2**16), dtype=np.int32)
        return 256 if apply_color_lut(numbers, self._data).max() > 255 else 1

    def close(self) -> None:
        self._stream.close()

    def stored(self, frame: int) -> NDArray[Any]:
        """A picture as it is stored."""
        data, meta = self._data, getattr(self._data, "file_meta", None)
        if meta is None or "TransferSyntaxUID" not in meta:
            data.ensure_file_meta()
            data.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
        self._require_bits(frame)
        try:
            self._require_end(frame)
            return np.asarray(pixel_array(data, index=frame))
        except Exception as error:  # decoders raise whatever damaged bytes make them
            raise _refusal(self._path, data.file_meta.TransferSyntaxUID, error) from None

    def _require_bits(self, frame: int) -> None:
        """That pixels of one bit are there: pydicom takes what is missing of them for zeros."""
        data = self._data
        if data.get("BitsAllocated") != 1 or data.file_meta.TransferSyntaxUID.is_encapsulated:
            return
        end = -(-(frame + 1) * int(data.get("Rows") or 0) * int(data.get("Columns") or 0) // 8)
        here = self._stream.seek(0, 2)
        self._stream.seek(self._start)
        if here - self._start < end:
            raise _damaged(self._path, ValueError(f"frame {frame} ends at byte {end} of {here - self._start}"))

    def _require_end(self, frame: int) -> None:
        """That a frame of JPEG-LS has an end: its decoder takes half a minute over what is cut off before."""
        if self._data.file_meta.TransferSyntaxUID not in JPEGLSTransferSyntaxes:
            return
        tables = (self._data.get("ExtendedOffsetTable"), self._data.get("ExtendedOffsetTableLengths"))
        self._stream.seek(self._start)
        content = get_frame(
            self._stream,
            frame,
            extended_offsets=tables if all(tables) else None,
            number_of_frames=int(self._data.get("NumberOfFrames") or 1),
        )
        self._stream.seek(self._start)
        if END_OF_IMAGE not in content:
            raise ValueError(f"frame {frame} is cut off before its end marker")

    def _point_at_pixels(self) -> None:
        """The pixels stay in the file: the tag's value is the stream, standing where they begin."""
        head = self._stream.read(8)
        syntax = self._data.file_meta.get("TransferSyntaxUID") if hasattr(self._data, "file_meta") else None
        order = ">" if syntax == pydicom.uid.ExplicitVRBigEndian else "<"
        tag = struct.unpack(f"{order}HH", head[:4])
        if tag not in _PIXEL_TAGS:
            raise ValueError("it holds no pixels")
        kind = "OW"
        if head[4:6].isalpha():  # explicit; a file may say so and not be
            kind = head[4:6].decode()
            self._stream.read(4)
        self._data[tag] = DataElement(tag, kind, self._stream)
        self._start = self._stream.tell()


_PIXEL_TAGS = ((0x7FE0, 0x0010), (0x7FE0, 0x0009), (0x7FE0, 0x0008))


def compression_of(tags: Tags) -> str:
    """What the transfer syntax of a file is called; "" where it packs nothing."""
    syntax = str(getattr(tags.data, "file_meta", {}).get("TransferSyntaxUID", ""))
    return "" if syntax in ("", *PLAIN) else UID(syntax).name[:64]


def pixel_bytes(tags: Tags) -> int:
    """Bytes of a stored pixel."""
    return max(1, tags.whole("SamplesPerPixel") or 1) * max(1, (tags.whole("BitsAllocated") or 8) // 8)


def rescaled(array: NDArray[Any], tags: Tags) -> NDArray[Any]:
    """Stored values to what they measure (PS3.3 C.11.1.1), such as Hounsfield units; doses in the file's own units."""
    slope, intercept = _rescale(tags)
    if (slope, intercept) == (1.0, 0.0):
        return array
    if slope.is_integer() and intercept.is_integer() and abs(slope) < 2**15 and abs(intercept) < 2**31:
        return _smallest(array.astype(np.int64) * int(slope) + int(intercept))
    return (array.astype(np.float64) * slope + intercept).astype(np.float32)


def rescaled_type(tags: Tags) -> np.dtype[Any] | None:
    """The type that holds whatever a frame may measure; None where values are those stored, or of a table."""
    slope, intercept = _rescale(tags)
    if (slope, intercept) == (1.0, 0.0) or tags.items("ModalityLUTSequence"):
        return None
    if not (slope.is_integer() and intercept.is_integer()):
        return np.dtype(np.float32)
    bits = tags.whole("BitsAllocated") or 16
    ends = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if tags.whole("PixelRepresentation") == 1 else (0, 2**bits - 1)
    reach = max(abs(int(slope) * end + int(intercept)) for end in ends)
    return np.dtype(np.int16 if reach < 2**15 else np.int32 if reach < 2**31 else np.int64)


def mirror_of(tags: Tags) -> float | None:
    """For MONOCHROME1: the least and the greatest value the bit depth allows, rescaled and added; else None.

    A value inverted about the bit depth is this sum minus the value, whatever else the picture holds.
    """
    if tags.text("PhotometricInterpretation") != "MONOCHROME1":
        return None
    table = tags.items("ModalityLUTSequence")
    if table:
        return float(2 ** (int((table[0].numbers("LUTDescriptor") or (0, 0, 16))[-1]) or 16) - 1)
    bits = tags.whole("BitsStored") or tags.whole("BitsAllocated") or 16
    stored = -1 if tags.whole("PixelRepresentation") == 1 else 2**bits - 1
    slope, intercept = _rescale(tags)
    return stored * slope + 2 * intercept


def window_of(tags: Tags, mirror: float | None = None) -> tuple[float, float] | None:
    """The (low, high) values the file suggests for display: its window, or the range of its VOI LUT.

    mirror  of MONOCHROME1 pictures: the window is inverted as their values are
    """
    centers, widths = tags.numbers("WindowCenter"), tags.numbers("WindowWidth")
    if centers and widths:
        low, high = centers[0] - widths[0] / 2, centers[0] + widths[0] / 2
    elif tables := tags.items("VOILUTSequence"):
        descriptor = tables[0].numbers("LUTDescriptor")
        if len(descriptor) != 3:
            return None
        count, first = int(descriptor[0]) or 2**16, descriptor[1]
        low, high = first, first + count - 1
    else:
        return None
    if mirror is not None and mirror_of(tags) is not None:
        low, high = mirror - high, mirror - low
    return (low, high) if high > low else None


def _rescale(tags: Tags) -> tuple[float, float]:
    slope, intercept = tags.number("RescaleSlope"), tags.number("RescaleIntercept")
    if slope is None:
        slope = tags.number("DoseGridScaling")
    return slope or 1.0, 0.0 if intercept is None else intercept


def _padding(stored: NDArray[Any], tags: Tags) -> NDArray[np.bool_] | None:
    """Which stored values are padding (PS3.3 C.7.5.1.1.2)."""
    first, last = _stored_number(tags, "PixelPaddingValue"), _stored_number(tags, "PixelPaddingRangeLimit")
    if first is None:
        return None
    low, high = sorted((first, first if last is None else last))
    mask = (stored >= low) & (stored <= high)
    return mask if mask.any() else None


def _stored_number(tags: Tags, name: str) -> int | None:
    """A tag in the pixels' own number type, which writers take for unsigned or not as they like."""
    bits, signed = tags.whole("BitsAllocated") or 16, tags.whole("PixelRepresentation") == 1
    raw = tags.bytes(name)
    value = int.from_bytes(raw[:4], "little") if raw is not None else tags.whole(name)
    if value is None:
        return None
    value %= 2**bits
    return value - 2**bits if signed and value >= 2 ** (bits - 1) else value


def _inverted(array: NDArray[Any], mirror: float) -> NDArray[Any]:
    if array.dtype.kind == "f" or not float(mirror).is_integer():
        return (mirror - array.astype(np.float64)).astype(np.float32)
    inverted = int(mirror) - array.astype(np.int64)
    info = np.iinfo(array.dtype)
    fits = info.min <= inverted.min(initial=0) and inverted.max(initial=0) <= info.max
    return inverted.astype(array.dtype) if fits else _smallest(inverted)


def _smallest(wide: NDArray[np.int64]) -> NDArray[Any]:
    low, high = wide.min(initial=0), wide.max(initial=0)
    fitting = (kind for kind in (np.int16, np.int32) if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
    return wide.astype(next(fitting, np.int64))


def _refusal(path: Path, syntax: Any, error: Exception) -> Exception:
    """What is said where decoding failed: unknown compression, missing decoder, or damaged data."""
    uid = pydicom.uid.UID(str(syntax))
    if uid.is_transfer_syntax and not uid.is_compressed:
        return _damaged(path, error)
    try:
        decoder = get_decoder(uid)
    except (NotImplementedError, ValueError):
        return InputError(
            "E-DICOM-SYNTAX",
            f"{path.name} is compressed in a way that cannot be read here ({uid.name[:64]}).",
            "Export it again uncompressed, or as JPEG 2000 or JPEG Lossless.",
        )
    if not decoder.is_available:
        return MissingExtraError(f"{path.name} is compressed as {uid.name}; reading it", "dicom")
    return _damaged(path, error)


def _damaged(path: Path, error: Exception) -> InputError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    reason = lines[min(1, len(lines) - 1) if lines[0].endswith(":") else 0][:160].rstrip(".")  # of the first decoder
    return InputError(
        "E-DICOM-PIXELS", f"The pixels of {path.name} cannot be read: {reason}.", "Copy or export it again."
    )
