"""A run done again from its ``RequestRecord``: evaluations, trainings, and what an example outlined."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path
from typing import Any, Final

from delineate.core.errors import InputError
from delineate.evaluation.predictors import is_named
from delineate.verbs.distill import DistillRequest, distill
from delineate.verbs.evaluate import EvaluateRequest, evaluate
from delineate.verbs.finetune import FinetuneRequest, finetune
from delineate.verbs.oneshot import OneshotRequest, oneshot
from delineate.verbs.records import RequestRecord, found_file
from delineate.verbs.request import Progress, Request, Result, valid
from delineate.verbs.train_quill import TrainQuillRequest, train_quill

REPEATABLE: Final[Mapping[str, tuple[type[Request], Callable[..., Result]]]] = {
    "evaluate": (EvaluateRequest, evaluate),
    "train quill": (TrainQuillRequest, train_quill),
    "train finetune": (FinetuneRequest, finetune),
    "distill": (DistillRequest, distill),
    "oneshot": (OneshotRequest, oneshot),
}


def repeat(
    record: RequestRecord,
    file: Path,
    data: Path | None = None,
    model: Path | None = None,
    output: Path | None = None,
    progress: Progress | None = None,
) -> Result:
    """Do the run of a record, which was read from ``file``, again.

    data, model  the scans (of ``oneshot`` the targets) and the model file; by default what has the recorded name
                 beside the record or here
    output       by default the first run's folder name with "again_" before it, in the current folder
    Raises DelineateError where a file is not found, and as the verb does.
    """
    if record.verb not in REPEATABLE:
        raise InputError(
            "E-REQUEST",
            f'{file.name}: "{record.verb}" cannot be repeated.',
            "Mend this field; the fields are the options of the command.",
        )
    kind, run = REPEATABLE[record.verb]
    again = Path(f"again_{_plain(str(record.request.get('output', 'run')), file)}")
    given = {"data": data, "targets": data, "model": model, "output": output or again}
    fields = {name: _there(kind, name, value, given, file) for name, value in record.request.items()}
    request = valid(kind, fields | ({"resume": False} if "resume" in fields else {}), file.name)
    return call(run, request, progress)


def call(function: Callable[..., Result], request: Request, progress: Progress | None) -> Result:
    """A verb's result; ``progress`` goes to the verbs that have any."""
    return function(request, progress) if "progress" in signature(function).parameters else function(request)


def _there(kind: type[Request], name: str, value: Any, given: Mapping[str, Path | None], file: Path) -> Any:
    """A recorded value, names of files replaced by where they are."""
    shape = formats(kind).get(name)
    if (path := given.get(name)) is not None and not isinstance(value, dict):
        return [str(path)] if isinstance(value, list) else str(path)
    folder, way_out = "--input FOLDER", "a copy beside it"
    way_out = {"data": folder, "targets": folder, "model": "--model FILE"}.get(name, way_out)
    match value, shape:
        case list(), "path":
            return [_there_of(one, name, file, way_out) for one in value]
        case str(), "path":
            return found_file(_plain(value, file), file, f"The {name}", way_out)
        case str(), "model":
            return _model(value, file, way_out)
        case list(), "model":
            return [_model(one, file, way_out) for one in value]
    return value


def _there_of(value: Any, name: str, file: Path, way_out: str) -> Any:
    """A recorded file name, or a list of them, as paths of what is there."""
    if isinstance(value, list):
        return [_there_of(one, name, file, way_out) for one in value]
    return found_file(_plain(value, file), file, f"The {name.removesuffix('s')}", way_out)


def formats(kind: type[Request]) -> dict[str, str]:
    """The fields of a request that name files: "path", or "model" for a system's name, FILE or SYSTEM=FILE."""

    def of(schema: dict[str, Any]) -> str | None:
        inner = [*schema.get("anyOf", ()), *schema.get("prefixItems", ())]
        inner += [schema["items"]] if "items" in schema else []
        return schema.get("format") or next((found for one in inner if (found := of(one))), None)

    properties = kind.model_json_schema()["properties"]
    return {name: found for name, schema in properties.items() if (found := of(schema))}


def _plain(name: str, file: Path, folders: bool = False) -> str:
    """A recorded name that leads nowhere else: without a folder, or into folders here where those may be."""
    parts = name.split("/") if folders else [name]
    if name.startswith("/") or any(part in (".", "..") or set(part) & set("/\\\0") for part in parts):
        raise InputError(
            "E-REQUEST",
            f"{file.name}: {name!r} is no plain file name.",
            "Mend this field; the fields are the options of the command.",
        )
    return name


def _model(name: str, file: Path, way_out: str) -> str:
    """A system's or baseline's name, or a model's file; two files of one name have the folders that tell them apart."""
    system, equals, model = name.rpartition("=")
    if is_named(name):
        return name
    return f"{system}{equals}{found_file(_plain(model, file, folders=True), file, 'The model file', way_out)}"
