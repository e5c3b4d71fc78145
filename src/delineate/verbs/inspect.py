"""The verb ``inspect``: what a scan is, and the command to start with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from delineate.core.errors import OutputError, PromptError
from delineate.core.grid import Placement
from delineate.core.scan import Scan, ScanKind
from delineate.core.terminal_text import command, counted
from delineate.io.opening import open_scan
from delineate.io.options import ReadOptions
from delineate.io.outputs import Outputs
from delineate.io.own_files import png_mark
from delineate.io.ruler_picture import ruler_picture
from delineate.preprocess.display import shown_window
from delineate.verbs.request import Overwrite, Request

BARS: Final = " ▁▂▃▄▅▆▇█"
SAMPLED_FRAMES: Final = 9
SAMPLE: Final = 4_000_000  # values the histogram is drawn from


class InspectRequest(Request):
    """Everything ``inspect`` needs to know."""

    input: Path
    reading: ReadOptions = ReadOptions()
    picture: Path | None = Field(default=None, description="A PNG to write: a frame with rulers that prompts count in.")
    frame: int | None = Field(default=None, description="The frame of the picture; by default the middle one.")
    overwrite: Overwrite = False


@dataclass(frozen=True)
class InspectResult:
    """What a scan is, in words; "" where there is nothing to say.

    compression   how pixels are packed: the codec of a video, the transfer syntax of DICOM
    series        which one of a folder or file of several
    slices_along  axis of a volume, and why this one
    length        of a video, seconds and frames a second
    values        of the frames looked at
    window        intensities shown as black and as white, and who decided
    looks_like    the kind of picture, and why
    geometry      what is known of its place in space
    command       to start with
    """

    format: str
    compression: str
    series: str
    kind: str
    axes: str
    spacing: str
    slices_along: str
    length: str
    values: str
    window: str
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
    scan = open_scan(request.input, request.reading)
    if request.picture is not None:
        save_ruler_picture(scan, request.picture, request.frame, request.overwrite)
    elif request.frame is not None:
        raise PromptError("E-OPTION-UNUSED", "--frame says which frame is drawn, and no --picture is.", "Leave it out.")
    return describe(scan, request.reading)


def save_ruler_picture(scan: Scan, path: Path, frame: int | None = None, overwrite: bool = False) -> None:
    """Write a frame of a scan with rulers in the numbers that prompts use, as PNG.

    Raises OutputError where it cannot be written, InputError for a frame that there is not.
    """
    if path.suffix.lower() != ".png":
        raise OutputError("E-OUTPUT-FORMAT", f'"{path.name}" is no name of a picture.', "Give --picture NAME.png.")
    with Outputs([path], [scan.file.path if scan.file else None], overwrite) as outputs:
        ruler_picture(scan, frame).save(outputs.stage(path), "PNG", pnginfo=png_mark())


def describe(scan: Scan, reading: ReadOptions | None = None) -> InspectResult:
    """The same for a scan that is open; ``reading``: how it was."""
    low, high, values = _sampled(scan)
    grid = scan.grid
    channels = f", {scan.channels} channels" if scan.channels > 1 else ""
    count = "" if scan.kind is ScanKind.IMAGE else f"{counted(len(scan), scan.frame_word)} of "
    axes = zip(grid.axes, grid.shape, grid.axis_codes, strict=True)
    return InspectResult(
        format=scan.file.format if scan.file else "array",
        compression=scan.compression,
        series=scan.file.series if scan.file else "",
        kind=f"{scan.kind.value}, {count}{scan.width} x {scan.height}{channels}",
        axes=" ".join(f"{name}={n} ({code})" for name, n, code in axes),
        spacing="unknown" if (steps := scan.spacing) is None else " x ".join(f"{s:.4g}" for s in steps) + " mm",
        slices_along=_slices(scan) if scan.kind is ScanKind.VOLUME else "",
        length=_length(scan.times) if scan.times else "",
        values=_values(scan, low, high) if values.size else f"{scan.dtype}, none finite",
        window=_window(scan),
        histogram=_histogram(values),
        looks_like=f"{scan.modality.name.value}: {scan.modality.reason}",
        geometry=_verdict(scan),
        notes=tuple(notice.message for notice in scan.notices),
        sha256=scan.file.sha256[:16] if scan.file else "",
        command=_command(scan, reading or ReadOptions()),
    )


def _slices(scan: Scan) -> str:
    """The axis slices are taken along, and why."""
    axis, grid = scan.slice_axis, scan.grid
    why = "the last axis" if axis == 2 else "the thick axis" if axis == grid.thick_axis else "as chosen"
    return f"{grid.axes[axis]} ({grid.axis_codes[axis]}): {why}"


def _length(times: tuple[float, ...]) -> str:
    seconds = times[-1] - times[0]
    if len(times) < 2 or seconds <= 0:
        return f"{seconds:.2f} s"
    steps = np.diff(times)
    rate = f"{(len(times) - 1) / seconds:.3g} frames/s"
    return f"{seconds:.2f} s, {rate}{', unevenly' if steps.max() > 1.5 * np.median(steps) else ''}"


def _values(scan: Scan, low: float, high: float) -> str:
    some = f" in {SAMPLED_FRAMES} of {len(scan)} {scan.frame_word}s" if len(scan) > SAMPLED_FRAMES else ""
    return f"{scan.dtype}, {low:g} to {high:g}{some}"


def _window(scan: Scan) -> str:
    if scan.channels > 1:
        return ""
    window = shown_window(scan)
    return f"shown from {window.low:g} to {window.high:g}: {window.source}"


def _sampled(scan: Scan) -> tuple[float, float, NDArray[np.float64]]:
    """The least and the greatest value of nine frames, and SAMPLE of their values at most: finite ones, one frame and
    one block at a time.
    """
    numbers = np.unique(np.linspace(0, len(scan) - 1, min(len(scan), SAMPLED_FRAMES)).astype(int))
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
            return "size is known, orientation is not: millimeter prompts are refused"
    return "pixels only: no millimeters"


def _command(scan: Scan, reading: ReadOptions) -> str:
    name = str(scan.file.path) if scan.file else "FILE"
    x0, y0, x1, y1 = scan.width // 3, scan.height // 3, 2 * scan.width // 3, 2 * scan.height // 3
    frame = ["--frame", len(scan) // 2] if len(scan) > 1 else []
    return command("delineate", "segment", name, "--box", f"{x0},{y0},{x1},{y1}", *frame, *_chosen(reading))


def _chosen(reading: ReadOptions) -> Iterator[object]:
    """The options that have a scan read as it was: without them the numbers may be of another plane or series."""
    usual = asdict(ReadOptions())
    for name, value in asdict(reading).items():
        if value != usual[name] and name != "palette_indices":  # of label files
            option = "--axis" if name == "slice_axis" else f"--{name.replace('_', '-')}"
            yield from (option,) if value is True else (option, value)
