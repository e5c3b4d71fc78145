"""The server's REST interface, asked with the standard library."""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

SECONDS = 120.0
JSON = "application/json"


class ServerError(Exception):
    """What the server refused, and what to do; ``status`` 0: it did not answer."""

    def __init__(self, message: str, hint: str = "", status: int = 0, code: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.status = status
        self.code = code


class Client:
    """One server.

    address  such as http://127.0.0.1:8765
    token    the API key it printed
    """

    def __init__(self, address: str, token: str = "", seconds: float = SECONDS) -> None:
        self.address = address.strip().rstrip("/")
        if not self.address.startswith(("http://", "https://")):
            self.address = f"http://{self.address}"
        self._token = token.strip()
        self._seconds = seconds
        self._opener = build_opener(ProxyHandler({}))  # a server on this machine is asked, whatever proxy there is

    def info(self) -> dict[str, Any]:
        """What the server is; raises ServerError where it is none, or the token is wrong."""
        found = self._ask("GET", "/info")
        if not isinstance(found, dict) or found.get("name") != "Delineate":
            raise ServerError("This is no Delineate server.", "Start one with: delineate serve")
        return found

    def upload(self, content: bytes, name: str) -> dict[str, Any]:
        """Send a volume as a file; the scan as the server reads it."""
        return self._ask("POST", f"/scans?name={quote(name)}", content, "application/octet-stream")

    def upload_frames(self, files: list[bytes]) -> dict[str, Any]:
        """Send pictures as the frames of one video; the scan as the server reads it."""
        boundary = uuid.uuid4().hex
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{number:06}.png"\r\n'
            "Content-Type: image/png\r\n\r\n".encode()
            + content
            + b"\r\n"
            for number, content in enumerate(files)
        ]
        body = b"".join(parts) + f"--{boundary}--\r\n".encode()
        return self._ask("POST", "/scans", body, f"multipart/form-data; boundary={boundary}")

    def begin(self, scan: str, model: str | None = None) -> dict[str, Any]:
        """A session on a scan."""
        return self._ask("POST", "/sessions", {"scan": scan, "model": model})

    def act(self, session: str, action: dict[str, Any]) -> dict[str, Any]:
        """One action: a prompt, a new structure ...; what changed."""
        return self._ask("POST", f"/sessions/{session}/events", {"action": action})

    def undo(self, session: str) -> dict[str, Any]:
        """Take the last action back; what changed."""
        return self._ask("POST", f"/sessions/{session}/undo")

    def redo(self, session: str) -> dict[str, Any]:
        """Do it again; what changed."""
        return self._ask("POST", f"/sessions/{session}/redo")

    def follow(self, session: str, objects: list[str]) -> dict[str, Any]:
        """Begin to follow structures; the job."""
        return self._ask("POST", f"/sessions/{session}/follow", {"objects": objects})

    def job(self, job: str) -> dict[str, Any]:
        """How far a job is."""
        return self._ask("GET", f"/jobs/{job}")

    def cancel(self, job: str) -> dict[str, Any]:
        """End a job; what it did so far stays."""
        return self._ask("DELETE", f"/jobs/{job}")

    def masks(self, session: str, since: int = 0) -> dict[str, Any]:
        """Outlines that changed after a revision."""
        return self._ask("GET", f"/sessions/{session}/masks?since={int(since)}")

    def _ask(self, method: str, path: str, body: Any = None, kind: str = JSON) -> Any:
        content = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        headers = {"Accept": JSON, "Content-Type": kind}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = Request(f"{self.address}/api/v1{path}", content, headers, method=method)
        try:
            with self._opener.open(request, timeout=self._seconds) as answer:
                return json.load(answer)
        except HTTPError as error:
            raise _refused(error) from None
        except (URLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise ServerError(f"{self.address} does not answer: {reason}.", "Start one with: delineate serve") from None


def _refused(error: HTTPError) -> ServerError:
    try:
        said = json.load(error)
        return ServerError(said["title"], said.get("hint", ""), error.code, said.get("code", ""))
    except (ValueError, KeyError, TypeError):
        return ServerError(f"The server says {error.code}.", "Is it a Delineate server?", error.code)
