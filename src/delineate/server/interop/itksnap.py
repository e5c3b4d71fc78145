"""ITK-SNAP's deep-learning extension (DLS): its interactive tools work with this server.

The client has a host and a port, and no field for a token: these addresses are there only where they were asked for,
on this machine alone, and never for a page of another origin.
"""

from __future__ import annotations

import base64
import gzip
import math
import secrets
import threading
import zlib
from collections import OrderedDict
from functools import partial
from typing import Annotated, Any, Final

import numpy as np
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from delineate.core.frame import Modality, ModalityName
from delineate.core.grid import Grid
from delineate.core.scan import Scan
from delineate.server.forms import file_of, form_of, json_field
from delineate.server.interop.drawn_volumes import lassoed, scribbled
from delineate.server.interop.following import PromptsByFrame, follow
from delineate.server.interop.lease import AIR, Lease
from delineate.server.problems import RefusalError, not_found
from delineate.server.service import Service

PROTOCOL: Final = "0.1.6"  # digits alone: the client parses it, and wants 0.1.2 at least
MOST_PLACES: Final = 8
Triple = Annotated[list[float], Field(min_length=3, max_length=3)]


class RawImage(BaseModel):
    """How the values lie in space: LPS mm; ``direction`` row by row."""

    dimensions: Annotated[list[Annotated[int, Field(ge=1, le=100_000)]], Field(min_length=3, max_length=3)]
    spacing: Triple = [1.0, 1.0, 1.0]
    origin: Triple = [0.0, 0.0, 0.0]
    direction: Annotated[list[float], Field(min_length=9, max_length=9)] = [1, 0, 0, 0, 1, 0, 0, 0, 1]
    components_per_pixel: int = 1

    @property
    def grid(self) -> Grid:
        affine = np.eye(4)
        affine[:3, :3] = np.array(self.direction).reshape(3, 3) * self.spacing
        affine[:3, 3] = self.origin
        return Grid(tuple(self.dimensions), np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)


class SnapSessions:
    """One volume and structure a client; of more than eight the one that was used longest ago goes."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._places: OrderedDict[str, Lease] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self) -> str:
        """A new place; call it on the engine."""
        lease = self._service.sessions.lease(Lease, self._service.models.own)
        with self._lock:
            id = secrets.token_hex(16)
            self._places[id] = lease
            while len(self._places) > MOST_PLACES:
                self._places.popitem(last=False)
            return id

    def get(self, id: str) -> Lease:
        """Raises RefusalError (404)."""
        with self._lock:
            if id not in self._places:
                raise not_found("session", id)
            self._places.move_to_end(id)
            return self._places[id]

    def end(self, id: str) -> None:
        with self._lock:
            self._places.pop(id, None)


def itksnap(service: Service) -> APIRouter:
    """The protocol's addresses."""
    router = APIRouter(tags=["ITK-SNAP"], dependencies=[Depends(_of_no_page)])
    places = SnapSessions(service)
    _add_places(router, places, service)
    _add_interactions(router, places, service)
    return router


def _add_places(router: APIRouter, places: SnapSessions, service: Service) -> None:
    @router.get("/status")
    def status() -> dict[str, str]:
        """That the server is there, and what it speaks."""
        return {"status": "ok", "version": PROTOCOL}

    @router.get("/v2/models")
    def models() -> dict[str, Any]:
        """The model, and what can be drawn."""
        interactions = ["point", "scribble", "lasso"]
        one = {"id": service.models.own, "dimensions": 3, "channels": [1], "interactions": interactions}
        return {"models": [one]}

    @router.get("/v2/start_session/{model}")
    async def begin(model: str) -> dict[str, str]:
        """A place for one volume."""
        if model != service.models.own:
            raise not_found("model", model)
        return {"session_id": await service.compute(places.begin)}

    @router.get("/v2/end_session/{session}")
    def end(session: str) -> dict[str, str]:
        """The client goes."""
        places.end(session)
        return {"status": "success"}

    @router.post("/upload_raw/{session}", max_body_size=service.settings.max_array)
    async def upload(request: Request, session: str) -> dict[str, str]:
        """The volume."""
        lease = places.get(session)
        image, values = await _image(request, service.settings.max_array)
        await service.compute(partial(lease.begin, _scan(image, values)))
        return {"status": "success"}


def _add_interactions(router: APIRouter, places: SnapSessions, service: Service) -> None:
    large = service.settings.max_array

    async def answered(lease: Lease, prompts: PromptsByFrame) -> JSONResponse:
        if await service.compute(partial(lease.ask, prompts)):
            await follow(service, lease.following)
        return await run_in_threadpool(_result, lease)

    async def drawn(request: Request, lease: Lease) -> NDArray[np.bool_]:
        image, values = await _image(request, large)
        if tuple(image.dimensions) != lease.session.scan.grid.shape or not values.any():
            raise RefusalError("E-SERVE-DRAWN", "Nothing was drawn in this volume.", "Draw in it.", status=400)
        return values != 0

    async def pointed(session: str, point: list[float], foreground: bool) -> JSONResponse:
        if len(point) != 3:
            raise RefusalError("E-SERVE-POINT", "A point has three coordinates.", "Send x, y and z.", status=400)
        lease = places.get(session)
        return await answered(lease, lease.point(point[::-1], foreground))

    @router.get("/v2/process_point_interaction/{session}")
    async def point(
        session: str, point: Annotated[list[float], Query(max_length=3)], foreground: bool = True
    ) -> JSONResponse:
        """A click, as point=x&point=y&point=z."""
        return await pointed(session, point, foreground)

    @router.get("/process_point_interaction/{session}")
    async def older_point(session: str, x: float, y: float, z: float, foreground: bool = True) -> JSONResponse:
        """A click, as older clients send it."""
        return await pointed(session, [x, y, z], foreground)

    @router.post("/process_scribble_interaction/{session}", max_body_size=large)
    async def scribble(request: Request, session: str, foreground: bool = True) -> JSONResponse:
        """A brush stroke, as a mask."""
        lease = places.get(session)
        return await answered(lease, scribbled(await drawn(request, lease), lease.session.scan, foreground))

    @router.post("/process_lasso_interaction/{session}", max_body_size=large)
    async def lasso(request: Request, session: str, foreground: bool = True) -> JSONResponse:
        """A loop, as a filled mask."""
        lease = places.get(session)
        mask, scan = await drawn(request, lease), lease.session.scan
        return await answered(lease, lassoed(mask, scan) if foreground else scribbled(mask, scan, False))

    @router.get("/reset_interactions/{session}")
    async def reset(session: str) -> dict[str, str]:
        """Forget the structure; the volume stays."""
        await service.compute(places.get(session).reset)
        return {"status": "success"}


def _of_no_page(request: Request) -> None:
    """Refuse what a page of another origin asks for: some of these requests change something with a GET."""
    if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise RefusalError("E-SERVE-ORIGIN", "The page is of another origin.", "Use ITK-SNAP.", status=403)


async def _image(request: Request, most: int) -> tuple[RawImage, NDArray[np.float32]]:
    """The metadata and values (i, j, k) of an upload. Raises RefusalError (400; 413 for too much)."""
    async with form_of(request) as form:
        image = RawImage.model_validate(json_field(form, "metadata", needed=True))
        packed = await file_of(form, "file").read()
    return image, await run_in_threadpool(_values, image, packed, most)


def _values(image: RawImage, packed: bytes, most: int) -> NDArray[np.float32]:
    size = math.prod(image.dimensions) * 4
    if image.components_per_pixel != 1:
        raise RefusalError("E-SERVE-IMAGE", "The image has several channels.", "Send one of them.", status=400)
    if size > most:
        raise RefusalError("E-SERVE-LARGE", f"The image has {size} bytes.", "Send a smaller one.", status=413)
    try:
        plain = zlib.decompressobj(wbits=31).decompress(packed, size + 1)
    except zlib.error:
        plain = b""
    if len(plain) != size:
        text = f"The image is not {size} bytes of 32-bit numbers in gzip."
        raise RefusalError("E-SERVE-IMAGE", text, "Send it as ITK-SNAP does.", status=400)
    return np.frombuffer(plain, "<f4").reshape(image.dimensions, order="F")


def _scan(image: RawImage, values: NDArray[np.float32]) -> Scan:
    """The volume; whole numbers that reach below -500 are CT."""
    is_ct = float(values.min()) <= AIR and bool((values == np.rint(values)).all())
    name = ModalityName.CT if is_ct else ModalityName.UNKNOWN
    return Scan.from_volume(values, image.grid, modality=Modality(name, "values of air"))


def _result(lease: Lease) -> JSONResponse:
    """The structure, x fastest."""
    content = base64.b64encode(gzip.compress(lease.outline.astype(np.int8).tobytes(order="F"), 1)).decode()
    return JSONResponse({"status": "success", "result": content})
