"""Prompts that come in files: a mask on the scan's grid or brought onto it, and marks on a few slices."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from delineate.core.alignment import Fit, fit_of, moved
from delineate.core.errors import Notice, PromptError
from delineate.core.origin import origin_notices
from delineate.core.prompts import Box, Mask
from delineate.core.scan import Scan, ScanKind
from delineate.core.terminal_text import counted
from delineate.io.opening import open_scan
from delineate.io.readers.dicom_rtstruct import contours_on, is_structure_set
from delineate.tracking.markers import are_outlines, marker_boxes
from delineate.verbs.drawn_masks import one_structure, picture_values

# of a file of labels, beside what is done to it
TOLD: Final = ("W-DICOM-SEG", "W-RTSTRUCT", "W-LABELS-OVERLAP", "W-LABELS-REFERENCE", "W-LABELS-SERIES")


def mask_prompt(path: Path, scan: Scan, frame: int | None, label: int | None = None) -> tuple[Mask, tuple[Notice, ...]]:
    """The outline in a file: a picture, or the slice of a volume where it is largest (or ``frame``).

    Of a video of outlines, or a folder of them, that of ``frame``.

    label  which structure, where the file holds several

    A volume on another grid is resampled (nearest voxel) if both know where they are; the notice says so.
    Raises PromptError for an empty mask and for one that does not overlap the scan.
    """
    path = Path(path)
    drawn = _drawn(path, scan)
    if len(drawn) > 1 and not (scan.kind is ScanKind.VOLUME and drawn.kind is ScanKind.VOLUME):
        flat, notices = one_structure(_one_frame(drawn, scan, path, frame), path.name, label)
        return _mask(flat, frame, path), notices
    if scan.kind is not ScanKind.VOLUME or drawn.kind is not ScanKind.VOLUME:
        flat, notices = one_structure(picture_values(path), path.name, label)
        return _mask(flat, frame, path), notices
    voxels, notices = _on_grid(drawn, scan, path, "E-MASK-GRID", label)
    slices = np.moveaxis(voxels, scan.slice_axis, 0)
    number = int(slices.sum(axis=(1, 2)).argmax()) if frame is None else frame
    if not 0 <= number < len(slices):
        raise PromptError(
            "E-PROMPT-FRAME",
            f"--frame {number} is not in the scan: it has 0 to {len(slices) - 1}.",
            "Frames and slices are counted from 0.",
        )
    return _mask(slices[number].T, number, path), notices


def _one_frame(drawn: Scan, scan: Scan, path: Path, frame: int | None) -> NDArray[Any]:
    """What is drawn on one frame (height, width) of a file that has one for each frame of the scan."""
    if len(drawn) != len(scan):
        raise PromptError(
            "E-MASK-GRID",
            f"{path.name} holds {counted(len(drawn), 'frame')}, and the scan {counted(len(scan), scan.frame_word)}.",
            "Give a picture of one outline, or a file with a frame for each of the scan.",
        )
    if frame is None:
        text = f"{path.name} holds {counted(len(drawn), 'frame')}, and nothing says which one is meant."
        raise PromptError("E-PROMPT-SLICE", text, f"Say which with --frame (0 to {len(scan) - 1}).")
    pixels = np.asarray(drawn.pixels(frame))
    return np.asarray(pixels.any(axis=2)) if pixels.ndim == 3 else pixels


def slices_drawn_on(path: Path, scan: Scan, label: int | None = None) -> int:
    """How many slices of a volume a mask file is drawn on; 1 for pictures, and where no slices are meant."""
    drawn = _drawn(path, scan) if scan.kind is ScanKind.VOLUME else None
    if drawn is None or drawn.kind is not ScanKind.VOLUME:
        return 1
    voxels, _ = _on_grid(drawn, scan, path, "E-MASK-GRID", label)
    return int(np.moveaxis(voxels, scan.slice_axis, 0).any(axis=(1, 2)).sum())


def drawn_slices(path: Path, scan: Scan, label: int | None = None) -> tuple[list[Mask], tuple[Notice, ...]]:
    """Every slice of a volume that something is drawn on, as it is drawn.

    Raises PromptError for scans that are no volume, files on another grid without a place in space, and empty ones.
    """
    voxels, notices = _drawn_volume(Path(path), scan, label, "--between")
    slices = np.moveaxis(voxels, scan.slice_axis, 0)  # slice, x, y
    numbers = np.flatnonzero(slices.any(axis=(1, 2)))
    if not len(numbers):
        raise PromptError("E-MASK-EMPTY", f"{path.name} is empty: not one voxel is set.", "Draw on one slice or more.")
    return [Mask.from_array(slices[n].T, frame=int(n)) for n in numbers], notices


def marker_prompts(path: Path, scan: Scan, label: int | None = None) -> tuple[list[Box], tuple[Notice, ...]]:
    """A box for each slice between the first and the last marked one; and what should be known about the marks.

    Raises PromptError for scans that are no volume, marks on another grid without a place in space, and empty ones.
    """
    voxels, notices = _drawn_volume(Path(path), scan, label, "--markers")
    marks = np.moveaxis(voxels, scan.slice_axis, 0).transpose(0, 2, 1)
    if are_outlines(marks):
        text = (
            f"{path.name} holds outlines rather than marks, and they are outlined anew; --mask {path.name} keeps them."
        )
        notices = (*notices, Notice("W-MARKS-OUTLINES", text))
    return marker_boxes(marks), notices


def _drawn_volume(
    path: Path, scan: Scan, label: int | None, option: str
) -> tuple[NDArray[np.bool_], tuple[Notice, ...]]:
    """The drawn voxels of one structure on the scan's grid. Raises PromptError for what is no volume."""
    if scan.kind is not ScanKind.VOLUME:
        text = f"{option} is for volumes; this is a {scan.kind.value}."
        raise PromptError("E-MARKS-VOLUME", text, "Use --box, or --mask for one frame.")
    drawn = _drawn(path, scan)
    if drawn.kind is not ScanKind.VOLUME:
        raise PromptError(
            "E-MARKS-GRID", f"{path.name} is no volume, but {drawn.kind.with_article}.", "Draw on the scan itself."
        )
    return _on_grid(drawn, scan, path, "E-MARKS-GRID", label)


def _drawn(path: Path, scan: Scan) -> Scan:
    """What is drawn in a file: contours of radiotherapy are filled on the scan's grid."""
    drawn = contours_on(path, scan) if is_structure_set(path) else open_scan(path, palette_indices=True)
    return drawn.with_notices(*origin_notices(drawn, scan, path.name))


def _mask(pixels: NDArray, frame: int | None, path: Path) -> Mask:
    if not pixels.any():
        where = "" if frame is None else f" on slice {frame}"
        raise PromptError(
            "E-MASK-EMPTY", f"{path.name} is empty{where}: not one pixel is set.", "Draw at least one pixel."
        )
    return Mask.from_array(pixels, frame=frame)


def _on_grid(
    drawn: Scan, scan: Scan, path: Path, code: str, label: int | None
) -> tuple[NDArray[np.bool_], tuple[Notice, ...]]:
    """The drawn voxels of one structure on the scan's grid, and what was done to bring them there."""
    voxels, notices = one_structure(drawn.voxels(), path.name, label)
    notices = (*notices, *(one for one in drawn.notices if one.code in TOLD))
    fit = fit_of(drawn.grid, scan.grid)
    if fit is Fit.SAME:
        return voxels, notices
    if fit is Fit.UNKNOWN:
        raise PromptError(
            code,
            f"{path.name} has another grid ({drawn.grid!r}) than the scan ({scan.grid!r}), and one of them does not "
            "say where it lies.",
            "Draw on the scan itself, or bring what is drawn onto its grid first.",
        )
    there = moved(voxels, drawn.grid, scan.grid)
    if voxels.any() and not there.any():
        raise PromptError(
            "E-MASK-ELSEWHERE",
            f"{path.name} lies elsewhere: it does not overlap the scan.",
            "Check that both are of one patient and one study.",
        )
    how = "nearest voxel" if fit is Fit.BETWEEN else "the same voxels in another order"
    text = f"{path.name} has another grid than the scan; it was brought onto the scan's ({how})."
    return there, (*notices, Notice("W-MASK-RESAMPLED", text))
