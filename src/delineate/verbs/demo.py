"""The verb ``demo``: see it work, offline, in a minute."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from delineate.demo.run import DemoResult as DemoScan
from delineate.demo.run import run_demo
from delineate.verbs.request import Progress, Request


class DemoRequest(Request):
    """Everything ``demo`` needs to know."""

    output: Path = Field(default=Path("demo"), description="Folder for scans, outlines and pictures.")


@dataclass(frozen=True)
class DemoResult:
    """What was outlined, scan by scan."""

    scans: tuple[DemoScan, ...]

    def as_json(self) -> list[dict[str, Any]]:
        return [asdict(scan) | {"picture": str(scan.picture)} for scan in self.scans]


def demo(request: DemoRequest, progress: Progress | None = None) -> DemoResult:
    """Segment a volume, a video and a DICOM slice that are made up or bundled; ends with pictures to look at."""
    return DemoResult(tuple(run_demo(request.output, progress)))
