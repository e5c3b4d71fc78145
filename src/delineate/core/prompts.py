"""What a person points with: points, boxes, scribbles, lassos, masks and words.

Coordinates are pixels ``(x, y)`` of the frame as shown together with ``frame``, or voxel indices ``(i, j, k)`` of a
volume, or millimetres with ``space="RAS"`` or ``"LPS"``. A pixel's centre is at whole numbers; boxes are
half-open: ``Box(10, 20, 30, 40)`` covers columns 10 to 29 and rows 20 to 39.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from delineate.core.errors import PromptError
from delineate.core.grid import Space
from delineate.core.rle import Rle

Coordinates = tuple[float, ...]


class _Prompt(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    frame: int | None = Field(default=None, description="Frame or slice index, where the coordinates do not say it.")
    space: Space = Field(default=Space.VOXEL, description="Voxel indices, or RAS or LPS millimetres.")


class Point(_Prompt):
    """One click: ``Point(120, 80)`` in a frame, ``Point(120, 80, 31)`` in a volume; ``positive=False``: not this."""

    type: Literal["point"] = "point"
    at: Coordinates = Field(description="x, y or i, j, k, or three millimetres.")
    positive: bool = True

    def __init__(self, *at: float, **fields: Any) -> None:
        super().__init__(**({"at": at} | fields if at else fields))

    @model_validator(mode="after")
    def _check(self) -> Self:
        _require_coordinates([self.at], "point")
        return self


class Box(_Prompt):
    """A half-open box: ``Box(x0, y0, x1, y1)`` in a frame, ``Box(i0, j0, k0, i1, j1, k1)`` in a volume."""

    type: Literal["box"] = "box"
    corners: Coordinates = Field(description="x0, y0, x1, y1 or i0, j0, k0, i1, j1, k1; the upper ends are excluded.")

    def __init__(self, *corners: float, **fields: Any) -> None:
        super().__init__(**({"corners": corners} | fields if corners else fields))

    @property
    def low(self) -> Coordinates:
        return self.corners[: len(self.corners) // 2]

    @property
    def high(self) -> Coordinates:
        return self.corners[len(self.corners) // 2 :]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.corners) not in (4, 6):
            raise PromptError(
                "E-BOX-LENGTH",
                f"A box has 4 numbers (x0,y0,x1,y1) or 6 (i0,j0,k0,i1,j1,k1), not {len(self.corners)}.",
                "Give x0,y0,x1,y1 on a frame, or i0,j0,k0,i1,j1,k1 in a volume.",
            )
        _require_coordinates([self.low, self.high], "box")
        names = ("x", "y") if len(self.corners) == 4 else ("i", "j", "k")
        for name, low, high in zip(names, self.low, self.high, strict=True):
            if high < low:
                swapped = [min(a, b) for a, b in zip(self.low, self.high, strict=True)]
                swapped += [max(a, b) for a, b in zip(self.low, self.high, strict=True)]
                raise PromptError(
                    "E-BOX-INVERTED",
                    f"The box is inverted: {name}1 = {high:g} is smaller than {name}0 = {low:g}.",
                    f"Did you mean {','.join(f'{v:g}' for v in swapped)}?",
                )
            if high == low:
                raise PromptError(
                    "E-BOX-EMPTY",
                    f"The box has no extent along {name}: {name}0 = {name}1 = {low:g}.",
                    "The upper end of a box is excluded: a box round one pixel at 5 is 5 to 6.",
                )
        return self


class Scribble(_Prompt):
    """A line drawn over the structure, or over what it is not (``positive=False``)."""

    type: Literal["scribble"] = "scribble"
    points: tuple[Coordinates, ...] = Field(description="The line's corners in drawing order.")
    positive: bool = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.points:
            raise PromptError("E-SCRIBBLE-EMPTY", "The scribble has no points.", "Give it one point or more.")
        _require_coordinates(self.points, "scribble")
        return self


class Lasso(_Prompt):
    """A closed line drawn loosely round the structure."""

    type: Literal["lasso"] = "lasso"
    points: tuple[Coordinates, ...] = Field(description="The polygon's corners in drawing order; it closes itself.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.points) < 3:
            raise PromptError(
                "E-LASSO-SHORT",
                f"A lasso needs at least three corners, not {len(self.points)}.",
                "Draw at least three corners; it closes itself.",
            )
        _require_coordinates(self.points, "lasso")
        return self


class Mask(_Prompt):
    """An outline that exists already, at the full resolution of one frame: to track, refine or correct."""

    type: Literal["mask"] = "mask"
    height: int
    width: int
    counts: tuple[int, ...] = Field(description="COCO run lengths, column by column, starting with background.")

    @classmethod
    def from_array(cls, mask: NDArray[np.bool_], frame: int | None = None) -> Mask:
        """A mask prompt from a (height, width) boolean array."""
        rle = Rle.encode(np.asarray(mask) != 0)
        return cls(height=rle.height, width=rle.width, counts=tuple(int(n) for n in rle.counts), frame=frame)

    @property
    def array(self) -> NDArray[np.bool_]:
        """The mask as (height, width) booleans."""
        return Rle(self.height, self.width, np.asarray(self.counts)).decode()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if sum(self.counts) != self.height * self.width or min(self.counts, default=0) < 0:
            raise PromptError(
                "E-MASK-RUNS",
                f"The mask's runs do not fill {self.width} x {self.height} pixels.",
                "Make it with Mask.from_array.",
            )
        if sum(self.counts[1::2]) == 0:
            raise PromptError(
                "E-MASK-EMPTY", "The mask prompt is empty: not one pixel is set.", "Draw at least one pixel."
            )
        return self


class Text(_Prompt):
    """The structure's name, for systems that read: ``Text("liver", frame=40)``; also where it is followed to."""

    type: Literal["text"] = "text"
    words: str = Field(description='What it is, such as "right kidney"; in the words the system was trained with.')

    def __init__(self, words: str | None = None, **fields: Any) -> None:
        super().__init__(**(fields if words is None else {"words": words} | fields))

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.words.strip():
            raise PromptError("E-TEXT-EMPTY", "The text prompt has no words.", "Say what it is, such as --text liver.")
        return self


Prompt = Annotated[Point | Box | Scribble | Lasso | Mask | Text, Field(discriminator="type")]


def _require_coordinates(points: Iterable[Coordinates], what: str) -> None:
    """Two or three finite numbers a point, of a size an index can have."""
    for point in points:
        if len(point) not in (2, 3):
            raise PromptError(
                "E-PROMPT-LENGTH",
                f"A {what} has 2 or 3 coordinates a point, not {len(point)}.",
                "A point is x,y on a frame or i,j,k in a volume; a box x0,y0,x1,y1 or i0,j0,k0,i1,j1,k1.",
            )
        if not np.isfinite(point).all() or np.abs(point).max() > 1e9:
            raise PromptError(
                "E-PROMPT-NUMBER",
                f"The {what} has a coordinate that is no usable number: {point}.",
                "Give finite numbers, separated by commas: 120,80.",
            )
