"""PNG with 16 bits a channel in color, which Pillow would cut down to 8: decoded by FFmpeg, which keeps them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by color type
HEAD = 33  # bytes up to the end of the header chunk


def is_deep_color(path: Path) -> bool:
    """Whether this is a 16-bit PNG of more than one channel."""
    head = _head(path)
    return len(head) == HEAD and head[24] == 16 and _CHANNELS.get(head[25], 1) > 1


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
    # The samples as stored: now and then a conversion by swscale fills rows of gray + alpha pictures with 32768.
    plane, channels = frame.planes[0], len(frame.format.components)
    rows = np.frombuffer(plane, ">u2").reshape(-1, plane.line_size // 2)[: frame.height, : frame.width * channels]
    pixels = rows.reshape(frame.height, frame.width, channels).astype(np.uint16)
    return pixels[..., 0] if channels == 2 else np.ascontiguousarray(pixels[..., :3])


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(HEAD)
