"""``delineate serve``: a server on this machine, for the page, for 3D Slicer and for programs."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from delineate.core.errors import InputError, MissingExtraError, OutputError
from delineate.predictors.frame_predictor import Predictor
from delineate.verbs.request import ModelChoice, Request


class ServeRequest(Request):
    """How the server is reached, and what it may open."""

    host: str = Field(default="127.0.0.1", description="Where it listens; by default on this machine alone.")
    port: int = Field(default=8765, ge=0, le=65535, description="0: a free one.")
    token: str | None = Field(default=None, description="What requests carry; made anew where it is left out.")
    root: Path | None = Field(default=None, description="The folder below which scans are opened by their path.")
    state: Path | None = Field(default=None, description="Where uploads and session logs are kept.")
    scan: Path | None = Field(default=None, description="A scan to open at once; its folder is then the root.")
    model: ModelChoice = ModelChoice()
    public_names: tuple[str, ...] = Field(default=(), description="Other names requests may be addressed to.")
    allow_origins: tuple[str, ...] = Field(default=(), description="Pages of other origins that may ask.")
    max_sessions: int = Field(default=64, ge=1, description="Sessions kept in memory.")
    max_upload: int = Field(default=4096, ge=1, description="Megabytes of one scan.")
    nninteractive_v1: bool = Field(
        default=False, description="Let 3D Slicer's NNInteractive in as it was before its version 2."
    )
    itksnap: bool = Field(default=False, description="Let ITK-SNAP in, which sends no token: on this machine alone.")
    smoke: bool = Field(default=False, description="Start, outline something over HTTP, and end.")


@dataclass(frozen=True)
class ServeResult:
    """Where the server was."""

    address: str
    outlined: int | None = None

    def as_json(self) -> dict[str, Any]:
        return {"address": self.address, "outlined": self.outlined}


def serve(request: ServeRequest, ready: Callable[[str, str], None] | None = None) -> ServeResult:
    """Serve scans, sessions and clicks until interrupted.

    ``ready`` is called with the address and the token once requests are taken.
    Raises MissingExtraError without the extra ``server``, InputError for settings that would let everybody in,
    ModelError for a model that is not there, and OutputError where the port is taken.
    """
    try:
        from delineate.server.app import application, listening, run
        from delineate.server.settings import ServerSettings, state_folder
        from delineate.server.smoke import smoke
    except ImportError as error:
        raise MissingExtraError(f"Serving ({error.name})", "server") from error
    root = request.root
    if request.scan is not None:
        if not request.scan.exists():
            raise InputError("E-FILE-MISSING", f"There is no file or folder {request.scan}.", "Check its spelling.")
        root = root or request.scan.resolve().parent
    settings = ServerSettings(
        host=request.host,
        port=0 if request.smoke else request.port,
        token=secrets.token_urlsafe(16) if request.token is None else request.token,
        root=root,
        state=request.state or state_folder(),
        model=request.model.name,
        public_names=request.public_names,
        allow_origins=request.allow_origins,
        max_sessions=request.max_sessions,
        max_upload=request.max_upload * 2**20,
        nninteractive_v1=request.nninteractive_v1,
        itksnap=request.itksnap,
    )
    first = request.model.build()  # what is wrong with it is told now, and not at the first click

    def build(name: str) -> Predictor:
        return first if name == request.model.name else request.model.model_copy(update={"name": name}).build()

    app = application(settings, build)
    try:
        bound = listening(settings)
    except OSError as error:
        text = f"{request.host}:{request.port} cannot be listened on: {error.strerror}."
        raise OutputError("E-SERVE-PORT", text, "Choose another --port; 0 takes a free one.") from None
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{bound.getsockname()[1]}"
    if request.smoke:
        return ServeResult(address, smoke(app, bound, settings, address))
    if ready is not None:
        ready(_page_address(address, settings.token, request.scan, root), settings.token)
    run(app, bound, settings)
    return ServeResult(address)


def _page_address(address: str, token: str, scan: Path | None, root: Path | None) -> str:
    """What a browser opens: the token in the part that is never sent."""
    from urllib.parse import urlencode

    fields = {"token": token} if token else {}
    if scan is not None and root is not None:
        fields["open"] = scan.resolve().relative_to(root.resolve()).as_posix()
    return f"{address}/#{urlencode(fields)}" if fields else f"{address}/"
