"""A decoder for pydicom: JPEG Lossless and 12-bit JPEG, by imagecodecs (libjpeg-turbo)."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from pydicom.pixels.decoders import JPEGExtended12BitDecoder, JPEGLosslessDecoder, JPEGLosslessSV1Decoder
from pydicom.uid import UID, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1

DECODER_DEPENDENCIES: dict[UID, tuple[str, ...]] = dict.fromkeys(
    (JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1), ("imagecodecs",)
)


def is_available(uid: str) -> bool:
    """What pydicom asks of a plugin before it decodes a transfer syntax."""
    return uid in DECODER_DEPENDENCIES and find_spec("imagecodecs") is not None


@cache
def register() -> None:
    """Tell pydicom of this decoder."""
    for decoder in (JPEGExtended12BitDecoder, JPEGLosslessDecoder, JPEGLosslessSV1Decoder):
        decoder.add_plugin("delineate", (__name__, "decode_frame"))


def decode_frame(source: bytes, runner: Any) -> bytes:
    """A frame's samples, pixel by pixel, little endian. Colors stay as they are stored: pydicom converts them."""
    from imagecodecs import jpeg8_decode

    colors = "RGB" if runner.samples_per_pixel == 3 else None
    array = jpeg8_decode(source, colorspace=colors, outcolorspace=colors)
    runner.set_option("bits_allocated", array.dtype.itemsize * 8)
    runner.set_option("planar_configuration", 0)
    return bytes(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
