"""``delineate models``: files on this machine; fetching, importing and checking them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from delineate.cli import options
from delineate.cli.console import progress_bar, result, result_json, tell

Offline = Annotated[bool, typer.Option("--offline", help="Fetch nothing: only say whether the file is here.")]


def listed(json: options.Json = False) -> None:
    """List the model files on this machine."""
    from delineate.checkpoints.store import kept
    from delineate.systems import SYSTEMS

    rows = [
        {
            "name": system.name,
            "file": str(path),
            "megabytes": round(path.stat().st_size / 1e6, 1) if path.is_file() else None,
            "licence": system.licence,
        }
        for system in SYSTEMS.values()
        if (path := system.weights or kept(system.name)) is not None
    ]
    if json:
        result_json(rows)
        return
    for row in rows:
        size = f"{row['megabytes']} MB" if row["megabytes"] else "missing"
        result(f"{row['name']:20}  {size:10}  {row['licence']:12}  {row['file']}")


def pull(
    name: Annotated[str, typer.Argument(help="A system: delineate systems")],
    offline: Offline = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Fetch a system's published weights from its authors; goes on where an earlier try stopped."""
    from delineate.checkpoints import store
    from delineate.errors import ModelError

    system = _system(name)
    if system.weights is not None:
        path = system.weights
    elif system.download is None and (there := store.kept(name)) is None:
        raise ModelError(
            "E-MODEL-NO-DOWNLOAD",
            f"The authors of {name} publish no file that can be fetched directly.",
            f"Get it from their page ({system.citation}), then: delineate models import FILE --system {name}",
        )
    elif system.download is None:
        assert there is not None
        path = there
    else:
        with progress_bar(f"Fetching {system.download.name}", quiet or json) as progress:
            path = store.pull(name, system.download, progress, offline)
    if json:
        result_json({"name": name, "file": str(path), "licence": system.licence})
    else:
        result(str(path))
        tell(f"Its licence: {system.licence}")


def imported(
    file: Annotated[Path, typer.Argument(help="A checkpoint: .pth, .pt or .safetensors.")],
    system: options.SystemName = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Keep a checkpoint, so that its system can be run by name."""
    from delineate.checkpoints import store
    from delineate.systems import BuildOptions
    from delineate.systems.registry import system_of_file

    name = system or system_of_file(file)
    _system(name).build(BuildOptions(checkpoint=file, device="cpu", precision="fp32"))  # it must fit
    path = store.keep(name, file)
    if json:
        result_json({"name": name, "file": str(path)})
    else:
        result(f"{name}: {path}")


def verify(json: options.Json = False) -> None:
    """Check that every kept file is still what it was."""
    from delineate.checkpoints import store

    rows = [{"name": name, "file": str(path), "intact": intact} for name, path, intact in store.verify()]
    if json:
        result_json(rows)
    else:
        for row in rows:
            result(f"{row['name']:20}  {'intact' if row['intact'] else 'CHANGED'}  {row['file']}")
        if not rows:
            tell("No model file has been fetched or imported yet.")
    if not all(row["intact"] for row in rows):
        raise typer.Exit(1)


def _system(name: str):  # type: ignore[no-untyped-def]
    from delineate.errors import ModelError
    from delineate.systems import SYSTEMS

    if name not in SYSTEMS:
        raise ModelError("E-MODEL-UNKNOWN", f'There is no system "{name}".', "See which there are: delineate systems")
    return SYSTEMS[name]
