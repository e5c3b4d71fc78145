"""How the server feels, the goal beside every row: clicks and previews on the wire, many people, a killed server."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time, sleep
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from delineate import bench_wire as wires
from delineate.bench import Measure
from delineate.bench_wire import ServerProcess, Wire, action, answered, message, nrrd, places, volume
from delineate.core.grid import Grid
from delineate.core.prompts import Point
from delineate.core.scan import Scan
from delineate.session import Session
from delineate.systems import shipped_predictor

SOON: Final = 0.01  # seconds between looks at a job
MOVES: Final = 60  # places a second where a moving pointer is


@dataclass(frozen=True)
class Load:
    """How much is asked; ``--quick`` asks less.

    side      px of the slice that is clicked on
    volume    voxels of the one that is opened
    frames    slices that another person follows meanwhile
    seconds   of hovering
    """

    clicks: int = 40
    side: int = 512
    volume: tuple[int, int, int] = (256, 256, 128)
    frames: int = 200
    people: int = 8
    sessions: int = 64
    seconds: float = 4.0


FULL, QUICK = Load(), Load(8, 256, (96, 96, 24), 24, 3, 8, 1.0)


def bench_server(quick: bool = False, next_up: Callable[[str], None] | None = None) -> Iterator[Measure]:
    """Each row when it is measured; two to five minutes. Raises MissingExtraError without the extra ``server``."""
    load = QUICK if quick else FULL
    size = f"{load.side} x {load.side}"
    with tempfile.TemporaryDirectory() as folder:
        run = _Run(load, Path(folder))
        rows: tuple[tuple[str, Callable[[], str], str], ...] = (
            (f"click over HTTP, cached {size} (p50 / p95)", run.over_http, "80 / 150 ms"),
            (f"click over WebSocket, cached {size} (p50 / p95)", run.over_socket, "80 / 150 ms"),
            ("CPU a click: the server / the same call without one", run.computing, "10 ms apart"),
            (f"previews answered while the pointer moves over {size}", run.hovering, "10 a second"),
            (f"page opened, {' x '.join(map(str, load.volume))} sent, first outline", run.opening, "5 s"),
            (f"click while another person follows {load.frames} slices (p50 / p95)", run.beside, "a frame more"),
            (
                f"{load.sessions} sessions open, {load.people} people click at once (p50 / p95)",
                run.together,
                "p95 1000 ms, memory bounded",
            ),
            ("lost by a dropped connection and kill -9, of all that was answered", run.killed, "0"),
        )
        try:
            for what, measure, goal in rows:
                if next_up is not None:
                    next_up(what)
                yield Measure(what, f"{measure()} (goal: {goal})")
        finally:
            run.server.stop()


class _Run:
    """One server, and what it is asked; every method is a row."""

    def __init__(self, load: Load, state: Path) -> None:
        self.load, self.state = load, state
        self.server = ServerProcess(state, wires.COMMAND)
        self.wire = Wire(self.server.address)
        self.sessions: list[str] = []
        self.alone: list[float] = []
        self.server_cpu = 0.0  # ms a click

    def over_http(self) -> str:
        session = self.wire.session(self.wire.scan(self._slice()))
        self.wire.click(session, self._places[0])
        times, computed = [], 0.0
        for at in self._places[1:]:
            self.wire.undo(session)
            before = self.server.cpu_seconds
            times.append(self.wire.click(session, at))
            computed += self.server.cpu_seconds - before
        self.alone, self.server_cpu = times, computed * 1000 / len(times)
        return _percentiles(times)

    def over_socket(self) -> str:
        session = self.wire.session(self.wire.scan(self._slice()))
        times = []
        with self.wire.socket(session) as socket:
            for seq, at in enumerate(self._places, 1):
                began = perf_counter()
                socket.send(json.dumps({"do": "act", "seq": seq, "action": action(at)}))
                answered(socket, seq)
                times.append((perf_counter() - began) * 1000)
                socket.send(json.dumps({"do": "undo", "seq": 10_000 + seq}))
                answered(socket, 10_000 + seq)
        return _percentiles(times[1:])

    def computing(self) -> str:
        voxels = self._slice()
        session = Session(Scan.from_volume(voxels, Grid(voxels.shape), 2), shipped_predictor())
        session.prompt(Point(*self._places[0]), "disc")
        spent = 0.0
        for at in self._places[1:]:
            session.undo()
            began = process_time()
            session.prompt(Point(*at), "disc")
            spent += process_time() - began
        return f"{self.server_cpu:.0f} / {spent * 1000 / self.load.clicks:.0f} ms"

    def hovering(self) -> str:
        session = self.wire.session(self.wire.scan(self._slice()))
        self.wire.click(session, self._places[0])
        seen: list[float] = []
        with self.wire.socket(session) as socket:
            message(socket)
            end = perf_counter() + self.load.seconds
            listening = threading.Thread(target=_previews, args=(socket, seen, end))
            listening.start()
            for seq in range(1, int(self.load.seconds * MOVES) + 1):
                at = self._places[seq % len(self._places)]
                socket.send(json.dumps({"do": "preview", "seq": seq, "action": action(at)}))
                sleep(1 / MOVES)
            listening.join()
        return f"{len(seen) / self.load.seconds:.1f} a second"

    def opening(self) -> str:
        content = nrrd(volume(self.load.volume))
        began = perf_counter()
        self.wire.page()
        scan = self.wire.upload(content)
        session, middle = self.wire.session(scan), self.load.volume[2] // 2
        with self.wire.socket(session) as socket:
            self.wire.picture(scan, middle)
            at = [self.load.volume[0] / 2, self.load.volume[1] / 2, middle]
            socket.send(json.dumps({"do": "act", "seq": 1, "action": action(at)}))
            answered(socket, 1)
            return f"{perf_counter() - began:.1f} s"

    def beside(self) -> str:
        """Clicks of one person while another's structure is followed; and how long a frame of that takes."""
        wire, load = self.wire, self.load
        following = wire.session(wire.scan(volume((128, 128, load.frames))))
        clicking = wire.session(wire.scan(self._slice()))
        wire.click(following, (64, 64, load.frames // 2))
        wire.click(clicking, self._places[0])
        job = wire.ask("POST", f"/sessions/{following}/follow", {})["job"]
        times, began, done = [], perf_counter(), 0
        for at in self._places[1:]:
            wire.undo(clicking)
            times.append(wire.click(clicking, at))
            state = wire.ask("GET", f"/jobs/{job}")
            done = state["done"]
            if state["state"] != "running":
                break
        frame = (perf_counter() - began - sum(times) / 1000) * 1000 / max(1, done)
        wire.ask("DELETE", f"/jobs/{job}")
        while wire.ask("GET", f"/jobs/{job}")["state"] == "running":
            sleep(SOON)
        return f"{_percentiles(times)}, alone {_percentiles(self.alone)}; a frame {frame:.0f} ms"

    def together(self) -> str:
        load, wire = self.load, self.wire
        before = self.server.memory_mib
        scans = [wire.scan(self._slice(seed)) for seed in range(load.people)]
        self.sessions = [wire.session(scans[n % load.people]) for n in range(load.sessions)]
        for session in self.sessions:
            wire.click(session, self._places[0])
        times: list[float] = []

        def person(session: str) -> None:
            for at in self._places[1 : 1 + max(3, load.clicks // 5)]:
                times.append(wire.click(session, at))

        threads = [threading.Thread(target=person, args=(one,)) for one in self.sessions[: load.people]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        memory = f"{before:.0f} MiB before, {self.server.memory_mib:.0f} MiB after"
        return f"{_percentiles(times)}; {memory}"

    def killed(self) -> str:
        """A connection is dropped behind its last answer, and the server killed: what was answered is compared."""
        with self.wire.socket(self.sessions[-1]) as socket:
            socket.send(json.dumps({"do": "act", "seq": 1, "action": action(self._places[1])}))
            answered(socket, 1)
            socket.socket.close()
        before = {one: self.wire.masks(one) for one in self.sessions}
        self.server.kill()
        began = perf_counter()
        self.server = ServerProcess(self.state, wires.COMMAND)
        self.wire = Wire(self.server.address)
        after = {one: self.wire.masks(one) for one in self.sessions}
        seconds = perf_counter() - began
        lost = sum(before[one] != after[one] or not after[one] for one in self.sessions)
        return f"{lost} of {len(self.sessions)}; all back in {seconds:.1f} s"

    def _slice(self, seed: int = 0) -> NDArray[np.int16]:
        return volume((self.load.side, self.load.side, 1), seed)

    @property
    def _places(self) -> list[tuple[float, float, float]]:
        return places(self.load.side, self.load.clicks)


def _previews(socket: Any, seen: list[float], end: float) -> None:
    """Collect the times of previews that come before ``end``."""
    while (left := end - perf_counter()) > 0:
        try:
            found = json.loads(socket.recv(timeout=left))
        except TimeoutError:
            return
        for _ in range(found.get("masks", 0)):
            socket.recv(timeout=10)
        if found.get("preview"):
            seen.append(perf_counter())


def _percentiles(times: Sequence[float]) -> str:
    p50, p95 = np.percentile(times, (50, 95))
    return f"{p50:.0f} / {p95:.0f} ms"
