"""The MONAI Label protocol: OHIF and 3D Slicer's MONAI Label module work with this server.

A client asks what there is (``/info/``), gets images of the datastore or sends its own (``/session/``), sends all
clicks on a structure (``/infer/{model}``), gets its outline in the whole volume, and submits labels
(``/datastore/label``).
Volumes are right-handed on the wire, as Slicer makes them so when it reads them.
"""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Annotated, Any, Final

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from numpy.typing import NDArray
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from delineate.core.scan import Scan
from delineate.io.naming import stem_of
from delineate.io.opening import open_scan
from delineate.io.saving import save
from delineate.io.writers.image import image_writer
from delineate.predictors.capabilities import Scope
from delineate.server.forms import file_of, form_of, form_response, json_field
from delineate.server.guard import by_address, same
from delineate.server.interop.clicked_volume import Clicked, outlined
from delineate.server.interop.datastore import Datastore, confidence_of
from delineate.server.interop.handed import in_file_order, is_left_handed, right_handed
from delineate.server.interop.monailabel_tasks import SCORES, add_tasks
from delineate.server.problems import RefusalError, not_found
from delineate.server.routes import chunks
from delineate.server.service import Service
from delineate.session import Session
from delineate.session.answering import class_names

DOUBTFUL: Final = "doubtful"
STRATEGIES: Final = {
    DOUBTFUL: {"description": "The scan whose outline was least sure"},
    "first": {"description": "The first one that has no label"},
}
SENT_AS_IT_IS: Final = (".nii", ".nii.gz", ".nrrd", ".mha")
Image = Annotated[str, Query(max_length=500)]


def monailabel(service: Service) -> APIRouter:
    """The protocol's addresses."""
    router = APIRouter(tags=["MONAI Label"])
    settings = service.settings
    store = Datastore(service.scans, settings.root, settings.state / "labels")
    _add_server(router, service, store)
    _add_inference(router, service, store)
    _add_datastore(router, service, store)
    add_tasks(router, service, store)
    return router


def _add_server(router: APIRouter, service: Service, store: Datastore) -> None:
    settings = service.settings

    @router.get("/auth/")
    def needs_login(request: Request) -> dict[str, Any]:
        """Whether a client has to log in: with any name, and the token as the password."""
        if not settings.token or by_address(request.scope):
            raise not_found("login", "")
        return {"enabled": True, "client_id": "delineate", "realm": "delineate"}

    @router.post("/auth/token")
    async def log_in(request: Request) -> dict[str, str]:
        """The token, for itself."""
        async with request.form(max_fields=10) as form:
            given = form.get("password")
        if not isinstance(given, str) or not same(given, settings.token):
            raise RefusalError(
                "E-SERVE-TOKEN", "The password is wrong.", "It is the API key that the server printed.", status=401
            )
        return {"access_token": given, "token_type": "Bearer"}

    @router.get("/auth/token/valid")
    def still_valid() -> dict[str, bool]:
        """Asked with the token, or refused before."""
        return {"valid": True}

    @router.get("/info/")
    async def about() -> dict[str, Any]:
        """What a client shows of the server."""
        labels, kind = await service.compute(partial(_model, service))
        listed = await run_in_threadpool(store.listed)
        tags = [tag for id in listed for tag in store.tags(id)]
        model = {"type": kind, "labels": labels, "dimension": 3, "description": "Point at a structure", "config": {}}
        return {
            "name": "Delineate",
            "description": "Point at a structure, get it outlined in the volume",
            "version": version("delineate"),
            "labels": labels,
            "models": {service.models.own: model},
            "trainers": {},
            "strategies": STRATEGIES,
            "scoring": SCORES,
            "train_stats": {},
            "datastore": {
                "total": len(listed),
                "completed": sum(store.has_label(id) for id in listed),
                "label_tags": {tag: tags.count(tag) for tag in sorted(set(tags))},
            },
        }

    @router.get("/train/")
    def training() -> None:
        """Nothing is trained here."""
        raise not_found("training", "")

    @router.post("/activelearning/{strategy}")
    async def next_sample(strategy: str) -> dict[str, Any]:
        """The next image without a label; nothing where all have one."""
        if strategy not in STRATEGIES:
            raise not_found("strategy", strategy)
        id = await run_in_threadpool(store.next, strategy == DOUBTFUL)
        return {} if id is None else {"id": id, "name": id, "path": ""}


def _add_inference(router: APIRouter, service: Service, store: Datastore) -> None:
    large = service.settings.max_upload

    @router.put("/session/", max_body_size=large)
    async def begin(request: Request) -> dict[str, Any]:
        """Send an image that is not in the datastore."""
        async with form_of(request) as form:
            file = file_of(form, "files")
            place = await service.scans.receive([(file.filename or "", chunks(file))])
        known = await run_in_threadpool(service.scans.add_uploaded, place)
        return {"session_id": known.id, "session_info": _session(known.id)}

    @router.get("/session/{session}")
    async def session(session: str) -> dict[str, Any]:
        """An image that was sent; empty where it is no more, and then clients send it again."""
        try:
            await run_in_threadpool(service.scans.get, session)
        except RefusalError:
            return {}
        return _session(session)

    @router.delete("/session/{session}")
    def end(session: str) -> dict[str, Any]:
        """Taken; images are kept as long as the server's other scans."""
        return {}

    @router.post("/infer/{model}", max_body_size=large)
    async def infer(
        request: Request,
        model: str,
        image: Image = "",
        session_id: Annotated[str, Query(max_length=100)] = "",
        output: Annotated[str, Query(max_length=20)] = "all",
    ) -> Response:
        """The outline of all that was clicked, as a file on the image's grid."""
        if model != service.models.own:
            raise not_found("model", model)
        async with form_of(request) as form:
            clicked = Clicked.model_validate(json_field(form, "params", needed=True))
        if session_id:
            scan = (await run_in_threadpool(service.scans.get, session_id)).scan
        else:
            scan = await run_in_threadpool(_handed, store, image)
        session = await outlined(service, scan, clicked)
        sure = confidence_of(session)
        service.diary.note(f"outlined an image, confidence {sure:.2f}")
        if not session_id:
            await run_in_threadpool(store.doubt, image, sure)
        content = await run_in_threadpool(_nrrd, session)
        if output == "image":
            return Response(content, media_type="application/octet-stream")
        names = {one.name: one.label for one in session.segmentation.objects} or {clicked.label: 1}
        params = {"label_names": names, "confidence": sure}
        return form_response({"params": params}, "image", "outline.nrrd", content)


def _add_datastore(router: APIRouter, service: Service, store: Datastore) -> None:
    large = service.settings.max_upload

    @router.get("/datastore/")
    async def listed() -> dict[str, Any]:
        """All images and their labels."""
        images = await run_in_threadpool(store.listed)
        return {
            "name": "Delineate",
            "description": "Scans below the server's root",
            "images_dir": "",
            "labels_dir": "",
            "objects": {
                id: {
                    "image": {"ext": ".nii.gz", "info": {}},
                    "labels": {
                        tag: {"ext": ".nii.gz", "info": {"params": params}} for tag, params in store.tags(id).items()
                    },
                }
                for id in images
            },
        }

    @router.head("/datastore/image", include_in_schema=False)
    @router.get("/datastore/image")
    async def image(image: Image) -> FileResponse:
        """An image, right-handed."""
        folder = Path(mkdtemp(prefix="delineate-image-"))
        try:
            file = await run_in_threadpool(_image_file, store, image, folder)
        except BaseException:
            rmtree(folder, ignore_errors=True)
            raise
        return FileResponse(file, filename=file.name, background=BackgroundTask(rmtree, folder, ignore_errors=True))

    @router.get("/datastore/label")
    async def label(label: Image, tag: Annotated[str, Query(max_length=40)] = "final") -> FileResponse:
        """Labels that were submitted, in the order of the image's own file."""
        file = await run_in_threadpool(store.label, label, tag)
        return FileResponse(file, filename=f"{Path(label).name}.nii.gz")

    @router.put("/datastore/label", max_body_size=large)
    async def submit(
        request: Request, image: Image, tag: Annotated[str, Query(max_length=40)] = "final"
    ) -> dict[str, Any]:
        """Keep labels of an image."""
        scan = await run_in_threadpool(store.scan, image)
        folder = Path(mkdtemp(prefix="delineate-label-"))
        try:
            async with form_of(request) as form:
                names = _names(json_field(form, "params"))
                place = folder / f"label{_ending(file_of(form, 'label'))}"
                with place.open("wb") as stream:
                    async for part in chunks(file_of(form, "label")):
                        stream.write(part)
            labels = await run_in_threadpool(_labels, place, scan)
            await run_in_threadpool(store.submit, image, tag or "final", labels, names, scan)
            service.diary.note(f"kept a label with {len(names)} names")
        finally:
            rmtree(folder, ignore_errors=True)
        return {"image": image, "label": image}


def _model(service: Service) -> tuple[list[str], str]:
    """The classes a model names, and the kind of panel a client shows for it."""
    predictor = service.sessions.lease(lambda found, _: found, service.models.own)
    if predictor.capabilities.scope is Scope.DENSE:
        return list(class_names(predictor)), "segmentation"
    return [], "deepgrow"


def _handed(store: Datastore, id: str) -> Scan:
    return right_handed(store.scan(id))


def _session(id: str) -> dict[str, Any]:
    return {"name": id, "path": "", "image": id, "meta": {}, "expiry": 0}


def _nrrd(session: Session) -> bytes:
    folder = Path(mkdtemp(prefix="delineate-outline-"))
    try:
        (file,) = save(session.segmentation, folder / "outline.nrrd", session.scan)
        return file.read_bytes()
    finally:
        rmtree(folder, ignore_errors=True)


def _image_file(store: Datastore, id: str, folder: Path) -> Path:
    scan = store.scan(id)
    name = Path(id).name or "image"
    source = scan.file.path if scan.file else None
    if source is not None and source.name.lower().endswith(SENT_AS_IT_IS) and not is_left_handed(scan):
        place = folder / f"{name}{source.name[len(stem_of(source)) :].lower()}"
        place.write_bytes(source.read_bytes())
        return place
    place = folder / f"{name}.nii.gz"
    image_writer(place, right_handed(scan))(right_handed(scan), place)
    return place


def _labels(path: Path, scan: Scan) -> NDArray[Any]:
    """Labels (i, j, k) in the order of the scan's file: of a file of labels, or bare bytes, i fastest."""
    if path.suffix == ".bin":
        content = np.frombuffer(path.read_bytes(), np.uint8)
        shape = (*scan.grid.shape, 1)[:3]
        if content.size != np.prod(shape):
            text = f"The labels have {content.size} bytes, the image {np.prod(shape)} voxels."
            raise RefusalError("E-SERVE-LABELS", text, "Send one byte a voxel.", status=422)
        return in_file_order(content.reshape(shape, order="F"), scan)
    given = open_scan(path, palette_indices=True)
    labels = given.voxels() if given.grid.ndim == 3 else given.pixels(0).swapaxes(0, 1)[..., None]
    return labels if given.grid.same_as(scan.grid) else in_file_order(labels, scan)


def _names(params: dict[str, Any]) -> dict[int, str]:
    """Names by label value, of either way that clients give them."""
    listed = params.get("label_info")
    pairs = [(one.get("idx", one.get("id")), one.get("name")) for one in listed or [] if isinstance(one, dict)]
    named = params.get("label_names")
    pairs += [(value, name) for name, value in named.items()] if isinstance(named, dict) else []
    return {int(value): str(name) for value, name in pairs if isinstance(value, int) and name}


def _ending(file: UploadFile) -> str:
    """The ending of a client's file name, of which nothing else is kept."""
    name = (file.filename or "").lower()
    return next(
        (one for one in (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha", ".bin") if name.endswith(one)), ".nii"
    )
