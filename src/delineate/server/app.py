"""The application: routes, guard and limits put together, and served."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from delineate.predictors.frame_predictor import Predictor
from delineate.server.examples import examples
from delineate.server.guard import Guard
from delineate.server.interop.itksnap import itksnap
from delineate.server.interop.monailabel import monailabel
from delineate.server.interop.nninteractive import nninteractive
from delineate.server.interop.nninteractive_v1 import nninteractive_v1
from delineate.server.live import live_route
from delineate.server.page_routes import page_routes
from delineate.server.problems import add_problems
from delineate.server.routes import api
from delineate.server.service import Service
from delineate.server.settings import ServerSettings

PAGE: Final = Path(__file__).parent / "page"


class _Guarded(FastAPI):
    """An application behind its guard, which sees every request before anything else does."""

    settings: ServerSettings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await Guard(super().__call__, self.settings)(scope, receive, send)


def application(settings: ServerSettings, build: Callable[[str], Predictor]) -> FastAPI:
    """The ASGI application of one server.

    build  makes the predictor of a system's name
    """
    service = Service(settings, build)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = _Guarded(
        title="Delineate",
        version=version("delineate"),
        lifespan=lifespan,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        max_body_size=settings.max_body,
    )
    app.settings = settings
    app.state.service = service
    add_problems(app)
    app.include_router(api(service))
    app.include_router(examples(service))
    app.include_router(page_routes(service))
    app.include_router(live_route(service))
    app.include_router(nninteractive(service))
    app.include_router(monailabel(service))
    if settings.nninteractive_v1:
        app.include_router(nninteractive_v1(service))
    if settings.itksnap:
        app.include_router(itksnap(service))

    @app.get("/healthz")
    def healthy() -> dict[str, bool]:
        """Whether the server answers."""
        return {"ok": True}

    if PAGE.is_dir():
        app.mount("/page", StaticFiles(directory=PAGE), name="page")

        @app.get("/", include_in_schema=False)
        def page() -> FileResponse:
            return FileResponse(PAGE / "index.html")

    return app


def listening(settings: ServerSettings) -> socket.socket:
    """The socket the server listens on, from now; its name says the port where a free one was asked for."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((settings.host, settings.port))
    bound.listen()
    return bound


def run(app: FastAPI, bound: socket.socket, settings: ServerSettings) -> None:
    """Serve until interrupted."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        ws_max_size=settings.max_body,
        ws_per_message_deflate=False,  # outlines are run lengths, and the wire is seldom long
        timeout_graceful_shutdown=10,
        server_header=False,
    )
    uvicorn.Server(config).run([bound])
