"""Outlines as a folder of label images, one a frame of a video or a slice of a volume."""

from __future__ import annotations

import json
from pathlib import Path

from delineate.core.scan import Scan
from delineate.core.segmentation import Overlap, Segmentation
from delineate.io.grid_record import grid_record
from delineate.io.writers.label_png import label_png


def write_mask_folder(segmentation: Segmentation, path: Path, scan: Scan, overlap: Overlap) -> None:
    """``masks/00000.png`` and so on, and ``tracks.json`` with the grid, and the confidence by frame."""
    (path / "masks").mkdir(parents=True)
    for index in range(len(segmentation)):
        (path / "masks" / f"{index:05d}.png").write_bytes(label_png(segmentation, index, overlap))
    tracks = [
        {
            "name": o.name,
            "label": o.label,
            "color": o.color,
            "frames": {
                str(i): {"area": o.masks[i].area, "confidence": round(o.scores.get(i, 0.0), 4)} for i in o.frames
            },
        }
        for o in segmentation.objects
    ]
    about = {"times": scan.times, "grid": grid_record(segmentation), "objects": tracks}
    (path / "tracks.json").write_text(json.dumps(about, indent=1))
