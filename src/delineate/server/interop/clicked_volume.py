"""One structure of a volume from all clicks on it: what clients ask that send everything anew each time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Annotated, Any, Final

import numpy as np
from pydantic import BaseModel, Field, field_validator

from delineate.core.prompts import Box, Point, Prompt
from delineate.core.scan import Scan, ScanKind
from delineate.predictors.capabilities import Scope
from delineate.server.interop.following import PromptsByFrame, asked, follow
from delineate.server.service import Service
from delineate.session import Session

STRUCTURE: Final = "structure"
MOST_CLICKS: Final = 1000
Click = Annotated[list[float], Field(min_length=2, max_length=3)]
Clicks = Annotated[list[Click], Field(max_length=MOST_CLICKS)]


class Clicked(BaseModel):
    """Clicks (i, j, k) inside and outside, and a box as i0, i1, j0, j1, k0, k1, its ends in any order."""

    label: str = Field(default=STRUCTURE, max_length=200)
    foreground: Clicks = []
    background: Clicks = []
    roi: Annotated[list[float], Field(max_length=6)] = []
    result_extension: str = Field(default=".nrrd", max_length=20)

    @field_validator("label", mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        return given if isinstance(given, str) and given.strip() else STRUCTURE


async def outlined(service: Service, scan: Scan, clicked: Clicked) -> Session:
    """A session in which what was clicked is outlined in the whole volume; or, without a prompt, what a model knows."""
    predictor, features = await service.compute(
        partial(service.sessions.lease, lambda *shared: shared, service.models.own)
    )
    session = Session(scan, predictor, features=features)
    if predictor.capabilities.scope is Scope.DENSE:
        await service.compute(session.predict)
        return session
    name = clicked.label
    for prompts in _prompts(clicked, scan):  # what is not meant may lie on slices that are reached only by following
        if not prompts:
            continue
        if await service.compute(partial(asked, session, prompts, name)) and name in session.segmentation:
            await follow(service, partial(session.propagating, (name,)))
    return session


def _prompts(clicked: Clicked, scan: Scan) -> tuple[PromptsByFrame, PromptsByFrame]:
    """On each frame what was given there: frames where the structure is, then those with "not this" alone."""
    found: dict[int, list[Prompt]] = {}
    for positive, clicks in ((True, clicked.foreground), (False, clicked.background)):
        for frame, prompt in _points(clicks, scan, positive):
            found.setdefault(frame, []).append(prompt)
    if len(clicked.roi) == 6:
        frame, box = _box(clicked.roi, scan)
        found.setdefault(frame, []).insert(0, box)
    where = {n for n, prompts in found.items() if any(getattr(one, "positive", True) for one in prompts)}
    return {n: found[n] for n in found if n in where}, {n: found[n] for n in found if n not in where}


def _points(clicks: Iterable[Sequence[float]], scan: Scan, positive: bool) -> Iterable[tuple[int, Point]]:
    for click in clicks:
        if scan.kind is not ScanKind.VOLUME or len(click) < 3:
            yield 0, Point(click[0], click[1], frame=0, positive=positive)
        else:
            yield round(click[scan.slice_axis]), Point(*click, positive=positive)


def _box(roi: Sequence[float], scan: Scan) -> tuple[int, Box]:
    """The box that holds the voxels from one end to the other, within the scan; its middle frame."""
    shape = (*scan.grid.shape, 1)[:3]
    ends = np.sort(np.asarray(roi, float).reshape(3, 2), axis=1)
    low = np.clip(np.floor(ends[:, 0]), 0, np.array(shape) - 1).astype(int)
    high = np.clip(np.ceil(ends[:, 1]) + 1, low + 1, shape).astype(int)
    if scan.kind is not ScanKind.VOLUME:
        return 0, Box(*low[:2], *high[:2], frame=0)
    axis = scan.slice_axis
    if high[axis] - low[axis] == 1:
        x, y = scan.frame_axes
        return int(low[axis]), Box(low[x], low[y], high[x], high[y], frame=int(low[axis]))
    return int(low[axis] + high[axis] - 1) // 2, Box(*low, *high)
