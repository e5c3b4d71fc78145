"""Many sessions of many threads, doing at random what people do, compared with the same things done one by one.

``python tests/session_stress.py [sessions] [threads] [operations]`` runs it at any size and prints what came of it.
"""

from __future__ import annotations

import hashlib
import random
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np

from delineate.core.errors import DelineateError
from delineate.core.manifest import ModelRecord
from delineate.core.prompts import Box, Mask, Point
from delineate.core.scan import Scan
from delineate.io.opening import open_scan
from delineate.session import FeatureStore, Session, SessionLimits

NAMES = ("a", "b", "c")
WIDTH, HEIGHT, DEPTH = 64, 48, 10
LIMITS = SessionLimits(history_bytes=40_000)  # so that some states have to be computed again
STORE_BYTES = 8 * 2**20  # so that some frames have to be encoded again


def discs(frame: int) -> np.ndarray:
    """Three bright discs on noise, which move: uint8 (height, width)."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    pixels = np.random.default_rng(frame).integers(0, 50, (HEIGHT, WIDTH))
    for n in range(len(NAMES)):
        inside = np.hypot(columns - 12 - 20 * n - frame % 5, rows - 14 - 9 * n) < 7
        pixels = pixels + (110 + 30 * n) * inside
    return pixels.clip(0, 255).astype(np.uint8)


def film(path: Path) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=20)
        stream.width, stream.height, stream.pix_fmt, stream.options = WIDTH, HEIGHT, "yuv420p", {"g": "5"}
        for n in range(DEPTH):
            pixels = np.repeat(discs(n)[..., None], 3, axis=2)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        out.mux(stream.encode())
    return path


def scans(folder: Path) -> list[Scan]:
    """An image, a volume and a video file, each to be shared by many sessions."""
    voxels = np.stack([discs(n).T for n in range(DEPTH)], axis=2).astype(np.int16)
    return [Scan.from_image(discs(0)), Scan.from_volume(voxels), open_scan(film(folder / "film.mp4"))]


def predictors() -> list[Any]:
    """The shipped model, one of SAM's shape that wants its logits back, and one with a memory; all are shared."""
    import torch

    from delineate.compute.engine import Engine, Precision
    from delineate.predictors.sam import SamBehavior, SamPredictor
    from delineate.predictors.sam2 import Sam2Predictor
    from delineate.preprocess.profiles import SAM_MED2D
    from delineate.quill.predictor import QuillPredictor
    from tiny_networks import tiny_sam, tiny_sam2

    record = ModelRecord(name="tiny", version="1", sha256="", license="Apache-2.0")
    engine = Engine(torch.device("cpu"), Precision.FP32)
    return [
        QuillPredictor(threads=1),
        SamPredictor(tiny_sam(), SamBehavior(SAM_MED2D), engine, record),
        Sam2Predictor(tiny_sam2(), engine, record),
    ]


Operation = Callable[[Session], object]


def operations(seed: int, frames: int, count: int) -> list[Operation]:
    """What one person does, the same for the same seed."""
    chance = random.Random(seed)

    def point(session: Session, name: str, frame: int, x: int, y: int, positive: bool) -> object:
        at = (x, y, frame) if session.scan.kind == "volume" else (x, y)
        return session.prompt(Point(at=at, positive=positive, frame=frame), name)

    def once() -> Operation:
        name, frame, n = chance.choice(NAMES), chance.randrange(frames), chance.randrange(len(NAMES))
        x, y = 12 + 20 * n + chance.randint(-5, 9), 14 + 9 * n + chance.randint(-6, 6)
        drawn = np.zeros((HEIGHT, WIDTH), bool)
        drawn[y - 5 : y + 5, x - 5 : x + 5] = True
        kinds: list[tuple[Operation, float]] = [
            (partial(point, name=name, frame=frame, x=x, y=y, positive=chance.random() < 0.7), 6),
            (lambda s: s.prompt(Box(x - 7, y - 7, x + 6, y + 7, frame=frame), name), 3),
            (lambda s: s.prompt(Mask.from_array(drawn, frame=frame), name), 1),
            (lambda s: s.choose(name, frame, chance_of_three), 1),
            (lambda s: s.propagate(), 2),
            (lambda s: stopped(s, cut), 2),
            (lambda s: s.undo(), 4),
            (lambda s: s.redo(), 3),
            (lambda s: s.lock(name, locked), 0.5),
            (lambda s: s.remove_object(name), 0.5),
        ]
        chance_of_three, cut, locked = chance.randrange(3), chance.randint(1, 2 * frames), chance.random() < 0.4
        return chance.choices([one for one, _ in kinds], [weight for _, weight in kinds])[0]

    return [once() for _ in range(count)]


def stopped(session: Session, after: int) -> None:
    run = session.propagating()
    for n, _ in enumerate(run, 1):
        if n == after:
            run.close()


def outlines(session: Session) -> str:
    """Of every object on every frame, and what was done: a digest."""
    digest = hashlib.sha256(session.log.to_json().encode())
    for one in session.segmentation.objects:
        scores = [(frame, round(score, 4)) for frame, score in sorted(one.scores.items())]
        digest.update(repr((one.name, one.label, one.locked, scores)).encode())
        for frame in sorted(one.masks):
            digest.update(repr(frame).encode() + one.masks[frame].counts.tobytes())
    return digest.hexdigest()


def done(session: Session, operation: Operation) -> str:
    """What an operation leads to; a refusal is part of it."""
    try:
        operation(session)
    except DelineateError as error:
        return f"{error.code} {outlines(session)}"
    return outlines(session)


@dataclass
class Report:
    """What came of a run.

    wrong, lost    operations with another outcome than alone; operations without one
    disagreeing    sessions that several threads used at once, and that are not what their log says
    store, history most bytes that were kept
    """

    operations: int = 0
    wrong: int = 0
    lost: int = 0
    disagreeing: int = 0
    refused: int = 0
    store: int = 0
    history: int = 0
    alone_s: float = 0.0
    together_s: float = 0.0
    shared_s: float = 0.0
    grown_mib: float = 0.0
    errors: list[str] = field(default_factory=list)


def stress(sessions: int, threads: int, count: int, seed: int = 0) -> Report:
    """Do it alone, in threads with each session's operations in order, and in threads that care for no order."""
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        scanned, models = scans(Path(folder)), predictors()
        kinds = [(scanned[n % 3], models[(n + n // 3) % 3]) for n in range(sessions)]
        plans = [operations(seed + n, len(kinds[n][0]), count) for n in range(sessions)]

        def fresh(store: FeatureStore, n: int) -> Session:
            return Session(*kinds[n], features=store, limits=LIMITS)

        began = time.perf_counter()
        expected = []
        for n, plan in enumerate(plans):
            session = Session(*kinds[n])
            expected.append([done(session, operation) for operation in plan])
        report.alone_s = time.perf_counter() - began
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        store = FeatureStore(STORE_BYTES)
        used = [fresh(store, n) for n in range(sessions)]
        began = time.perf_counter()
        found = _in_order(used, plans, threads, report, store)
        report.together_s = time.perf_counter() - began
        report.operations = sum(len(plan) for plan in plans)
        report.lost = sum(len(plan) - len(one) for plan, one in zip(plans, found, strict=True))
        report.wrong = sum(
            a != b for one, other in zip(expected, found, strict=True) for a, b in zip(one, other, strict=False)
        )
        report.refused = sum(outcome.startswith("E-") for one in found for outcome in one)
        shared = [fresh(store, n) for n in range(sessions)]
        began = time.perf_counter()
        _at_once(shared, plans, threads, report, store, seed)
        report.shared_s = time.perf_counter() - began
        for session in shared:
            again = Session.replay(
                session.scan, session.log.model_copy(update={"events": session.log.current}), session.predictor
            )
            report.disagreeing += session.segmentation.names != again.segmentation.names or any(
                dict(one.masks) != dict(again.segmentation[one.name].masks) for one in session.segmentation.objects
            )
        report.grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        for scan in scanned:
            scan.close()
    return report


def _in_order(
    sessions: list[Session], plans: list[list[Operation]], threads: int, report: Report, store: FeatureStore
) -> list[list[str]]:
    """Every session's operations in order, each by whatever thread is free."""
    found: list[list[str]] = [[] for _ in sessions]

    def next_of(n: int) -> None:
        try:
            found[n].append(done(sessions[n], plans[n][len(found[n])]))
            report.store = max(report.store, store.nbytes)
            history = sessions[n]._history
            if len(history._states) > 2:  # the first one and the newest are kept whatever they take
                report.history = max(report.history, history.nbytes)
        except BaseException as error:
            report.errors.append(repr(error))
            return
        if len(found[n]) < len(plans[n]):
            pool.submit(next_of, n)
        else:
            ended.release()

    ended = threading.Semaphore(0)
    with ThreadPoolExecutor(threads) as pool:
        for n in range(len(sessions)):
            pool.submit(next_of, n)
        for _ in sessions:
            while not ended.acquire(timeout=1):
                if report.errors:
                    return found
    return found


def _at_once(
    sessions: list[Session],
    plans: list[list[Operation]],
    threads: int,
    report: Report,
    store: FeatureStore,
    seed: int,
) -> None:
    """All operations in any order, several threads at one session."""
    todo = [(session, operation) for session, plan in zip(sessions, plans, strict=True) for operation in plan]
    random.Random(seed).shuffle(todo)
    todo.sort(key=lambda one: sessions.index(one[0]) // max(1, threads // 4))  # few sessions at a time: they meet

    def do(one: tuple[Session, Operation]) -> None:
        try:
            done(*one)
            report.store = max(report.store, store.nbytes)
        except BaseException as error:
            report.errors.append(repr(error))

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(do, todo))


if __name__ == "__main__":
    print(stress(*(int(number) for number in sys.argv[1:])))
