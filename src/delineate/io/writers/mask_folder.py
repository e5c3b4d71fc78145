"""A video's outlines as a folder of label images."""

from __future__ import annotations

import json
from pathlib import Path

from delineate.core.scan import Scan
from delineate.core.segmentation import Overlap, Segmentation
from delineate.io.writers.label_png import label_png


def write_mask_folder(segmentation: Segmentation, path: Path, scan: Scan, overlap: Overlap) -> None:
    """A video's outlines as ``masks/00000.png`` and so on, and ``tracks.json`` with confidence by frame."""
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
    (path / "tracks.json").write_text(json.dumps({"times": scan.times, "objects": tracks}, indent=1))
