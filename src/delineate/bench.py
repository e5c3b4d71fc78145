"""How fast it is on this machine: clicks, following, memory, start-up; docs/reference/speed.md shows it."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

import numpy as np

from delineate.core.prompts import Box, Point
from delineate.core.resolve import FramePrompts
from delineate.core.scan import Scan
from delineate.demo.phantom import phantom_volume, ultrasound_clip
from delineate.predictors.frame_predictor import FramePredictor, Query
from delineate.quill.predictor import QuillPredictor
from delineate.session import Session
from delineate.systems import shipped_predictor

CLICKS = 40
LONG_CLIP = 3000
HELP = "import sys; sys.argv = ['delineate', '--help']; from delineate.cli import main; main()"


@dataclass(frozen=True)
class Measure:
    """One line of the table."""

    what: str
    value: str


def bench(clicks: int = CLICKS, long_clip: int = LONG_CLIP) -> Iterator[Measure]:
    """Each row when it is measured; about two minutes on two cores."""
    predictor = shipped_predictor()
    faster = QuillPredictor(backend="openvino") if find_spec("openvino") else None
    clip = ultrasound_clip().scan
    measures: tuple[Callable[[], Measure], ...] = (
        lambda: Measure("machine", f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}"),
        lambda: Measure("import delineate", f"{_best_start('import delineate'):.2f} s"),
        lambda: Measure("delineate --help", f"{_best_start(HELP):.2f} s"),
        lambda: Measure("first box, model not loaded", f"{_first_click():.0f} ms"),
        lambda: _clicks(predictor, clip, clicks, "box"),
        lambda: _clicks(predictor, clip, clicks, "point"),
        lambda: _following(predictor, clip, "video 256 x 256, one structure", 1),
        lambda: _following(predictor, clip, "video 256 x 256, three structures", 3),
        lambda: _through_volume(predictor, phantom_volume().scan),
        lambda: _memory(predictor, long_clip),
        *(partial(_clicks, faster, clip, clicks, kind, ", OpenVINO") for kind in ("box", "point") if faster),
    )
    for measure in measures:
        yield measure()


TABLE_HEAD = "| measured | result |\n|---|---|"


def as_row(line: Measure) -> str:
    return f"| {line.what} | {line.value} |"


def _best_start(code: str) -> float:
    """Seconds a fresh interpreter needs beyond its own start, best of three."""

    def run(source: str) -> float:
        began = perf_counter()
        subprocess.run(
            [sys.executable, "-c", source], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        return perf_counter() - began

    return max(0.0, min(run(code) for _ in range(3)) - min(run("pass") for _ in range(3)))


def _first_click() -> float:
    """Milliseconds for the first box in a process, model loading included."""
    clip = ultrasound_clip(frames=1).scan
    began = perf_counter()
    Session(Scan.from_image(clip.pixels(0)), shipped_predictor()).prompt(Box(80, 70, 180, 210))
    return (perf_counter() - began) * 1000


def _clicks(predictor: FramePredictor, clip: Scan, count: int, kind: str, how: str = "") -> Measure:
    rng = np.random.default_rng(0)
    predictor.decode(predictor.encode(clip.frame(0)), [Query(FramePrompts(box=(80, 70, 180, 210)))])
    times = []
    for n in range(count):
        session = Session(Scan.from_image(clip.pixels(n % len(clip))), predictor)
        dx, dy = rng.integers(-4, 5, 2)
        prompt = Box(80 + dx, 70 + dy, 180, 210) if kind == "box" else Point(128 + int(dx), 140 + int(dy))
        began = perf_counter()
        session.prompt(prompt)
        times.append((perf_counter() - began) * 1000)
    p50, p95 = np.percentile(times, (50, 95))
    return Measure(f"one {kind}, 256 x 256{how} (p50 / p95)", f"{p50:.0f} / {p95:.0f} ms")


def _following(predictor: FramePredictor, clip: Scan, what: str, structures: int) -> Measure:
    session = Session(clip, predictor)
    for n in range(structures):
        session.prompt(Box(80 + n, 70 + n, 180, 210, frame=0), f"structure {n}")
    began = perf_counter()
    session.propagate()
    return Measure(f"following, {what}", f"{(len(clip) - 1) / (perf_counter() - began):.0f} frames/s")


def _through_volume(predictor: FramePredictor, scan: Scan) -> Measure:
    session = Session(scan, predictor)
    session.prompt(Box(20, 15, 0, 80, 85, len(scan), frame=20), "liver")
    began = perf_counter()
    session.propagate()
    return Measure("one box through 32 slices of 160 x 128", f"{perf_counter() - began:.1f} s")


class _LoopedFrames:
    """A long clip made of a short one, without holding it."""

    def __init__(self, clip: Scan, count: int) -> None:
        self._clip, self.shape, self.dtype = clip, (count, clip.height, clip.width), clip.dtype

    def read(self, index: int) -> np.ndarray:
        return self._clip.pixels(index % len(self._clip))


def _memory(predictor: FramePredictor, frames: int) -> Measure:
    """Peak memory of the process before and after following a structure through a long clip."""
    session = Session(Scan.from_frames(_LoopedFrames(ultrasound_clip().scan, frames)), predictor)
    session.prompt(Box(80, 70, 180, 210, frame=0), "chamber")
    before = peak_memory()
    session.propagate()
    return Measure(f"peak memory, before / after {frames} frames", f"{before:.0f} / {peak_memory():.0f} MiB")


def peak_memory() -> float:
    """MiB this process took at its peak; where the system tells, without what it was started from."""
    try:
        with Path("/proc/self/status").open() as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
