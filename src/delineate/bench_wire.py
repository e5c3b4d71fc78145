"""A server in a process of its own, and clients that time what they ask it; what it is asked about."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any, Final
from urllib.request import ProxyHandler, Request, build_opener

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import MissingExtraError, ModelError

TOKEN: Final = "bench"
COMMAND: Final = (sys.executable, "-m", "delineate")
SECONDS: Final = 120.0


class ServerProcess:
    """``delineate serve`` with its state in a folder; ended with ``stop``, as by a power cut with ``kill``.

    Raises MissingExtraError without the extra ``server``, and ModelError where it does not start.
    """

    def __init__(self, state: Path, command: Sequence[str] = COMMAND) -> None:
        missing = next((name for name in ("fastapi", "uvicorn", "websockets") if find_spec(name) is None), None)
        if missing:
            raise MissingExtraError(f"bench --server ({missing})", "server")
        self._process = subprocess.Popen(
            [*command, "serve", "--port", "0", "--state", str(state)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "DELINEATE_TOKEN": TOKEN},
        )
        assert self._process.stderr is not None
        said = self._process.stderr.readline()
        found = re.search(r"(http://[^/\s]+)/", said)
        if found is None:
            self.kill()
            raise ModelError("E-BENCH-SERVER", f"The server did not start: {said.strip()}", "See: delineate doctor")
        self.address = found[1]

    @property
    def cpu_seconds(self) -> float:
        """What it has computed so far; nan where the system does not tell."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return float("nan")
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def memory_mib(self) -> float:
        """What it holds now; nan where the system does not tell."""
        try:
            pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        except OSError:
            return float("nan")
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()


class Wire:
    """A client of a server on this machine."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._opener = build_opener(ProxyHandler({}))

    def page(self) -> int:
        """The page and all its files, as a browser asks for them; bytes."""
        html = self._read("GET", "/")
        named = re.findall(rb'(?:src|href)="(/?page/[^"]+)"', html)
        return len(html) + sum(len(self._read("GET", f"/{one.decode().lstrip('/')}")) for one in named)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        text = self._read(method, f"/api/v1{path}", body)
        return json.loads(text) if text else None

    def picture(self, scan: str, frame: int) -> bytes:
        return self._read("GET", f"/api/v1/scans/{scan}/frames/{frame}.png")

    def scan(self, voxels: NDArray[Any]) -> str:
        """Send a volume; its id."""
        return self.upload(nrrd(voxels))

    def upload(self, content: bytes) -> str:
        return str(self.ask("POST", "/scans?name=a.nrrd", content)["id"])

    def session(self, scan: str) -> str:
        return str(self.ask("POST", "/sessions", {"scan": scan})["id"])

    def click(self, session: str, at: Sequence[float]) -> float:
        """Milliseconds until the outline is here."""
        began = perf_counter()
        answer = self.ask("POST", f"/sessions/{session}/events", {"action": action(at)})
        assert answer["changed"] is not None
        return (perf_counter() - began) * 1000

    def undo(self, session: str) -> None:
        self.ask("POST", f"/sessions/{session}/undo")

    def masks(self, session: str) -> list[Any]:
        return list(self.ask("GET", f"/sessions/{session}/masks")["changed"])

    def socket(self, session: str) -> Any:
        """The session's WebSocket."""
        from websockets.sync.client import connect

        address = f"{self.address.replace('http', 'ws', 1)}/api/v1/sessions/{session}/live"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return connect(address, additional_headers=headers, proxy=None, max_size=2**26, compression=None)

    def _read(self, method: str, path: str, body: Any = None) -> bytes:
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
        request = Request(self.address + path, content, headers, method=method)
        with self._opener.open(request, timeout=SECONDS) as answer:
            return bytes(answer.read())


def message(socket: Any) -> dict[str, Any]:
    """The next message, with its outlines taken."""
    found: dict[str, Any] = json.loads(socket.recv(timeout=SECONDS))
    for _ in range(found.get("masks", 0)):
        socket.recv(timeout=SECONDS)
    return found


def answered(socket: Any, seq: int) -> None:
    """Wait for the answer to a message."""
    while True:
        found = message(socket)
        if found.get("seq") == seq and found["kind"] in ("answer", "error"):
            assert found["kind"] == "answer", found
            return


def action(at: Sequence[float]) -> dict[str, Any]:
    return {"event": "prompt", "object": "disc", "prompt": {"type": "point", "at": [float(n) for n in at]}}


def places(side: int, count: int) -> list[tuple[float, float, float]]:
    """Where is clicked: near the middle of the disc, never twice at one place; the first one warms up."""
    rng = np.random.default_rng(0)
    return [(side / 2 + dx, side / 2 + dy, 0.0) for dx, dy in rng.uniform(-0.08, 0.08, (count + 1, 2)) * side]


def volume(shape: tuple[int, int, int], seed: int = 0) -> NDArray[np.int16]:
    """A noisy bright cylinder, as (i, j, k)."""
    x, y = np.ogrid[: shape[0], : shape[1]]
    disc = (x - shape[0] / 2) ** 2 + (y - shape[1] / 2) ** 2 < (0.22 * shape[0]) ** 2
    noise = np.random.default_rng(seed).integers(-15, 16, shape, dtype=np.int16)
    return noise + np.where(disc, 160, 40).astype(np.int16)[..., None]


def nrrd(voxels: NDArray[np.int16]) -> bytes:
    """A volume as a file, 2 mm from slice to slice."""
    head = (
        f"NRRD0004\ntype: int16\ndimension: 3\nspace: left-posterior-superior\n"
        f"sizes: {' '.join(map(str, voxels.shape))}\nspace directions: (1,0,0) (0,1,0) (0,0,2)\n"
        "kinds: domain domain domain\nendian: little\nencoding: gzip\nspace origin: (0,0,0)\n\n"
    )
    return head.encode() + gzip.compress(voxels.astype("<i2").tobytes(order="F"), 1)
