"""Outlines as COCO instances: one annotation for each object and frame, masks as run lengths."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from delineate.core.rle import Rle
from delineate.core.scan import Scan
from delineate.core.segmentation import Overlap, Segmentation
from delineate.io.atomic import write_bytes
from delineate.io.grid_record import GRID_KEY, grid_record
from delineate.io.own_files import MARK


def write_coco(segmentation: Segmentation, path: Path, scan: Scan, overlap: Overlap) -> None:
    write_bytes(path, coco_json(segmentation, scan.file.path.name if scan.file else "scan").encode())


def coco_json(segmentation: Segmentation, name: str) -> str:
    """COCO JSON; a volume's slices and a video's frames are its images, ids counted from 1."""
    height, width = segmentation.frame_shape
    used = sorted({f for o in segmentation.objects for f in o.frames})
    annotations: list[dict[str, Any]] = []
    for one in segmentation.objects:
        for frame in one.frames:
            rle = one.masks[frame]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": frame + 1,
                    "category_id": one.label,
                    "segmentation": {"size": [height, width], "counts": [int(n) for n in rle.counts]},
                    "bbox": _bbox(rle),
                    "area": rle.area,
                    "iscrowd": 0,
                    "score": round(one.scores.get(frame, 0.0), 4),
                }
            )
    images = [{"id": f + 1, "file_name": name, "frame": f, "width": width, "height": height} for f in used]
    categories = [{"id": o.label, "name": o.name, "color": o.color} for o in segmentation.objects]
    info = {"description": MARK, GRID_KEY: grid_record(segmentation)}
    return json.dumps({"info": info, "images": images, "annotations": annotations, "categories": categories}) + "\n"


def _bbox(rle: Rle) -> list[int]:
    """x, y, width, height."""
    mask = rle.decode()
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]
