"""The CVPR 2024 laptop challenge as its baseline's script runs it (arXiv 2412.16085; branch LiteMedSAM of MedSAM)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from delineate.core.resolve import FramePrompts
from delineate.core.scan import ScanKind
from delineate.data.cases import LabeledScan, Target, Task
from delineate.evaluation.frame_prompts import bounding_box
from delineate.evaluation.outline_metrics import outline_scores
from delineate.evaluation.protocol import Outcome, Protocol, outcome_of
from delineate.evaluation.volume_protocols import OUTLINE
from delineate.predictors.answers import decoded
from delineate.predictors.frame_predictor import FramePredictor, Query, ReferenceFrame

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class ScriptedBox:
    """A structure's box: corners on a frame, and from which to before which frame.

    reached  the first frame that is outlined: of a box that came with a file, the script leaves the first one out
    """

    corners: tuple[float, float, float, float]
    first: int
    stop: int
    reached: int

    @property
    def middle(self) -> int:
        return int((self.stop - self.first) / 2 + self.first)


def laptop_script(
    case: LabeledScan, targets: Sequence[Target], predictor: FramePredictor, seed: int
) -> Iterator[Outcome]:
    """The box asks on the middle slice; outwards from it the last outline is the prompt, or the box where it is empty.

    Nothing doubts an outline on the way. Seconds are those of a structure: every frame is read and encoded for each of
    them, as in the script.
    """
    for target in targets:
        begin = perf_counter()
        box = scripted_box(case, target)
        masks = outwards(case, box, predictor)
        seconds = perf_counter() - begin
        truth = np.stack([case.truth(frame, target) for frame in case.frames])
        found = np.stack([masks.get(frame, np.zeros_like(truth[0])) for frame in case.frames])
        spacing = case.scan.frame_spacing[::-1]
        if case.scan.kind is ScanKind.VOLUME:
            scores = outline_scores(truth, found, (case.scan.grid.spacing[case.scan.slice_axis], *spacing))
        else:
            scores = outline_scores(truth[0], found[0], spacing)
        worst = int((truth ^ found).sum(axis=(1, 2)).argmax())
        values = {column.key: scores[column.key] for column in OUTLINE}
        yield outcome_of(target, values, seconds, case.frames[worst], found[worst], not found.any())


def scripted_box(case: LabeledScan, target: Target) -> ScriptedBox:
    """The box that came with the case, or the tight one around the structure."""
    given = case.boxes.get(target.label)
    if given is not None and len(given) == 6:
        x0, y0, first, x1, y1, last = given
        first, stop = max(0, int(first)), min(len(case.scan), int(np.ceil(last)))
        return ScriptedBox((x0, y0, x1, y1), first, stop, min(first + 1, stop - 1))
    shown = [frame for frame in case.frames if case.truth(frame, target).any()]
    first, stop = shown[0], shown[-1] + 1
    if given is not None:
        return ScriptedBox((given[0], given[1], given[2], given[3]), first, stop, first)
    return ScriptedBox(bounding_box(np.any([case.truth(frame, target) for frame in shown], axis=0)), first, stop, first)


def outwards(case: LabeledScan, box: ScriptedBox, predictor: FramePredictor) -> dict[int, Mask]:
    """The outline on each frame that the script reaches."""
    given, masks = Query(FramePrompts(box=box.corners)), dict[int, Mask]()

    def outline(frame: int, before: int | None) -> None:
        last = None if before is None else masks[before]
        query = given if last is None or not last.any() else Query(reference=ReferenceFrame(None, last))
        seen = case.scan.frame(frame)
        masks[frame] = decoded(predictor, predictor.encode(seen), [query], seen.size)[0].mask

    for frame in range(box.middle, box.stop):
        outline(frame, frame - 1 if frame > box.middle else None)
    for frame in range(box.middle - 1, box.reached - 1, -1):
        outline(frame, frame + 1)
    return masks


PROTOCOLS = (
    Protocol(
        "laptop-box-released",
        "CVPR 2024 laptop challenge as the baseline's script runs it: outwards from the middle slice, from box to box.",
        (Task.IMAGE, Task.VOLUME),
        OUTLINE,
        True,
        laptop_script,
    ),
)
