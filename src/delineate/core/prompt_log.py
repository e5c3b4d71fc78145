"""The ordered record of everything a person did: undoable, replayable, one JSON for every app."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from delineate.core.clean_steps import CleanSteps
from delineate.core.errors import PromptError
from delineate.core.json_file import json_of, renamed, validated
from delineate.core.prompts import Prompt
from delineate.core.propagation_options import PropagationOptions
from delineate.core.reading import reading
from delineate.core.terminal_text import counted

MOST_EVENTS, MOST_OBJECTS = 100_000, 4_000  # of a log
OLD_FORMAT, OLD_KEYS = "delineate-prompts/1", {"colour": "color"}
PROMPTS_HINT = "Save the prompts again, or compare the file with one that is saved beside an output (.manifest.json)."


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AddObject(_Event):
    """A new structure gets a name, a label value and a color."""

    event: Literal["add_object"] = "add_object"
    object: str
    label: int
    color: tuple[int, int, int]


class RemoveObject(_Event):
    event: Literal["remove_object"] = "remove_object"
    object: str


class LockObject(_Event):
    """Lock an object against change, or unlock it."""

    event: Literal["lock_object"] = "lock_object"
    object: str
    locked: bool


class AddPrompt(_Event):
    """One prompt for one object; ``new`` is the object where the prompt makes it, so that both are undone together."""

    event: Literal["prompt"] = "prompt"
    object: str
    prompt: Prompt
    new: AddObject | None = None

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        return (self.prompt,)


class AddPrompts(_Event):
    """Several prompts for one object on one frame, given together: one query; ``new`` as in AddPrompt."""

    event: Literal["prompts"] = "prompts"
    object: str
    prompts: tuple[Prompt, ...] = Field(min_length=1)
    new: AddObject | None = None


class ChooseCandidate(_Event):
    """Another of the outlines that were offered for an ambiguous prompt."""

    event: Literal["choose"] = "choose"
    object: str
    frame: int
    candidate: int


class Propagate(_Event):
    """Follow objects through the frames ``first`` to ``stop`` (excluded); all objects where none is named.

    stopped_after  frames visited, both ways counted, when it was canceled; None: it was followed to the end
    """

    event: Literal["propagate"] = "propagate"
    objects: tuple[str, ...] = ()
    first: int | None = None
    stop: int | None = None
    following: PropagationOptions = Field(default_factory=PropagationOptions)
    stopped_after: int | None = None


class Interpolate(_Event):
    """Fill the frames between those an object is outlined on by a person, by the shapes there."""

    event: Literal["interpolate"] = "interpolate"
    object: str


class LimitObject(_Event):
    """An object ends with the frames ``first`` and ``last``: what is outlined beyond them goes."""

    event: Literal["limit_object"] = "limit_object"
    object: str
    first: int
    last: int


class CleanObject(_Event):
    """An object is cleaned: its largest part, holes, its border; as the verb ``clean`` does."""

    event: Literal["clean"] = "clean"
    object: str
    steps: CleanSteps


class Predict(_Event):
    """Outline everything, without a prompt; ``objects`` are those that were made for it, a class each.

    stopped_after  frames outlined, when something stopped it; None: all were
    """

    event: Literal["predict"] = "predict"
    objects: tuple[AddObject, ...]
    stopped_after: int | None = None


Event = Annotated[
    AddObject
    | RemoveObject
    | LockObject
    | AddPrompt
    | AddPrompts
    | ChooseCandidate
    | Propagate
    | Interpolate
    | LimitObject
    | CleanObject
    | Predict,
    Field(discriminator="event"),
]


class PromptLog(BaseModel):
    """Events in order; those past ``done`` were undone and can be redone. Immutable: a change gives a new log.

    scan_sha256  of the file the prompts were made on, "" where unknown
    model        the model that answered
    slice_axis   the axis of the volume the frames were counted along, or None
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["delineate-prompts/2"] = "delineate-prompts/2"
    scan: str = ""
    scan_sha256: str = ""
    model: str = ""
    slice_axis: int | None = None
    events: tuple[Event, ...] = ()
    done: int = 0

    @model_validator(mode="before")
    @classmethod
    def _of_today(cls, data: Any) -> Any:
        """Version 1 spelled ``color`` otherwise; where nothing says how many events are done, all are."""
        if not isinstance(data, dict):
            return data
        if data.get("format") == OLD_FORMAT:
            data = renamed(data, OLD_KEYS) | {"format": "delineate-prompts/2"}
        events = data.get("events")
        return data if "done" in data or not isinstance(events, list | tuple) else data | {"done": len(events)}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not 0 <= self.done <= len(self.events):
            raise ValueError(f"done = {self.done} of {len(self.events)} events")
        if len(self.events) > MOST_EVENTS or len(self.objects) > MOST_OBJECTS:
            raise ValueError(f"more than {MOST_EVENTS} events or {MOST_OBJECTS} structures")
        return self

    def adding(self, event: Event) -> PromptLog:
        """With one event more; what had been undone is forgotten."""
        return self._changed((*self.current, event), self.done + 1)

    def with_last(self, event: Event) -> PromptLog:
        """With the last event in force replaced; what had been undone is forgotten."""
        return self._changed((*self.events[: self.done - 1], event), self.done)

    def undone(self) -> PromptLog:
        """With the last event in force taken back."""
        return self._changed(self.events, self.done - 1)

    def without_last(self, steps: int) -> PromptLog:
        """Without the last so many things a person did, and what came of each: what was followed, filled or named.

        Raises PromptError where there are fewer.
        """
        done, of_itself = self.done, AddObject | Propagate | Interpolate | Predict
        for _ in range(steps):
            while done > 0 and isinstance(self.events[done - 1], of_itself):
                done -= 1
            done -= 1
        if done < 0:
            count = sum(not isinstance(one, of_itself) for one in self.current)
            raise PromptError(
                "E-UNDO", f"{counted(count, 'step')} can be taken back, not {steps}.", "Give a smaller number."
            )
        return self.model_copy(update={"events": self.events[:done], "done": done})

    def redone(self) -> PromptLog:
        """With the event that was undone last in force again."""
        return self._changed(self.events, self.done + 1)

    def _changed(self, events: tuple[Event, ...], done: int) -> PromptLog:
        if not 0 <= done <= len(events):
            raise PromptError(
                "E-PROMPTS-MOVE",
                f"There is nothing to {'redo' if done > 0 else 'undo'}.",
                "See PromptLog.can_undo and PromptLog.can_redo.",
            )
        return self.model_copy(update={"events": events, "done": done})

    def __repr__(self) -> str:
        """In one line, as notebooks show it; ``to_json`` has all of it."""
        return (
            f"PromptLog({self.done} of {len(self.events)} events on {self.scan or 'a scan'}: {', '.join(self.objects)})"
        )

    @property
    def current(self) -> tuple[Event, ...]:
        """The events in force."""
        return self.events[: self.done]

    @property
    def objects(self) -> tuple[str, ...]:
        """Names of the objects there are after the events in force."""
        names: dict[str, None] = {}
        for event in self.current:
            if isinstance(event, AddObject | AddPrompt | AddPrompts):
                names[event.object] = None
            elif isinstance(event, Predict):
                names |= {one.object: None for one in event.objects}
            elif isinstance(event, RemoveObject):
                names.pop(event.object, None)
        return tuple(names)

    @property
    def can_undo(self) -> bool:
        return self.done > 0

    @property
    def can_redo(self) -> bool:
        return self.done < len(self.events)

    @classmethod
    def parse(cls, text: str | bytes, name: str = "the prompts file") -> PromptLog:
        """The log in a JSON text: a saved log, or a manifest that holds one under ``prompts``.

        Raises PromptError naming the first field that is wrong.
        """
        data = json_of(text, name, "E-PROMPTS-JSON", "a prompts file", error=PromptError, once=True)
        if isinstance(data, dict) and "prompts" in data and "events" not in data:
            data = data["prompts"]
        if isinstance(data, dict) and "done" not in data and isinstance(data.get("events"), list):
            data = data | {"done": len(data["events"])}
        return validated(data, cls, name, "E-PROMPTS-FIELD", "a prompts file", PROMPTS_HINT, PromptError)

    @classmethod
    def read(cls, path: Path) -> PromptLog:
        """The log saved in a file, or inside a manifest."""
        require_file(path)
        with reading(path, "E-PROMPTS-JSON", PromptError, what="cannot be read"):
            content = path.read_bytes()
        return cls.parse(content, path.name)

    def to_json(self) -> str:
        return self.model_dump_json(indent=1, exclude_none=True) + "\n"


def require_file(path: Path) -> None:
    """Raise PromptError for a pipe or a device, which would be waited for."""
    if path.exists() and not path.is_file():
        raise PromptError("E-FILE-KIND", f"{path} is no ordinary file.", "Save it as a file.")
