"""``delineate auto``: outlines of everything on a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from delineate.cli import options
from delineate.cli.console import result, result_json, tell
from delineate.cli.groups import grouped
from delineate.cli.segment_report import NOTHING, end


@grouped
def auto(
    input: Annotated[Path, typer.Argument(help="A picture, or a volume or video with --frame.")],
    machine: options.Machine,
    reading: options.Reading,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Label map or COCO file (.json).")] = None,
    frame: Annotated[int, typer.Option(help="Which frame or slice.")] = 0,
    points_per_side: Annotated[int, typer.Option(help="Clicks along a side.")] = 32,
    pred_iou_thresh: Annotated[float | None, typer.Option(help="Predicted; default as the system's authors.")] = None,
    stability_score_thresh: Annotated[float, typer.Option(help="0 to 1.")] = 0.95,
    crop_layers: Annotated[int, typer.Option(help="Also look at parts of the picture: 1 or 2 layers.")] = 0,
    min_mask_region_area: Annotated[int, typer.Option(help="Pixels; smaller outlines and holes go.")] = 0,
    tile: Annotated[
        int, typer.Option(help="Side of the tiles a picture above 4096 pixels is looked at in; 0: as a whole.")
    ] = 1024,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Outline everything on a picture with a SAM or SAM 2 system, without pointing at anything.

    The default model is sam2.1_tiny.
    """
    from delineate.automatic import AutomaticSettings
    from delineate.verbs.auto import AutoRequest
    from delineate.verbs.auto import auto as run
    from delineate.verbs.request import OutputChoice

    model = machine.choice
    done = run(
        AutoRequest(
            input=input,
            reading=reading.options,
            model=model if machine.model else model.model_copy(update={"name": "sam2.1_tiny"}),
            frame=frame,
            settings=AutomaticSettings(
                points_per_side,
                stability_score_thresh=stability_score_thresh,
                crop_layers=crop_layers,
                min_mask_region_area=min_mask_region_area,
                tile=tile,
            ),
            pred_iou_thresh=pred_iou_thresh,
            output=OutputChoice(path=output, overwrite=overwrite),
        )
    )
    if json:
        result_json(done.as_json())
    else:
        result(f"{len(done.found)} outlines" if done.found else NOTHING)
        for path in done.files:
            result(f"  {path}")
        tell(f"Again: {done.again}")
    end(done)
