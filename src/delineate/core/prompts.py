"""What a person points with: points, boxes, scribbles, lassos, masks, words, and another picture's outline.

Coordinates are pixels ``(x, y)`` of the frame as shown together with ``frame``, or voxel indices ``(i, j, k)`` of a
volume, or millimeters with ``space="RAS"`` or ``"LPS"``. A pixel's center is at whole numbers; boxes are
half-open: ``Box(10, 20, 30, 40)`` covers columns 10 to 29 and rows 20 to 39.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from delineate.core.errors import PromptError
from delineate.core.frame import Frame
from delineate.core.grid import Space
from delineate.core.json_file import fault
from delineate.core.picture_text import pixels_of, shrunk, text_of
from delineate.core.rle import Rle
from delineate.core.shown_values import ShownValues

Coordinates = tuple[float, ...]
MOST_CORNERS: Final = 100_000  # of a scribble or a lasso
LARGEST: Final = 1e9  # coordinate


class _Prompt(BaseModel):
    """Raises PromptError for whatever is no such prompt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            what = type(self).__name__.lower()
            hint = f"Its fields: {', '.join(type(self).model_fields)}."
            raise PromptError("E-PROMPT-FIELD", f"This is no {what}: {fault(error)}.", hint) from None

    frame: int | None = Field(default=None, description="Frame or slice index, where the coordinates do not say it.")
    space: Space = Field(default=Space.VOXEL, description="Voxel indices, or RAS or LPS millimeters.")


class Point(_Prompt):
    """One click: ``Point(120, 80)`` in a frame, ``Point(120, 80, 31)`` in a volume; ``positive=False``: not this."""

    type: Literal["point"] = "point"
    at: Coordinates = Field(description="x, y or i, j, k, or three millimeters.")
    positive: bool = True

    def __init__(self, *at: Any, **fields: Any) -> None:
        super().__init__(**({"at": _numbers(at)} | fields if at else fields))

    @model_validator(mode="after")
    def _check(self) -> Self:
        _require_coordinates([self.at], "point")
        return self


class Box(_Prompt):
    """A half-open box: ``Box(x0, y0, x1, y1)`` in a frame, ``Box(i0, j0, k0, i1, j1, k1)`` in a volume."""

    type: Literal["box"] = "box"
    corners: Coordinates = Field(description="x0, y0, x1, y1 or i0, j0, k0, i1, j1, k1; the upper ends are excluded.")

    def __init__(self, *corners: Any, **fields: Any) -> None:
        super().__init__(**({"corners": _numbers(corners)} | fields if corners else fields))

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


class _Line(_Prompt):
    """A prompt of several places: ``Scribble((10, 20), (30, 40))``, or all of them as one list or array."""

    points: tuple[Coordinates, ...]

    def __init__(self, *points: Any, **fields: Any) -> None:
        if len(points) == 1 and np.ndim(points[0]) == 2:
            (points,) = points
        super().__init__(
            **({"points": tuple(_numbers((point,)) for point in points)} | fields if len(points) else fields)
        )


class Scribble(_Line):
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


class Lasso(_Line):
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
    counts: tuple[int, ...] = Field(
        repr=False, description="COCO run lengths, column by column, starting with background."
    )

    @classmethod
    def from_array(cls, mask: NDArray[Any], frame: int | None = None) -> Mask:
        """A mask prompt from an array (height, width).

        Of whole numbers what is not 0 is inside; of fractions (probabilities) what is at least a half; NaN is outside.
        Raises PromptError for arrays that are no mask, and for empty ones.
        """
        values = np.asarray(mask)
        if values.ndim != 2 or values.dtype.kind not in "buif":
            raise PromptError(
                "E-MASK-ARRAY",
                f"An array of shape {values.shape} and type {values.dtype} is no mask.",
                "A mask is (height, width), of true and false or of numbers.",
            )
        rle = Rle.encode(inside(values))
        return cls(height=rle.height, width=rle.width, counts=tuple(int(n) for n in rle.counts), frame=frame)

    @property
    def array(self) -> NDArray[np.bool_]:
        """The mask as (height, width) booleans."""
        return Rle(self.height, self.width, np.asarray(self.counts)).decode()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if min(self.height, self.width) < 1:
            text = f"A mask of {self.width} x {self.height} pixels has none."
            raise PromptError("E-MASK-EMPTY", text, "Give a mask of the frame's size.")
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


BodyDirection = Literal["L", "R", "P", "A", "I", "S"]


class Example(_Prompt):
    """The structure outlined on another picture, the whole of it in the prompt.

    ``Example.of(scan.frame(12), mask, frame=40)``: it is looked for on frame 40, and what is found there is the answer.
    """

    type: Literal["example"] = "example"
    picture: str = Field(description="PNG, gray or RGB, in base64.")
    height: int
    width: int
    counts: tuple[int, ...] = Field(description="The outline on it: COCO run lengths, column by column.")
    axes: tuple[BodyDirection, BodyDirection] | None = Field(
        default=None, description="Where its columns and rows run to in the body, such as L and P; none: not known."
    )

    values: ShownValues | None = Field(
        default=None, description="What the picture's 16-bit numbers mean; none: nothing but light and dark."
    )

    @classmethod
    def of(
        cls,
        shown: Frame | NDArray[Any],
        mask: NDArray[Any],
        frame: int | None = None,
        axes: tuple[BodyDirection, BodyDirection] | None = None,
    ) -> Example:
        """An example from a frame and a mask (height, width); large ones are made smaller.

        shown ``Scan.frame(number)``, which is seen through the window of its scan; or pixels (height, width[, 3])
        axes  ``Scan.frame_directions`` of the scan it is of, so that it is not looked for upside down on another one

        Raises PromptError for arrays that are no picture and no mask of it.
        """
        seen = shown if isinstance(shown, Frame) else Frame.of(np.asarray(shown))
        pixels = seen.pixels[..., 0] if seen.pixels.shape[2:] == (1,) else seen.pixels
        if pixels.shape[:2] != np.shape(mask) or pixels.ndim > 3 or pixels.shape[2:] not in ((), (3,)):
            raise PromptError(
                "E-EXAMPLE-ARRAYS",
                f"Pixels of shape {pixels.shape} and a mask of shape {np.shape(mask)} are no example.",
                "Pixels are (height, width) or (height, width, 3), the mask (height, width).",
            )
        outline = Mask.from_array(shrunk(np.asarray(mask)))
        seen = seen.with_pixels(shrunk(pixels))
        return cls(
            picture=text_of(seen.pixels),
            height=outline.height,
            width=outline.width,
            counts=outline.counts,
            frame=frame,
            axes=axes,
            values=ShownValues.of(seen),
        )

    @property
    def pixels(self) -> NDArray[Any]:
        """The picture (height, width[, 3]), its numbers as they are kept."""
        return pixels_of(self.picture)

    @property
    def shown(self) -> Frame:
        """The picture as a frame of the scan it is of."""
        return Frame.of(self.pixels) if self.values is None else self.values.frame(self.pixels)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The outline on it, (height, width)."""
        return Rle(self.height, self.width, np.asarray(self.counts)).decode()

    @model_validator(mode="after")
    def _check(self) -> Self:
        Mask(height=self.height, width=self.width, counts=self.counts)
        try:
            size = self.pixels.shape[:2]
        except ValueError as error:
            raise PromptError("E-EXAMPLE-PICTURE", f"The example's picture: {error}.", "Use Example.of.") from None
        if size != (self.height, self.width):
            raise PromptError(
                "E-EXAMPLE-ARRAYS",
                f"The example's picture is {size[1]} x {size[0]} pixels, its mask {self.width} x {self.height}.",
                "Give the mask that was drawn on it.",
            )
        return self


Prompt = Annotated[Point | Box | Scribble | Lasso | Mask | Text | Example, Field(discriminator="type")]


def inside(values: NDArray[Any]) -> NDArray[np.bool_]:
    """What is inside of an outline given as numbers: not 0; of fractions (0 to 1) at least a half; NaN is outside."""
    if values.dtype.kind != "f":
        return values != 0
    finite = np.nan_to_num(values, nan=0.0)
    fractions = bool(((finite >= 0) & (finite <= 1)).all())
    return finite >= 0.5 if fractions else finite != 0


def _numbers(given: tuple[Any, ...]) -> Any:
    """Numbers given one by one, or as one sequence."""
    if len(given) != 1 or not isinstance(given[0], np.ndarray | list | tuple):
        return given
    return tuple(given[0].tolist()) if isinstance(given[0], np.ndarray) else given[0]


def _require_coordinates(points: Iterable[Coordinates], what: str) -> None:
    """Two or three finite numbers a point, of a size an index can have; of all points as many."""
    points = list(points)
    if len(points) > MOST_CORNERS:
        raise PromptError(
            "E-PROMPT-MANY",
            f"The {what} has {len(points)} corners; {MOST_CORNERS} are the most.",
            "Leave out those between which the line runs straight.",
        )
    lengths = {len(point) for point in points}
    if not lengths <= {2, 3}:
        raise PromptError(
            "E-PROMPT-LENGTH",
            f"A {what} has 2 or 3 coordinates a point, not {max(lengths)}.",
            "A point is x,y on a frame or i,j,k in a volume; a box x0,y0,x1,y1 or i0,j0,k0,i1,j1,k1.",
        )
    if len(lengths) > 1:
        raise PromptError("E-PROMPT-LENGTH", f"Some points of the {what} have 2 coordinates, others 3.", "Give all 3.")
    usable = np.abs(np.array(points, dtype=float)) <= LARGEST  # NaN is not
    if not usable.all():
        odd = points[int(np.flatnonzero(~usable.all(axis=1))[0])]
        raise PromptError(
            "E-PROMPT-NUMBER",
            f"The {what} has a coordinate that is no usable number: {odd}.",
            "Give finite numbers, separated by commas: 120,80.",
        )
