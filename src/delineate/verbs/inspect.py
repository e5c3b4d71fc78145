"""The verb ``inspect``: what a scan is, and the command to start with."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from delineate.core.grid import Placement
from delineate.core.scan import Scan, ScanKind
from delineate.core.terminal_text import command
from delineate.io.opening import open_scan
from delineate.io.options import ReadOptions
from delineate.verbs.request import Request

BARS: Final = " ▁▂▃▄▅▆▇█"
SAMPLE: Final = 4_000_000  # values the histogram is drawn from


class InspectRequest(Request):
    """Everything ``inspect`` needs to know."""

    input: Path
    reading: ReadOptions = ReadOptions()


@dataclass(frozen=True)
class InspectResult:
    """What a scan is, in words; "" where there is nothing to say.

    slices_along  axis of a volume
    length        of a video, seconds
    looks_like    the kind of picture, and why
    geometry      what is known of its place in space
    command       to start with
    """

    format: str
    kind: str
    axes: str
    spacing: str
    slices_along: str
    length: str
    values: str
    histogram: str
    looks_like: str
    geometry: str
    notes: tuple[str, ...]
    sha256: str
    command: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def inspect(request: InspectRequest) -> InspectResult:
    """Say what a scan is: size, geometry, intensities, kind of picture, and the command to start with.

    Raises InputError if the file cannot be read.
    """
    return describe(open_scan(request.input, request.reading))


def describe(scan: Scan) -> InspectResult:
    """The same for a scan that is open."""
    low, high, values = _sampled(scan)
    grid = scan.grid
    colour = f", {scan.channels} channels" if scan.channels > 1 else ""
    axes = zip(grid.axes, grid.shape, grid.axis_codes, strict=True)
    axis = scan.slice_axis
    return InspectResult(
        format=scan.file.format if scan.file else "array",
        kind=f"{scan.kind.value}, {len(scan)} {scan.frame_word}s of {scan.width} x {scan.height}{colour}",
        axes=" ".join(f"{name}={n} ({code})" for name, n, code in axes),
        spacing="unknown"
        if grid.placement is Placement.PIXELS
        else " x ".join(f"{s:.4g}" for s in grid.spacing) + " mm",
        slices_along=f"{grid.axes[axis]} ({grid.axis_codes[axis]})" if scan.kind is ScanKind.VOLUME else "",
        length=f"{scan.times[-1]:.2f} s" if scan.times else "",
        values=f"{scan.dtype}, {low:g} to {high:g}" if values.size else f"{scan.dtype}, none finite",
        histogram=_histogram(values),
        looks_like=f"{scan.modality.name.value}: {scan.modality.reason}",
        geometry=_verdict(scan),
        notes=tuple(notice.message for notice in scan.notices),
        sha256=scan.file.sha256[:16] if scan.file else "",
        command=_command(scan),
    )


def _sampled(scan: Scan) -> tuple[float, float, NDArray[np.float64]]:
    """The least and the greatest value of nine frames, and SAMPLE of their values at most: finite ones, one frame and
    one block at a time.
    """
    numbers = np.unique(np.linspace(0, len(scan) - 1, min(len(scan), 9)).astype(int))
    step = -(-len(numbers) * scan.width * scan.height * scan.channels // SAMPLE)
    low, high, parts = np.inf, -np.inf, []
    for n in numbers:
        flat = np.asarray(scan.pixels(int(n))).reshape(-1)
        for start in range(0, flat.size, SAMPLE):
            block = flat[start : start + SAMPLE]
            block = block[np.isfinite(block)] if block.dtype.kind == "f" else block
            if block.size:
                low, high = min(low, float(block.min())), max(high, float(block.max()))
        part = flat[::step].astype(np.float64)
        parts.append(part[np.isfinite(part)])
    return low, high, np.concatenate(parts)


def _histogram(values: NDArray[np.float64]) -> str:
    if not values.size or values.min() == values.max():
        return "constant"
    counts, _ = np.histogram(values, bins=40)
    heights = np.ceil(np.log1p(counts) / np.log1p(counts.max()) * (len(BARS) - 1)).astype(int)
    return "".join(BARS[h] for h in heights)


def _verdict(scan: Scan) -> str:
    match scan.grid.placement:
        case Placement.WORLD:
            skew = scan.grid.skew_degrees
            return "good: position in the patient is known" if skew < 0.5 else f"axes are skewed by {skew:.1f} degrees"
        case Placement.SCALE:
            return "size is known, orientation is not: millimetre prompts are refused"
    return "pixels only: no millimetres"


def _command(scan: Scan) -> str:
    name = str(scan.file.path) if scan.file else "FILE"
    x0, y0, x1, y1 = scan.width // 3, scan.height // 3, 2 * scan.width // 3, 2 * scan.height // 3
    frame = ["--frame", len(scan) // 2] if len(scan) > 1 else []
    return command("delineate", "segment", name, "--box", f"{x0},{y0},{x1},{y1}", *frame)
