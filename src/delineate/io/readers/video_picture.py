"""One decoded frame of a video as it is shown: upright, mirrored where the file says so, with square pixels."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import Notice

_HDR = {16: "PQ", 18: "HLG"}  # transfer functions (ITU-T H.273)
_INTERLACED = ("tt", "bb", "tb", "bt", 2, 3, 4, 5)


def as_shown(frame: Any, aspect: float) -> NDArray[Any]:
    """(height, width, 3) uint8, or gray (height, width) in 8 or 16 bits."""
    width, height = frame.width, frame.height
    if abs(aspect - 1) > 0.01:
        width = max(1, round(width * aspect))
    gray = frame.format.name.startswith("gray")
    kind = ("gray16le" if _bits(frame) > 8 else "gray") if gray else "rgb24"
    pixels = frame.reformat(width=width, height=height, format=kind).to_ndarray()
    transposed, flip_x, flip_y = orientation(frame)
    if transposed:
        pixels = pixels.swapaxes(0, 1)
    pixels = pixels[:, ::-1] if flip_x else pixels
    return np.ascontiguousarray(pixels[::-1] if flip_y else pixels)


def orientation(frame: Any) -> tuple[bool, bool, bool]:
    """Whether rows and columns are exchanged, then x and y mirrored, as the display matrix says (ISO/IEC 14496-12)."""
    matrix = next((bytes(one) for one in frame.side_data if one.type.name == "DISPLAYMATRIX"), b"")
    if len(matrix) < 20:
        return False, False, False
    a, b, _, c, d = struct.unpack("=5i", matrix[:20])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, a < 0, d < 0
    return True, c < 0, b < 0


def notices_of(stream: Any, frame: Any, aspect: float, streams: int) -> tuple[Notice, ...]:
    """What is done to the frames of a stream, told once."""
    notices = []
    if getattr(stream.codec_context, "field_order", None) in _INTERLACED:
        notices.append(Notice("W-VIDEO-INTERLACED", "The video is interlaced: edges of moving things look combed."))
    if streams > 1:
        notices.append(Notice("W-VIDEO-STREAMS", f"The file holds {streams} streams of pictures; the first is read."))
    if abs(aspect - 1) > 0.01:
        notices.append(
            Notice("W-VIDEO-ASPECT", f"Pixels are {aspect:.3g} times as wide as high; frames were made wider.")
        )
    if orientation(frame) != (False, False, False):
        notices.append(Notice("W-VIDEO-TURNED", "Frames are turned or mirrored as the file says; outlines are too."))
    bits = _bits(frame)
    if bits > 8 and not frame.format.name.startswith("gray"):
        notices.append(Notice("W-DEPTH-CUT", f"Colors of {bits} bits were cut to 8."))
    transfer = int(getattr(frame, "color_trc", 0) or getattr(stream.codec_context, "color_trc", 0) or 0)
    if transfer in _HDR:
        text = f"The video has a high dynamic range ({_HDR[transfer]}); it is shown without tone mapping, so duller."
        notices.append(Notice("W-VIDEO-HDR", text))
    return tuple(notices)


def _bits(frame: Any) -> int:
    return max((component.bits for component in frame.format.components), default=8)
