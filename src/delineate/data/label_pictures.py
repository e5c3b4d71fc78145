"""Label images as people store them: numbers, palettes, three equal channels, black and white in a JPEG."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import InputError
from delineate.core.scan import Scan
from delineate.io.opening import PICTURE_SUFFIXES, open_scan
from delineate.io.readers.frame_folder import natural_order

JPEG = (".jpg", ".jpeg")
PICTURES = (*(suffix for suffix in PICTURE_SUFFIXES if not suffix.startswith(".tif")), ".gif")
JPEG_BLACK = 128  # a lossy mask is black below, white from here on

Labels = NDArray[Any]


@dataclass(frozen=True, eq=False)
class LabelPictures:
    """Label pictures of one size as frames (n, height, width), read when they are asked for."""

    paths: tuple[Path, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self, index: int) -> Labels:
        """The labels of one frame.

        Raises InputError for another size than the first one's, and for fractions.
        """
        labels = read_labels(self.paths[index])
        if labels.shape != self.shape[1:]:
            raise InputError(
                "E-FRAMES-MIXED",
                f"{self.paths[index].name} is {labels.shape[1]} x {labels.shape[0]} pixels, the first label "
                f"{self.shape[2]} x {self.shape[1]}.",
                "Frames and labels of one video have one size and one kind of pixels: move what differs elsewhere.",
            )
        whole = labels.astype(self.dtype)
        if self.dtype.kind == "i" and (whole != labels).any():
            raise InputError(
                "E-LABELS-FRACTIONS",
                f"{self.paths[index].name} holds {labels.min():g} to {labels.max():g}, which are no whole numbers.",
                "A label picture has one whole number a pixel: make labels of such values first.",
            )
        return whole


def open_labels(path: Path, slice_axis: int | None = None) -> Scan:
    """The labels of a scan: a volume, a picture, or a folder of pictures.

    slice_axis  of the scan, for a volume

    The indices of a palette are the labels (VOS), three equal channels are one, and a JPEG is black or white.
    Raises InputError where a picture's colors are no numbers.
    """
    if path.is_dir() and (found := pictures(path)):
        first = read_labels(found[0])
        dtype = first.dtype if first.dtype.kind == "f" else np.dtype(np.int32)  # later ones may hold larger numbers
        return Scan.from_frames(LabelPictures(tuple(found), (len(found), *first.shape), dtype))
    if path.is_file() and path.suffix.lower() in PICTURES:
        picture = open_scan(path, palette_indices=True)
        return Scan.from_image(_labels_of(picture, path), picture.grid)
    return open_scan(path, slice_axis=slice_axis, palette_indices=True)


def read_labels(path: Path) -> Labels:
    """One label picture (height, width) as whole numbers.

    Raises InputError if it cannot be read, or its colors are no numbers.
    """
    return _labels_of(open_scan(path, palette_indices=True), path)


def _labels_of(picture: Scan, path: Path) -> Labels:
    pixels = np.asarray(picture.pixels(0))
    if pixels.ndim == 3:
        if (pixels != pixels[..., :1]).any() and path.suffix.lower() not in JPEG:
            raise InputError(
                "E-LABEL-COLOR",
                f"{path.name} is colored; nothing says which structure each color is.",
                "Store whole numbers or a palette; or add labels.json (EndoVis) or class_dict.csv: "
                "docs/reference/datasets.md",
            )
        pixels = pixels[..., 0]
    if path.suffix.lower() in JPEG:
        return (pixels >= JPEG_BLACK).astype(np.uint8)
    return pixels


def pictures(folder: Path) -> list[Path]:
    """The pictures of a folder, frame2 before frame10."""
    found = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return sorted((path for path in found if path.suffix.lower() in PICTURE_SUFFIXES), key=natural_order)
