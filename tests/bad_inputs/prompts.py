"""Rows 54 to 65 and 90: prompts that miss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bad_inputs.table import Row
from bright_predictor import BrightPredictor
from delineate.core.errors import Notice
from delineate.core.grid import Grid
from delineate.core.prompt_log import PromptLog
from delineate.core.prompts import Box, Lasso, Mask, Point, Scribble
from delineate.core.scan import Scan, SourceFile
from delineate.session import Session
from delineate.verbs.prompt_files import mask_prompt

PICTURE = np.zeros((30, 40), np.uint8)
PICTURE[10:20, 15:30] = 200


def session(sha256: str = "") -> Session:
    file = SourceFile(Path("a.png"), "PNG", sha256) if sha256 else None
    return Session(Scan.from_image(PICTURE, file=file), BrightPredictor())


def volume_session() -> Session:
    voxels = np.zeros((40, 30, 8), np.int16)
    voxels[15:30, 10:20] = 200
    return Session(Scan.from_volume(voxels, Grid((40, 30, 8), np.diag([1.0, 1, 2, 1]))), BrightPredictor())


def prompted(*prompts: Any, at: Session | None = None) -> Session:
    here = at or session()
    for prompt in prompts:
        here.prompt(prompt, "it")
    return here


def replayed(force: bool) -> Session:
    log = PromptLog.parse(prompted(Point(20, 15), at=session("one")).log.to_json())
    return Session.replay(session("two").scan, log, BrightPredictor(), force=force)


def mask_file(folder: Path, shift: float) -> Session:
    """A mask volume of half the resolution, ``shift`` mm away."""
    import nibabel as nib

    affine = np.diag([2.0, 2, 2, 1])
    affine[0, 3] = shift
    voxels = np.zeros((20, 15, 8), np.uint8)
    voxels[8:14, 5:9, 3] = 1
    nib.save(nib.Nifti1Image(voxels, affine), folder / "m.nii.gz")
    here = volume_session()
    mask, notices = mask_prompt(folder / "m.nii.gz", here.scan, None)
    return prompted(mask, at=Session(here.scan.with_notices(*notices), BrightPredictor()))


def locked() -> Session:
    here = prompted(Point(20, 15))
    here.lock("it")
    return prompted(Point(21, 15), at=here)


def says(here: Session) -> tuple[Notice, ...]:
    return here.notices


def found(pixels: int) -> Any:
    def check(here: Session) -> None:
        assert here.segmentation["it"].area == pixels

    return check


ROWS = [
    Row("54-box-outside", lambda _: prompted(Box(50, 0, 60, 10)), error="E-BOX-OUTSIDE", says=("0..40 x 0..30",)),
    Row("55-box-partly-outside", lambda _: prompted(Box(10, 5, 90, 25)), notice="W-BOX-CLIPPED", says=("10,5,40,25",), check=found(150)),
    Row("56-box-inverted", lambda _: Box(30, 5, 10, 25), error="E-BOX-INVERTED", says=("x1 = 10", "Did you mean 10,5,30,25?")),
    Row("57-box-empty", lambda _: Box(10, 5, 10, 25), error="E-BOX-EMPTY", says=("x",)),
    Row("57-nan", lambda _: Point(float("nan"), 3), error="E-PROMPT-NUMBER"),
    Row("57-huge", lambda _: Point(1e300, 3), error="E-PROMPT-NUMBER"),
    Row("57-too-many-numbers", lambda _: Box(1, 2, 3, 4, 5), error="E-BOX-LENGTH"),
    Row("58-point-outside", lambda _: prompted(Point(40, 3)), error="E-PROMPT-OUTSIDE", says=("0 to 39",)),
    Row("58-other-slice", lambda _: prompted(Point(20, 15, 9), at=volume_session()), error="E-PROMPT-FRAME", says=("0 to 7",)),
    Row("58-no-slice", lambda _: prompted(Point(20, 15), at=volume_session()), error="E-PROMPT-SLICE", says=("--frame",)),
    Row("58-millimeters-unknown", lambda _: prompted(Point(1, 2, 3, space="RAS")), error="E-GRID-NO-WORLD"),
    Row("58-scribble-outside", lambda _: prompted(Scribble(points=((20, 15), (20, 99)))), error="E-PROMPT-OUTSIDE"),
    Row("57-lasso-of-two", lambda _: Lasso(points=((1, 1), (2, 2))), error="E-LASSO-SHORT"),
    Row("59-both-signs", lambda _: prompted(Point(20, 15), Point(25, 15), Point(25, 15, positive=False)), notice="W-POINT-TWICE", check=found(141)),
    Row("61-only-negative", lambda _: prompted(Point(20, 15, positive=False)), error="E-PROMPT-ONLY-NEGATIVE"),
    Row("61-negative-on-an-outline", lambda _: prompted(Mask.from_array(PICTURE > 0), Point(20, 15, positive=False)), check=found(141)),
    Row("62-mask-size", lambda _: prompted(Mask.from_array(np.ones((5, 5), bool))), error="E-MASK-SIZE", says=("5 x 5", "40 x 30")),
    Row("62-mask-other-grid", lambda f: mask_file(f, 0.0), notice="W-MASK-RESAMPLED", check=found(96)),
    Row("62-mask-elsewhere", lambda f: mask_file(f, 500.0), error="E-MASK-ELSEWHERE"),
    Row("63-mask-empty", lambda _: Mask.from_array(np.zeros((30, 40), bool)), error="E-MASK-EMPTY"),
    Row("63-mask-full", lambda _: prompted(Mask.from_array(np.ones((30, 40), bool))), notice="W-MASK-FULL"),
    Row("64-other-image", lambda _: replayed(False), error="E-PROMPTS-OTHER-SCAN", says=("--force",)),
    Row("64-other-image-forced", lambda _: replayed(True), check=found(150)),
    Row("64-not-json", lambda _: PromptLog.parse("{"), error="E-PROMPTS-JSON"),
    Row("64-wrong-field", lambda _: PromptLog.parse('{"events": [{"event": "dance"}]}'), error="E-PROMPTS-FIELD", says=("events.0",)),
    Row("65-many-points", lambda _: prompted(Scribble(points=tuple((15 + n % 15, 10 + n // 1000) for n in range(10_000)))), check=found(150)),
    Row("90-locked", lambda _: locked(), error="E-OBJECT-LOCKED", says=("it",)),
]  # fmt: skip
