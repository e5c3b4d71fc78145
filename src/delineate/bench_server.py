"""How the server feels: clicks and previews on the wire beside calls in the process, fairness, many people at once."""

from __future__ import annotations

import gzip
import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter, sleep
from typing import Any, Final
from urllib.request import ProxyHandler, Request, build_opener

import numpy as np
from numpy.typing import NDArray

from delineate.bench import Measure
from delineate.core.errors import MissingExtraError
from delineate.core.grid import Grid
from delineate.core.prompts import Point
from delineate.core.scan import Scan
from delineate.predictors.frame_predictor import Predictor
from delineate.session import Session
from delineate.systems import shipped_predictor

TOKEN: Final = "bench"
SOON: Final = 0.01  # seconds between looks at a job


@dataclass(frozen=True)
class Load:
    """How much is asked; ``--quick`` asks less.

    side    px of the slice that is clicked on
    volume  voxels of the one that is opened
    frames  slices that another person follows meanwhile
    """

    clicks: int = 40
    side: int = 512
    volume: tuple[int, int, int] = (256, 256, 128)
    frames: int = 200
    people: int = 8
    sessions: int = 64


FULL, QUICK = Load(), Load(8, 256, (96, 96, 24), 24, 3, 8)


def bench_server(quick: bool = False, next_up: Callable[[str], None] | None = None) -> Iterator[Measure]:
    """Each row when it is measured; about two minutes. Raises MissingExtraError without the extra ``server``."""
    load, predictor = QUICK if quick else FULL, shipped_predictor()
    with tempfile.TemporaryDirectory() as folder, _served(Path(folder), predictor) as address:
        wire = Wire(address)
        size = f"{load.side} x {load.side}"
        rows: tuple[tuple[str, Callable[[], str]], ...] = (
            (f"click in this process, {size} (p50 / p95)", partial(_in_process, predictor, load)),
            (f"click over HTTP, {size} (p50 / p95)", partial(_over_http, wire, load)),
            (f"click over WebSocket, {size} (p50 / p95)", partial(_over_socket, wire, load, "act")),
            (f"preview over WebSocket, {size} (p50 / p95)", partial(_over_socket, wire, load, "preview")),
            (
                f"a volume of {' x '.join(map(str, load.volume))} sent, to its first outline",
                partial(_opened, wire, load),
            ),
            (f"click while another person follows {load.frames} slices (p50 / p95)", partial(_beside, wire, load)),
            (f"click of {load.people} people at once (p50 / p95)", partial(_together, wire, load)),
            (f"{load.sessions} sessions opened, clicked in, asked again", partial(_many, wire, load)),
        )
        for what, measure in rows:
            if next_up is not None:
                next_up(what)
            yield Measure(what, measure())


class Wire:
    """A client of a server on this machine."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._opener = build_opener(ProxyHandler({}))

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
        request = Request(f"{self.address}/api/v1{path}", content, headers, method=method)
        with self._opener.open(request, timeout=120) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def scan(self, voxels: NDArray[Any]) -> str:
        """Send a volume; its id."""
        return str(self.ask("POST", "/scans?name=a.nrrd", _nrrd(voxels))["id"])

    def session(self, scan: str) -> str:
        return str(self.ask("POST", "/sessions", {"scan": scan})["id"])

    def click(self, session: str, at: Sequence[float]) -> float:
        """Milliseconds until the outline is here."""
        began = perf_counter()
        answer = self.ask("POST", f"/sessions/{session}/events", {"action": _action(at)})
        assert answer["changed"] is not None
        return (perf_counter() - began) * 1000


def _in_process(predictor: Predictor, load: Load) -> str:
    session = Session(_scan(_slice(load)), predictor)
    times = []
    for at in _places(load):
        began = perf_counter()
        session.prompt(Point(*at), "disc")
        times.append((perf_counter() - began) * 1000)
        session.undo()
    return _percentiles(times[1:])


def _over_http(wire: Wire, load: Load) -> str:
    session = wire.session(wire.scan(_slice(load)))
    times = []
    for at in _places(load):
        times.append(wire.click(session, at))
        wire.ask("POST", f"/sessions/{session}/undo")
    return _percentiles(times[1:])


def _over_socket(wire: Wire, load: Load, do: str) -> str:
    session = wire.session(wire.scan(_slice(load)))
    times = []
    with _socket(wire, session) as socket:
        for seq, at in enumerate(_places(load), 1):
            began = perf_counter()
            socket.send(json.dumps({"do": do, "seq": seq, "action": _action(at)}))
            _await(socket, seq)
            times.append((perf_counter() - began) * 1000)
            if do == "act":
                socket.send(json.dumps({"do": "undo", "seq": 10_000 + seq}))
                _await(socket, 10_000 + seq)
    return _percentiles(times[1:])


def _opened(wire: Wire, load: Load) -> str:
    content = _nrrd(_volume(load.volume))
    began = perf_counter()
    scan = wire.ask("POST", "/scans?name=a.nrrd", content)
    middle = scan["frames"] // 2
    session = wire.session(scan["id"])
    wire.click(session, [n / 2 for n in load.volume[:2]] + [middle])
    return f"{perf_counter() - began:.1f} s"


def _beside(wire: Wire, load: Load) -> str:
    """Clicks of one person while another's structure is followed; and how long a frame of that takes."""
    following = wire.session(wire.scan(_volume((128, 128, load.frames))))
    clicking = wire.session(wire.scan(_slice(load)))
    wire.click(following, (64, 64, load.frames // 2))
    wire.click(clicking, _places(load)[0])
    job = wire.ask("POST", f"/sessions/{following}/follow", {})["job"]
    times, began, done = [], perf_counter(), 0
    for at in _places(load):
        times.append(wire.click(clicking, at))
        state = wire.ask("GET", f"/jobs/{job}")
        done = state["done"]
        if state["state"] != "running":
            break
    frame = (perf_counter() - began - sum(times) / 1000) * 1000 / max(1, done)
    wire.ask("DELETE", f"/jobs/{job}")
    while wire.ask("GET", f"/jobs/{job}")["state"] == "running":
        sleep(SOON)
    return f"{_percentiles(times)}; a frame followed meanwhile {frame:.0f} ms"


def _together(wire: Wire, load: Load) -> str:
    sessions = [wire.session(wire.scan(_slice(load, seed))) for seed in range(load.people)]
    times: list[float] = []

    def person(session: str) -> None:
        for at in _places(load)[: max(3, load.clicks // 4)]:
            times.append(wire.click(session, at))

    threads = [threading.Thread(target=person, args=(one,)) for one in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _percentiles(times)


def _many(wire: Wire, load: Load) -> str:
    scan = wire.scan(_slice(load))
    sessions = [wire.session(scan) for _ in range(load.sessions)]
    began = perf_counter()
    for session in sessions:
        wire.click(session, _places(load)[0])
    seconds = perf_counter() - began
    kept = sum(len(wire.ask("GET", f"/sessions/{one}")["objects"]) == 1 for one in sessions)
    return f"{kept} of {load.sessions} there, {seconds * 1000 / load.sessions:.0f} ms a click"


@contextmanager
def _served(state: Path, predictor: Predictor) -> Iterator[str]:
    try:
        import uvicorn

        from delineate.server.app import application, listening
        from delineate.server.settings import ServerSettings
    except ImportError as error:
        raise MissingExtraError(f"bench --server ({error.name})", "server") from error
    settings = ServerSettings(port=0, token=TOKEN, state=state, max_sessions=256)
    bound = listening(settings)
    server = uvicorn.Server(uvicorn.Config(application(settings, lambda name: predictor), log_level="error"))
    thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
    thread.start()
    while not server.started:
        sleep(SOON)
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)


def _socket(wire: Wire, session: str) -> Any:
    from websockets.sync.client import connect

    address = f"{wire.address.replace('http', 'ws', 1)}/api/v1/sessions/{session}/live"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return connect(address, additional_headers=headers, proxy=None, max_size=2**26)


def _await(socket: Any, seq: int) -> None:
    """The answer to a message, with its outlines."""
    while True:
        message = json.loads(socket.recv())
        for _ in range(message.get("masks", 0)):
            socket.recv()
        if message.get("seq") == seq and message["kind"] in ("answer", "error"):
            assert message["kind"] == "answer", message
            return


def _action(at: Sequence[float]) -> dict[str, Any]:
    return {"event": "prompt", "object": "disc", "prompt": {"type": "point", "at": [float(n) for n in at]}}


def _places(load: Load) -> list[tuple[float, float, float]]:
    """Where is clicked: near the middle of the disc, never twice at one place; the first one warms up."""
    rng = np.random.default_rng(0)
    middle = load.side / 2
    return [(middle + dx, middle + dy, 0.0) for dx, dy in rng.uniform(-0.08, 0.08, (load.clicks + 1, 2)) * load.side]


def _slice(load: Load, seed: int = 0) -> NDArray[np.int16]:
    return _volume((load.side, load.side, 1), seed)


def _volume(shape: tuple[int, int, int], seed: int = 0) -> NDArray[np.int16]:
    """A noisy bright cylinder, as (i, j, k)."""
    x, y = np.ogrid[: shape[0], : shape[1]]
    disc = (x - shape[0] / 2) ** 2 + (y - shape[1] / 2) ** 2 < (0.22 * shape[0]) ** 2
    noise = np.random.default_rng(seed).integers(-15, 16, shape, dtype=np.int16)
    return noise + np.where(disc, 160, 40).astype(np.int16)[..., None]


def _scan(voxels: NDArray[Any]) -> Scan:
    return Scan.from_volume(voxels, Grid(voxels.shape), 2)


def _nrrd(voxels: NDArray[np.int16]) -> bytes:
    head = (
        f"NRRD0004\ntype: int16\ndimension: 3\nspace: left-posterior-superior\n"
        f"sizes: {' '.join(map(str, voxels.shape))}\nspace directions: (1,0,0) (0,1,0) (0,0,2)\n"
        "kinds: domain domain domain\nendian: little\nencoding: gzip\nspace origin: (0,0,0)\n\n"
    )
    return head.encode() + gzip.compress(voxels.astype("<i2").tobytes(order="F"), 1)


def _percentiles(times: Sequence[float]) -> str:
    p50, p95 = np.percentile(times, (50, 95))
    return f"{p50:.0f} / {p95:.0f} ms"
