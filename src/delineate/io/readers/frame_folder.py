"""A folder of pictures as a video: frames in natural order, read one at a time."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from delineate.core.errors import InputError, Notice
from delineate.core.scan import Scan, SourceFile
from delineate.io.limits import check_frames
from delineate.io.options import ReadOptions
from delineate.io.readers.modality import guess
from delineate.io.readers.picture import read_pixels


@dataclass(frozen=True, eq=False)
class FolderFrames:
    """Pictures of one size, decoded when they are asked for."""

    paths: tuple[Path, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    options: ReadOptions

    def read(self, index: int) -> NDArray[Any]:
        pixels = read_pixels(self.paths[index], self.options)[0]
        if pixels.shape != self.shape[1:]:
            raise InputError(
                "E-FRAMES-MIXED",
                f"{self.paths[index].name} has the shape {pixels.shape}, the first frame {self.shape[1:]}.",
            )
        return pixels


def natural_order(path: Path) -> tuple[Any, ...]:
    """Sorts frame2 before frame10."""
    return tuple(int(part) if part.isdigit() else part.lower() for part in re.split(r"(\d+)", path.name))


def read(folder: Path, options: ReadOptions) -> Scan:
    """The pictures of a folder as a video. Gaps in the numbering are told; mixed sizes are refused."""
    from delineate.core.hashing import sha256_of
    from delineate.io.opening import PICTURE_SUFFIXES

    entries = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    paths = sorted((p for p in entries if p.suffix.lower() in PICTURE_SUFFIXES), key=natural_order)
    notices = []
    if len(paths) < len(entries):
        notices.append(
            Notice("W-FRAMES-SKIPPED", f"{len(entries) - len(paths)} files that are no pictures were skipped.")
        )
    check_frames(folder, len(paths), options)
    sizes: dict[tuple[int, int], Path] = {}
    for path in paths:
        with Image.open(path) as picture:
            sizes.setdefault(picture.size, path)
    if len(sizes) > 1:
        text = ", ".join(f"{w} x {h} ({p.name})" for (w, h), p in sizes.items())
        raise InputError("E-FRAMES-MIXED", f"The pictures in {folder} have different sizes: {text}.")
    numbers = [int(found[-1]) for p in paths if (found := re.findall(r"\d+", p.stem))]
    if len(numbers) == len(paths) and len(paths) > 1:
        missing = numbers[-1] - numbers[0] + 1 - len(numbers)
        if 0 < missing < len(numbers):
            notices.append(Notice("W-FRAMES-GAP", f"{missing} numbers are missing between the frames' names."))
    first, said = read_pixels(paths[0], options)
    source = FolderFrames(tuple(paths), (len(paths), *first.shape), first.dtype, options)
    scan = Scan.from_frames(source, modality=guess(first, folder), notices=(*notices, *said))
    return replace(scan, file=SourceFile(folder, "folder of frames", sha256_of(*paths)))
