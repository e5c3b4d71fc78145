"""JSON from outside: read through a typed model, or refused in one sentence that names the field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from delineate.core.errors import DelineateError, InputError
from delineate.core.reading import reason
from delineate.core.terminal_text import excerpt

T = TypeVar("T")
MEND: Final = "Mend this, or make the file again with the program that wrote it."
LONGEST_PLACE: Final = 100  # characters of the way to a field
_KINDS: Final = {
    "dict": "an object", "model": "an object", "list": "a list", "tuple": "a list", "string": "a text",
    "int": "a whole number", "float": "a number", "bool": "true or false", "mapping": "an object",
    "dataclass": "an object", "model_attributes": "an object", "finite_number": "a finite number",
}  # fmt: skip


def read_json(
    path: Path, model: type[T], code: str, what: str, hint: str = MEND, error: type[DelineateError] = InputError
) -> T:
    """The content of a JSON file as ``model`` describes it.

    what  the file should be, such as "an index of shards"

    Raises ``error`` for a file that cannot be read, is no JSON, or has a field that is missing or of another kind.
    """
    try:
        content = path.read_bytes()
    except OSError as cause:
        raise error(code, f"{path} cannot be read: {reason(cause)}.", hint) from cause
    return parsed_json(content, model, path.name, code, what, hint, error)


def parsed_json(
    content: str | bytes,
    model: type[T],
    name: str,
    code: str,
    what: str,
    hint: str = MEND,
    error: type[DelineateError] = InputError,
) -> T:
    """The same for JSON that is read already; ``name`` is said in messages."""
    return validated(json_of(content, name, code, what, hint, error), model, name, code, what, hint, error)


def json_of(
    content: str | bytes,
    name: str,
    code: str,
    what: str = "JSON",
    hint: str = MEND,
    error: type[DelineateError] = InputError,
    once: bool = False,
) -> Any:
    """What a JSON text holds; ``once``: a name may stand once in an object, as the last of several would win.

    Raises ``error`` for a text that is cut, nested too deep, or in no Unicode.
    """
    try:
        return parse_json(content, once)
    except ValueError as cause:
        raise error(code, f"{name} is not {what}: it is no JSON ({reason(cause)}).", hint) from cause


def parse_json(content: str | bytes, once: bool = False) -> Any:
    """What a JSON text holds. Raises ValueError for a text that is cut, nested too deep, or in no Unicode."""
    try:
        return json.loads(content, object_pairs_hook=_named_once if once else None)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for n, name in enumerate(names) if name in names[:n])
        raise ValueError(f'"{excerpt(twice)}" stands there twice: put both under one, in a list')
    return found


def renamed(content: Any, names: Mapping[str, str]) -> Any:
    """JSON content with the keys of earlier versions replaced by those of today, at every depth."""
    if isinstance(content, Mapping):
        return {names.get(key, key): renamed(value, names) for key, value in content.items()}
    return [renamed(value, names) for value in content] if isinstance(content, list) else content


def validated(
    content: Any,
    model: type[T],
    name: str,
    code: str,
    what: str,
    hint: str = MEND,
    error: type[DelineateError] = InputError,
) -> T:
    """Content as ``model`` describes it. Raises ``error`` with the first field that is wrong."""
    try:
        return cast("T", _adapter(cast(Any, model)).validate_python(content))
    except (ValidationError, RecursionError) as cause:
        raise error(code, f"{name} is not {what}: {fault(cause)}.", hint) from cause


def fault(error: ValidationError | RecursionError) -> str:
    """The first thing that is wrong, as words: ``images.3.id is missing``."""
    if isinstance(error, RecursionError):
        return reason(error)
    first = error.errors(include_url=False)[0]
    place = excerpt(".".join(str(part) for part in first["loc"]), LONGEST_PLACE)
    return f"{place or 'it'} {_wrong(first)}"


def _wrong(first: Mapping[str, Any]) -> str:
    kind = str(first["type"])
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "is no field of it"
    meant = kind.rpartition("_")[0] if kind.endswith(("_type", "_parsing", "_from_float")) else kind
    if meant in _KINDS:
        return f"is {excerpt(json.dumps(first['input'], default=str))}, where {_KINDS[meant]} is meant"
    if kind in ("literal_error", "enum", "union_tag_invalid"):
        told, meant = first["input"], str(first["ctx"].get("expected") or first["ctx"].get("expected_tags"))
        return f"is {excerpt(json.dumps(told, default=str))}, where {excerpt(meant, 2 * LONGEST_PLACE)} is meant"
    return f"is wrong: {excerpt(str(first['msg']).removeprefix('Value error, '), 2 * LONGEST_PLACE).rstrip('.')}"


@lru_cache
def _adapter(model: Any) -> TypeAdapter[Any]:
    return TypeAdapter(model)
