"""One page of a TIFF as it is meant to be shown: colors as RGB, gray values bright where they are high, upright."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC

from delineate.core.errors import InputError, MissingExtraError, Notice
from delineate.core.reading import reason
from delineate.io.limits import check_picture, require_plausible
from delineate.io.options import ReadOptions
from delineate.io.readers.picture import ALPHA_DROPPED, ROTATED, page_pixels, upright
from delineate.io.unpacking import DEFLATE_RATIO, PIECE, Packing, holds_more

WHITE_LOW = Notice("W-TIFF-WHITE", "The file keeps white as 0 (MinIsWhite); gray values were inverted.")
LABELS_AS_STORED = Notice("W-TIFF-WHITE", "The file keeps white as 0 (MinIsWhite); its labels are taken as stored.")
_FAX = (2, 3, 4)  # compressions of scanned paper, whose pictures always keep white as 0
_DEFLATE = (8, 32946, 50013)  # what TIFF calls it
_LZW, _PACKBITS, _NONE = 5, 32773, 1
_RATIOS = {_NONE: 1, _PACKBITS: 64, _LZW: 2731, **dict.fromkeys(_DEFLATE, DEFLATE_RATIO)}  # bytes of a byte, at most
_BY_PILLOW = (PHOTOMETRIC.PALETTE, PHOTOMETRIC.SEPARATED, PHOTOMETRIC.YCBCR, PHOTOMETRIC.CIELAB)
_GRAY = (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE)
_ALPHA = (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA)
FEW_BITS = (2, 4)  # of a sample: all of its range is shown, as of such a PNG
_ORIENTATION = 274  # tag


@dataclass(frozen=True, eq=False)
class TiffPages:
    """The pages of an open TIFF, decoded one at a time.

    images  how many pictures lie one behind the other under the header of the first page (ImageJ, above 4 GB)
    """

    path: Path
    file: tifffile.TiffFile
    options: ReadOptions
    images: int = 0
    notices: dict[str, Notice] = field(default_factory=dict)

    def check(self, index: int) -> Any:
        """A page, after what it declares was held against the limits. Raises InputError."""
        page = self.file.pages[0 if self.images else index]
        values = int(np.prod(page.shape, dtype=np.int64))
        pixels = page.imagewidth * page.imagelength
        if not pixels or not values:
            raise ValueError("a page without pixels")
        each = max(values, pixels) // pixels * np.dtype(page.dtype or np.uint8).itemsize
        check_picture(self.path, page.imagewidth, page.imagelength, each, self.options)
        if (ratio := _RATIOS.get(int(page.compression))) is not None:
            require_plausible(self.path, max(values, pixels) * page.bitspersample / 8, ratio)
        return page

    def read(self, index: int, channel: int | None = None) -> NDArray[Any]:
        """(height, width) or (height, width, 3); one ``channel`` of a page that holds several which are no colors."""
        try:
            page = self.check(index)
            if page.photometric in _BY_PILLOW and channel is None:
                return self._by_pillow(index)
            pixels = self._stored(page, index)
            return self._shown(page, pixels, channel)
        except (InputError, MissingExtraError):
            raise
        except MemoryError:
            raise
        except Exception as error:  # tifffile and its codecs raise whatever damaged bytes make them
            if "imagecodecs" in str(error):
                return self._without_codec(index, error)
            raise InputError(
                "E-TIFF-DAMAGED",
                f"Page {index} of {self.path.name} cannot be read: {reason(error)}.",
                "Export it again.",
            ) from None

    def _stored(self, page: Any, index: int) -> NDArray[Any]:
        if not self.images:
            _require_bounded(page)
            return np.asarray(page.asarray(maxworkers=1))
        size = int(np.prod(page.shape)) * page.dtype.itemsize
        stream = page.parent.filehandle
        stream.seek(page.dataoffsets[0] + index * size)
        data = stream.read(size)
        if len(data) < size:
            raise ValueError(f"{len(data)} of {size} bytes are there")
        kind = page.dtype.newbyteorder(page.parent.byteorder)
        return np.frombuffer(data, kind).reshape(page.shape).astype(page.dtype)

    def _shown(self, page: Any, pixels: NDArray[Any], channel: int | None) -> NDArray[Any]:
        if pixels.dtype.kind == "c":
            raise InputError(
                "E-TIFF-DTYPE", f"{self.path.name} holds complex numbers ({pixels.dtype}).",
                "Save magnitude or phase as a picture first.",
            )  # fmt: skip
        if page.axes == "SYX":
            pixels = pixels.transpose(1, 2, 0)  # planar storage
        if channel is not None and pixels.ndim == 3:
            pixels = pixels[..., channel]
        colors = 1 if page.photometric in _GRAY else 3
        if pixels.ndim == 3 and pixels.shape[2] > colors and alpha_of(page):
            self._tell(ALPHA_DROPPED)
            pixels = pixels[..., 0] if colors == 1 else pixels[..., :3]
        if pixels.dtype == bool:
            pixels = pixels.astype(np.uint8) * 255
        if page.photometric == PHOTOMETRIC.MINISWHITE and pixels.dtype.kind == "u":
            pixels = self._white_high(page, pixels)
        if page.bitspersample in FEW_BITS and pixels.dtype == np.uint8 and not self.options.palette_indices:
            pixels = pixels * np.uint8(255 // (2**page.bitspersample - 1))
        if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
            raise InputError(
                "E-TIFF-CHANNELS", f"{self.path.name} has pages of shape {pixels.shape}: neither gray nor RGB.",
                "Save the channel of interest on its own.",
            )  # fmt: skip
        if min(pixels.shape[:2]) < 2:
            raise InputError(
                "E-PICTURE-TINY",
                f"{self.path.name} is {pixels.shape[1]} x {pixels.shape[0]} pixels: nothing to outline.",
                "Check that it is the right file.",
            )
        return self._upright(page, pixels)

    def _white_high(self, page: Any, pixels: NDArray[Any]) -> NDArray[Any]:
        """Of a page that keeps white as 0; labels stay the numbers they are, as with a palette."""
        if self.options.palette_indices and page.compression not in _FAX:
            self._tell(LABELS_AS_STORED)
            return pixels
        self._tell(WHITE_LOW)
        bits = 8 if page.bitspersample == 1 else page.bitspersample
        return np.asarray(2**bits - 1 - pixels, pixels.dtype)

    def _upright(self, page: Any, pixels: NDArray[Any]) -> NDArray[Any]:
        turn = orientation_of(page)
        if turn == 1 or self.options.stored_orientation:
            return pixels
        self._tell(ROTATED)
        return upright(pixels, turn)

    def _by_pillow(self, index: int) -> NDArray[Any]:
        """Print colors, palettes, luminance and the like, as other pictures of such colors are read."""
        pixels, notices = page_pixels(self.path, self.options, index)
        for notice in notices:
            self._tell(notice)
        return pixels

    def _without_codec(self, index: int, error: Exception) -> NDArray[Any]:
        """What Pillow can decode without losing bits. Raises MissingExtraError for the rest."""
        page = self.file.pages[index]
        if self.images or (page.samplesperpixel > 1 and page.bitspersample > 8):
            name = COMPRESSION(page.compression).name
            raise MissingExtraError(f"{self.path.name} is compressed as {name}; reading it", "tiff") from error
        return self._by_pillow(index)

    def _tell(self, notice: Notice) -> None:
        self.notices.setdefault(notice.code, notice)


def orientation_of(page: Any) -> int:
    """1 (upright) to 8, as in EXIF."""
    tag = page.tags.get(_ORIENTATION) if hasattr(page, "tags") else None
    value = tag.value if tag is not None else 1
    return int(value) if isinstance(value, int) and 1 <= value <= 8 else 1


def alpha_of(page: Any) -> bool:
    """Whether the samples beyond the colors are transparency; writers often do not say, where there is one."""
    extra = [int(one) for one in page.extrasamples or ()]
    known = any(one in _ALPHA for one in extra)
    return known or (page.photometric == PHOTOMETRIC.RGB and len(extra) == 1)


def _require_bounded(page: Any) -> None:
    """That strips and tiles packed by deflate unpack to what the page declares of them: tifffile takes all there is.

    Small ones cannot unpack to much. Raises ValueError.
    """
    if page.compression not in _DEFLATE:
        return
    piece = page.tile or (page.rowsperstrip or page.imagelength, page.imagewidth)
    promised = int(np.prod(piece, dtype=np.int64)) * max(1, page.samplesperpixel) * page.bitspersample // 8
    stream = page.parent.filehandle
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        if count * DEFLATE_RATIO < promised + PIECE * 16:
            continue
        stream.seek(offset)
        if holds_more(io.BytesIO(stream.read(min(count, promised + PIECE))), Packing.ZLIB, promised + PIECE):
            raise ValueError("its compressed data hold more than the page")
