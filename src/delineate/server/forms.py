"""Multipart bodies, of other programs too: read with the boundary they have, and written."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import Request, Response
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from delineate.server.problems import RefusalError

LONGEST_BOUNDARY: Final = 200
MOST_FIELDS, FIELD_BYTES = 20, 2**20


@asynccontextmanager
async def form_of(request: Request) -> AsyncIterator[FormData]:
    """The fields and files of a body. Raises RefusalError (400).

    The boundary is the body's own first line: some clients send the header of an earlier request with a later body.
    """
    stream = request.stream()
    head = b""
    async for chunk in stream:
        head += chunk
        if b"\r\n" in head or len(head) > LONGEST_BOUNDARY:
            break
    line = head.partition(b"\r\n")[0]
    if not line.startswith(b"--") or len(line) > LONGEST_BOUNDARY:
        raise _malformed("it begins with no boundary")

    async def chunks() -> AsyncGenerator[bytes, None]:
        yield head
        async for chunk in stream:
            yield chunk

    boundary = line[2:].decode("latin-1").rstrip().replace('"', "")
    headers = Headers({"content-type": f'multipart/form-data; boundary="{boundary}"'})
    parser = MultiPartParser(
        headers, chunks(), max_files=MOST_FIELDS, max_fields=MOST_FIELDS, max_part_size=FIELD_BYTES
    )
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError, KeyError, UnicodeError) as error:
        raise _malformed(str(error)) from None
    try:
        yield form
    finally:
        await form.close()


def json_field(form: FormData, name: str, needed: bool = False) -> dict[str, Any]:
    """An object that a field holds as JSON; empty where there is none and none is needed. Raises RefusalError (400)."""
    given = form.get(name)
    if given in (None, "") and not needed:
        return {}
    try:
        found = json.loads(given) if isinstance(given, str) else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _malformed(f"{name} is no JSON object")
    return found


def file_of(form: FormData, name: str) -> UploadFile:
    """A file of a form. Raises RefusalError (400) where there is none."""
    given = form.get(name)
    if not isinstance(given, UploadFile):
        raise _malformed(f"it has no file {name}")
    return given


def form_response(fields: dict[str, Any], name: str, file: str, content: bytes) -> Response:
    """Fields as JSON, and one file under a bare name."""
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\nContent-Type: application/json\r\n\r\n'
        f"{json.dumps(value)}\r\n"
        for key, value in fields.items()
    ]
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    body = "".join(parts).encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return Response(body, media_type=f"multipart/form-data; boundary={boundary}")


def _malformed(why: str) -> RefusalError:
    return RefusalError(
        "E-SERVE-FORM", f"The body is no multipart form: {why[:200]}.", "Send it as the client does.", status=400
    )
