"""The verb ``systems``: what can be run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from pydantic import Field

from delineate.systems import SYSTEMS
from delineate.systems.registry import system_named
from delineate.systems.system import System
from delineate.verbs.request import Request

INTERNAL: Final = ("build", "layout", "weights", "download", "policy")  # fields that say nothing to a reader


class SystemsRequest(Request):
    """Everything ``systems`` needs to know."""

    name: str | None = Field(default=None, description="Of one system; None: all of them.")


@dataclass(frozen=True)
class SystemsResult:
    """The systems that were asked for."""

    systems: tuple[System, ...]

    @property
    def cards(self) -> list[dict[str, Any]]:
        """What each says of itself, field by field."""
        return [{k: _plain(v) for k, v in asdict(one).items() if k not in INTERNAL} for one in self.systems]

    def as_json(self) -> list[dict[str, Any]]:
        return self.cards


def systems(request: SystemsRequest) -> SystemsResult:
    """List the systems that can be run, or show one: prompts, profile, recipe, citation, license, reported figures.

    Raises ModelError for a name that is not in the table.
    """
    return SystemsResult(tuple(SYSTEMS.values()) if request.name is None else (system_named(request.name),))


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, frozenset) else value
