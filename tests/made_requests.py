"""Requests made from an OpenAPI document: half as it asks for, half with something else in its place."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

JUNK: tuple[Any, ...] = (
    None, True, 0, -1, 1, 2.5, 1e308, -1e308, 2**63, float("nan"), float("inf"), "", " ", "a", "\0", "é" * 40,
    "../../etc/passwd", "1e999", "%00", "[]", "{}", [], {}, [[]], [None], [1, 2, 3], [1e9] * 3, {"a": {}}, "x" * 5000,
    "-0", "nan",
)  # fmt: skip
TYPES = ("application/json", "application/octet-stream", "multipart/form-data; boundary=b", "text/plain", "")


@dataclass(frozen=True)
class MadeRequest:
    method: str
    path: str
    content: bytes
    headers: dict[str, str]


class Requests:
    """known  values by the name of a parameter or field, to reach what lies behind a check of existence"""

    def __init__(self, document: Mapping[str, Any], known: Mapping[str, Sequence[Any]], seed: int) -> None:
        self._document, self._known = document, known
        self._rng = random.Random(seed)
        self._operations = [
            (method.upper(), path, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ]

    def next(self) -> MadeRequest:
        method, path, operation = self._rng.choice(self._operations)
        headers: dict[str, str] = {}
        query = []
        for one in operation.get("parameters", ()):
            if not one.get("required") and self._rng.random() < 0.5:
                continue
            text = _text(self._value(one["schema"], one["name"]))
            if one["in"] == "path":
                path = path.replace(f"{{{one['name']}}}", quote(text, safe="") or "_")
            elif one["in"] == "query":
                query.append(f"{quote(one['name'])}={quote(text)}")
            else:
                headers[one["name"]] = text.encode("ascii", "ignore").decode().replace("\0", "").strip()
        if query:
            path += "?" + "&".join(query)
        content, kind = self._body(operation)
        if kind:
            headers["content-type"] = kind
        return MadeRequest(method, path, content, headers)

    def value(self, schema: Mapping[str, Any]) -> Any:
        """Something that a schema asks for, or not."""
        return self._value(schema, "")

    def _body(self, operation: Mapping[str, Any]) -> tuple[bytes, str]:
        kinds = operation.get("requestBody", {}).get("content", {})
        if "application/json" in kinds and self._rng.random() < 0.85:
            made = self._value(kinds["application/json"]["schema"], "")
            return json.dumps(made).encode(), "application/json"
        length = self._rng.choice((0, 1, 3, 60, 3000))
        noise = self._rng.randbytes(length)
        if self._rng.random() < 0.5:
            params = json.dumps(self._rng.choice(JUNK))
            field = self._rng.choice(("params", "metadata", "client_id"))
            file = self._rng.choice(("file", "files", "label"))
            head = f'--b\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{params}\r\n'
            head += f'--b\r\nContent-Disposition: form-data; name="{file}"; filename="a.nii"\r\n\r\n'
            noise = head.encode() + noise + b"\r\n--b--\r\n"
        return noise, self._rng.choice(TYPES)

    def _value(self, schema: Mapping[str, Any], name: str) -> Any:
        if self._rng.random() < 0.08:
            return self._rng.choice(JUNK)
        if name in self._known and self._rng.random() < 0.8:
            return self._rng.choice(self._known[name])
        if "$ref" in schema:
            return self._value(self._referred(schema["$ref"]), name)
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self._value(self._rng.choice(schema[key]), name)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._rng.choice(schema["enum"])
        match schema.get("type"):
            case "object":
                wanted = schema.get("required", ())
                fields = schema.get("properties", {})
                return {k: self._value(v, k) for k, v in fields.items() if k in wanted or self._rng.random() < 0.4}
            case "array":
                parts = schema.get("prefixItems")
                if parts:
                    return [self._value(one, "") for one in parts]
                count = self._rng.randint(schema.get("minItems", 0), min(schema.get("maxItems", 4), 6))
                return [self._value(schema.get("items", {}), "") for _ in range(count)]
            case "integer":
                return self._rng.choice((0, 1, 2, 5, 40, -3, 10**6))
            case "number":
                return self._rng.choice((0, 1.5, 12, 10, 33.3, -4, 1e7))
            case "boolean":
                return self._rng.random() < 0.5
            case "string":
                return self._rng.choice(("a", "bar", "quill", "nii.gz", "RAS", "10,200", "first", ""))
        return self._rng.choice(JUNK)

    def _referred(self, reference: str) -> Mapping[str, Any]:
        found: Any = self._document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
