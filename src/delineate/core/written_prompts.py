"""Prompts as one writes them by hand: a short JSON of structures by name, beside the log that programs keep.

{"LV": {"frame": 3, "box": [73, 104, 129, 160]}, "RV": [{"frame": 3, "point": [60, 130]}, {"frame": 9, "neg": [9, 9]}]}
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, RootModel

from delineate.core.errors import PromptError
from delineate.core.grid import Space
from delineate.core.json_file import json_of, validated
from delineate.core.prompts import Box, Coordinates, Lasso, Point, Prompt, Scribble, Text

MOST_STRUCTURES: Final = 4_000
HINT: Final = (
    'Write {"NAME": {"frame": 3, "box": [x0, y0, x1, y1]}}, with box, point, neg, scribble, neg_scribble, lasso, text, '
    "frame, space and limit."
)


def _several(value: Any) -> Any:
    """One point (or line, or box) as a list of one."""
    inner = value[0] if isinstance(value, list | tuple) and value else None
    return [value] if isinstance(inner, int | float) else value


def _lines(value: Any) -> Any:
    """One line as a list of one."""
    inner = value[0] if isinstance(value, list | tuple) and value else None
    return [value] if isinstance(inner, list | tuple) and inner and isinstance(inner[0], int | float) else value


Line = tuple[Coordinates, ...]
Some = Annotated[Line, BeforeValidator(_several, json_schema_input_type=Coordinates | Line)]
SomeLines = Annotated[tuple[Line, ...], BeforeValidator(_lines, json_schema_input_type=Line | tuple[Line, ...])]


class WrittenPrompts(BaseModel):
    """What says where one structure is, on one frame, or in voxels or millimeters anywhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    frame: int | None = Field(default=None, description="Slice or frame of all that has two coordinates; from 0.")
    space: Space = Field(default=Space.VOXEL, description="Voxel indices, or RAS or LPS millimeters.")
    box: Some = Field(default=(), description="x0, y0, x1, y1 or i0, j0, k0, i1, j1, k1, upper ends excluded; or some.")
    point: Some = Field(default=(), description="x, y or i, j, k on the structure; one or several.")
    neg: Some = Field(default=(), description="The same for what does not belong to it.")
    scribble: SomeLines = Field(default=(), description="A line drawn over it, [[x, y], ...]; one or several.")
    neg_scribble: SomeLines = Field(default=(), description="The same over what does not belong to it.")
    lasso: SomeLines = Field(default=(), description="A closed line loosely around it, [[x, y], ...].")
    text: str | None = Field(default=None, description="What it is called, for systems that read.")
    limit: tuple[int, int] | None = Field(default=None, description="First and last frame it may be followed to.")

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """Raises PromptError for numbers that are no such prompt."""
        at: dict[str, Any] = {"frame": self.frame, "space": self.space}
        found: list[Prompt] = [] if self.text is None else [Text(self.text, frame=self.frame)]
        found += [Box(*corners, **at) for corners in self.box]
        found += [Lasso(points=line, **at) for line in self.lasso]
        found += [Point(*one, **at) for one in self.point]
        found += [Point(*one, positive=False, **at) for one in self.neg]
        found += [Scribble(points=line, **at) for line in self.scribble]
        found += [Scribble(points=line, positive=False, **at) for line in self.neg_scribble]
        return tuple(found)


def _bounded(structures: dict[str, tuple[WrittenPrompts, ...]]) -> dict[str, tuple[WrittenPrompts, ...]]:
    if not 0 < len(structures) <= MOST_STRUCTURES:
        raise ValueError(f"{len(structures)} structures, where 1 to {MOST_STRUCTURES} are meant")
    return structures


def _one_or_some(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


Parts = Annotated[
    tuple[WrittenPrompts, ...],
    BeforeValidator(_one_or_some, json_schema_input_type=WrittenPrompts | tuple[WrittenPrompts, ...]),
]


class WrittenStructures(RootModel[Annotated[dict[str, Parts], AfterValidator(_bounded)]]):
    """Structures by name, each with its prompts on one frame, or a list of such."""

    model_config = ConfigDict(frozen=True)

    def limit(self, name: str) -> tuple[int, int] | None:
        """First and last frame a structure may be followed to, where that is said."""
        limits = [part.limit for part in self.root[name] if part.limit is not None]
        return (min(one[0] for one in limits), max(one[1] for one in limits)) if limits else None

    def prompts(self, name: str) -> tuple[Prompt, ...]:
        """Raises PromptError for numbers that are no such prompt, and where there are none."""
        found = tuple(prompt for part in self.root[name] for prompt in part.prompts)
        if not found:
            raise PromptError("E-PROMPT-NONE", f'Nothing says where "{name}" is.', HINT)
        return found

    @classmethod
    def read(cls, path: Path) -> WrittenStructures:
        """Raises PromptError, naming the field, for a file that holds something else."""
        return cls.parse(path.read_bytes(), path.name)

    @classmethod
    def parse(cls, text: str | bytes, name: str = "the prompts file") -> WrittenStructures:
        """The same for a text."""
        data = json_of(text, name, "E-PROMPTS-JSON", "a prompts file", error=PromptError, once=True)
        return validated(data, cls, name, "E-PROMPTS-FIELD", "a prompts file", HINT, PromptError)


def is_written(data: Any) -> bool:
    """Whether JSON content is structures by name, rather than a log or a manifest."""
    if not isinstance(data, dict) or isinstance(data.get("format"), str) or isinstance(data.get("events"), list):
        return False
    return bool(data) and "prompts" not in data
