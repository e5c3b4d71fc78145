"""What the page asks beside the API: measures of a structure, and the sessions there are to go on with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.concurrency import run_in_threadpool

from delineate.core.errors import DelineateError
from delineate.core.json_file import read_json
from delineate.core.segmentation import Segmentation
from delineate.outlines.diameters import Diameters
from delineate.outlines.measure import axes_by_frame, knows_millimeters
from delineate.server.service import Service
from delineate.server.sessions import KeptSession

MOST_RECENT: Final = 12
MOST_BYTES: Final = 2**24  # of a log that is read for the list


def page_routes(service: Service) -> APIRouter:
    """Below ``/api/v1``, as the API is."""
    router = APIRouter(prefix="/api/v1")

    @router.get("/sessions")
    async def recent(scan: Annotated[str | None, Query(max_length=32)] = None) -> dict[str, Any]:
        """Sessions that hold outlines, the newest first; none where people on other machines share the server."""
        if not service.settings.is_loopback:
            return {"sessions": []}
        return {"sessions": await run_in_threadpool(kept_sessions, service.settings.state / "sessions", scan)}

    @router.get("/sessions/{session}/measures")
    async def measures(session: str, object: Annotated[str, Query(max_length=200)]) -> dict[str, Any]:
        """Long and short axis of a structure on every frame, and where they are longest."""
        live = await service.session(session)
        return await run_in_threadpool(_measures, live.session.segmentation, object)

    return router


def kept_sessions(folder: Path, scan: str | None = None) -> list[dict[str, Any]]:
    """What a person could go on with: name of the scan, structures, when it was used last (seconds since 1970)."""
    found = list[dict[str, Any]]()
    for used, file in sorted(_files(folder), reverse=True):
        if len(found) == MOST_RECENT:
            break
        try:
            kept = read_json(file, KeptSession, "E-SERVE-DAMAGED", "a session that was kept", "It is left out.")
        except DelineateError:
            continue
        if kept.log.objects and scan in (None, kept.scan):
            about = {"id": file.stem, "scan": kept.scan, "name": kept.log.scan, "structures": kept.log.objects}
            found.append(about | {"used": used})
    return found


def _files(folder: Path) -> Iterator[tuple[float, Path]]:
    """Kept sessions and when each was written; one may be removed meanwhile."""
    for file in folder.glob("*.json"):
        with suppress(FileNotFoundError):
            about = file.stat()
            if about.st_size <= MOST_BYTES:
                yield about.st_mtime, file


def _measures(segmentation: Segmentation, name: str) -> dict[str, Any]:
    axes = axes_by_frame(segmentation, name)
    return {
        "object": name,
        "unit": "mm" if knows_millimeters(segmentation) else "px",
        "widest": max(axes, key=lambda frame: axes[frame].long, default=None),
        "frames": {frame: _axes(one) for frame, one in axes.items()},
    }


def _axes(one: Diameters) -> dict[str, Any]:
    return {"long": one.long, "short": one.short, "ends": one.ends, "across": one.across}
