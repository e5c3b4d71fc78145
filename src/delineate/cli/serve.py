"""``delineate serve`` and ``delineate open``: the local server, and its page in a browser."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from delineate.cli import options
from delineate.cli.console import result, result_json, tell
from delineate.cli.groups import grouped

if TYPE_CHECKING:
    from delineate.verbs.serve import ServeResult

Port = Annotated[int, typer.Option(help="Where it listens; 0: a free port.")]
State = Annotated[Path | None, typer.Option(help="Where uploads and session logs are kept; by default in the cache.")]

Smoke = Annotated[bool, typer.Option("--smoke", help="Start, outline something over HTTP, and end.")]


@grouped
def serve(
    machine: options.Machine,
    host: Annotated[str, typer.Option(help="Where it listens; by default on this machine alone.")] = "127.0.0.1",
    port: Port = 8765,
    token: Annotated[
        str | None, typer.Option(envvar="DELINEATE_TOKEN", help="What requests carry; made anew if left out.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Folder below which scans are opened by their path.")] = None,
    state: State = None,
    public_name: Annotated[list[str] | None, typer.Option(help="Another name requests may be addressed to.")] = None,
    allow_origin: Annotated[list[str] | None, typer.Option(help="A page of another origin that may ask.")] = None,
    max_sessions: Annotated[int, typer.Option(help="Sessions kept in memory.")] = 64,
    max_upload: Annotated[int, typer.Option(help="Megabytes of one scan.")] = 4096,
    nninteractive_v1: Annotated[
        bool, typer.Option("--nninteractive-v1", help="Let Slicer's NNInteractive in as it was before its version 2.")
    ] = False,
    itksnap: Annotated[
        bool, typer.Option("--itksnap", help="Let ITK-SNAP in, which sends no token: on this machine alone.")
    ] = False,
    smoke: Smoke = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Serve scans and clicks on this machine: for the page, 3D Slicer and programs. Ctrl+C ends it.

    Sessions are kept: after a restart every client goes on where it was.
    """
    done = _served(
        None if json else _tell,
        model=machine.choice,
        host=host,
        port=port,
        token=token,
        root=root,
        state=state,
        public_names=tuple(public_name or ()),
        allow_origins=tuple(allow_origin or ()),
        max_sessions=max_sessions,
        max_upload=max_upload,
        nninteractive_v1=nninteractive_v1,
        itksnap=itksnap,
        smoke=smoke,
    )
    if json:
        result_json(done.as_json())
    else:
        _report(done)


@grouped
def opened(
    machine: options.Machine,
    scan: Annotated[Path | None, typer.Argument(help="A picture, volume, video or DICOM folder.")] = None,
    port: Port = 0,
    state: State = None,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    smoke: Smoke = False,
    debug: options.Debug = False,
) -> None:
    """Open a scan in the browser and outline it by clicking. Nothing leaves this machine; Ctrl+C ends it."""

    def ready(page: str, token: str) -> None:
        tell(f"The page is at {page}")
        tell("Ctrl+C ends it; what was outlined is kept.")
        if browser:
            webbrowser.open(page)

    _report(_served(ready, model=machine.choice, scan=scan, port=port, state=state, smoke=smoke))


def _report(done: ServeResult) -> None:
    if done.outlined is not None:
        result(f"the server works: {done.outlined} pixels outlined over HTTP")


def _tell(page: str, token: str) -> None:
    tell(f"The page:  {page}")
    tell(f"Programs and 3D Slicer (NNInteractive: Client only, Remote):  {page.partition('/#')[0]}")
    if token:
        tell(f"API key:  {token}")
    tell("Ctrl+C ends it.")


def _served(ready: Callable[[str, str], None] | None, **fields: Any) -> ServeResult:
    from delineate.verbs.serve import ServeRequest
    from delineate.verbs.serve import serve as run

    return run(ServeRequest(**fields), ready)
