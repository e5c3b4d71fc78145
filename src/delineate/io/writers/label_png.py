"""A frame's label image as a palette PNG."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from delineate.core.scan import Scan
from delineate.core.segmentation import Overlap, Segmentation
from delineate.io.atomic import write_bytes
from delineate.io.grid_record import picture_text
from delineate.io.label_names import KEY, names_text
from delineate.io.own_files import png_mark


def write_png(segmentation: Segmentation, path: Path, scan: Scan, overlap: Overlap) -> None:
    write_bytes(path, label_png(segmentation, 0, overlap))


def label_png(segmentation: Segmentation, frame: int, overlap: Overlap) -> bytes:
    """Label values as a palette PNG, or 16-bit gray above 255."""
    labels = smallest(segmentation.frame_labels(frame, overlap))
    picture = Image.fromarray(labels)
    if labels.dtype == np.uint8:
        palette = np.zeros((256, 3), np.uint8)
        for one in segmentation.objects:
            if one.label < 256:
                palette[one.label] = one.color
        picture.putpalette(palette.tobytes())
    buffer = io.BytesIO()
    about = {KEY: names_text(segmentation), **picture_text(segmentation)}
    picture.save(buffer, "PNG", pnginfo=png_mark(text=about))
    return buffer.getvalue()


def smallest(labels: NDArray[Any]) -> NDArray[Any]:
    return labels.astype(np.uint8) if labels.max(initial=0) < 256 else labels
