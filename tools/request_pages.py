"""The reference of requests, from the catalog of verbs: what each takes, and its JSON schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from delineate.verbs.catalog import VERBS, Verb


def page() -> str:
    """The documentation page, in Markdown."""
    return "\n".join([_HEAD, *(_section(verb) for verb in VERBS.values())])


def schemas() -> Iterator[tuple[str, str]]:
    """Name and text of each request's JSON schema."""
    for verb in VERBS.values():
        yield _file(verb), json.dumps(verb.schema, indent=1, sort_keys=True) + "\n"


_HEAD = """# Requests

Every verb is a typed function from a request to a result: `delineate.verbs.catalog.VERBS` has them by name. A server or
a script makes the request itself; `Verb.request_of` makes it from plain data and names the field that is wrong. Each
request has a JSON schema, made from the same class.

```python
from delineate.verbs.catalog import VERBS

verb = VERBS["inspect"]
result = verb.run(verb.request_of({"input": "demo/abdomen.nii.gz"}))
print(result.as_json()["kind"])
```
"""


def _file(verb: Verb) -> str:
    return f"{verb.name.replace(' ', '-')}.request.schema.json"


def _section(verb: Verb) -> str:
    schema = verb.schema
    needed = schema.get("required", ())
    rows = [
        f"| `{name}` | {_kind(field)} | {'required' if name in needed else _default(field)} | {_text(field)} |"
        for name, field in schema.get("properties", {}).items()
    ]
    where = f"`{verb.function.__module__}.{verb.function.__name__}({verb.request.__name__}) -> {verb.result.__name__}`"
    lines = [f"## {verb.name}", "", _escaped(verb.summary), "", where, "", f"[JSON schema](schemas/{_file(verb)})", ""]
    return "\n".join([*lines, *(["| field | type | default | |", "|---|---|---|---|", *rows, ""] if rows else [])])


def _kind(field: dict[str, Any]) -> str:
    """A field's type in a few words."""
    if "$ref" in field:
        return f"`{field['$ref'].rsplit('/', 1)[-1]}`"
    choices = field.get("anyOf") or field.get("oneOf") or field.get("allOf")
    if choices:
        return " or ".join(dict.fromkeys(_kind(one) for one in choices))
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        return f"list of {_kind(field['items'])}" if "items" in field else "list"
    kind = field.get("format") or field.get("type", "any")
    return {"null": "none", "object": "mapping"}.get(kind, kind)


def _default(field: dict[str, Any]) -> str:
    value = field.get("default", "")
    return "" if value in ("", None) or isinstance(value, dict | list) else f"`{json.dumps(value)}`"


def _text(field: dict[str, Any]) -> str:
    return _escaped(field.get("description", ""))


def _escaped(text: str) -> str:
    return re.sub(r"([\\*_\[\]<>#|])", r"\\\1", " ".join(text.split()))
