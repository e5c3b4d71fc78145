"""Small scans to segment and save, and what a folder holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def picture(path: Path, value: int = 180) -> Path:
    pixels = np.full((64, 64), 30, np.uint8)
    pixels[16:40, 16:48] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def clip(folder: Path) -> Path:
    for n in range(3):
        picture(folder / f"{n}.png")
    return folder


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
