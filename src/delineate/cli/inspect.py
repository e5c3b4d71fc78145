"""``delineate inspect``: what a file is, on one screen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from delineate.cli import options
from delineate.cli.console import result, result_json
from delineate.cli.groups import grouped

if TYPE_CHECKING:
    from delineate.core.scan import Scan

BARS = " ▁▂▃▄▅▆▇█"
SAMPLE = 4_000_000  # values the histogram is drawn from


@grouped
def inspect(
    input: Annotated[Path, typer.Argument(help="Image, volume, video, DICOM folder or folder of frames.")],
    reading: options.Reading,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Show what a scan is: size, geometry, intensities, kind of picture, and the command to start with."""
    from delineate.io.opening import open_scan

    scan = open_scan(input, reading.options)
    card = describe(scan)
    if json:
        result_json(card)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.panel import Panel
    from rich.table import Table

    from delineate.core.terminal_text import printable

    table = Table.grid(padding=(0, 2))
    for name, value in card.items():
        text = "\n".join(value) if isinstance(value, list) else str(value)
        if text and name != "command":
            table.add_row(name.replace("_", " "), escape(printable(text)))
    console = Console()
    console.print(Panel(table, title=escape(printable(input.name)), title_align="left", expand=False))
    result(f"Start with:  {card['command']}")


def describe(scan: Scan) -> dict[str, Any]:
    """The card's lines by name."""
    from delineate.core.grid import Placement
    from delineate.core.scan import ScanKind

    low, high, values = _sampled(scan)
    grid = scan.grid
    known = grid.placement is not Placement.PIXELS
    colour = f", {scan.channels} channels" if scan.channels > 1 else ""
    card: dict[str, Any] = {
        "format": scan.file.format if scan.file else "array",
        "kind": f"{scan.kind.value}, {len(scan)} {scan.frame_word}s of {scan.width} x {scan.height}{colour}",
        "axes": " ".join(
            f"{name}={n} ({code})" for name, n, code in zip(grid.axes, grid.shape, grid.axis_codes, strict=True)
        ),
        "spacing": " x ".join(f"{s:.4g}" for s in grid.spacing) + " mm" if known else "unknown",
        "slices_along": f"{grid.axes[scan.slice_axis]} ({grid.axis_codes[scan.slice_axis]})"
        if scan.kind is ScanKind.VOLUME
        else "",
        "length": f"{scan.times[-1]:.2f} s" if scan.times else "",
        "values": f"{scan.dtype}, {low:g} to {high:g}" if values.size else f"{scan.dtype}, none finite",
        "histogram": _histogram(values),
        "looks_like": f"{scan.modality.name.value}: {scan.modality.reason}",
        "geometry": _verdict(scan),
        "notes": [n.message for n in scan.notices],
        "sha256": scan.file.sha256[:16] if scan.file else "",
    }
    return card | {"command": _command(scan)}


def _sampled(scan: Scan) -> tuple[float, float, Any]:
    """The least and the greatest value of nine frames, and SAMPLE of their values at most: finite ones, one frame and
    one block at a time.
    """
    import numpy as np

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


def _histogram(values: Any) -> str:
    import numpy as np

    if not values.size or values.min() == values.max():
        return "constant"
    counts, _ = np.histogram(values, bins=40)
    heights = np.ceil(np.log1p(counts) / np.log1p(counts.max()) * (len(BARS) - 1)).astype(int)
    return "".join(BARS[h] for h in heights)


def _verdict(scan: Scan) -> str:
    from delineate.core.grid import Placement

    match scan.grid.placement:
        case Placement.WORLD:
            skew = scan.grid.skew_degrees
            return "good: position in the patient is known" if skew < 0.5 else f"axes are skewed by {skew:.1f} degrees"
        case Placement.SCALE:
            return "size is known, orientation is not: millimetre prompts are refused"
    return "pixels only: no millimetres"


def _command(scan: Scan) -> str:
    from delineate.core.terminal_text import command

    name = str(scan.file.path) if scan.file else "FILE"
    x0, y0, x1, y1 = scan.width // 3, scan.height // 3, 2 * scan.width // 3, 2 * scan.height // 3
    frame = ["--frame", len(scan) // 2] if len(scan) > 1 else []
    return command("delineate", "segment", name, "--box", f"{x0},{y0},{x1},{y1}", *frame)
