"""``-m auto``: which model answers, from a table of what was measured by kind of scan and of prompt.

The model that ships answers unless another one on this machine was clearly better on such scans: measured on several
subjects, with a 95 % interval of the difference that lies above 0. ``delineate bench compare`` makes the table.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from delineate.checkpoints.store import cached_path, kept_sha256
from delineate.core.errors import ModelError
from delineate.core.frame import Modality, ModalityName
from delineate.core.scan import Scan, ScanKind
from delineate.predictors.capabilities import PromptKind
from delineate.systems.registry import AUTO, SHIPPED

TABLE: Final = Path(__file__).with_name("routing.json")
LEAST_SUBJECTS: Final = 5  # fewer say nothing of others like them
_PROMPTED: Final = {ScanKind.IMAGE: "on one frame", ScanKind.VOLUME: "through a volume", ScanKind.VIDEO: "in a video"}


class Route(BaseModel):
    """What was measured of a model beside the one that ships, on one kind of scan with one kind of prompt.

    through              ``image``: on the prompted frame alone; else what the outline was followed through
    cases, subjects      scans, and persons or specimens they are of
    datasets             where those are from
    mean_default, mean   Dice, or J&F in a video, of the model that ships and of this one; means over data sets
    difference           of this model to the one that ships
    interval             of the difference, 95 %, bootstrap over subjects; None for too few of them
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    modality: ModalityName
    prompt: PromptKind
    through: ScanKind
    model: str
    cases: int
    subjects: int
    datasets: tuple[str, ...]
    mean_default: float
    mean: float
    difference: float
    interval: tuple[float, float] | None

    @property
    def better(self) -> bool:
        """Whether the model was clearly better than the one that ships."""
        return self.subjects >= LEAST_SUBJECTS and self.interval is not None and self.interval[0] > 0

    @property
    def words(self) -> str:
        """By how much, in words."""
        between = f", 95 % {self.interval[0]:+.3f} to {self.interval[1]:+.3f}" if self.interval else ""
        sets = "data set" if len(self.datasets) == 1 else "data sets"
        return f"{self.difference:+.3f}{between}, {self.cases} cases of {len(self.datasets)} {sets}"


class RoutingTable(BaseModel):
    """All routes, and how they were measured.

    measured  date, version and command
    models    sha256 of the weights that were measured, the model that ships first
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["delineate-routing/1"] = "delineate-routing/1"
    measured: dict[str, str]
    models: dict[str, str]
    routes: tuple[Route, ...]

    def better(self, modality: ModalityName, prompt: PromptKind, through: ScanKind) -> list[Route]:
        """Models that were clearly better there, the best first."""
        found = [
            one
            for one in self.routes
            if (one.modality, one.prompt, one.through) == (modality, prompt, through) and one.better
        ]
        return sorted(found, key=lambda one: -one.difference)


class Routed(BaseModel):
    """Which model answers, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    reason: str


@cache
def routing_table() -> RoutingTable:
    """The table that ships."""
    return RoutingTable.model_validate_json(TABLE.read_bytes())


def choose_model(
    scan: Scan, prompts: Collection[PromptKind], followed: bool = True, table: RoutingTable | None = None
) -> Routed:
    """The model that should answer prompts on a scan.

    Parameters
    ----------
    scan
        Its modality decides, as its file says it or as it looks (``delineate inspect``).
    prompts
        Their kinds; every one of them must have been measured.
    followed
        Whether the structure is followed to other frames, where there are any.
    table
        What was measured; None: the table that ships.

    Returns
    -------
    routed
        The model that ships, unless one that is on this machine was clearly better. The reason says which and why.
    """
    table = table or routing_table()
    modality, through = scan.modality, scan.kind if followed and len(scan) > 1 else ScanKind.IMAGE
    if modality.name is ModalityName.UNKNOWN:
        reason = f"it is not known what kind of scan this is ({modality.reason}): --modality says it"
        return Routed(model=SHIPPED, reason=reason)
    what = _what(modality, prompts, through)
    per_prompt = [{one.model: one for one in table.better(modality.name, kind, through)} for kind in set(prompts)]
    names = [name for name in (per_prompt or [{}])[0] if all(name in routes for routes in per_prompt)]
    passed_over: list[str] = []
    for name in names:
        route = min((routes[name] for routes in per_prompt), key=lambda one: one.difference)
        kept = _kept(name)
        if kept and kept == table.models.get(name, kept):
            return Routed(model=name, reason=f"better than {SHIPPED} on {what} ({route.words})")
        why = f"is not on this machine: delineate models pull {name}"
        if kept:
            why = "here it has other weights than were measured"
        passed_over.append(f"{name} was better on {what} ({route.words}), and {why}")
    return Routed(model=SHIPPED, reason=(passed_over or [f"no other model was clearly better on {what}"])[0])


def _what(modality: Modality, prompts: Collection[PromptKind], through: ScanKind) -> str:
    kinds = " and ".join(sorted(prompts)) or "no prompt"
    return f"{modality.name} with {kinds} {_PROMPTED[through]}"


def _kept(name: str) -> str:
    """The hash of the weights on this machine; "" where there are none, or they were changed since they were kept."""
    try:
        return kept_sha256(name) if cached_path(name) is not None else ""
    except ModelError:
        return ""


__all__ = ["AUTO", "Route", "Routed", "RoutingTable", "choose_model", "routing_table"]
