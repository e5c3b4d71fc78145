"""Marks on a few slices, in a file on the scan's grid, as prompts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from delineate.errors import PromptError
from delineate.io.opening import open_scan
from delineate.scan import Scan, ScanKind

if TYPE_CHECKING:
    from delineate.prompts import Box


def marker_prompts(path: Path, scan: Scan) -> list[Box]:
    """A box for each slice between the first and the last marked one.

    Raises PromptError for scans that are no volume, marks on another grid, and empty ones.
    """
    from delineate.tracking.markers import marker_boxes

    if scan.kind is not ScanKind.VOLUME:
        raise PromptError("E-MARKS-VOLUME", f"--markers are for volumes; this is a {scan.kind.value}.", "Use --box.")
    drawn = open_scan(path)
    if drawn.kind is not ScanKind.VOLUME or drawn.grid.shape != scan.grid.shape:
        raise PromptError(
            "E-MARKS-GRID",
            f"{path.name} has another grid ({drawn.grid!r}) than the scan ({scan.grid!r}).",
            "Draw the marks on the scan itself, or bring them onto its grid first.",
        )
    slices = np.moveaxis(drawn.voxels() != 0, scan.slice_axis, 0)  # slice, x, y
    return marker_boxes(slices.transpose(0, 2, 1))
