"""PNG with 16 bits a channel in color, which Pillow would cut down to 8: decoded by FFmpeg, which keeps them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

_FORMATS = {2: "rgb48le", 4: "gray16le", 6: "rgb48le"}  # by color type: truecolor, gray + alpha, truecolor + alpha
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by color type
HEAD = 33  # bytes up to the end of the header chunk


def is_deep_color(path: Path) -> bool:
    """Whether this is a 16-bit PNG of more than one channel."""
    head = _head(path)
    return len(head) == HEAD and head[24] == 16 and head[25] in _FORMATS


def pixel_bits(path: Path) -> int:
    """Bits of a stored pixel; 0 where the header says none."""
    head = _head(path)
    return head[24] * _CHANNELS.get(head[25], 0) if len(head) == HEAD else 0


def has_alpha(path: Path) -> bool:
    """Whether one of the channels is transparency."""
    return _head(path)[25] in (4, 6)


def read(path: Path) -> NDArray[Any]:
    """(height, width) or (height, width, 3) uint16, without transparency. Raises FFmpegError for a damaged file."""
    with av.open(str(path), format="png_pipe", options={"err_detect": "explode"}) as container:
        stream = container.streams.video[0]
        stream.codec_context.options = {"err_detect": "explode"}
        frame = next(container.decode(stream), None)
    if frame is None:
        raise ValueError("it holds no picture")
    if frame.is_corrupt:
        raise ValueError("its pixels are cut short")
    kind = "rgba64le" if frame.format.name.startswith("rgba") else _FORMATS[_head(path)[25]]  # never blended
    pixels = frame.reformat(format=kind).to_ndarray()
    return np.ascontiguousarray(pixels[..., :3] if pixels.ndim == 3 else pixels)


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(HEAD)
