"""The request that a run keeps beside what it wrote, so that the run can be repeated."""

from __future__ import annotations

from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal, Self

from delineate.core.errors import InputError
from delineate.core.json_file import parse_json
from delineate.verbs.request import NAMES_ONLY, Request, libraries, valid

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
