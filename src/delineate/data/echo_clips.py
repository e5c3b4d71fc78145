"""Clips of the heart as scans of a data set: stored stacks as clips with calibrated pixels, and tables of numbers."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from delineate.core.errors import InputError
from delineate.core.grid import Grid, Placement
from delineate.core.reading import reading
from delineate.core.scan import Scan, ScanKind
from delineate.data.label_pictures import open_labels
from delineate.io.opening import open_scan

Row = Mapping[str, str]
CARDIAC = {1: "left ventricle", 2: "myocardium", 3: "left atrium"}  # the numbers of CAMUS
MOST_ROWS = 20_000_000
LONGEST_LINE = 1 << 16


def open_clip(path: Path) -> Scan:
    """A video, a folder of frames, or a stored stack of frames (x, y, t) as a clip with the size of its pixels."""
    if path.is_dir() or path.suffix.lower() not in (".gz", ".nii", ".mhd", ".mha", ".nrrd"):
        return as_clip(open_scan(path))
    return as_clip(open_scan(path, slice_axis=2))


def open_clip_labels(path: Path) -> Scan:
    """Labels of such a clip, frame by frame."""
    return as_clip(open_labels(path, 2))


def as_clip(scan: Scan) -> Scan:
    """A picture or a stack of frames as a clip; millimeters of the stack's first two axes are those of its pixels."""
    if scan.kind is ScanKind.VIDEO:
        return scan
    known = scan.grid.placement is not Placement.PIXELS
    shape, axes = (scan.width, scan.height, len(scan)), ("x", "y", "t")
    steps = (*scan.frame_spacing, 1.0)
    grid = Grid.scaled(shape, steps, axes) if known else Grid.pixels(*shape)
    return replace(scan, kind=ScanKind.VIDEO, grid=grid, slice_axis=2, geometry=None)


def calibrated(scan: Scan, across: float, down: float) -> Scan:
    """A clip whose pixels are so many mm wide and high."""
    return replace(scan, grid=Grid.scaled(scan.grid.shape, (across, down, 1.0), scan.grid.axes))


def stacked(scans: list[Scan], what: str) -> Scan:
    """Pictures of one size as frames of a clip. Raises InputError for others."""
    frames = [scan.pixels(0) for scan in scans]
    if len({frame.shape for frame in frames}) > 1:
        raise InputError(
            "E-FRAMES-MIXED",
            f"The pictures of {what} have the shapes {', '.join(str(f.shape) for f in frames)}.",
            "End-diastole and end-systole of one view have one size: fetch the data set again.",
        )
    clip = Scan.from_frames(np.stack(frames))
    known = scans[0].grid.placement is not Placement.PIXELS
    return calibrated(clip, *scans[0].frame_spacing) if known else clip


def rows_of(path: Path, needed: tuple[str, ...]) -> Iterator[Row]:
    """Rows of a table of comma-separated values, by the names of its columns.

    Raises InputError for a file that is no such table or lacks a column.
    """
    with reading(path), path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        table = csv.DictReader(file)
        names = [name.strip() for name in table.fieldnames or ()]
        missing = [name for name in needed if name not in names]
        if missing:
            raise InputError(
                "E-ECHO-TABLE",
                f"{path.name} has no column {', '.join(missing)}; it has: {', '.join(names[:12]) or 'none'}.",
                "Its columns are in docs/reference/datasets.md; fetch it again, or name them so.",
            )
        table.fieldnames = names
        for number, row in enumerate(table):
            if number == MOST_ROWS:
                break
            yield {name: (value or "").strip() for name, value in row.items() if isinstance(name, str)}


def number_in(row: Mapping[str, Any], *names: str) -> float | None:
    """The first of some columns that holds a number; None where none does."""
    lower = {str(name).casefold(): value for name, value in row.items()}
    for name in names:
        text = str(lower.get(name.casefold(), "")).replace(",", ".")
        found = re.match(r"^\s*([-+]?\d*\.?\d+(?:[eE][-+]?\d+)?)", text)
        if found and np.isfinite(float(found[1])):
            return float(found[1])
    return None


def reported_in(row: Mapping[str, Any]) -> dict[str, float]:
    """Ejection fraction and volumes that a table gives: "ef", "edv", "esv"."""
    names = {"ef": ("EF", "LVef"), "edv": ("EDV", "LVedv"), "esv": ("ESV", "LVesv")}
    found = {key: number_in(row, *columns) for key, columns in names.items()}
    return {key: value for key, value in found.items() if value is not None}
