"""Errors on the wire: problem documents (RFC 9457) with the codes of the command line."""

from __future__ import annotations

import logging
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from delineate.core.errors import (
    DelineateError,
    GeometryError,
    InputError,
    MissingExtraError,
    ModelError,
    OutputError,
    PromptError,
    foreseen,
)
from delineate.core.json_file import fault

_LOG: Final = logging.getLogger(__name__)
_STATUS: Final[tuple[tuple[type[DelineateError], int], ...]] = (
    (PromptError, 400),
    (GeometryError, 422),
    (InputError, 422),
    (ModelError, 422),
    (OutputError, 422),
    (MissingExtraError, 422),
)
UNKNOWN_FORMATS: Final = ("E-FORMAT-UNKNOWN", "E-FILE-EMPTY")
MEDIA_TYPE: Final = "application/problem+json"


class RefusalError(DelineateError):
    """A request that is not answered: of what is not there, stale, too much, or not allowed.

    status       HTTP status
    retry_after  seconds after which it may be tried again; None: not at all
    """

    def __init__(self, code: str, message: str, hint: str, status: int, retry_after: int | None = None) -> None:
        super().__init__(code, message, hint)
        self.status = status
        self.retry_after = retry_after


TOO_LARGE: Final = RefusalError(
    "E-SERVE-LARGE",
    "The request is larger than the server takes.",
    "The limits are in /api/v1/info; for scans, start it with a larger --max-upload, or open them below --root.",
    status=413,
)


def not_found(what: str, name: str) -> RefusalError:
    return RefusalError(
        "E-SERVE-MISSING", f"There is no {what} {name[:40]!r}.", "It may have been removed.", status=404
    )


def status_of(error: DelineateError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, RefusalError):
        return error.status
    if error.code in UNKNOWN_FORMATS:
        return 415
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem(error: DelineateError) -> dict[str, Any]:
    """The problem document of an error."""
    return {
        "type": f"urn:delineate:{error.code}",
        "title": error.message,
        "detail": str(error),
        "status": status_of(error),
        "code": error.code,
        "hint": error.hint,
    }


def answer(error: DelineateError) -> JSONResponse:
    """The response that says what is wrong."""
    headers = {}
    if isinstance(error, RefusalError) and error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return JSONResponse(problem(error), status_of(error), headers, MEDIA_TYPE)


def add_problems(app: FastAPI) -> None:
    """Every error of an application as a problem document."""

    @app.exception_handler(DelineateError)
    def known(_: Request, error: DelineateError) -> JSONResponse:
        return answer(error)

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        text = f"{where}: {first['msg']}"
        return answer(RefusalError("E-REQUEST", f"{text}.", "The fields are in /api/v1/openapi.json.", status=422))

    @app.exception_handler(ValidationError)
    def malformed(_: Request, error: ValidationError) -> JSONResponse:
        return answer(RefusalError("E-REQUEST", f"The request: {fault(error)}.", "See the protocol.", status=400))

    @app.exception_handler(HTTPException)
    def refused(_: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == TOO_LARGE.status:
            return answer(TOO_LARGE)
        hint = "The addresses are in /api/v1/openapi.json."
        text = f"The request cannot be answered: {error.detail}."
        return answer(RefusalError("E-SERVE-HTTP", text, hint, status=error.status_code))

    @app.exception_handler(Exception)
    def unforeseen(_: Request, error: Exception) -> JSONResponse:
        _LOG.error("A request failed in a way that nobody foresaw.", exc_info=error)
        return answer(foreseen(error, "the request"))
