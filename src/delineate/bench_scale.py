"""Large scans: time and peak memory of following, writing, and outlining everything, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.bench import Measure, peak_memory
from delineate.core.grid import Grid
from delineate.core.prompts import Box
from delineate.core.rle import Rle
from delineate.core.scan import Scan
from delineate.core.segmentation import Segmentation


@dataclass(frozen=True)
class Size:
    """How large the made-up scans are; ``--quick`` makes them small."""

    volume: tuple[int, int, int] = (512, 512, 800)
    structures: int = 40
    video: tuple[int, int, int] = (10_000, 480, 854)
    slide: int = 10_000
    points: int = 4  # clicks along a side of a tile of the slide
    tile: int = 1024


FULL, QUICK = Size(), Size((96, 96, 40), 6, (60, 120, 160), 4_200, 2, 3_000)


class MadeUpFrames:
    """A bright ellipse that moves and breathes on texture; a frame is made when it is asked for."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.dtype = shape, np.dtype(np.uint8)
        self._ground = np.random.default_rng(0).integers(20, 60, shape[1:3], dtype=np.uint8)

    def read(self, index: int) -> NDArray[np.uint8]:
        frame = self._ground.copy()
        frame[_ellipse(self.shape[1:3], index)] += 120
        return frame


def _ellipse(size: tuple[int, ...], index: int) -> NDArray[np.bool_]:
    height, width = size
    y, x = np.ogrid[:height, :width]
    middle = width * (0.5 + 0.1 * np.sin(index / 40)), height * (0.5 + 0.1 * np.cos(index / 55))
    radius = 0.16 * height * (1 + 0.2 * np.sin(index / 25))
    return np.asarray((x - middle[0]) ** 2 + (1.3 * (y - middle[1])) ** 2 < radius**2)


def _first_box(size: tuple[int, ...]) -> Box:
    rows, columns = np.nonzero(_ellipse(size, 0))
    return Box(int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1, frame=0)


def through_volume(size: Size) -> str:
    """One box, followed through every slice."""
    from delineate.session import Session
    from delineate.systems import shipped_predictor

    made = MadeUpFrames(size.volume[::-1])
    voxels = np.empty(size.volume, np.uint8)
    for n in range(size.volume[2]):
        voxels[:, :, n] = made.read(n).T
    session = Session(Scan.from_volume(voxels, Grid(size.volume, np.eye(4)), 2), shipped_predictor())
    session.prompt(_first_box(size.volume[1::-1]), "structure")
    session.propagate()
    return f"{len(session.segmentation['structure'].frames)} slices outlined"


def many_structures(size: Size) -> str:
    """Structures of which each meets its neighbors, written for 3D Slicer and as a label map."""
    from delineate.io.saving import save

    scan = Scan.from_volume(np.broadcast_to(np.uint8(0), size.volume), Grid(size.volume, np.eye(4)), 2)
    outlines, frames = Segmentation.empty(scan), size.volume[2]
    height, width = outlines.frame_shape
    for n in range(size.structures):
        mask = np.zeros((height, width), bool)
        x, y = n % 8 * width // 9, n // 8 * height // 7
        mask[y : y + height // 5, x : x + width // 6] = True
        name, runs = f"structure {n}", Rle.encode(mask)
        outlines = outlines.adding(name).with_masks(name, dict.fromkeys(range(n % 5, frames - n % 7), runs))
    with tempfile.TemporaryDirectory() as folder:
        written = [Path(folder) / name for name in ("a.seg.nrrd", "a.npz")]
        times = []
        for path in written:
            began = perf_counter()
            save(outlines, path, scan)
            times.append(f"{path.name[2:]} {perf_counter() - began:.1f} s, {path.stat().st_size / 2**20:.1f} MiB")
    return "; ".join(times)


def long_video(size: Size) -> str:
    """One structure, followed from the first frame to the last."""
    from delineate.session import Session
    from delineate.systems import shipped_predictor

    session = Session(Scan.from_frames(MadeUpFrames(size.video)), shipped_predictor())
    session.prompt(_first_box(size.video[1:]), "structure")
    session.propagate()
    return f"{len(session.segmentation['structure'].frames)} frames outlined"


def slide(size: Size) -> str:
    """Everything on a slide, by a small system with random weights that keeps whatever it is given."""
    from delineate.automatic import AutomaticSettings, generate_masks
    from delineate.core.frame import Frame
    from delineate.systems import BuildOptions, build

    side = size.slide
    pixels = np.random.default_rng(0).integers(150, 230, (side, side, 3), dtype=np.uint8)
    predictor: Any = build("mobile_sam", BuildOptions(untrained=True))
    settings = AutomaticSettings(size.points, pred_iou_thresh=-1e9, stability_score_thresh=-1, tile=size.tile)
    found = generate_masks(predictor, Frame.of(pixels), settings)
    scan = Scan.from_image(pixels)
    outlines = Segmentation.empty(scan)
    for n, one in enumerate(found[:500]):
        outlines = outlines.adding(str(n)).with_masks(str(n), {0: one.mask})
    return f"{len(found)} outlines, labels up to {outlines.frame_labels(0).max()}"


MEASURED: dict[str, tuple[Callable[[Size], str], Callable[[Size], str]]] = {
    "volume": (through_volume, lambda s: f"one box through {_times(s.volume)} voxels"),
    "structures": (many_structures, lambda s: f"{s.structures} structures in {_times(s.volume)} voxels written"),
    "video": (long_video, lambda s: f"one structure through {s.video[0]} frames of {_times(s.video[:0:-1])}"),
    "slide": (slide, lambda s: f"everything on {s.slide} x {s.slide} pixels, {s.points} x {s.points} clicks a tile"),
}


def _times(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))


def bench_scale(
    quick: bool = False, budget: float | None = None, tell: Callable[[str], None] | None = None
) -> Iterator[Measure]:
    """Each row when it is measured.

    budget  seconds after which no new row is begun; what is left out is the last row
    tell    called with what is measured next
    """
    size, began = QUICK if quick else FULL, perf_counter()
    for number, (name, (_, title)) in enumerate(MEASURED.items()):
        if budget is not None and perf_counter() - began > budget:
            yield Measure(f"left out, as {budget:g} s were over", ", ".join(list(MEASURED)[number:]))
            return
        if tell is not None:
            tell(title(size))
        command = [sys.executable, "-m", "delineate.bench_scale", name, *(["--quick"] if quick else [])]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        value = ran.stdout.strip() if ran.returncode == 0 else f"failed: {ran.stderr.strip().splitlines()[-1:]}"
        yield Measure(title(size), value)


def main() -> None:
    """One row, in this process: its name, and ``--quick``."""
    work, _ = MEASURED[sys.argv[1]]
    began = perf_counter()
    what = work(QUICK if "--quick" in sys.argv else FULL)
    sys.stdout.write(f"{perf_counter() - began:.1f} s, peak {peak_memory():.0f} MiB; {what}\n")


if __name__ == "__main__":
    main()
