"""Label maps as plain NRRD, which most tools of the field read."""

from __future__ import annotations

import gzip
from pathlib import Path

from delineate.core.scan import Scan
from delineate.core.segmentation import Overlap, Segmentation
from delineate.io.atomic import replacing
from delineate.io.label_names import KEY, names_text
from delineate.io.writers.seg_nrrd import nrrd_header


def write_nrrd(segmentation: Segmentation, path: Path, scan: Scan, overlap: Overlap) -> None:
    """Header and gzipped label values on the scan's grid, a few planes in memory at a time.

    The structures' names are the value of the key ``delineate_labels``, as JSON.
    """
    header = (
        nrrd_header(segmentation.grid, segmentation.label_dtype) + f"{KEY}:={key_value(names_text(segmentation))}\n"
    )
    with replacing(path) as temporary, temporary.open("wb") as stream:
        stream.write(header.encode() + b"\n")
        with gzip.GzipFile("", "wb", 6, stream, mtime=0) as packed:
            for planes in segmentation.label_planes(overlap):
                packed.write(planes.tobytes())


def key_value(text: str) -> str:
    """Text as the value of a key: what would end the line is escaped (NRRD format, key/value pairs)."""
    return text.replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n")
