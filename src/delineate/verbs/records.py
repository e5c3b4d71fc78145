"""The request that a run keeps beside what it wrote, so that the run can be repeated."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal, Self

from delineate.core.errors import InputError, OutputError
from delineate.core.json_file import parse_json
from delineate.io.atomic import write_bytes
from delineate.verbs.request import NAMES_ONLY, Request, libraries, valid

RECORD: Final = "request.json"  # its name in the folder of a run that can go on
UNRECORDED: Final = ("output", "overwrite", "resume")  # may differ where a run goes on
KEY: Final = "run"  # of the record in a file that holds more, such as the numbers of an evaluation


class RequestRecord(Request):
    """A verb, its request, and what it was run with. Of files the request keeps the names, no folders."""

    format: Literal["delineate-request/1"] = "delineate-request/1"
    verb: str
    software: str
    libraries: dict[str, str]
    request: dict[str, Any]

    @classmethod
    def of(cls, verb: str, request: Request) -> Self:
        fields = _plain(request.model_dump(context=NAMES_ONLY))
        return cls(verb=verb, software=f"delineate {version('delineate')}", libraries=libraries(), request=fields)

    @classmethod
    def read(cls, path: Path) -> RequestRecord | None:
        """The record in a file; None if there is none, as in what earlier releases wrote.

        Raises InputError for a record that is not valid.
        """
        try:
            data = parse_json(path.read_bytes())
        except (OSError, ValueError):
            return None
        record = data.get(KEY, data) if isinstance(data, dict) else None
        if not isinstance(record, dict) or not str(record.get("format")).startswith("delineate-request/"):
            return None
        return valid(cls, record, path.name)


def begin_folder(
    folder: Path, record: RequestRecord, resume: bool, overwrite: bool, free: Collection[str], fixed: str
) -> bool:
    """Make the folder of a run that can go on, and keep the record in it; whether it goes on with an earlier run.

    Parameters
    ----------
    free
        Fields of the request that may differ from those the folder was begun with, beside UNRECORDED.
    fixed
        What may not, in words.

    Raises OutputError for a folder that is there without ``resume`` or ``overwrite``, or was begun otherwise.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError("E-OUTPUT-FOLDER", f"{folder} is a file.", "Name a folder: -o FOLDER")
    occupied = folder.is_dir() and any(folder.iterdir())
    if occupied and not (resume or overwrite):
        raise OutputError(
            "E-OUTPUT-EXISTS", f"The folder {folder} is not empty.", "Give --resume to go on, or another -o."
        )
    if goes_on := occupied and resume:
        earlier, left_out = RequestRecord.read(folder / RECORD), {*UNRECORDED, *free}
        if earlier is None or _without(earlier.request, left_out) != _without(record.request, left_out):
            raise OutputError(
                "E-RESUME-OTHER",
                f"{folder} was begun with other {fixed}.",
                "Repeat the command it was begun with, or choose another -o.",
            )
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / RECORD, record.model_dump_json(indent=1).encode())
    return goes_on


def _without(fields: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}


def _plain(value: Any) -> Any:
    """A value that JSON has, paths by their names."""
    match value:
        case Path():
            return value.name
        case Enum():
            return value.value
        case dict():
            return {key: _plain(one) for key, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
    return value


def found_file(name: str, file: Path, what: str, way_out: str) -> Path:
    """A file of a recorded name, beside the record ``file`` or in the current folder. Raises InputError."""
    for folder in (file.parent, Path()):
        if name and (folder / name).exists():
            return folder / name
    raise InputError(
        "E-REPLAY-FILE", f"{what} {name or 'of this run'} is neither beside {file.name} nor here.", f"Say: {way_out}"
    )
