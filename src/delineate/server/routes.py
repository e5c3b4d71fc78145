"""The addresses of the server: what is asked in, what is answered out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from hashlib import sha256
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from PIL import Image
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from delineate.core.errors import PromptError
from delineate.preprocess.display import shown
from delineate.server.guard import cookie_name, same
from delineate.server.messages import Act, Follow, NewSession, OpenScan
from delineate.server.problems import RefusalError
from delineate.server.scans import KnownScan
from delineate.server.service import EXPORTS, Service, answer_of

CHUNK: Final = 2**20
PROTOCOL: Final = 1
UPLOAD_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        }
    }
}


class Login(BaseModel):
    """The token that the server printed."""

    token: str = Field(max_length=200)


def api(service: Service) -> APIRouter:
    """Scans, sessions and jobs, below ``/api/v1``."""
    router = APIRouter(prefix="/api/v1")
    _add_server(router, service)
    _add_scans(router, service)
    _add_sessions(router, service)
    return router


def _add_server(router: APIRouter, service: Service) -> None:
    settings = service.settings

    @router.post("/login", status_code=204)
    def login(given: Login, request: Request) -> Response:
        """Exchange the token for a cookie that the page's requests carry."""
        if settings.token and not same(given.token, settings.token):
            raise RefusalError(
                "E-SERVE-TOKEN", "The token is wrong.", "Copy the address that the server printed.", status=401
            )
        response = Response(status_code=204)
        response.set_cookie(cookie_name(request.headers["host"]), given.token, httponly=True, samesite="strict")
        return response

    @router.get("/info")
    def info() -> dict[str, Any]:
        """What the server is and takes."""
        return {
            "name": "Delineate",
            "version": version("delineate"),
            "protocol": PROTOCOL,
            "model": service.models.own,
            "models": service.models.names,
            "exports": EXPORTS,
            "limits": {
                "upload": settings.max_upload,
                "body": settings.max_body,
                "sessions": settings.max_sessions,
                "waiting": settings.max_waiting,
            },
            "sessions": len(service.sessions),
            "waiting": service.engine.waiting,
        }


def _add_scans(router: APIRouter, service: Service) -> None:
    scans = service.scans

    @router.post("/scans", status_code=201, openapi_extra=UPLOAD_BODY, max_body_size=service.settings.max_upload)
    async def upload(request: Request, name: Annotated[str, Query(max_length=300)] = "") -> dict[str, Any]:
        """Send a scan: one file as the body, or the files of a folder as multipart."""
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            async with request.form(max_files=100_000, max_fields=10) as form:
                files = [one for one in form.getlist("files") if isinstance(one, UploadFile)]
                parts = [(one.filename or "", chunks(one)) for one in files]
                place = await scans.receive(parts)
        else:
            place = await scans.receive([(name, request.stream())])
        return (await run_in_threadpool(scans.add_uploaded, place)).as_json()

    @router.post("/scans/open", status_code=201)
    async def open_path(wanted: OpenScan) -> dict[str, Any]:
        """Open a scan below the server's root."""
        return (await run_in_threadpool(scans.add_below_root, wanted.path)).as_json()

    @router.get("/scans/{scan}")
    async def about(scan: str, slice_axis: Annotated[int | None, Query(ge=0, le=2)] = None) -> dict[str, Any]:
        """A scan's geometry, and what should be known of it."""
        return (await run_in_threadpool(scans.get, scan, slice_axis)).as_json()

    @router.get("/scans/{scan}/frames/{frame}.png", response_class=Response)
    async def picture(
        request: Request,
        scan: str,
        frame: int,
        slice_axis: Annotated[int | None, Query(ge=0, le=2)] = None,
        window: Annotated[str | None, Query(pattern=r"^-?[0-9.e+-]+,-?[0-9.e+-]+$", max_length=60)] = None,
    ) -> Response:
        """A frame as a picture, through a window LOW,HIGH; by default the scan's own."""
        known = await run_in_threadpool(scans.get, scan, slice_axis)
        if not 0 <= frame < len(known.scan):
            text = f"There is no {known.scan.frame_word} {frame}."
            raise PromptError("E-FRAME", text, f"The last one is {len(known.scan) - 1}.")
        low, high = known.window if window is None else _window(window)
        tag = f'"{sha256(f"{scan} {frame} {slice_axis} {low} {high}".encode()).hexdigest()[:24]}"'
        headers = {"etag": tag, "cache-control": "private, max-age=3600"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        content = await run_in_threadpool(_png, known, frame, (low, high))
        return Response(content, media_type="image/png", headers=headers)


def _add_sessions(router: APIRouter, service: Service) -> None:
    @router.post("/sessions", status_code=201)
    async def begin(wanted: NewSession) -> dict[str, Any]:
        """Begin a session on a scan."""
        live = await service.new_session(wanted)
        return answer_of(live, live.masks())

    @router.get("/sessions/{session}")
    async def state(session: str) -> dict[str, Any]:
        """What there is, without the outlines."""
        return (await service.session(session)).state()

    @router.get("/sessions/{session}/masks")
    async def masks(session: str, since: Annotated[int, Query(ge=0)] = 0) -> dict[str, Any]:
        """All outlines, or those that changed after a revision."""
        live = await service.session(session)
        return answer_of(live, live.masks(since))

    @router.delete("/sessions/{session}", status_code=204)
    def end(session: str) -> Response:
        """Forget a session and its log."""
        service.sessions.remove(session)
        return Response(status_code=204)

    @router.post("/sessions/{session}/events")
    async def act(session: str, wanted: Act) -> dict[str, Any]:
        """Do one action: a prompt, a new structure, another candidate ..."""
        return await service.act(session, wanted)

    @router.post("/sessions/{session}/undo")
    async def undo(session: str) -> dict[str, Any]:
        """Take the last action back."""
        return await service.step(session, back=True)

    @router.post("/sessions/{session}/redo")
    async def redo(session: str) -> dict[str, Any]:
        """Do what was undone last again."""
        return await service.step(session, back=False)

    @router.post("/sessions/{session}/follow", status_code=202)
    async def follow(session: str, wanted: Follow) -> dict[str, Any]:
        """Follow structures through the frames; the answer names the job."""
        return (await service.follow(session, wanted)).as_json()

    @router.get("/jobs/{job}")
    def job(job: str) -> dict[str, Any]:
        """How far a propagation is."""
        return service.jobs.get(job).as_json()

    @router.delete("/jobs/{job}")
    def cancel(job: str) -> dict[str, Any]:
        """End a propagation; what was followed so far stays."""
        found = service.jobs.get(job)
        found.cancel()
        return found.as_json()

    @router.get("/sessions/{session}/export", response_class=FileResponse)
    async def export(session: str, format: Annotated[str, Query(max_length=20)] = "nii.gz") -> FileResponse:
        """The outlines as a file; frames of a video as a zip archive of masks."""
        folder = Path(mkdtemp(prefix="delineate-export-"))
        try:
            file = await service.exported(session, format, folder)
        except BaseException:
            rmtree(folder, ignore_errors=True)
            raise
        return FileResponse(file, filename=file.name, background=BackgroundTask(rmtree, folder, ignore_errors=True))


async def chunks(part: UploadFile) -> AsyncIterator[bytes]:
    """An uploaded file, piece by piece."""
    while chunk := await part.read(CHUNK):
        yield chunk


def _window(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = 0.0
    if not low < high:
        raise PromptError("E-WINDOW", f"{text} is no window.", "A window is LOW,HIGH, such as -160,240.")
    return low, high


def _png(known: KnownScan, frame: int, window: tuple[float, float]) -> bytes:
    stream = BytesIO()
    Image.fromarray(shown(known.scan.pixels(frame), window)).save(stream, "PNG", compress_level=1)
    return stream.getvalue()
