"""What MONAI Label does without a person: outline all images, score the outlines, tell what happened.

One task of a kind runs at a time; it goes image by image, behind the clicks of people.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Final

import numpy as np
from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse
from starlette.concurrency import run_in_threadpool

from delineate.core.errors import DelineateError, foreseen
from delineate.io.opening import open_scan
from delineate.predictors.capabilities import Scope
from delineate.server.engine import Priority
from delineate.server.interop.datastore import AUTOMATIC, Datastore, confidence_of
from delineate.server.problems import RefusalError, not_found
from delineate.server.service import Service
from delineate.session import Session

SCORES: Final = {
    "confidence": {"description": "How sure the last outline of each image was"},
    "dice": {"description": "Overlap of the model's outlines with those that people submitted"},
}


class BatchImages(StrEnum):
    """Which images are outlined."""

    ALL = "all"
    LABELED = "labeled"
    UNLABELED = "unlabeled"


class ImageTask:
    """Something done to one image after the other.

    status  as the clients read it; "details" has a line an image
    """

    def __init__(self) -> None:
        self.status: dict[str, Any] = {}
        self._running: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        return self._running is not None and not self._running.done()

    def start(self, images: Iterable[str], do: Callable[[str], Any], **about: Any) -> dict[str, Any]:
        """Begin. Raises RefusalError (429) where it runs already."""
        if self.running:
            raise RefusalError(
                "E-SERVE-BUSY", "This runs already.", "Wait for its end, or DELETE it.", status=429, retry_after=5
            )
        listed = tuple(images)
        self.status = {"status": "RUNNING", "details": [], "total": len(listed), "start_ts": int(time.time()), **about}
        self._running = asyncio.get_running_loop().create_task(self._run(listed, do))
        return self.status

    async def stop(self) -> dict[str, Any]:
        """End it after the image at work; what was done stays."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})
        return self.status

    async def _run(self, images: tuple[str, ...], do: Callable[[str], Any]) -> None:
        failed, state = 0, "CANCELED"
        try:
            for image in images:
                try:
                    found = await do(image)
                except DelineateError as error:
                    failed, found = failed + 1, {"error": f"{error.message} {error.hint}"}
                except Exception as error:
                    failed, found = failed + 1, {"error": foreseen(error, "the image").message}
                self.status["details"].append({"image": image, **found})
            state = "ERROR" if failed else "DONE"
        finally:
            self.status |= {"status": state, "failed": failed, "end_ts": int(time.time())}


def add_tasks(router: APIRouter, service: Service, store: Datastore) -> None:
    """Batch inference, scores and the diary."""
    _add_batch(router, service, store)
    _add_scores(router, store)

    @router.get("/logs/", response_class=PlainTextResponse)
    def diary(lines: Annotated[int, Query(ge=1, le=10_000)] = 300) -> str:
        """What the server did last; no names of files or people are in it."""
        return "\n".join(service.diary.last(lines)) + "\n"

    @router.get("/logs/gpu")
    def gpu() -> None:
        """Nothing is told of the device."""
        raise not_found("log of the device", "")


def _add_batch(router: APIRouter, service: Service, store: Datastore) -> None:
    task, model = ImageTask(), service.models.own

    async def outlined(image: str) -> dict[str, Any]:
        scan = await run_in_threadpool(store.scan, image)
        predictor, features = await service.compute(
            partial(service.sessions.lease, lambda *shared: shared, model), Priority.PREFETCH
        )
        session = Session(scan, predictor, features=features)
        await service.compute(session.predict, Priority.PREFETCH)
        await run_in_threadpool(store.keep_automatic, image, session)
        sure = confidence_of(session)
        service.diary.note(f"outlined an image of a batch, confidence {sure:.2f}")
        return {"confidence": sure}

    @router.get("/batch/infer")
    @router.get("/batch/infer/", include_in_schema=False)
    def status(check_if_running: bool = False) -> dict[str, Any]:
        """How far it is."""
        if check_if_running and not task.running:
            raise not_found("batch that runs", "")
        return task.status

    @router.post("/batch/infer/{name}")
    async def begin(name: str, images: BatchImages = BatchImages.UNLABELED) -> dict[str, Any]:
        """Outline images with a model that names classes; kept under the tag "original"."""
        if name != model:
            raise not_found("model", name)
        predictor = await service.compute(partial(service.sessions.lease, lambda found, _: found, model))
        if predictor.capabilities.scope is not Scope.DENSE:
            raise RefusalError(
                "E-SERVE-NO-CLASSES",
                f"{model} outlines what is pointed at, and names no classes of its own.",
                "Start the server with the --model of one that does, or use one labeled scan: delineate oneshot.",
                status=422,
            )
        listed = await run_in_threadpool(store.listed)
        every, labeled = images is BatchImages.ALL, images is BatchImages.LABELED
        wanted = [one for one in listed if every or store.has_label(one) is labeled]
        return task.start(wanted, outlined, model=model)

    @router.delete("/batch/infer")
    @router.delete("/batch/infer/", include_in_schema=False)
    async def end() -> dict[str, Any]:
        """End it after the image at work."""
        return await task.stop()


def _add_scores(router: APIRouter, store: Datastore) -> None:
    task = ImageTask()

    async def sure(image: str) -> dict[str, Any]:
        return {"confidence": store.confidence(image)}

    async def overlapping(image: str) -> dict[str, Any]:
        return {"dice": await run_in_threadpool(_dice, store, image)}

    @router.get("/scoring/")
    def status(check_if_running: bool = False) -> dict[str, Any]:
        """How far it is, and the scores."""
        if check_if_running and not task.running:
            raise not_found("scoring that runs", "")
        return task.status

    @router.post("/scoring/{method}")
    async def begin(method: str) -> dict[str, Any]:
        """Score the images that there is something to score of."""
        if method not in SCORES:
            raise not_found("way to score", method)
        listed = await run_in_threadpool(store.listed)
        if method == "confidence":
            return task.start([one for one in listed if store.confidence(one) is not None], sure, method=method)
        both = [one for one in listed if AUTOMATIC in store.tags(one) and store.has_label(one)]
        return task.start(both, overlapping, method=method)

    @router.delete("/scoring/")
    async def end() -> dict[str, Any]:
        """End it after the image at work."""
        return await task.stop()


def _dice(store: Datastore, image: str) -> dict[str, float]:
    """Overlap of the model's outlines with the submitted ones, by name; of names that both have."""
    named = store.tags(image)
    submitted = next(tag for tag in named if tag != AUTOMATIC)
    values = [{name: int(value) for name, value in named[tag]["label_names"].items()} for tag in (AUTOMATIC, submitted)]
    maps = [open_scan(store.label(image, tag)).voxels() for tag in (AUTOMATIC, submitted)]
    found = {}
    for name in values[0].keys() & values[1].keys():
        one, other = (maps[n] == values[n][name] for n in (0, 1))
        size = int(one.sum()) + int(other.sum())
        found[name] = round(2 * int(np.count_nonzero(one & other)) / size, 4) if size else 1.0
    return dict(sorted(found.items()))
