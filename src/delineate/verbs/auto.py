"""The verb ``auto``: everything on a picture outlined, without pointing at anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, cast

from pydantic import Field, model_validator

from delineate.automatic import AutomaticMask, AutomaticSettings, generate_masks
from delineate.core.errors import ModelError, PromptError
from delineate.core.json_file import renamed
from delineate.core.manifest import InputRecord, Manifest, ObjectRecord, RunRecord
from delineate.core.prompt_log import PromptLog
from delineate.core.scan import Scan
from delineate.core.segmentation import PALETTE, Segmentation, SegmentedObject
from delineate.io.naming import beside, default_output
from delineate.io.opening import open_scan
from delineate.io.options import ReadOptions
from delineate.io.outputs import Outputs
from delineate.io.overlay import save_preview
from delineate.io.saving import outline_files, output_record, write_manifest, write_outlines
from delineate.predictors.frame_predictor import AutomaticPredictor, Predictor
from delineate.preprocess.intensity import scan_window
from delineate.verbs.request import ModelChoice, OutputChoice, Request, RunResult, format_of, recorded

OLD_KEYS: Final = {  # of manifests of version 2
    "least_iou": "pred_iou_thresh",
    "least_stability": "stability_score_thresh",
    "least_area": "min_mask_region_area",
}


class AutoRequest(Request):
    """Everything ``auto`` needs to know.

    settings     which answers are kept, and how pictures are looked at
    pred_iou_thresh  predicted IoU below which an answer is dropped; None: as the system's authors do
    scan_sha256  what the input must be the same as, "" for anything
    """

    @model_validator(mode="before")
    @classmethod
    def _of_today(cls, data: Any) -> Any:
        return renamed(data, OLD_KEYS)

    input: Path
    reading: ReadOptions = ReadOptions()
    model: ModelChoice = ModelChoice(name="sam2.1_tiny")
    frame: int = Field(default=0, description="Which frame or slice.")
    settings: AutomaticSettings = AutomaticSettings()
    pred_iou_thresh: float | None = None
    output: OutputChoice = OutputChoice()
    scan_sha256: str = ""


@dataclass(frozen=True, eq=False)
class AutoResult(RunResult):
    """And the outlines, the largest first."""

    found: tuple[AutomaticMask, ...]

    def as_json(self) -> dict[str, Any]:
        rows = [
            {"area": f.mask.area, "box": f.box, "predicted_iou": f.iou, "stability": f.stability, "click": f.click}
            for f in self.found
        ]
        return {"outcome": self.outcome, "files": [str(file) for file in self.files], "found": rows}


def auto(
    request: AutoRequest,
    check: Callable[[Predictor], None] | None = None,
    inputs: tuple[Path | None, ...] = (),
) -> AutoResult:
    """Outline all there is on one frame, and write a label map, its manifest and a picture: all of them or none.

    ``check`` is called with the model before it is used; ``inputs`` are further files that must not be written to.
    Raises DelineateError as ``segment`` does, and ModelError for a model that cannot do this.
    """
    scan = open_scan(request.input, request.reading)
    if request.scan_sha256 and scan.file is not None and scan.file.sha256 != request.scan_sha256:
        raise PromptError(
            "E-PROMPTS-OTHER-SCAN",
            f"The run was made on another file: the content of {request.input.name} differs from it.",
            "Use --force to do it all the same.",
        )
    target = request.output.path or default_output(scan)
    shown = scan if len(scan) == 1 else Scan.from_image(scan.pixels(request.frame)).with_window(scan.intensity_window)
    files = outline_files(target, shown.kind)
    manifest_file, preview = beside(target, ".manifest.json"), beside(target, ".preview.png")
    written = (*files, manifest_file, preview)
    with Outputs(written, (request.input, *request.model.files, *inputs), request.output.overwrite) as outputs:
        predictor = request.model.build()
        if check is not None:
            check(predictor)
        automatic = predictor.capabilities.automatic
        if automatic is None:
            raise ModelError(
                "E-AUTO-MODEL", f"{predictor.record.name} cannot outline everything.", "Name a SAM or SAM 2 system."
            )
        pred_iou_thresh = automatic.pred_iou_thresh if request.pred_iou_thresh is None else request.pred_iou_thresh
        settings = replace(request.settings, pred_iou_thresh=pred_iou_thresh)
        frame = scan.frame(request.frame)
        found = tuple(generate_masks(cast("AutomaticPredictor", predictor), frame, settings))
        outlines = _outlines(shown, found)
        write_outlines(outlines, files, shown, outputs)
        manifest = _manifest(request, scan, predictor, outlines, settings).model_copy(
            update={"outputs": [output_record(outputs.stage(file), format_of(file)) for file in files]}
        )
        write_manifest(manifest, outputs.stage(manifest_file))
        save_preview(shown, outlines, outputs.stage(preview))
    return AutoResult(scan, scan.notices, manifest, written, manifest_file, request.model, found)


def _outlines(shown: Scan, found: tuple[AutomaticMask, ...]) -> Segmentation:
    objects = (  # the largest first, so that smaller ones lie on top in a label map
        SegmentedObject(f"object {n}", n, PALETTE[(n - 1) % len(PALETTE)], False, {0: one.mask}, {0: one.iou})
        for n, one in enumerate(found, 1)
    )
    return replace(Segmentation.empty(shown), objects=tuple(objects))


def _manifest(
    request: AutoRequest, scan: Scan, predictor: Predictor, outlines: Segmentation, settings: AutomaticSettings
) -> Manifest:
    fields = recorded(request.reading, request.model, request.output, scan)
    return Manifest(
        software=f"delineate {version('delineate')}",
        input=InputRecord.of(scan, scan_window(scan, predictor.window_rule)),
        model=predictor.record,
        objects=[
            ObjectRecord(name=o.name, label=o.label, frames=1, pixels=o.area, confidence=dict(o.scores))
            for o in outlines.objects
        ],
        notices=[notice.message for notice in scan.notices],
        prompts=PromptLog(scan_sha256=scan.file.sha256 if scan.file else "", model=predictor.record.name),
        run=RunRecord(verb="auto", frame=request.frame, settings=asdict(settings), **fields),
    )
