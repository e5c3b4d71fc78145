"""Who may ask: checks of Host, Origin and token before anything of a request is read, for HTTP and WebSocket alike."""

from __future__ import annotations

import hmac
import re
from http.cookies import CookieError, SimpleCookie
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from delineate.server.problems import MEDIA_TYPE, TOO_LARGE, RefusalError, answer
from delineate.server.settings import ServerSettings

OPEN_PATHS: Final = ("/healthz", "/", "/favicon.ico", "/api/v1/login", "/auth/", "/auth/token")  # and the page's files
PAGE: Final = "/page/"
KEYED: Final = re.compile(r"/key/([^/]+)(/.*)")  # the token in the address, for programs that have no field for it
ITKSNAP_PATHS: Final = (
    "/status", "/v2/", "/upload_raw/", "/process_point_interaction/", "/process_scribble_interaction/",
    "/process_lasso_interaction/", "/reset_interactions/",
)  # fmt: skip
_BY_ADDRESS: Final = "delineate_by_address"
POLICY: Final = (
    "default-src 'self'; img-src 'self' blob: data:; worker-src 'self' blob:; connect-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SAFE_HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
PREFLIGHT: Final = {
    "access-control-allow-methods": "GET, POST, PUT, DELETE",
    "access-control-allow-headers": "authorization, content-type, x-lease-token, x-meta",
    "access-control-max-age": "600",
}
WS_REFUSED: Final = 1008  # policy violation


def same(given: str, token: str) -> bool:
    """Whether a token is the right one, in a time that does not tell how much of it is."""
    return hmac.compare_digest(given.encode(), token.encode())


class Guard:
    """ASGI middleware: refuses what is addressed to another name, comes from another page, or lacks the token."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        scope, keyed = self._opened(scope)
        refusal = self._refusal(scope["path"], headers, keyed or scope.get("method") == "OPTIONS")
        if refusal is None and scope.get("method") == "OPTIONS" and self._shared_with(headers):
            await Response(status_code=204, headers=PREFLIGHT)(scope, receive, _with_headers(send, headers["origin"]))
        elif refusal is None and scope["type"] == "http":
            await self._app(scope, receive, _with_headers(send, self._shared_with(headers)))
        elif refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await answer(refusal)(scope, receive, _with_headers(send, ""))
        else:
            await receive()
            await send({"type": "websocket.close", "code": WS_REFUSED, "reason": refusal.code})

    def _opened(self, scope: Scope) -> tuple[Scope, bool]:
        """A request whose address begins with ``/key/TOKEN``, as what it asks for; whether the token is right."""
        found = KEYED.fullmatch(scope["path"])
        if found is None or not self._settings.token or not same(found[1], self._settings.token):
            return scope, False
        return {**scope, "path": found[2], "raw_path": found[2].encode(), _BY_ADDRESS: True}, True

    def _refusal(self, path: str, headers: Headers, may: bool) -> RefusalError | None:
        if _name_of(headers.get("host", "")) not in self._settings.allowed_hosts:
            return RefusalError(
                "E-SERVE-HOST", "The request names another host.", "Give --public-name NAME to serve.", status=400
            )
        origin = headers.get("origin")
        if origin is not None and not self._may_ask(origin, headers["host"]):
            return RefusalError(
                "E-SERVE-ORIGIN", "The page is of another origin.", "Give --allow-origin to serve.", status=403
            )
        if path in OPEN_PATHS or path.startswith(PAGE) or may or not self._settings.token:
            return None
        if self._settings.itksnap and path.startswith(ITKSNAP_PATHS):
            return None
        if same(_token_of(headers), self._settings.token):
            return None
        hint = "Send it as Authorization: Bearer TOKEN; the server printed it when it started."
        return RefusalError("E-SERVE-TOKEN", "The token is missing or wrong.", hint, status=401)

    def _may_ask(self, origin: str, host: str) -> bool:
        return origin.partition("://")[2].lower() == host.lower() or origin in self._settings.allow_origins

    def _shared_with(self, headers: Headers) -> str:
        """The origin that may read the answer, if another one may."""
        origin = headers.get("origin", "")
        return origin if origin in self._settings.allow_origins else ""


def cookie_name(host: str) -> str:
    """The name of the page's cookie: another one for each port, since browsers send cookies to all ports alike."""
    _, colon, port = host.rpartition(":")
    return f"delineate_token_{port}" if colon and port.isdigit() else "delineate_token"


def by_address(scope: Scope) -> bool:
    """Whether the token of a request stood in its address."""
    return bool(scope.get(_BY_ADDRESS))


def _with_headers(send: Send, origin: str) -> Send:
    """Every answer carries the policy; the one about a body that is too large says so as all others do."""
    instead: bytes | None = None

    async def sending(message: Message) -> None:
        nonlocal instead
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if message["status"] == TOO_LARGE.status and headers.get("content-type", "") != MEDIA_TYPE:
                instead = bytes(answer(TOO_LARGE).body)
                headers["content-type"], headers["content-length"] = MEDIA_TYPE, str(len(instead))
            for name, value in SAFE_HEADERS.items():
                headers.setdefault(name, value)
            if origin:
                headers["access-control-allow-origin"] = origin
                headers["vary"] = "Origin"
                headers["cross-origin-resource-policy"] = "cross-origin"
        elif message["type"] == "http.response.body" and instead is not None:
            message, instead = {"type": "http.response.body", "body": instead}, b""
        await send(message)

    return sending


def _name_of(host: str) -> str:
    """A Host header without its port, in lower case."""
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() else host.lower()


def _token_of(headers: Headers) -> str:
    """The token of a request: of its Authorization header, or of the cookie the page has."""
    kind, _, given = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return given.strip()
    try:
        cookie = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    name = cookie_name(headers.get("host", ""))
    return cookie[name].value if name in cookie else ""
