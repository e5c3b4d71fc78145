"""``delineate auto``: outlines of everything on a picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from delineate.cli import options
from delineate.cli.console import result, result_json

if TYPE_CHECKING:
    from delineate.runtimes.frame_predictor import AutomaticPredictor


def auto(
    input: Annotated[Path, typer.Argument(help="A picture, or a volume or video with --frame.")],
    model: Annotated[str, typer.Option("--model", "-m", help="A SAM or SAM 2 system, or its file.")] = "sam2.1_tiny",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Label map or COCO file (.json).")] = None,
    frame: Annotated[int, typer.Option(help="Which frame or slice.")] = 0,
    points_per_side: Annotated[int, typer.Option(help="Clicks along a side.")] = 32,
    least_iou: Annotated[float | None, typer.Option(help="Predicted; default as the system's authors.")] = None,
    least_stability: Annotated[float, typer.Option(help="0 to 1.")] = 0.95,
    crop_layers: Annotated[int, typer.Option(help="Also look at parts of the picture: 1 or 2 layers.")] = 0,
    least_area: Annotated[int, typer.Option(help="Pixels; smaller outlines and holes go.")] = 0,
    tile: Annotated[
        int, typer.Option(help="Side of the tiles a picture above 4096 pixels is looked at in; 0: as a whole.")
    ] = 1024,
    window: options.Window = None,
    system: options.SystemName = None,
    untrained: options.Untrained = False,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    backend: options.Backend = "torch",
    threads: options.Threads = 0,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Outline everything on a picture with a SAM or SAM 2 system, without pointing at anything."""
    from delineate.errors import ModelError
    from delineate.everything import EverythingSettings, everything
    from delineate.io.naming import beside, default_output
    from delineate.io.opening import open_scan
    from delineate.io.outputs import Outputs
    from delineate.io.overlay import save_preview
    from delineate.io.saving import outline_files, write_outlines
    from delineate.scan import Scan
    from delineate.segmentation import PALETTE, Segmentation, SegmentedObject
    from delineate.systems import BuildOptions, build

    scan = open_scan(input, window=window)
    target = output or default_output(scan)
    shown = scan if len(scan) == 1 else Scan.from_image(scan.pixels(frame)).with_window(scan.intensity_window)
    preview, files = beside(target, ".preview.png"), outline_files(target, shown.kind)
    outputs = Outputs((*files, preview), (input, options.model_file(model)), overwrite)
    predictor = build(model, BuildOptions(None, untrained, threads, device, precision, backend), system)
    automatic = predictor.capabilities.automatic
    if automatic is None:
        raise ModelError(
            "E-AUTO-MODEL", f"{predictor.record.name} cannot outline everything.", "Name a SAM or SAM 2 system."
        )
    iou = automatic.pred_iou_thresh if least_iou is None else least_iou
    settings = EverythingSettings(
        points_per_side,
        least_iou=iou,
        least_stability=least_stability,
        crop_layers=crop_layers,
        least_area=least_area,
        tile=tile,
    )
    with outputs:
        found = everything(cast("AutomaticPredictor", predictor), scan.frame(0 if len(scan) == 1 else frame), settings)
        objects = (  # the largest first, so that smaller ones lie on top in a label map
            SegmentedObject(f"object {n}", n, PALETTE[(n - 1) % len(PALETTE)], False, {0: one.mask}, {0: one.iou})
            for n, one in enumerate(found, 1)
        )
        outlines = replace(Segmentation.empty(shown), objects=tuple(objects))
        write_outlines(outlines, files, shown, outputs)
        save_preview(shown, outlines, outputs.stage(preview))
    if json:
        rows = [
            {"area": f.mask.area, "box": f.box, "predicted_iou": f.iou, "stability": f.stability, "click": f.click}
            for f in found
        ]
        result_json({"files": [str(f) for f in (*files, preview)], "found": rows})
        return
    result(f"{len(found)} outlines")
    for path in (*files, preview):
        result(f"  {path}")
