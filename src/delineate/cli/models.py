"""``delineate models``: files on this machine; fetching, importing and checking them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from delineate.cli import options
from delineate.cli.console import progress_bar, result, result_json, tell

if TYPE_CHECKING:
    from delineate.systems.system import System

Offline = Annotated[bool, typer.Option("--offline", help="Fetch nothing: only say whether the file is here.")]


def listed(json: options.Json = False) -> None:
    """List the model files on this machine."""
    from delineate.systems import SYSTEMS

    rows = [row for system in SYSTEMS.values() if (row := _row(system)) is not None]
    if json:
        result_json(rows)
        return
    for row in rows:
        size = "refused" if row["problem"] else f"{row['megabytes']} MB" if row["megabytes"] else "missing"
        result(f"{row['name']:20}  {size:10}  {row['licence']:12}  {row['file'] or row['problem']}")


def _row(system: System) -> dict[str, Any] | None:
    """A system's file on this machine, or why it is refused; None where there is none."""
    from delineate.checkpoints.store import kept
    from delineate.core.errors import ModelError

    row: dict[str, Any] = {"name": system.name, "file": None, "megabytes": None, "licence": system.license}
    try:
        path = system.weights or kept(system.name)
    except ModelError as error:
        return row | {"problem": str(error)}
    if path is None:
        return None
    megabytes = round(path.stat().st_size / 1e6, 1) if path.is_file() else None
    return row | {"file": str(path), "megabytes": megabytes, "problem": ""}


def pull(
    name: Annotated[str, typer.Argument(help="A system (delineate systems), or clip_vocabulary for --text.")],
    offline: Offline = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Fetch a system's published weights from its authors; goes on where an earlier try stopped."""
    from delineate.checkpoints import store, vocabulary
    from delineate.core.errors import ModelError

    if name == vocabulary.NAME:
        with progress_bar(f"Fetching {vocabulary.PUBLISHED.name}", quiet or json) as progress:
            path = store.pull(name, vocabulary.PUBLISHED, progress, offline)
        _pulled(name, path, vocabulary.LICENCE, json)
        return
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
    _pulled(name, path, system.license, json)


def _pulled(name: str, path: Path, licence: str, json: bool) -> None:
    if json:
        result_json({"name": name, "file": str(path), "licence": licence})
    else:
        result(str(path))
        tell(f"Its licence: {licence}")


def imported(
    file: Annotated[Path, typer.Argument(help="A checkpoint: .pth, .pt or .safetensors.")],
    system: options.SystemName = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Keep a checkpoint, so that its system can be run by name."""
    from delineate.checkpoints import store, vocabulary
    from delineate.systems import BuildOptions
    from delineate.systems.registry import system_of_file

    if system == vocabulary.NAME:
        vocabulary.require(file)
        path = store.keep(system, file)
        result_json({"name": system, "file": str(path)}) if json else result(f"{system}: {path}")
        return
    name = system or system_of_file(file)
    _system(name).build(BuildOptions(checkpoint=file, device="cpu", precision="fp32"))  # it must fit
    path = store.keep(name, file)
    if json:
        result_json({"name": name, "file": str(path)})
    else:
        result(f"{name}: {path}")


def exported(
    model: Annotated[str, typer.Argument(help="A system's name, or a checkpoint file.", metavar="NAME|FILE")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")],
    system: options.SystemName = None,
    untrained: options.Untrained = False,
    check: Annotated[bool, typer.Option(help="Compare every part with torch on other inputs.")] = True,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Write a system as ONNX: image encoder, decoder, SAM 2's memory, and a file that says how to call them.

    delineate models export sam2.1_tiny -o sam2_onnx
    """
    from delineate.core.errors import ModelError
    from delineate.io.outputs import Outputs
    from delineate.systems import SYSTEMS, BuildOptions, build

    if model == "quill" or model.endswith(".onnx"):
        path = SYSTEMS["quill"].weights if model == "quill" else model
        raise ModelError("E-EXPORT-KIND", f"{model} is ONNX already: {path}", "Copy the file.")
    from delineate.predictors.export.bundle import CARD, export_system

    with Outputs([output], [options.model_file(model)], overwrite) as outputs:
        predictor = build(model, BuildOptions(None, untrained, device="cpu", precision="fp32"), system)
        card = export_system(predictor, outputs.stage(output), check)
    if json:
        result_json(card)
        return
    for name, part in card["parts"].items():
        size = (output / part["file"]).stat().st_size / 1e6
        found = part.get("max_difference", {})
        worst = max((found[key] / max(part["max_value"][key], 1e-9) for key in found), default=None)
        same = "" if worst is None else f", differs from torch by at most {worst:.1e} of the largest value"
        result(f"{name:22}  {size:7.1f} MB{same}")
    result(f"  {output / CARD}")


def verify(json: options.Json = False) -> None:
    """Check that every kept file is still what it was."""
    from delineate.checkpoints import store

    rows: list[dict[str, Any]] = [
        {"name": name, "file": str(path), "intact": intact, "state": state, "reason": reason}
        for name, path, state, reason, intact in store.verify()
    ]
    if json:
        result_json(rows)
    else:
        for row in rows:
            state = row["state"] if row["intact"] else row["state"].upper()
            result(f"{row['name']:20}  {state:7}  {row['reason'] or row['file']}")
        if not rows:
            tell("No model file has been fetched or imported yet.")
    if not all(row["intact"] for row in rows):
        raise typer.Exit(1)


def _system(name: str):  # type: ignore[no-untyped-def]
    from delineate.core.errors import ModelError
    from delineate.systems import SYSTEMS

    if name not in SYSTEMS:
        raise ModelError("E-MODEL-UNKNOWN", f'There is no system "{name}".', "See which there are: delineate systems")
    return SYSTEMS[name]
