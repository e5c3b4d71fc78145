"""Prompts placed on the frames of a scan: checked against its bounds, every kind reduced to what a predictor takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from delineate.core.drawn_lines import clicks_along, pixels_within
from delineate.core.errors import Notice, PromptError
from delineate.core.grid import Space
from delineate.core.prompts import Box, Coordinates, Lasso, Mask, Point, Prompt, Scribble, Text
from delineate.core.scan import Scan, ScanKind

BOX_TWICE: Final = Notice("W-BOX-TWICE", "Two boxes of one structure are on one frame: the later one counts.")
LEAST_EXTENT = 0.5  # pixels of a box, within the scan


@dataclass(frozen=True, eq=False)
class FramePrompts:
    """All prompts for one object on one frame, in pixels of that frame.

    points  float64 (N, 2), x and y
    labels  bool (N,), whether each point is on the structure
    box     x0, y0, x1, y1, half-open, or None
    mask    bool (height, width), an outline to refine, or None
    text    what the structure is called, for systems that read, or None
    """

    points: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))
    labels: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    box: tuple[float, float, float, float] | None = None
    mask: NDArray[np.bool_] | None = None
    text: str | None = None

    @property
    def says_where(self) -> bool:
        """Whether anything here points at the structure, rather than only away from it."""
        return any(given is not None for given in (self.box, self.mask, self.text)) or bool(self.labels.any())

    @property
    def is_boxed(self) -> bool:
        """Whether a box points at the structure, rather than a line around it, which has one too."""
        return self.box is not None and self.mask is None

    @property
    def drawn(self) -> NDArray[np.bool_] | None:
        """The outline that a person drew, bool (height, width): it is taken as it is; None where they pointed."""
        return self.mask if self.box is None and not len(self.points) else None

    @classmethod
    def joined(cls, given: Sequence[FramePrompts]) -> FramePrompts:
        """Prompts in the order they were given: points add up (the later on a pixel wins), others replace."""
        if len(given) == 1:
            return given[0]
        points = np.concatenate([one.points for one in given])
        labels = np.concatenate([one.labels for one in given])
        if len(points):
            order = np.repeat(np.arange(len(given)), [len(one.points) for one in given])
            _, pixel = np.unique(np.round(points), axis=0, return_inverse=True)
            last = np.zeros(len(points), int)
            np.maximum.at(last, pixel.ravel(), order)
            keep = order == last[pixel.ravel()]
            points, labels = points[keep], labels[keep]
        return cls(
            points,
            labels,
            next((one.box for one in reversed(given) if one.box is not None), None),
            next((one.mask for one in reversed(given) if one.mask is not None), None),
            next((one.text for one in reversed(given) if one.text is not None), None),
        )


@dataclass(frozen=True, eq=False)
class ResolvedPrompt:
    """Where one prompt lands.

    span    first and one past the last frame that a 3D box allows, or None
    across  the points of a line that crosses frames, (N, 3): x, y, frame; ``prompts`` has those of ``frame``
    """

    frame: int
    prompts: FramePrompts
    span: tuple[int, int] | None = None
    notices: tuple[Notice, ...] = ()
    across: NDArray[np.float64] | None = None

    @property
    def located(self) -> NDArray[np.float64]:
        """Its points in the scan, (N, 3): x, y, frame."""
        if self.across is not None:
            return self.across
        points = self.prompts.points
        return np.column_stack([points, np.full(len(points), self.frame)])


def resolve_prompt(prompt: Prompt, scan: Scan, across: bool = False) -> ResolvedPrompt:
    """The prompt on its frame of the scan; ``across``: a scribble may cross frames, and lands on its first one.

    Raises PromptError, with what to change, for prompts outside the scan, on no or another frame, or in
    millimeters the scan does not have. A box that is partly outside is clipped, with a notice.
    """
    match prompt:
        case Box():
            return _place_box(prompt, scan)
        case Mask():
            return _place_mask(prompt, scan)
        case Text():
            return ResolvedPrompt(require_frame(prompt.frame, scan), FramePrompts(text=prompt.words.strip()))
        case Point():
            frame, points = _on_one_frame([prompt.at], prompt, scan)
            return ResolvedPrompt(frame, FramePrompts(points, np.array([prompt.positive])))
        case Scribble():
            corners = _located(prompt.points, prompt, scan)
            frame = int(corners[0, 2]) if across else _one_frame(corners, prompt, scan)
            line = clicks_along(corners)
            points = line[np.rint(line[:, 2]) == frame, :2]
            prompts = FramePrompts(points, np.full(len(points), prompt.positive))
            return ResolvedPrompt(frame, prompts, across=line if across else None)
        case Lasso():
            frame, corners = _on_one_frame(prompt.points, prompt, scan)
            mask = pixels_within(corners, scan.height, scan.width)
            rows, columns = np.nonzero(mask)
            box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            return ResolvedPrompt(frame, FramePrompts(box=tuple(float(v) for v in box), mask=mask))  # type: ignore[arg-type]
    raise PromptError(
        "E-PROMPT-KIND",
        f"{type(prompt).__name__} is not a prompt for one frame.",
        "Take a Point, Box, Scribble, Lasso, Mask or Text.",
    )


def join(placed: Sequence[ResolvedPrompt]) -> tuple[dict[int, FramePrompts], tuple[Notice, ...]]:
    """Placed prompts of one object gathered by frame, in the order they were given."""
    given: dict[int, list[FramePrompts]] = {}
    for one in placed:
        given.setdefault(one.frame, []).append(one.prompts)
    frames = {frame: FramePrompts.joined(prompts) for frame, prompts in given.items()}
    notices = [notice for one in placed for notice in one.notices]
    if any(len(frames[frame].points) < sum(len(one.points) for one in prompts) for frame, prompts in given.items()):
        notices.append(Notice("W-POINT-TWICE", "Two points share a pixel: the later one counts."))
    if any(sum(one.is_boxed for one in prompts) > 1 for prompts in given.values()):
        notices.append(BOX_TWICE)
    return frames, tuple(dict.fromkeys(notices))


def require_frame(given: int | None, scan: Scan) -> int:
    """The frame a prompt says it is on, or the only one. Raises PromptError where there is no such frame."""
    if given is None:
        if scan.kind is ScanKind.VOLUME:
            raise PromptError(
                "E-PROMPT-SLICE",
                "The prompt does not say which slice of the volume it is on.",
                f"Give a third coordinate, or the slice with --frame (0 to {len(scan) - 1}).",
            )
        return 0
    if not 0 <= given < len(scan):
        raise PromptError(
            "E-PROMPT-FRAME",
            f"The prompt is on {scan.frame_word} {given}, but the scan has {scan.frame_word}s 0 to {len(scan) - 1}.",
            "Frames and slices are counted from 0.",
        )
    return given


def _on_one_frame(points: Sequence[Coordinates], prompt: Prompt, scan: Scan) -> tuple[int, NDArray[np.float64]]:
    """Points in any space as (frame, (N, 2) pixels), all inside the frame and all on the same one."""
    located = _located(points, prompt, scan)
    return _one_frame(located, prompt, scan), located[:, :2]


def _one_frame(located: NDArray[np.float64], prompt: Prompt, scan: Scan) -> int:
    """The frame that all points (N, 3) are on."""
    if len(np.unique(located[:, 2])) > 1:
        raise PromptError(
            "E-PROMPT-OBLIQUE",
            f"The {prompt.type} crosses several {scan.frame_word}s; draw it on one.",
            "Slices are taken along another axis with --axis.",
        )
    return int(located[0, 2])


def _located(points: Sequence[Coordinates], prompt: Prompt, scan: Scan) -> NDArray[np.float64]:
    """Points in any space as (N, 3): x, y and frame, all inside the scan."""
    three = len(points[0]) == 3
    _require_depth(prompt, len(points[0]))
    if three and scan.kind is ScanKind.IMAGE and prompt.space is Space.VOXEL:
        raise PromptError(
            "E-PROMPT-LENGTH",
            "An image takes x,y; three coordinates are for volumes.",
            "A point is x,y on a frame or i,j,k in a volume; a box x0,y0,x1,y1 or i0,j0,k0,i1,j1,k1.",
        )
    if prompt.space is not Space.VOXEL or three:
        voxels = [tuple(scan.grid.to_voxel(p, prompt.space)) for p in points]
        if prompt.space is not Space.VOXEL:
            _require_inside(points, voxels, prompt, scan)
        if scan.kind is ScanKind.IMAGE:
            on_frames = [(0, v[0], v[1]) for v in voxels]
        else:
            on_frames = [scan.to_frame(v) for v in voxels]
        frames = [require_frame(frame, scan) for frame, _, _ in on_frames]
        if prompt.frame not in (None, *frames):
            raise PromptError(
                "E-PROMPT-FRAME",
                f"The {prompt.type} is on {scan.frame_word} {frames[0]}, but says frame {prompt.frame}.",
                "Frames and slices are counted from 0.",
            )
        pixels = np.array([(x, y) for _, x, y in on_frames], dtype=float)
    else:
        frames = [require_frame(prompt.frame, scan)] * len(points)
        pixels = np.array(points, dtype=float)
    outside = ((pixels < -0.5) | (pixels >= np.array([scan.width, scan.height]) - 0.5)).any(axis=1)
    if outside.any():
        x, y = pixels[outside][0]
        raise PromptError(
            "E-PROMPT-OUTSIDE",
            f"The {prompt.type} at x = {x:g}, y = {y:g} is outside the {scan.frame_word} "
            f"of {scan.width} x {scan.height} pixels.",
            f"x goes from 0 to {scan.width - 1}, y from 0 to {scan.height - 1}.",
        )
    return np.column_stack([pixels, np.array(frames, dtype=float)])


def _require_inside(
    points: Sequence[Coordinates], voxels: Sequence[tuple[float, ...]], prompt: Prompt, scan: Scan
) -> None:
    """Raise PromptError, in the millimeters that were given, for a point outside the scan."""
    outside = [point for point, inside in zip(points, scan.grid.contains(voxels), strict=True) if not inside]
    if outside:
        corners = np.array(list(product(*((0, size - 1) for size in scan.grid.shape))))
        ends = scan.grid.to_world(corners, prompt.space).round(1) + 0.0
        spans = (f"{low:g} to {high:g}" for low, high in zip(ends.min(axis=0), ends.max(axis=0), strict=True))
        place = ", ".join(f"{one:g}" for one in outside[0])
        raise PromptError(
            "E-PROMPT-OUTSIDE",
            f"The {prompt.type} at {place} mm ({prompt.space}) is outside the scan.",
            f"In {prompt.space} the scan lies within {', '.join(spans)} mm.",
        )


def _require_depth(prompt: Prompt, coordinates: int) -> None:
    """Raise PromptError for millimeters that do not say where they are along the third axis."""
    if prompt.space is not Space.VOXEL and coordinates == 2:
        raise PromptError(
            "E-PROMPT-LENGTH",
            f"A {prompt.type} in {prompt.space} millimeters has 3 coordinates a place, not 2.",
            "Give all three; pixels of a frame are given without --space (space: voxel).",
        )


def _place_box(prompt: Box, scan: Scan) -> ResolvedPrompt:
    _require_depth(prompt, len(prompt.low))
    if scan.kind is ScanKind.IMAGE and len(prompt.low) == 3 and prompt.space is Space.VOXEL:
        raise PromptError(
            "E-BOX-LENGTH",
            "An image takes a box of four numbers: x0,y0,x1,y1.",
            "Give x0,y0,x1,y1 on a frame, or i0,j0,k0,i1,j1,k1 in a volume.",
        )
    span = None
    if len(prompt.low) == 2:
        frame = require_frame(prompt.frame, scan)
        low, high = np.array(prompt.low), np.array(prompt.high)
    else:
        low3, high3 = _voxel_box(prompt, scan)
        if scan.kind is ScanKind.IMAGE:
            frame, low, high = 0, low3[:2], high3[:2]
        else:
            axis = scan.slice_axis
            first, stop = max(0, int(low3[axis])), min(len(scan), int(np.ceil(high3[axis])))
            if first >= stop:
                raise _outside_box(prompt, scan)
            frame, span = (first + stop - 1) // 2, (first, stop)
            if prompt.frame is not None:
                frame = require_frame(prompt.frame, scan)
                if not first <= frame < stop:
                    raise PromptError(
                        "E-PROMPT-FRAME",
                        f"The box reaches from {scan.frame_word} {first} to {stop - 1}, but says frame {frame}.",
                        "Frames and slices are counted from 0.",
                    )
            low, high = low3[list(scan.frame_axes)], high3[list(scan.frame_axes)]
    size = np.array([scan.width, scan.height])
    clipped_low, clipped_high = np.clip(low, 0, size), np.clip(high, 0, size)
    if (clipped_high <= clipped_low).any():
        raise _outside_box(prompt, scan)
    if (clipped_high - clipped_low).min() < LEAST_EXTENT:
        raise PromptError(
            "E-BOX-EMPTY",
            f"The box is {(clipped_high - clipped_low).min():.2g} pixels across: nothing can be in it.",
            "The upper end of a box is excluded: a box round one pixel at 5 is 5 to 6.",
        )
    box = (*(float(v) for v in clipped_low), *(float(v) for v in clipped_high))
    notices: tuple[Notice, ...] = ()
    if (clipped_low != low).any() or (clipped_high != high).any():
        text = ",".join(f"{v:g}" for v in box)
        notices = (Notice("W-BOX-CLIPPED", f"The box reaches outside the scan and was clipped to {text}."),)
    return ResolvedPrompt(frame, FramePrompts(box=box), span, notices)  # type: ignore[arg-type]


def _voxel_box(prompt: Box, scan: Scan) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The box's half-open voxel range; a millimeter box becomes the range of voxels whose centers it holds."""
    low, high = np.array(prompt.low), np.array(prompt.high)
    if prompt.space is Space.VOXEL:
        return low, high
    corners = [[(low, high)[bit][n] for n, bit in enumerate(bits)] for bits in np.ndindex(2, 2, 2)]
    voxels = scan.grid.to_voxel(corners, prompt.space)
    low, high = np.ceil(voxels.min(axis=0) - 1e-6), np.floor(voxels.max(axis=0) + 1e-6) + 1
    if (low >= high).any():
        raise PromptError(
            "E-BOX-EMPTY",
            "The box lies between voxels: it holds no voxel's middle.",
            f"Make it larger than the spacing, {' x '.join(f'{s:.4g}' for s in scan.grid.spacing)} mm.",
        )
    return low, high


def _outside_box(prompt: Box, scan: Scan) -> PromptError:
    size = " x ".join(f"0..{n}" for n in scan.grid.shape)
    return PromptError(
        "E-BOX-OUTSIDE",
        f"The box {','.join(f'{v:g}' for v in prompt.corners)} is outside the scan.",
        f"The scan covers {size} ({', '.join(scan.grid.axes)}).",
    )


def _place_mask(prompt: Mask, scan: Scan) -> ResolvedPrompt:
    if (prompt.width, prompt.height) != (scan.width, scan.height):
        raise PromptError(
            "E-MASK-SIZE",
            f"The mask prompt is {prompt.width} x {prompt.height} pixels, "
            f"the {scan.frame_word} {scan.width} x {scan.height}.",
            "Draw it at the size of the frame.",
        )
    mask = prompt.array
    notices = (Notice("W-MASK-FULL", "The mask prompt covers the whole frame."),) if mask.all() else ()
    return ResolvedPrompt(require_frame(prompt.frame, scan), FramePrompts(mask=mask), notices=notices)
