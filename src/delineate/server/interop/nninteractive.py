"""The nnInteractive remote protocol, version 2: 3D Slicer's NNInteractive extension works with this server.

A client claims a place, sends a volume, then points, boxes, scribbles and lassos; each answer is the box round what
changed. Arrays are packed as in ``packed_array``; what else a binary body needs stands in the header X-Meta.
"""

from __future__ import annotations

import json
import math
import secrets
import threading
import time
from functools import partial
from typing import Annotated, Any, Final

import numpy as np
from fastapi import APIRouter, Header, Request, Response
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from delineate.server.interop.drawn_volumes import lassoed, outlined, scribbled
from delineate.server.interop.following import PromptsByFrame, follow
from delineate.server.interop.lease import IDLE_SECONDS, LIVENESS_SECONDS, Lease
from delineate.server.interop.packed_array import pack, unpack
from delineate.server.problems import RefusalError
from delineate.server.service import Service

SESSION_VERSION: Final = 2
MOST_LEASES: Final = 8
BINARY: Final = "application/octet-stream"
LeaseToken = Annotated[str, Header(alias="X-Lease-Token", max_length=100)]
Meta = Annotated[str, Header(alias="X-Meta", max_length=4000)]
Range = Annotated[list[int], Field(min_length=2, max_length=2)]


class _Interaction(BaseModel):
    include_interaction: bool = True
    run_prediction: bool = True


class PointInteraction(_Interaction):
    coordinates: Annotated[list[float], Field(min_length=3, max_length=3)]


class BoxInteraction(_Interaction):
    bbox_coords: Annotated[list[Range], Field(min_length=3, max_length=3)]


class DrawnInteraction(_Interaction):
    interaction_bbox: Annotated[list[Range], Field(min_length=3, max_length=3)] | None = None


class ImageProperties(BaseModel):
    spacing: Annotated[list[float], Field(min_length=3, max_length=3)] = [1.0, 1.0, 1.0]


class ImageMeta(BaseModel):
    image_properties: ImageProperties = ImageProperties()


class TargetBuffer(BaseModel):
    shape: Annotated[list[int], Field(min_length=3, max_length=3)]
    dtype: str = Field(default="uint8", max_length=20)


class AutoZoom(BaseModel):
    do_autozoom: bool


class Leases:
    """The places of all clients; one that was not heard of for a minute, or not used for ten, is free again."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._leases: dict[str, Lease] = {}
        self._lock = threading.Lock()

    def claim(self) -> str:
        """A token for a new place. Raises RefusalError (503) where there is none."""
        with self._lock:
            self._leases = {token: one for token, one in self._leases.items() if one.remaining > 0}
            if len(self._leases) >= MOST_LEASES:
                text = f"All {MOST_LEASES} places are taken."
                raise RefusalError(
                    "E-SERVE-FULL", text, "Try again when another client has gone.", status=503, retry_after=10
                )
            token = secrets.token_hex(16)
            self._leases[token] = self._service.sessions.lease(Lease, self._service.models.own)
            return token

    def get(self, token: str) -> Lease:
        """A client's place. Raises RefusalError (410) where it has ended."""
        with self._lock:
            self._leases = {one: lease for one, lease in self._leases.items() if lease.remaining > 0}
            lease = self._leases.get(token)
            if lease is None:
                raise RefusalError("E-SERVE-LEASE", "The session has expired.", "Initialize it again.", status=410)
            lease.seen = time.monotonic()
            return lease

    def release(self, token: str) -> bool:
        with self._lock:
            return self._leases.pop(token, None) is not None


def nninteractive(service: Service) -> APIRouter:
    """The protocol's addresses."""
    router = APIRouter(tags=["nnInteractive"])
    leases = Leases(service)
    _add_places(router, leases, service)
    _add_interactions(router, leases, service)
    return router


def _add_places(router: APIRouter, leases: Leases, service: Service) -> None:
    @router.post("/claim")
    async def claim() -> dict[str, Any]:
        """A place for one client."""
        token = await service.compute(leases.claim)
        return {
            "lease_token": token,
            "idle_timeout_seconds": IDLE_SECONDS,
            "liveness_timeout_seconds": LIVENESS_SECONDS,
            "max_sessions": MOST_LEASES,
        }

    @router.get("/capabilities")
    def capabilities() -> dict[str, Any]:
        """What can be drawn."""
        kinds = ("points", "bbox2d", "bbox3d", "scribble", "lasso")
        return {
            "supported_interactions": dict.fromkeys(kinds, True),
            "channel_mapping": {},
            "num_interaction_channels": 0,
            "supports_initial_label": True,
            "supports_zero_shot_label_refinement": True,
            "preferred_scribble_thickness": [1, 1, 1],
            "interaction_decay": 1.0,
            "inference_session_version": SESSION_VERSION,
            "supports_undo": True,
            "do_autozoom": False,
            "license": "Apache-2.0",
        }

    @router.post("/heartbeat")
    def heartbeat(token: LeaseToken = "") -> dict[str, float]:
        """The client is there."""
        return {"remaining_seconds": leases.get(token).remaining}

    @router.get("/lease_status")
    def status(token: LeaseToken = "") -> dict[str, float]:
        """How long a place is kept."""
        return {"remaining_seconds": leases.get(token).remaining, "idle_timeout_seconds": IDLE_SECONDS}

    @router.post("/release")
    def release(token: LeaseToken = "") -> dict[str, bool]:
        """The client goes."""
        return {"released": leases.release(token)}

    @router.post("/set_do_autozoom")
    def zoom(wanted: AutoZoom, token: LeaseToken = "") -> dict[str, Any]:
        """Taken, and without effect: Delineate looks at every place at its own scale."""
        leases.get(token)
        return {}


def _add_interactions(router: APIRouter, leases: Leases, service: Service) -> None:
    large = service.settings.max_array

    async def answered(lease: Lease, prompts: PromptsByFrame, run: bool) -> Response:
        lease.used = time.monotonic()
        asked = await service.compute(partial(lease.ask, prompts))
        if not (asked and run):
            return _prediction(lease, None, np.zeros(0, np.uint8), ran=False)
        await follow(service, lease.following)
        return await run_in_threadpool(_prediction, lease, *await service.compute(lease.news))

    async def drawn(request: Request, lease: Lease, box: list[list[int]] | None) -> NDArray[np.bool_]:
        shape = lease.session.scan.grid.shape[::-1]
        body = await request.body()
        return await run_in_threadpool(lambda: _placed(unpack(body, math.prod(shape) * 8), box, shape))

    @router.post("/set_image", max_body_size=large)
    async def set_image(request: Request, meta: Meta = "{}", token: LeaseToken = "") -> dict[str, Any]:
        """The volume, (1, k, j, i)."""
        lease = leases.get(token)
        spacing = ImageMeta.model_validate_json(meta).image_properties.spacing
        array = await run_in_threadpool(unpack, await request.body(), large)
        shape = await service.compute(partial(lease.set_image, array, spacing))
        return {"original_image_shape": shape}

    @router.post("/set_target_buffer")
    def set_target(wanted: TargetBuffer, token: LeaseToken = "") -> dict[str, Any]:
        """The shape the client writes answers into."""
        lease = leases.get(token)
        shape = lease.session.scan.grid.shape[::-1]
        if tuple(wanted.shape) != shape:
            text = f"The buffer is {wanted.shape}, the image {list(shape)}."
            raise RefusalError("E-SERVE-BUFFER", text, "Make it of the image's shape.", status=400)
        return {}

    @router.post("/add_point_interaction")
    async def point(wanted: PointInteraction, token: LeaseToken = "") -> Response:
        lease = leases.get(token)
        return await answered(lease, lease.point(wanted.coordinates, wanted.include_interaction), wanted.run_prediction)

    @router.post("/add_bbox_interaction")
    async def box(wanted: BoxInteraction, token: LeaseToken = "") -> Response:
        lease = leases.get(token)
        prompts = (lease.box if wanted.include_interaction else lease.beside)(wanted.bbox_coords)
        return await answered(lease, prompts, wanted.run_prediction)

    @router.post("/add_scribble_interaction", max_body_size=large)
    async def scribble(request: Request, meta: Meta = "{}", token: LeaseToken = "") -> Response:
        lease, wanted = leases.get(token), DrawnInteraction.model_validate_json(meta)
        mask = await drawn(request, lease, wanted.interaction_bbox)
        prompts = scribbled(mask, lease.session.scan, wanted.include_interaction)
        return await answered(lease, prompts, wanted.run_prediction)

    @router.post("/add_lasso_interaction", max_body_size=large)
    async def lasso(request: Request, meta: Meta = "{}", token: LeaseToken = "") -> Response:
        lease, wanted = leases.get(token), DrawnInteraction.model_validate_json(meta)
        mask, scan = await drawn(request, lease, wanted.interaction_bbox), lease.session.scan
        prompts = lassoed(mask, scan) if wanted.include_interaction else scribbled(mask, scan, False)
        return await answered(lease, prompts, wanted.run_prediction)

    @router.post("/add_initial_seg_interaction", max_body_size=large)
    async def initial(request: Request, meta: Meta = "{}", token: LeaseToken = "") -> Response:
        lease = leases.get(token)
        mask = await drawn(request, lease, None)
        lease.used = time.monotonic()
        await service.compute(partial(lease.start_from, mask, outlined(mask, lease.session.scan)))
        return _prediction(lease, None, np.zeros(0, np.uint8))

    @router.post("/undo")
    async def undo(token: LeaseToken = "") -> Response:
        lease = leases.get(token)
        lease.used = time.monotonic()
        done = await service.compute(lease.undo)
        return await run_in_threadpool(_prediction, lease, *await service.compute(lease.news), done)

    @router.post("/reset_interactions")
    async def reset(token: LeaseToken = "") -> dict[str, Any]:
        await service.compute(leases.get(token).reset)
        return {}


def _prediction(lease: Lease, box: list[list[int]] | None, content: NDArray[np.uint8], ran: bool = True) -> Response:
    shape = lease.session.scan.grid.shape[::-1]
    meta = {"ran_prediction": ran, "bbox": box, "dtype": "uint8", "shape": list(shape)}
    body = b"" if box is None else pack(content)
    return Response(body, media_type=BINARY, headers={"X-Meta": json.dumps(meta, separators=(",", ":"))})


def _placed(values: NDArray[Any], box: list[list[int]] | None, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """What was drawn in a box (k, j, i) of the volume, as bool (i, j, k). Raises RefusalError (400)."""
    box = box or [[0, size] for size in shape]
    if any(not 0 <= low < high <= size for (low, high), size in zip(box, shape, strict=True)):
        raise RefusalError(
            "E-SERVE-BOX", f"The box {box} leaves the volume {list(shape)}.", "Draw within it.", status=400
        )
    whole = np.zeros(shape, bool)
    region = whole[tuple(slice(*ends) for ends in box)]
    if values.shape != region.shape:
        text = f"What was drawn is {list(values.shape)}, its box {list(region.shape)}."
        raise RefusalError("E-SERVE-DRAWN", text, "Send what lies in the box.", status=400)
    region[...] = values != 0
    if not whole.any():
        raise RefusalError("E-SERVE-DRAWN", "Nothing was drawn.", "Draw at least one voxel.", status=400)
    return whole.transpose(2, 1, 0)
