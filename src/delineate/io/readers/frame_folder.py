"""A folder of pictures as a video, or as the slices of a volume: in natural order, read one at a time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import DelineateError, InputError, Notice
from delineate.core.frame_source import SteadyFrames
from delineate.core.grid import Grid, Placement
from delineate.core.hashing import sha256_of
from delineate.core.scan import Scan, SourceFile
from delineate.core.terminal_text import counted
from delineate.io.limits import check_frames, check_volume
from delineate.io.naming import COMPANIONS
from delineate.io.options import Pages, ReadOptions
from delineate.io.own_files import is_own
from delineate.io.readers.modality import guess
from delineate.io.readers.stills import read_still

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jp2", ".bmp", ".tif", ".tiff", ".webp", ".avif")
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, eq=False)
class FolderFrames:
    """Pictures of one size, decoded when they are asked for."""

    paths: tuple[Path, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    options: ReadOptions

    def read(self, index: int) -> NDArray[Any]:
        """Raises InputError that names the file where it is damaged, or unlike the first."""
        path = self.paths[index]
        try:
            pixels = read_still(path, self.options)[0]
        except DelineateError as error:
            raise InputError(
                error.code, f"Frame {index}: {error.message}",
                f"{error.hint} To go on without it: --skip-damaged, or move {path.name} out of the folder.".strip(),
            ) from error  # fmt: skip
        if pixels.shape != self.shape[1:] or pixels.dtype != self.dtype:
            raise InputError(
                "E-FRAMES-MIXED",
                f"Frame {index}: {path.name} is {_described(pixels)}, the first frame {self.dtype} {self.shape[1:]}.",
                f"Convert it, or move {path.name} out of the folder.",
            )
        return pixels


def _described(pixels: NDArray[Any]) -> str:
    return f"{pixels.dtype} {pixels.shape}"


def natural_order(path: Path) -> tuple[Any, ...]:
    """Sorts frame2 before frame10."""
    return tuple(int(part) if part.isdecimal() else part.lower() for part in re.split(r"(\d+)", path.name))


def read(folder: Path, options: ReadOptions) -> Scan:
    """The pictures of a folder as a video, or as slices where ``options.pages`` says so.

    Files that cannot be read are left out and told; so are the program's own previews. Gaps in the numbering are
    reported. Raises InputError for mixed sizes, and for names that give no order, or several pictures for one number,
    unless ``options.pages`` says what they are.
    """
    entries = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    paths = sorted((p for p in entries if _is_frame(p)), key=natural_order)
    notices = []
    if len(paths) < len(entries):
        notices.append(
            Notice(
                "W-FRAMES-SKIPPED",
                counted(
                    len(entries) - len(paths),
                    "file that is no picture was skipped.",
                    "files that are no pictures were skipped.",
                ),
            )
        )
    check_frames(folder, len(paths), options)
    paths = _readable(folder, paths, options, notices)
    _require_order(folder, paths, options, notices)
    first, said = read_still(paths[0], options)
    frames = FolderFrames(tuple(paths), (len(paths), *first.shape), first.dtype, options)
    file = SourceFile(folder, "folder of frames", sha256_of(*paths))
    if options.pages is Pages.STACK:
        return replace(_stacked(folder, frames, options), file=file).with_notices(*notices, *said)
    scan = Scan.from_frames(frames, modality=guess(first, folder), notices=(*notices, *said))
    return replace(scan, file=file)


def _is_frame(path: Path) -> bool:
    """Whether a file is a picture by its name, and not a preview or record this program wrote."""
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        return False
    return not (path.name.endswith(COMPANIONS) and is_own(path))


def _readable(folder: Path, paths: Sequence[Path], options: ReadOptions, notices: list[Notice]) -> list[Path]:
    """Those whose size can be determined; all of one size."""
    from PIL import Image

    from delineate.io.readers.picture import damaged

    sizes: dict[tuple[int, int], Path] = {}
    kept, bad = [], list[InputError]()
    for path in paths:
        try:
            with Image.open(path) as picture:
                size = picture.size
        except Exception as error:  # Pillow's plugins raise whatever damaged bytes make them
            if path.suffix.lower().startswith(".tif"):  # of many bits, which Pillow does not know
                kept.append(path)
            else:
                bad.append(damaged(path, error))
            continue
        sizes.setdefault(size, path)
        kept.append(path)
    if bad and not sizes:
        raise bad[0]
    if bad:
        notices.append(
            Notice(
                "W-FRAMES-DAMAGED",
                counted(
                    len(bad), "picture that cannot be read was left out", "pictures that cannot be read were left out"
                )
                + f", the first: {bad[0].message}",
            )
        )
    if len(sizes) > 1:
        text = ", ".join(f"{w} x {h} ({p.name})" for (w, h), p in list(sizes.items())[:8])
        raise InputError(
            "E-FRAMES-MIXED", f"The pictures in {folder} have different sizes: {text}.",
            "Open one of them by itself, or keep those of one clip in a folder of their own.",
        )  # fmt: skip
    return kept


def _require_order(folder: Path, paths: Sequence[Path], options: ReadOptions, notices: list[Notice]) -> None:
    """Every picture has numbers of its own in its name, or the person says what the pictures are."""
    if len(paths) < 2:
        return
    numbers = [tuple(int(n) for n in _NUMBER.findall(path.stem)) for path in paths]
    if options.pages is None:
        ways = "Say what they are: --pages video for frames, --pages stack for slices, in the order of their names."
        unnumbered = [path.name for path, found in zip(paths, numbers, strict=True) if not found]
        if unnumbered:
            raise InputError(
                "E-FRAMES-ORDER",
                f"The names of the pictures in {folder} do not number them ({unnumbered[0]}).",
                f"{ways} Or open one of them by itself.",
            )
        number, times = Counter(numbers).most_common(1)[0]
        if times > 1:
            both = [path.name for path, found in zip(paths, numbers, strict=True) if found == number]
            raise InputError(
                "E-FRAMES-ORDER",
                f"{both[0]} and {both[1]} have the same number: {folder} may hold labels or views beside the frames.",
                f"Keep one kind in the folder. {ways}",
            )
    last = [found[-1] for found in numbers if found]
    if len(last) == len(paths):
        missing = last[-1] - last[0] + 1 - len(last)
        if 0 < missing < len(last):
            notices.append(Notice("W-FRAMES-GAP", f"{missing} numbers are missing between the frames' names."))


def _stacked(folder: Path, frames: FolderFrames, options: ReadOptions) -> Scan:
    """The pictures as slices of a volume, at unknown distances."""
    check_volume(folder, frames.shape[:3], int(np.prod(frames.shape[3:])) * frames.dtype.itemsize, options)
    stack = np.empty(frames.shape, frames.dtype)
    source = SteadyFrames(frames) if options.skip_damaged else frames
    for n in range(len(stack)):
        stack[n] = source.read(n)
    voxels = stack.transpose(2, 1, 0, *range(3, stack.ndim))
    grid = Grid(voxels.shape[:3], placement=Placement.PIXELS)
    return Scan.from_volume(voxels, grid, 2, modality=guess(voxels, folder, volume=True))
