"""The verbs ``bench`` and ``bench corruptions``: speed on this machine, and what the corruptions look like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from delineate.evaluation.corruption_sheet import corruption_sheet
from delineate.io.opening import open_scan
from delineate.io.outputs import Outputs
from delineate.io.own_files import png_mark
from delineate.preprocess.display import display_window, shown
from delineate.systems.building import needs_torch
from delineate.verbs.request import Overwrite, Request

if TYPE_CHECKING:
    from delineate.bench import Measure


class Suite(StrEnum):
    """What is timed."""

    QUILL = "quill"
    SYSTEMS = "systems"  # published ones
    SCALE = "scale"  # large scans, and their peak memory
    SERVER = "server"  # clicks on the wire, and many people at once


class BenchRequest(Request):
    """Everything ``bench`` needs to know."""

    suite: Suite = Suite.QUILL
    quick: bool = Field(default=False, description="Fewer repeats, a shorter clip, smaller scans.")
    budget: float | None = Field(default=None, gt=0, description="Seconds after which no row is begun; not of Quill.")
    device: str = Field(default="auto", description="Where published systems run: auto, cpu, cuda, cuda:1, mps.")


@dataclass(frozen=True)
class BenchResult:
    """The table, row by row."""

    measures: tuple[Measure, ...]

    def as_json(self) -> dict[str, str]:
        return {one.what: one.value for one in self.measures}


def bench(
    request: BenchRequest,
    measured: Callable[[Measure], None] | None = None,
    next_up: Callable[[str], None] | None = None,
) -> BenchResult:
    """Measure milliseconds a click, frames a second, memory and start-up time.

    ``measured`` is called with each row, ``next_up`` with what is measured next. Raises ModelError for a device that is
    not there, MissingExtraError where published systems need packages that are not.
    """
    measures: list[Measure] = []
    for one in _measures(request, next_up):
        measures.append(one)
        if measured is not None:
            measured(one)
    return BenchResult(tuple(measures))


def _measures(request: BenchRequest, next_up: Callable[[str], None] | None) -> Iterator[Measure]:
    match request.suite:
        case Suite.SYSTEMS:
            needs_torch("bench --systems")
            from delineate.bench_systems import bench_systems

            return bench_systems(request.quick, request.device, request.budget, next_up)
        case Suite.SCALE:
            from delineate.bench_scale import bench_scale

            return bench_scale(request.quick, request.budget, next_up)
        case Suite.SERVER:
            from delineate.bench_server import bench_server

            return bench_server(request.quick, next_up)
    from delineate.bench import bench as of_quill

    return of_quill(10, 200) if request.quick else of_quill()


class CorruptionsRequest(Request):
    """Everything ``bench corruptions`` needs to know."""

    image: Path = Field(description="A picture.")
    output: Path = Field(description="The sheet (.png).")
    seed: int = Field(default=0, ge=0, description="Of what is drawn.")
    overwrite: Overwrite = False


@dataclass(frozen=True)
class CorruptionsResult:
    """The sheet that was drawn."""

    file: Path

    def as_json(self) -> dict[str, Any]:
        return {"file": str(self.file)}


def corruptions(request: CorruptionsRequest) -> CorruptionsResult:
    """Draw a picture under every corruption of the robustness protocols, severities 1 to 5.

    Raises InputError for a file that cannot be read, OutputError for a sheet that must not be written.
    """
    scan = open_scan(request.image)
    with Outputs([request.output], [request.image], request.overwrite) as outputs:
        sheet = corruption_sheet(shown(scan.pixels(0), display_window(scan)), seed=request.seed)
        sheet.save(outputs.stage(request.output), format="PNG", pnginfo=png_mark())
    return CorruptionsResult(request.output)
