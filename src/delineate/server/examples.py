"""Examples for prompts: a structure outlined on an uploaded picture or scan, or in a session, as one whole prompt."""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData

from delineate.core.errors import PromptError
from delineate.core.prompts import Example
from delineate.core.scan import Scan
from delineate.core.segmentation import Segmentation
from delineate.oneshot.examples import read_example
from delineate.server.forms import file_of
from delineate.server.problems import RefusalError
from delineate.server.routes import chunks
from delineate.server.service import Service

FILES: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image", "labels"],
                    "properties": {
                        "image": {"type": "string", "format": "binary", "description": "A picture, volume or video."},
                        "labels": {"type": "string", "format": "binary", "description": "Labels on its grid."},
                        "object": {
                            "type": "string",
                            "maxLength": 200,
                            "description": "Its name or label value; the largest structure where it is left out.",
                        },
                        "frame": {
                            "type": "integer",
                            "description": "The frame that shows it; else where it is largest.",
                        },
                    },
                }
            }
        },
    }
}


class OfSession(BaseModel):
    """A structure of a session: of the one that is worked in, or of another."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    session: str = Field(max_length=100)
    object: str = Field(max_length=200)
    frame: int | None = Field(default=None, description="The frame that shows it; else where it is largest.")


class ExamplePrompt(BaseModel):
    """The prompt, to be put into the event ``prompt`` once it has a frame to look on."""

    object: str
    frame: Annotated[int, Field(description="Of the example.")]
    prompt: Example


def examples(service: Service) -> APIRouter:
    """``/api/v1/examples`` and ``/api/v1/examples/session``."""
    router = APIRouter(prefix="/api/v1/examples")

    @router.post("", status_code=201, openapi_extra=FILES, max_body_size=service.settings.max_upload)
    async def uploaded(request: Request) -> ExamplePrompt:
        """Send a labeled picture or scan; what is kept of it is the prompt that is answered."""
        async with request.form(max_files=2, max_fields=2) as form:
            files = [file_of(form, "image"), file_of(form, "labels")]
            wanted, frame = str(form.get("object", ""))[:200], _frame(form)
            place = await service.scans.receive([(one.filename or "", chunks(one)) for one in files])
        try:
            return await run_in_threadpool(_of_files, place, wanted, frame)
        finally:
            rmtree(place, ignore_errors=True)

    @router.post("/session", status_code=201)
    async def of_session(wanted: OfSession) -> ExamplePrompt:
        """A structure that is outlined in a session."""
        session = (await service.session(wanted.session)).session
        return await run_in_threadpool(_made, session.scan, session.segmentation, wanted.object, wanted.frame)

    return router


def _of_files(place: Path, wanted: str, frame: int | None) -> ExamplePrompt:
    image, labels = sorted(place.iterdir())
    read = read_example(image, labels, wanted=(wanted,) if wanted else ())
    with read.scan:
        largest = max(read.labels.objects, key=lambda one: one.area)
        return _made(read.scan, read.labels, largest.name, frame)


def _made(scan: Scan, outlines: Segmentation, name: str, frame: int | None) -> ExamplePrompt:
    """Raises PromptError where the structure is not outlined there."""
    masks = outlines[name].masks if name in outlines else {}
    if frame is None:
        frame = max(masks, key=lambda n: masks[n].area, default=0)
    if frame not in masks or not masks[frame].area:
        raise PromptError(
            "E-EXAMPLE-FRAME",
            f"There is no outline of {name[:100]!r} on {scan.frame_word} {frame} of the example.",
            "Name a structure and a frame on which it is outlined.",
        )
    prompt = Example.of(scan.frame(frame), masks[frame].decode(), axes=scan.frame_directions)
    return ExamplePrompt(object=name, frame=frame, prompt=prompt)


def _frame(form: FormData) -> int | None:
    given = form.get("frame")
    if given in (None, ""):
        return None
    if not isinstance(given, str) or not given.isascii() or not given.isdigit():
        raise RefusalError("E-REQUEST", "frame is no number.", "Leave it out, or name a frame.", status=422)
    return int(given[:9])
