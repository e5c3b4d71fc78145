"""The pixels of a DICOM file as they are meant: rescaled, upright in grey, colours as RGB."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, pixel_array

from delineate.core.errors import InputError, MissingExtraError, Notice
from delineate.io.readers.dicom_stream import opened


class PixelReader:
    """The frames of one DICOM file, decoded one at a time; its tags are read once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._stream = opened(path)
            self.tags = pydicom.dcmread(self._stream, force=True, stop_before_pixels=True)
            self._point_at_pixels()
        except (ValueError, AttributeError, OSError, EOFError, KeyError, struct.error) as error:
            raise _damaged(path, error) from None

    def read(self, index: int | None = None) -> tuple[NDArray[Any], tuple[Notice, ...]]:
        """(height, width) or (height, width, 3) of the file (or of one of its frames), and what was done to it.

        Whole-number results of the rescaling stay whole numbers (int16 where they fit), others become float32.
        """
        tags = self.tags
        array = _decoded(tags, self._path, index)
        notices: tuple[Notice, ...] = ()
        if str(tags.get("PhotometricInterpretation")) == "PALETTE COLOR":
            array = apply_color_lut(array, tags)
            array = (array // 256).astype(np.uint8) if array.dtype == np.uint16 else array
        if array.ndim == 3:
            return np.ascontiguousarray(array[..., :3]), notices
        array = rescaled(array, tags, index)
        if str(tags.get("PhotometricInterpretation")) == "MONOCHROME1":
            notices = (
                Notice("W-MONOCHROME1", "The file shows low values bright (MONOCHROME1); grey values were inverted."),
            )
            array = _inverted(array)
        return array, notices

    def close(self) -> None:
        self._stream.close()

    def _point_at_pixels(self) -> None:
        """The pixels stay in the file: the tag's value is the stream, standing where they begin."""
        head = self._stream.read(8)
        syntax = self.tags.file_meta.get("TransferSyntaxUID") if hasattr(self.tags, "file_meta") else None
        order = ">" if syntax == pydicom.uid.ExplicitVRBigEndian else "<"
        tag = struct.unpack(f"{order}HH", head[:4])
        if tag not in _PIXEL_TAGS:
            raise ValueError("it holds no pixels")
        kind = "OW"
        if head[4:6].isalpha():  # explicit; a file may say so and not be
            kind = head[4:6].decode()
            self._stream.read(4)
        self.tags[tag] = DataElement(tag, kind, self._stream)


_PIXEL_TAGS = ((0x7FE0, 0x0010), (0x7FE0, 0x0009), (0x7FE0, 0x0008))


def pixels_of(path: Path, index: int | None = None) -> tuple[NDArray[Any], tuple[Notice, ...]]:
    """The pixels of one file, as ``PixelReader.read`` gives them."""
    reader = PixelReader(path)
    try:
        return reader.read(index)
    finally:
        reader.close()


def pixel_bytes(tags: Dataset) -> int:
    """Bytes of a stored pixel."""
    return max(1, int(tags.get("SamplesPerPixel") or 1)) * max(1, int(tags.get("BitsAllocated") or 8) // 8)


def rescaled(array: NDArray[Any], tags: Dataset, index: int | None = None) -> NDArray[Any]:
    """Stored values to what they measure (PS3.3 C.11.1.1), such as Hounsfield units."""
    slope, intercept = _rescale(tags, index)
    if (slope, intercept) == (1.0, 0.0):
        return array
    if slope.is_integer() and intercept.is_integer():
        wide = array.astype(np.int64) * int(slope) + int(intercept)
        small = np.int16 if wide.min() >= -32768 and wide.max() <= 32767 else np.int32
        return wide.astype(small)
    return (array.astype(np.float64) * slope + intercept).astype(np.float32)


def window_of(tags: Dataset) -> tuple[float, float] | None:
    """The (low, high) grey values the file suggests for display."""
    centre, width = tags.get("WindowCenter"), tags.get("WindowWidth")
    if centre is None or width is None:
        return None
    try:
        c = float(centre[0] if isinstance(centre, pydicom.multival.MultiValue) else centre)
        w = float(width[0] if isinstance(width, pydicom.multival.MultiValue) else width)
    except (TypeError, ValueError, IndexError):
        return None
    return (c - w / 2, c + w / 2) if w > 0 else None


def _rescale(tags: Dataset, index: int | None) -> tuple[float, float]:
    source: Any = tags
    if "RescaleSlope" not in tags:
        groups = [tags.get("SharedFunctionalGroupsSequence")]
        if index is not None and "PerFrameFunctionalGroupsSequence" in tags:
            groups.append([tags.PerFrameFunctionalGroupsSequence[index]])
        for group in groups:
            if group and "PixelValueTransformationSequence" in group[0]:
                source = group[0].PixelValueTransformationSequence[0]
    slope, intercept = source.get("RescaleSlope", 1), source.get("RescaleIntercept", 0)
    return float(1 if slope in (None, "") else slope), float(0 if intercept in (None, "") else intercept)


def _inverted(array: NDArray[Any]) -> NDArray[Any]:
    return (int(array.max()) + int(array.min()) - array.astype(np.int64)).astype(array.dtype)


def _decoded(tags: Dataset, path: Path, index: int | None) -> NDArray[Any]:
    syntax = tags.file_meta.get("TransferSyntaxUID") if hasattr(tags, "file_meta") else None
    if syntax is None:
        tags.ensure_file_meta()
        tags.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    try:
        return np.asarray(pixel_array(tags) if index is None else pixel_array(tags, index=index))
    except (NotImplementedError, RuntimeError) as error:
        if syntax is not None and syntax.is_compressed:
            raise MissingExtraError(f"{path.name} is compressed as {syntax.name}; reading it", "dicom") from error
        raise _damaged(path, error) from None
    except (ValueError, AttributeError, OSError, EOFError, IndexError, KeyError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> InputError:
    reason = str(error).splitlines()[0]
    return InputError(
        "E-DICOM-PIXELS", f"The pixels of {path.name} cannot be read: {reason}.", "Copy or export it again."
    )
