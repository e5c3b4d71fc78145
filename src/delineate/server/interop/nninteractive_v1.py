"""The first nnInteractive protocol, of installed 3D Slicer extensions that were not updated: one volume, one client.

It knows no key and no session. So it is there only where it was asked for, below a path of its own; the token stands
in front of that path (``/key/TOKEN/nninteractive-v1``). Masks come as NumPy files in gzip and go as bits, (k, j, i).
What is refused is answered with status 200 and a sentence, as these clients show it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Coroutine
from functools import partial
from gzip import compress
from typing import Annotated, Any, Final

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from numpy.lib import format as npy
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from delineate.core.errors import DelineateError
from delineate.io.unpacking import Packing, unpacked
from delineate.server.forms import file_of, form_of
from delineate.server.interop.drawn_volumes import lassoed, outlined, scribbled
from delineate.server.interop.following import PromptsByFrame, follow
from delineate.server.interop.lease import Lease
from delineate.server.problems import RefusalError
from delineate.server.service import Service

PREFIX: Final = "/nninteractive-v1"
ENVELOPE: Final = 1024  # bytes of a NumPy file before its values, at most
YES: Final = ("true", "1", "yes")
Place = Annotated[list[int], Field(min_length=3, max_length=3)]


class OldPoint(BaseModel):
    voxel_coord: Place
    positive_click: bool


class OldBox(BaseModel):
    outer_point_one: Place
    outer_point_two: Place
    positive_click: bool


class _Told(APIRoute):
    """What is refused, as these clients read it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def told(request: Request) -> Response:
            try:
                return await handle(request)
            except DelineateError as error:
                return JSONResponse({"status": "error", "message": f"{error.message} {error.hint}"})

        return told


def nninteractive_v1(service: Service) -> APIRouter:
    """The protocol's addresses."""
    router = APIRouter(prefix=PREFIX, tags=["nnInteractive, first protocol"], route_class=_Told)
    large = service.settings.max_array
    kept: list[Lease] = []

    async def one() -> Lease:
        if not kept:
            kept.append(await service.compute(partial(service.sessions.lease, Lease, service.models.own)))
        return kept[0]

    async def answered(lease: Lease, prompts: PromptsByFrame) -> Response:
        if await service.compute(partial(lease.ask, prompts)):
            await follow(service, lease.following)
        content = await run_in_threadpool(_bits, lease)
        return Response(content, media_type="application/octet-stream", headers={"Content-Encoding": "gzip"})

    async def drawn(request: Request, lease: Lease) -> tuple[NDArray[np.bool_], bool]:
        """A mask (i, j, k), and whether it belongs to the structure."""
        shape = lease.session.scan.grid.shape[::-1]
        async with form_of(request) as form:
            positive = str(form.get("positive_click", "true")).lower() in YES
            content = await file_of(form, "file").read()
        mask = await run_in_threadpool(_array, content, math.prod(shape) * 8, Packing.GZIP)
        if mask.shape != shape:
            text = f"The mask is {list(mask.shape)}, the image {list(shape)}."
            raise RefusalError("E-SERVE-DRAWN", text, "Draw it on the image that was sent.", status=400)
        return (mask != 0).transpose(2, 1, 0), positive

    async def traced(request: Request, prompts_of: Callable[..., Any]) -> Response:
        lease = await one()
        mask, positive = await drawn(request, lease)
        if not mask.any():
            raise RefusalError("E-SERVE-DRAWN", "Nothing was drawn.", "Draw at least one voxel.", status=400)
        return await answered(lease, prompts_of(mask, lease.session.scan, positive))

    @router.get("/docs")
    def there() -> dict[str, bool]:
        """Asked by a client that tries whether the server is there."""
        return {"ok": True}

    @router.post("/upload_image", max_body_size=large)
    async def image(request: Request) -> dict[str, str]:
        """The volume, (k, j, i); its spacing is not told."""
        async with form_of(request) as form:
            content = await file_of(form, "file").read()
        array = await run_in_threadpool(_array, content, large, Packing.RAW)
        await service.compute(partial((await one()).set_image, array[None], (1.0, 1.0, 1.0)))
        return {"status": "ok"}

    @router.post("/upload_segment", max_body_size=large)
    async def segment(request: Request) -> dict[str, str]:
        """An outline to go on from; an empty one begins anew."""
        lease = await one()
        mask, _ = await drawn(request, lease)
        begin = partial(lease.start_from, mask, outlined(mask, lease.session.scan)) if mask.any() else lease.reset
        await service.compute(begin)
        return {"status": "ok"}

    @router.post("/add_point_interaction")
    async def point(wanted: OldPoint) -> Response:
        lease = await one()
        return await answered(lease, lease.point(wanted.voxel_coord, wanted.positive_click))

    @router.post("/add_bbox_interaction")
    async def box(wanted: OldBox) -> Response:
        """A box between two corners, of which the upper one is left out."""
        lease = await one()
        ends = [sorted(pair) for pair in zip(wanted.outer_point_one, wanted.outer_point_two, strict=True)]
        return await answered(lease, lease.box(ends) if wanted.positive_click else lease.beside(ends))

    @router.post("/add_lasso_interaction", max_body_size=large)
    async def lasso(request: Request) -> Response:
        return await traced(request, _loop)

    @router.post("/add_scribble_interaction", max_body_size=large)
    async def scribble(request: Request) -> Response:
        return await traced(request, scribbled)

    return router


def _loop(mask: NDArray[np.bool_], scan: Any, positive: bool) -> PromptsByFrame:
    return lassoed(mask, scan) if positive else scribbled(mask, scan, False)


def _bits(lease: Lease) -> bytes:
    """The structure, a bit a voxel, (k, j, i) with i fastest, in gzip."""
    return compress(np.packbits(lease.outline.transpose(2, 1, 0)).tobytes(), 1)


def _array(content: bytes, most: int, packing: Packing) -> NDArray[Any]:
    """A NumPy file of numbers with three axes.

    Raises RefusalError (400; 413 for more than ``most`` bytes) before memory is taken for anything that does not fit.
    """
    try:
        plain = unpacked(io.BytesIO(content), packing, most + ENVELOPE, least=0)
        stream = plain.stream
        if npy.read_magic(stream) != (1, 0):
            raise ValueError("its version is another one")
        shape, _, dtype = npy.read_array_header_1_0(stream)
        if len(shape) != 3 or min(shape) < 1 or dtype.kind not in "biuf":
            raise ValueError(f"it is {dtype}, {list(shape)}")
        if plain.surplus or math.prod(shape) * dtype.itemsize > most:
            text = f"The array has more than {most} bytes."
            raise RefusalError("E-SERVE-LARGE", text, "Send a smaller one.", status=413)
        stream.seek(0)
        return npy.read_array(stream, allow_pickle=False)
    except (ValueError, EOFError, SyntaxError) as error:
        text = f"This is no array of numbers with three axes: {str(error)[:200]}."
        raise RefusalError("E-SERVE-ARRAY", text, "Send it as the client does.", status=400) from None
